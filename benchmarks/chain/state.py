"""The state of a partition without a broker: what it costs to keep a million records in mind, and to free them.

The copies are made in memory, so that nothing is measured but the state itself.
"""

from __future__ import annotations

import random
import time
from itertools import chain
from typing import Final

from benchmarks.chain.copies import ASSIGNMENT, made
from benchmarks.chain.job import Job, Measured, measured
from streams.bench.ground import BenchError
from streams.bench.meter import Reading
from streams.config import Settings
from streams.engine.chain import parked_topic
from streams.engine.copies import Stage
from streams.engine.ledger import Ledger
from streams.engine.parking import load
from streams.engine.partition import PartitionState, Run, finish
from streams.engine.plan import ChainPlan
from streams.engine.retries import Retries
from streams.engine.snapshot import Snapshot
from streams.record import Partition
from streams.retry import RetryPolicy

PARKED: Final = 1
_AT_ONCE: Final = 500
_ROOM: Final = 10_000


def plan_without_broker(job: Job) -> ChainPlan:
    """Give a chain of one tier, parked and dead letters."""
    stages = (
        Stage(f"{job.topic}.{job.group}.retry.1h", "tier", 3600),
        Stage(parked_topic(job.topic, job.group), "parked"),
        Stage(f"{job.topic}.{job.group}.dlq", "dlq"),
    )
    return ChainPlan(job.topic, job.group, "", stages, "park", "continue")


def owner_of(job: Job, plan: ChainPlan) -> PartitionState:
    """Give the state of an owner that has read the source to its end and settled all of it."""
    return PartitionState(
        partition=Partition(job.topic, 0),
        assignment_id=b"new",
        ledger=Ledger(job.records),
        retries=Retries(RetryPolicy(delays=("1h",)), random.Random(7)),
        chain=plan.begin(0, b"new"),
    )


def recovered(job: Job) -> PartitionState:
    """Give the state after a scan that found all of *job* parked."""
    plan = plan_without_broker(job)
    state = owner_of(job, plan)
    for number in range(len(plan.stages)):
        end = job.records if number == PARKED else 0
        state.chain.restore(number, 0, Snapshot(ASSIGNMENT), range(end))
    for start in range(0, job.records, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, job.records))
        state.chain.scan(PARKED, list(made(job, plan.stages[PARKED].topic, numbers)))
    state.begin_chain()
    state.renew(float("inf"))
    return state


def remember(_: Settings, job: Job) -> Measured:
    """Keep the records of *job* in mind, and give one commit's snapshot."""
    begin = Reading.now()
    state = recovered(job)
    end, snapshot_s = Reading.now(), []
    for _turn in range(5):
        started = time.perf_counter()
        state.snapshots()
        snapshot_s.append(time.perf_counter() - started)
    return measured(begin, end, state.chain.outstanding, snapshot_ms=1000 * sorted(snapshot_s)[2])


def free(_: Settings, job: Job) -> Measured:
    """Read back and run everything that waits, a batch at a time as the loop does."""
    state = recovered(job)
    part = state.chain.parts[PARKED]
    begin, read = Reading.now(), 0
    while (at := part.wanted(0)) is not None:
        while at < part.end:
            stop = min(at + _AT_ONCE, part.end)
            batch = list(made(job, part.stage.topic, range(at, stop)))
            at, read = stop, read + len(batch)
            runs: list[Run] = load(state, PARKED, batch, 0)[0]
            while runs:
                runs = list(chain.from_iterable(finish([run]) for run in runs))
            state.chain.snapshots()
    if state.chain.outstanding:
        raise BenchError(f"{state.chain.outstanding:,} records were not freed")
    return measured(begin, Reading.now(), job.records, read=read)
