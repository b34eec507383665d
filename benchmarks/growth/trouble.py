"""Keys in trouble: records of other keys pass a member that has many in its index."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from typing import Final

import msgspec

from benchmarks.growth.curves import Bench
from benchmarks.growth.row import Row
from streams.app import App
from streams.bench.ground import BenchError
from streams.bench.meter import Meter, Reading
from streams.bench.records import bulk_sender, make_topic, require_all_sent
from streams.bench.task import Outcome, read_outcome
from streams.config import Settings
from streams.engine.context import Context
from streams.observer import Observer
from streams.record import Partition
from streams.retry import RetryPolicy

COUNTS: Final = (0, 100, 1_000, 10_000, 100_000)
_PARTITIONS: Final = 12
_KEYS: Final = 10_000
_WITHIN_S: Final = 600
_VALUE: Final = b"x" * 300
_IN_TROUBLE: Final = b"trouble-"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one member does."""

    topic: str
    group: str
    records: int
    fills: bool
    """So many records fail and move on; else so many pass."""


class Filling(Observer):
    """Ends the member when all copies are acknowledged."""

    def __init__(self, records: int) -> None:
        """Wait for *records*."""
        self.left = records
        self.begin: Reading | None = None
        self.end: Reading | None = None

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Take the time of the first batch."""
        self.begin = self.begin or Reading.now()

    def relocated(self, partition: Partition, kind: str, records: int) -> None:
        """Count what was moved."""
        self.left -= records
        if self.left <= 0 and self.end is None:
            self.end = Reading.now()
            signal.raise_signal(signal.SIGTERM)


def app_for(job: Job) -> App:
    """Give the app whose handler fails for keys in trouble."""
    app = App(job.group)

    @app.on(job.topic, policy="park", run="inline", retry=RetryPolicy(delays=("1h",)))
    def handle(_value: bytes, context: Context) -> None:
        key = context.record.key
        if key is not None and key.startswith(_IN_TROUBLE):
            raise ConnectionError("the service that this handler calls is not there")

    return app


def observer_of(job: Job) -> Filling | Meter:
    """Give what takes the time."""
    return Filling(job.records) if job.fills else Meter(job.records)


def curve(bench: Bench) -> Iterator[Row]:
    """More keys in trouble, none of them among the records that pass."""
    rates, costs = list[float](), list[float]()
    for number, count in enumerate(COUNTS):
        topic, runs = f"{bench.supply.place.name}-trouble-{number}", list[Outcome]()
        settings = bench.supply.place.settings
        make_topic(settings, topic, _PARTITIONS, retention_ms="-1")
        job = Job(topic=topic, group=f"{topic}-group", records=count, fills=True)
        if count:
            _send(settings, topic, (_IN_TROUBLE + b"%06d" % key for key in range(count)))
            _run(settings, job)
        for turn in range(bench.repeat):
            bench.supply.say(f"{count:,} keys in trouble, {turn + 1} of {bench.repeat}")
            _send(settings, topic, (b"key-%05d" % (key % _KEYS) for key in range(bench.records)))
            runs.append(_run(settings, msgspec.structs.replace(job, records=bench.records, fills=False)))
        rates.append(median(run.rate for run in runs))
        costs.append(median(run.cpu_us for run in runs))
        yield Row(
            curve="trouble",
            at=count,
            run="noop with its context, inline",
            rate=rates[-1],
            ratio=rates[-1] / rates[0],
            cpu_us=costs[-1],
            cpu_ratio=costs[0] / costs[-1],
            resident_mb=max(run.resident_bytes for run in runs) / 2**20,
            remark="" if count else "what the others are set beside",
        )


def _send(settings: Settings, topic: str, keys: Iterator[bytes]) -> None:
    sender = bulk_sender(settings, topic)
    for number, key in enumerate(keys):
        sender.send(number, key, _VALUE)
    require_all_sent(sender, topic)


def _run(settings: Settings, job: Job) -> Outcome:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth.worker", msgspec.json.encode(job).decode()],
        capture_output=True,
        timeout=_WITHIN_S,
        check=False,
        env={**os.environ, "STREAMS_BOOTSTRAP": settings.bootstrap},
    )
    if done.returncode:
        raise BenchError(f"a member ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return read_outcome(done.stdout)
