"""Records that wait in the chain: an owner finds them, and reads back those that may run."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Final

from benchmarks.chain.copies import ASSIGNMENT, VALUE, key_of, produce
from benchmarks.chain.job import Job, Measured, measured
from benchmarks.chain.state import owner_of
from streams.app import App
from streams.bench.ground import BenchError
from streams.bench.meter import Reading
from streams.bench.records import produce_all
from streams.clock import SystemClock
from streams.config import Settings
from streams.engine.chain import parked_topic
from streams.engine.context import Context
from streams.engine.ending import Until
from streams.engine.plan import ChainPlan, plan_of
from streams.engine.recovery import Recovery
from streams.engine.snapshot import Snapshot, decode, encode
from streams.kafka.admin import Admin
from streams.kafka.bare import BareReader
from streams.kafka.chainreader import ChainReader
from streams.kafka.consumer import Stored
from streams.kafka.offsets import Committed, commit_for_stopped, watermarks
from streams.observer import Observer, OutcomeName
from streams.record import Partition
from streams.retry import RetryPolicy
from streams.service import prepare_topics, run

_AT_ONCE: Final = 500


def waiting_app(job: Job) -> App:
    """Give an app whose handler does nothing but see that the records of a key come in order."""
    app, last = App(job.group), defaultdict[bytes, int](lambda: -1)

    @app.on(job.topic, policy="park", run="inline", retry=RetryPolicy(delays=("1h",)))
    def note(_value: bytes, context: Context) -> None:
        record = context.record
        key = record.key or b""
        if record.offset <= last[key]:
            raise BenchError(f"{record.offset} of {key!r} came after {last[key]}")
        last[key] = record.offset

    return app


def prepare(settings: Settings, job: Job) -> None:
    """Leave the records of *job* parked, with the commit of an owner that is gone: read, and nothing settled."""
    produce_all(settings, job.topic, ((key_of(job, number), VALUE) for number in range(job.records)))
    plan = plan_for(settings, job)
    produce(settings, job, parked_topic(job.topic, job.group), plan.topic_id)
    fence = encode(Snapshot(ASSIGNMENT, scan_end=job.records))
    offsets = {Partition(stage.topic, 0): Committed(0, fence) for stage in plan.stages}
    offsets[Partition(job.topic, 0)] = Committed(job.records, encode(Snapshot(ASSIGNMENT)))
    with Admin(settings) as admin:
        commit_for_stopped(admin, job.group, offsets)


def plan_for(settings: Settings, job: Job) -> ChainPlan:
    """Make the chain of *job*'s source; give it as its owner sees it."""
    chain = prepare_topics(replace(settings, group=job.group), waiting_app(job).routes)[job.topic]
    return plan_of(job.topic, job.group, chain, "park", "continue")


# -- an owner starts ------------------------------------------------------------------------------


def scan(settings: Settings, job: Job) -> Measured:
    """Restore the chain of *job* as an owner does: ledgers, ends, scan, index; connecting counts."""
    with Admin(settings) as admin, closing(ChainReader(settings)) as reader:
        plan = plan_for(settings, job)
        state = owner_of(job, plan)
        recovery = Recovery(reader, partial(watermarks, admin), SystemClock(), Observer())
        stored = {Partition(stage.topic, 0): Stored(0, encode(Snapshot(ASSIGNMENT))) for stage in plan.stages}
        begin = Reading.now()
        recovery.restore([state], stored, lambda _, one: decode(one.metadata), lambda _: plan.begin(0, b"new"))
        end = Reading.now()
    if state.chain.outstanding != job.records:
        raise BenchError(f"{state.chain.outstanding:,} copies were found, not {job.records:,}")
    return measured(begin, end, job.records)


def read_by_hand(settings: Settings, job: Job) -> Measured:
    """Read the same copies in a bare loop; connecting counts."""
    begin, seen = Reading.now(), 0
    with closing(BareReader(settings, [Partition(parked_topic(job.topic, job.group), 0)])) as reader:
        while seen < job.records:
            seen += len(reader.consume(_AT_ONCE, 10))
        end = Reading.now()
    return measured(begin, end, seen)


# -- what waits runs ------------------------------------------------------------------------------


class _Runs(Observer):
    """Takes the time from the first batch read back until the last record settled."""

    def __init__(self) -> None:
        self.begin: Reading | None = None
        self.end: Reading | None = None
        self.read = self.done = 0

    def swept(self, partition: Partition, kind: str, records: int) -> None:
        self.begin = self.begin or Reading.now()
        self.read += records

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        self.done += records if outcome == "done" else 0
        self.end = Reading.now()


def sweep(settings: Settings, job: Job) -> Measured:
    """Run everything that waits, in a member of the group, until nothing is left."""
    runs = _Runs()
    run(waiting_app(job), settings, Until(settled=True), observer=runs)
    if runs.begin is None or runs.end is None or runs.done != job.records:
        raise BenchError(f"{runs.done:,} of {job.records:,} records ran")
    return measured(runs.begin, runs.end, job.records, read=runs.read)
