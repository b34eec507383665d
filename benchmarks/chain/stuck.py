"""One record that stays where it is, and everything that comes after it."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.chain.job import Job, Measured, measured
from streams.app import App
from streams.bench.figures import growth
from streams.bench.ground import BenchError
from streams.bench.meter import Reading
from streams.config import Settings
from streams.engine.context import Context
from streams.engine.snapshot import METADATA_LIMIT
from streams.observer import MemberView, Observer
from streams.record import Partition
from streams.retry import RetryPolicy
from streams.service import run

_RETRY: Final = RetryPolicy(delays=("1s", "1h"), memory_up_to="5s")
_SAMPLE_EVERY_S: Final = 0.1

HEAD: Final = b"key-000000"
"""The key that is stuck: with keys that take turns its first record is the partition's first."""


class _Passage(Observer):
    """Watches ledger, commits and memory while records pass the one that is stuck; ends the member once all have."""

    def __init__(self, left: int, is_over: threading.Event | None) -> None:
        self._left, self._is_over = left, is_over
        self.begin: Reading | None = None
        self.end: Reading | None = None
        self.metadata = 0.0
        self.distance = 0
        self.position = self.committed_at = 0
        self.still_s = 0.0
        self._moved_at = 0.0
        self._sampled_at = 0.0
        self.memory_mb: list[float] = []

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        if self.begin is None:
            self.begin, self._moved_at = Reading.now(), time.monotonic()
        self.position += records

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        self.distance = max(self.distance, self.position - offset)
        now = time.monotonic()
        if offset > self.committed_at:
            self.committed_at, self._moved_at = offset, now
        elif self.position > offset:
            self.still_s = max(self.still_s, now - self._moved_at)

    def settled(self, partition: Partition, latency_s: float, records: int) -> None:
        self._left -= records
        if time.monotonic() - self._sampled_at > _SAMPLE_EVERY_S:
            self._sampled_at = time.monotonic()
            self.memory_mb.append(resident_mb())

    def relocated(self, partition: Partition, kind: str, records: int) -> None:
        self._left -= records

    def viewed(self, view: MemberView) -> None:
        self.metadata = max([self.metadata, *(one.ledger_used for one in view.partitions)])
        is_committed = all(one.committed >= one.position for one in view.partitions)
        if self._left <= 0 and self.end is None and (is_committed or self._is_over is not None):
            self.end = Reading.now()
            if self._is_over is not None:
                self._is_over.set()
            signal.raise_signal(signal.SIGTERM)


def resident_mb() -> float:
    """Give the memory that this process has in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def stuck(settings: Settings, job: Job) -> Measured:
    """Have the first key fail for ever and all others end well."""
    app = App(job.group)

    @app.on(job.topic, policy="park", run="inline", retry=_RETRY)
    def pass_by(_value: bytes, context: Context) -> None:
        if context.record.key == HEAD:
            raise ConnectionError("the service that this handler calls is not there")

    return _watch(app, settings, job)


def passing(settings: Settings, job: Job) -> Measured:
    """The control: the same records, and all of them end well."""
    app = App(job.group)

    @app.on(job.topic, policy="park", run="inline", retry=_RETRY)
    def pass_by(_value: bytes, context: Context) -> None:
        if context.record.key == HEAD[:-1]:
            raise ConnectionError("no record has this key")

    return _watch(app, settings, job)


def hung(settings: Settings, job: Job) -> Measured:
    """Have the first record's handler not return before all else is done: it can't be moved."""
    app, is_over = App(job.group), threading.Event()

    @app.on(job.topic, policy="park", run="threads", retry=_RETRY)
    def wait(_value: bytes, context: Context) -> None:
        if context.record.offset == 0:
            is_over.wait()

    return _watch(app, settings, job, is_over)


def _watch(app: App, settings: Settings, job: Job, is_over: threading.Event | None = None) -> Measured:
    left = job.records if is_over is None else job.records - job.records // job.keys
    passage = _Passage(left, is_over)
    run(app, settings, observer=passage)
    if passage.begin is None or passage.end is None:
        raise BenchError("not all records passed the one that was stuck")
    return measured(
        passage.begin,
        passage.end,
        job.records,
        metadata=passage.metadata * METADATA_LIMIT,
        distance=passage.distance,
        still_s=passage.still_s,
        growth_mb=growth(passage.memory_mb),
    )
