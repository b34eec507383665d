"""Every record fails and moves to a tier; then the member starts again and finds them there.

The control does by hand what the engine does to a record that fails: it reads
it and produces it whole, with one packed header, to its partition of the other
topic, from a producer with the same settings, and counts the acknowledgements.
It knows nothing of keys, ledgers or commits.
"""

from __future__ import annotations

import signal
import time
from typing import Final

from benchmarks.chain.job import Job, Measured, measured
from streams.app import App
from streams.bench.ground import BenchError
from streams.bench.meter import Reading
from streams.config import Settings
from streams.engine.chain import Attempt, copy_headers, new_header
from streams.kafka.bare import BareReader
from streams.kafka.message import KEY, VALUE
from streams.kafka.producer import EngineProducer, Parcel
from streams.observer import Observer
from streams.record import Origin, Partition
from streams.retry import RetryPolicy
from streams.service import run

DELAY: Final = "1h"
_SILENCE_S: Final = 60.0
_AT_ONCE: Final = 500


class DownError(Exception):
    """What every record of this bench ends in."""


def failing_app(job: Job) -> App:
    """Give the app whose every record fails."""
    app = App(job.group)

    @app.on(job.topic, policy="park", run="inline", retry=RetryPolicy(delays=(DELAY,)))
    def fail(_value: bytes) -> None:
        raise DownError("the service that this handler calls is not there")

    return app


class _Moves(Observer):
    """Takes the time from the first batch in hand until the last copy is acknowledged; then ends the member."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.begin: Reading | None = None
        self.end: Reading | None = None
        self.parked = 0

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        self.begin = self.begin or Reading.now()

    def relocated(self, partition: Partition, kind: str, records: int) -> None:
        self.left -= records
        self.parked += records if kind == "parked" else 0
        if self.left <= 0 and self.end is None:
            self.end = Reading.now()
            signal.raise_signal(signal.SIGTERM)


def fail(settings: Settings, job: Job) -> Measured:
    """Have every record fail, and moved."""
    moves = _Moves(job.records)
    run(failing_app(job), settings, observer=moves)
    if moves.begin is None or moves.end is None:
        raise BenchError(f"{moves.left:,} of {job.records:,} records were not moved")
    return measured(moves.begin, moves.end, job.records, parked=moves.parked)


class _Start(Observer):
    """Takes the time from the grant of the partition until its first commit is acknowledged: it is ready."""

    def __init__(self) -> None:
        self.begin: Reading | None = None
        self.end: Reading | None = None
        self.copies = 0
        self.scan_s = 0.0

    def assigned(self, partitions: object) -> None:
        self.begin = self.begin or Reading.now()

    def recovered(self, partition: Partition, copies: int, keys: int, fenced: int, took_s: float) -> None:
        self.copies += copies
        self.scan_s = took_s

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        if self.end is None:
            self.end = Reading.now()
            signal.raise_signal(signal.SIGTERM)


def restart(settings: Settings, job: Job) -> Measured:
    """Start a member of the group that left its records in the tier."""
    start = _Start()
    run(failing_app(job), settings, observer=start)
    if start.begin is None or start.end is None or start.copies != job.records:
        raise BenchError(f"{start.copies:,} copies were found, not {job.records:,}")
    return measured(start.begin, start.end, start.copies, scan_s=start.scan_s)


def copy_by_hand(settings: Settings, job: Job) -> Measured:
    """Read and produce the same records with the client alone."""
    reader, producer = BareReader(settings, [Partition(job.topic, 0)]), EngineProducer[None](settings)
    header = new_header(
        Origin(job.topic, 0, 1, 1_700_000_000_000),
        topic_id="f2OJQ5sTQmS1u3m0mYcV9A",
        group=job.group,
        assignment_id=b"assignme",
        attempts=1,
        history=(Attempt(1_700_000_000_000, "DownError"),),
    )
    headers, target, stored = copy_headers(None, header), f"{job.topic}.by-hand", 0
    begin, taken, give_up = None, 0, time.monotonic() + _SILENCE_S
    while stored < job.records and time.monotonic() < give_up:
        batch = reader.consume(_AT_ONCE, 0.01 if taken < job.records else 0)
        if batch and begin is None:
            begin = Reading.now()
        parcels = [Parcel(target, 0, KEY(message), VALUE(message), headers, None) for message in batch]
        while parcels and (queued := producer.produce(parcels)) < len(parcels):
            parcels = parcels[queued:]
            stored += _stored(producer, 0.01)
        taken += len(batch)
        stored += _stored(producer, 0 if batch else 0.005)
    if begin is None or stored < job.records:
        raise BenchError(f"only {stored:,} of {job.records:,} copies were acknowledged")
    return measured(begin, Reading.now(), stored)


def _stored(producer: EngineProducer[None], timeout_s: float) -> int:
    return sum(parcel.fate == "stored" for parcel in producer.acknowledge(timeout_s))
