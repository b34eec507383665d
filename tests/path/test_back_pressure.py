"""Memory is bounded: past a bound nothing further is read, and the group is still heard."""

from __future__ import annotations

import os
import threading

from streams import App, Record
from streams.record import Partition
from tests.brokers import Topics
from tests.path.members import Bench, numbered


class Gate:
    """Handlers wait here until it is opened."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, int]] = []
        self.opened = threading.Event()

    def declare(self, app: App, topic: str, *, shut: tuple[int, ...] = (0,)) -> None:
        """Have records of the partitions *shut* wait."""

        @app.on(topic, concurrency=4)
        def handle(record: Record) -> None:
            if record.partition in shut:
                self.opened.wait(60)
            self.ended.append((record.partition, record.offset))


def test_records_in_flight_are_bounded(bench: Bench, topic: Topics, app: App) -> None:
    """Not one more than the bound is admitted, however long handlers take; then all of them run."""
    orders, gate = topic(), Gate()
    gate.declare(app, orders)
    bench.write(orders, numbered(2_000, [None]))
    member = bench.run(app, max_in_flight=100, batch_records=30)
    member.until(lambda: (Partition(orders, 0), "in_flight") in member.ear.heard("paused"))
    seen = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > seen + 1)
    gate.opened.set()
    member.until(lambda: len(gate.ended) == 2_000)
    member.settled()

    assert max(view.outstanding for view in member.ear.views) <= 100
    assert sorted(gate.ended) == [(0, offset) for offset in range(2_000)]


def test_bytes_in_flight_are_bounded(bench: Bench, topic: Topics, app: App) -> None:
    """By the bound and one batch: what has arrived is admitted whole."""
    orders, gate = topic(), Gate()
    gate.declare(app, orders)
    bench.write(orders, [(None, os.urandom(10_000)) for _ in range(300)])
    member = bench.run(app, max_in_flight_bytes=200_000, batch_records=10)
    member.until(lambda: (Partition(orders, 0), "in_flight") in member.ear.heard("paused"))
    seen = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > seen + 1)
    gate.opened.set()
    member.until(lambda: len(gate.ended) == 300)
    member.settled()

    assert max(view.outstanding_bytes for view in member.ear.views) <= 200_000 + 10 * 10_000
    member.until(lambda: member.ear.views[-1].outstanding_bytes == 0)


def test_one_partition_at_its_bound_leaves_room_for_the_others(bench: Bench, topic: Topics, app: App) -> None:
    """It alone is paused."""
    orders, gate = topic(partitions=2), Gate()
    gate.declare(app, orders)
    bench.write(orders, numbered(1_000, [b"one"]), partition=0)
    bench.write(orders, numbered(3_000, [b"other"]), partition=1)
    member = bench.run(app, partition_in_flight=50, batch_records=25)
    member.until(lambda: (Partition(orders, 0), "partition") in member.ear.heard("paused"))
    member.until(lambda: gate.ended.count((1, 2_999)))
    gate.opened.set()
    member.until(lambda: len(gate.ended) == 4_000)
    member.settled()

    assert Partition(orders, 0) in [partition for (partition,) in member.ear.heard("resumed")]


def test_member_that_waits_for_room_keeps_its_partitions(bench: Bench, topic: Topics, app: App) -> None:
    """It goes on polling: the group hears it, and commits go on."""
    orders, gate = topic(), Gate()
    gate.declare(app, orders)
    bench.write(orders, numbered(200, [None]))
    member = bench.run(
        app,
        protocol="classic",
        session_timeout_s=2.0,
        max_in_flight=10,
        batch_records=5,
        drain_s=1.0,
        kafka={"max.poll.interval.ms": "6000"},
    )
    member.until(lambda: member.ear.heard("paused"))
    seen = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > seen + 7)
    gate.opened.set()
    member.settled()

    assert member.ear.heard("revoked") == []
    assert sorted(gate.ended) == [(0, offset) for offset in range(200)]
