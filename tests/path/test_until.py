"""A member that is told how long to run ends by itself, in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from streams import App, Record, RetryPolicy
from streams.engine.ending import RunReport, Until
from streams.record import Partition
from tests.brokers import Topics
from tests.path.clocks import LateClock
from tests.path.members import Bench, Running, numbered


def seen_by(app: App, topic: str) -> list[int]:
    """Declare a handler that notes which records it got."""
    seen: list[int] = []

    @app.on(topic)
    def handle(record: Record) -> None:
        seen.append(record.offset)

    return seen


def report_of(bench: Bench, app: App, until: Until, **settings: Any) -> RunReport:
    """Run a member until it ends by itself."""
    member = bench.run(app, until, **settings)
    member.await_end()
    assert member.report is not None, f"the member ended with {member.error!r}"
    return member.report


def test_stops_when_all_is_done(bench: Bench, topic: Topics, app: App) -> None:
    """What was there at the start is done and committed; empty partitions and an empty topic are no obstacle."""
    orders = topic(partitions=4)
    seen = seen_by(app, orders)
    empty = report_of(bench, app, Until(empty=True))
    bench.write(orders, numbered(500, [b"a", b"b"]))
    full = report_of(bench, app, Until(empty=True))
    again = report_of(bench, app, Until(empty=True))

    assert [empty.read, full.read, again.read] == [0, 500, 0]
    assert [empty.left, full.left, again.left] == [0, 0, 0]
    assert len(seen) == 500


def test_stops_when_the_rest_waits_for_a_retry(bench: Bench, topic: Topics, app: App) -> None:
    """What waits, and what waits behind it, is left and told; the next start runs it."""
    orders, runs, failing = topic(), list[int](), [True]

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("10m",)))
    def handle(record: Record) -> None:
        runs.append(record.offset)
        if record.key == b"b" and failing:
            raise ValueError("later")

    bench.write(orders, numbered(20, [b"a", b"b"]))
    first = report_of(bench, app, Until(empty=True))
    failing.clear()
    second = report_of(bench, app, Until(empty=True))

    assert (first.left, first.retrying, first.committed) == (10, 1, True)
    assert (second.left, second.committed) == (0, True)
    assert sorted(runs) == sorted([*range(20), 1])


def test_stops_when_all_is_settled(bench: Bench, topic: Topics, app: App) -> None:
    """Retries are waited for, too."""
    orders, runs = topic(), list[int]()

    @app.on(orders, retry=RetryPolicy(delays=("300ms",), jitter=0))
    def handle(record: Record) -> None:
        runs.append(record.offset)
        if record.offset == 1 and runs.count(1) == 1:
            raise ValueError("later")

    bench.write(orders, numbered(20, [b"a", b"b"]))
    report = report_of(bench, app, Until(settled=True))

    assert (report.read, report.left) == (20, 0)
    assert runs.count(1) == 2


def test_stops_after_so_many_records(bench: Bench, topic: Topics, app: App) -> None:
    """Exactly so many, worked off; the next start goes on behind them."""
    orders = topic(partitions=2)
    seen = seen_by(app, orders)
    bench.write(orders, numbered(100, [b"a", b"b", b"c"]))
    first = report_of(bench, app, Until(max_records=37))
    second = report_of(bench, app, Until(max_records=63))

    assert [first.read, second.read] == [37, 63]
    assert [first.left, second.left] == [0, 0]
    assert len(seen) == 100


def test_stops_after_its_time(bench: Bench, topic: Topics, app: App) -> None:
    """However much is left."""
    orders, release = topic(), threading.Event()

    @app.on(orders, concurrency=1)
    def handle(_: Record) -> None:
        release.wait(0.05)

    bench.write(orders, numbered(1_000, [None]))
    report = report_of(bench, app, Until(max_time_s=2))

    assert report.reason == "its time was over"
    assert report.left > 0
    assert (report.drained, report.committed) == (True, True)


def test_stops_when_a_dead_partition_has_been_taken_over(bench: Bench, topic: Topics, app: App) -> None:
    """Two members share the work; each waits for the other's share to be committed."""
    orders = topic(partitions=4)
    seen = seen_by(app, orders)
    bench.write(orders, numbered(2_000, [b"%d" % number for number in range(40)]))
    members = [bench.run(app, Until(empty=True)) for _ in range(2)]
    for member in members:
        member.await_end()
    reports = [member.report for member in members if member.report]

    assert sum(report.left for report in reports) == 0
    assert len(reports) == 2
    assert len(seen) == 2_000


def test_nobody_ends_while_a_record_waits_in_the_chain_of_another(bench: Bench, topic: Topics, app: App) -> None:
    """A member without work waits for another's tier until what stands there has run; then both end."""
    orders, runs, clock = topic(partitions=2), list[bytes](), LateClock()

    @app.on(orders, policy="park", retry=RetryPolicy(delays=("1h",), memory_up_to="50ms", jitter=0))
    def handle(record: Record) -> None:
        runs.append(record.value or b"")
        if len(runs) == 1:
            raise ValueError("in an hour")

    bench.write(orders, [(b"a", b"slow")], partition=1)
    members = [bench.run(app, Until(settled=True), clock=clock) for _ in range(2)]
    members[0].until(lambda: [len(owned(member)) for member in members] == [1, 1])
    (idle,) = [member for member in members if owned(member) == [0]]
    members[0].until(lambda: has_committed(members, Partition(orders, 1), 1))
    turns = len(idle.ear.views)
    idle.until(lambda: len(idle.ear.views) > turns + 8)
    still = [member.is_running for member in members]
    clock.put(time.time() + 3_700)
    for member in members:
        member.await_end()
    reports = [member.report for member in members if member.report]

    assert still == [True, True]
    assert runs == [b"slow", b"slow"]
    assert [(report.parked, report.left) for report in reports] == [(0, 0)] * 2


def owned(member: Running) -> list[int]:
    """The partitions that *member* has, by number."""
    return sorted(state.partition.number for state in member.member.assignment.all())


def has_committed(members: Sequence[Running], partition: Partition, offset: int) -> bool:
    """Whether one of *members* committed *offset*."""
    return any(heard[:2] == (partition, offset) for member in members for heard in member.ear.heard("committed"))
