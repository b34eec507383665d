"""Offsets that hold no record are not waited for: commits reach the end, and nothing lags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from streams import App, Record
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed
from streams.record import Partition
from tests.brokers import Topics, unique
from tests.path.members import Bench, Running, numbered
from tests.waiting import eventually

COMPACT = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.0001",
    "segment.ms": "100",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}


def offsets_of(app: App, topic: str) -> list[int]:
    """Declare a handler that notes which records it got."""
    seen: list[int] = []

    @app.on(topic)
    def handle(record: Record) -> None:
        seen.append(record.offset)

    return seen


def stored(bench: Bench, app: App, topic: str) -> int:
    """The group's committed offset."""
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        return committed(admin, app.group)[Partition(topic, 0)].offset


def unread(member: Running) -> int | None:
    """What the last view says of the distance to the end; None where it knows of no partition yet."""
    partitions = member.ear.views[-1].partitions if member.ear.views else ()
    return partitions[0].unread if partitions else None


@pytest.mark.chaos  # the broker's cleaner wakes every quarter of a minute
def test_compacted_topic_is_read_to_its_end(bench: Bench, topic: Topics, app: App) -> None:
    """Every record that is left runs once; the commit stands at the end, above the holes."""
    orders = topic("profiles", config=COMPACT)
    bench.write(orders, numbered(800, [b"%d" % number for number in range(40)]))
    eventually(lambda: _is_compacted(bench, orders), within_s=90, every_s=1)
    left = [message.offset() for message in bench.read(orders)]
    seen = offsets_of(app, orders)
    member = bench.run(app)
    member.settled()

    assert sorted(seen) == left
    assert stored(bench, app, orders) == seen[-1] + 1 > len(left)
    member.until(lambda: unread(member) == 0)


def test_transactions_leave_no_lag(bench: Bench, topic: Topics, app: App) -> None:
    """Markers and aborted records are no records: they never run, and the commit passes them."""
    orders = topic()
    seen, wanted = offsets_of(app, orders), list(_transactions(bench, orders))
    member = bench.run(app)
    member.settled()
    end = 3 * (10 + 1)

    assert sorted(seen) == wanted
    assert stored(bench, app, orders) == end
    member.until(lambda: unread(member) == 0)


def test_open_transaction_is_not_passed(bench: Bench, topic: Topics, app: App) -> None:
    """Its records run once it is committed, and not before."""
    orders = topic()
    seen = offsets_of(app, orders)
    bench.write(orders, numbered(5))
    producer = _transactional(bench)
    producer.begin_transaction()
    producer.produce(orders, b"open", b"a")
    producer.flush(30)
    member = bench.run(app)
    member.until(lambda: len(seen) == 5)
    member.settled()

    assert stored(bench, app, orders) == 5

    producer.commit_transaction(30)
    member.until(lambda: len(seen) == 6)
    member.settled()

    assert stored(bench, app, orders) == 7


def test_markers_between_records_that_settle_out_of_order(bench: Bench, topic: Topics, app: App) -> None:
    """A restart in the middle runs what was left and nothing else, though offsets are missing in between."""
    orders, failing, runs = topic(), [True], list[int]()
    wanted = list(_transactions(bench, orders))

    @app.on(orders)
    def handle(record: Record) -> None:
        runs.append(record.offset)
        if record.offset in (2, 25) and failing:
            raise ValueError("later")

    member = bench.run(app)
    behind = {5, 8, 24}
    member.until(lambda: set(runs) == set(wanted) - behind)
    member.until(lambda: member.ear.views and any(one.caught_up for one in member.ear.views[-1].partitions))
    report = member.stop()
    failing.clear()
    runs.clear()
    bench.run(app).settled()

    assert report.left == 5
    assert sorted(runs) == sorted([2, 25, *behind])
    assert stored(bench, app, orders) == 33


def _transactional(bench: Bench) -> Producer:
    producer = Producer(bench.kafka.client(transactional_id=unique("writer")))
    producer.init_transactions(30)
    return producer


def _transactions(bench: Bench, topic: str) -> Iterator[int]:
    """Write ten records in each of three transactions, the second one aborted; give the offsets that count."""
    producer = _transactional(bench)
    for turn in range(3):
        producer.begin_transaction()
        for number in range(10):
            producer.produce(topic, b"%d" % number, b"key-%d" % (number % 3 if turn != 2 else number))
        producer.flush(30)
        if turn == 1:
            producer.abort_transaction(30)
            continue
        producer.commit_transaction(30)
        yield from range(turn * 11, turn * 11 + 10)


def _is_compacted(bench: Bench, topic: str) -> bool:
    """Whether the cleaner has been there; each record closes the segment before it, which only then is cleaned."""
    bench.write(topic, [(b"tick", b"")])
    messages = bench.read(topic)
    return len(messages) < (messages[-1].offset() or 0) / 2
