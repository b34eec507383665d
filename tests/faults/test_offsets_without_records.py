"""Offsets vanish, or never held a record, while members work: nothing is waited for, nothing runs that is no record."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams import App, Record
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed
from streams.record import Partition
from tests.brokers import Kafka, Topics, unique
from tests.faults.figures import Injected
from tests.path.members import Bench, Running, numbered
from tests.path.test_gaps import COMPACT
from tests.waiting import eventually

_KEYS = [b"%d" % number for number in range(40)]
_HELD = 5


class Work:
    """A handler that notes what it ran, and holds the first few records until it is let go."""

    def __init__(self, app: App, topic: str) -> None:
        self.begun, self.ended = list[Record](), list[int]()
        self._let_go = threading.Event()
        app.on(topic, concurrency=20)(self.handle)

    def handle(self, record: Record) -> None:
        self.begun.append(record)
        if record.offset < _HELD:
            self._let_go.wait(60)
        self.ended.append(record.offset)

    @property
    def in_flight(self) -> int:
        """Runs that have begun and not ended."""
        return len(self.begun) - len(self.ended)

    @property
    def is_in_order(self) -> bool:
        """Whether the records of each key began in the order of their offsets, once each."""
        lanes: dict[bytes | None, list[int]] = {}
        for record in self.begun:
            lanes.setdefault(record.key, []).append(record.offset)
        return all(lane == sorted(set(lane)) for lane in lanes.values())

    def hold(self, member: Running) -> None:
        """Wait until the first few are in flight."""
        member.until(lambda: self.in_flight == _HELD and self.ended)

    def let_go(self) -> None:
        """Let all end."""
        self._let_go.set()


def stored(bench: Bench, app: App, topic: str) -> int:
    """The group's committed offset."""
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        return committed(admin, app.group)[Partition(topic, 0)].offset


def unread(member: Running) -> int | None:
    """What the last view says of the distance to the end; None before there is one."""
    partitions = [one for view in member.ear.views[-1:] for one in view.partitions]
    return partitions[0].unread if partitions else None


@pytest.fixture
def swift_cleaner(kafka: Kafka) -> Iterator[None]:
    """The broker's cleaner wakes often, and not every quarter of a minute."""
    _set_cleaner(kafka, AlterConfigOpType.SET)
    yield
    _set_cleaner(kafka, AlterConfigOpType.DELETE)


def _set_cleaner(kafka: Kafka, operation: AlterConfigOpType) -> None:
    entry = ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=operation)
    nodes = kafka.admin.list_topics(timeout=30).brokers
    brokers = [ConfigResource(ResourceType.BROKER, str(node), incremental_configs=[entry]) for node in nodes]
    for answer in kafka.admin.incremental_alter_configs(brokers).values():
        answer.result(30)


@pytest.mark.usefixtures("swift_cleaner")
def test_a_log_that_is_compacted_under_its_readers(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """Gaps open below, at and above what runs: what is left runs once, and the commit comes to the end."""
    orders = topic("profiles", config=COMPACT)
    work = Work(app, orders)
    bench.write(orders, numbered(400, _KEYS))
    member = bench.run(app)
    work.hold(member)
    bench.write(orders, numbered(400, _KEYS))
    eventually(lambda: _is_compacted(bench, orders), within_s=60, every_s=0.2)
    in_flight = work.in_flight
    work.let_go()
    member.settled()
    left = [message.offset() for message in bench.read(orders)]
    end = (left[-1] or 0) + 1
    injected(18, times=end - len(left), members=1, in_flight=in_flight)

    assert work.is_in_order
    assert set(left) <= set(work.ended)
    assert stored(bench, app, orders) == end
    member.until(lambda: unread(member) == 0)


@pytest.mark.usefixtures("swift_cleaner")
def test_a_log_that_was_compacted_before_it_is_read(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """A member that comes late finds gaps everywhere, and waits for none of them."""
    orders = topic("profiles", config=COMPACT)
    bench.write(orders, numbered(_HELD, [b"first-%d" % number for number in range(_HELD)]))
    bench.write(orders, numbered(800, _KEYS))
    eventually(lambda: _is_compacted(bench, orders), within_s=60, every_s=0.2)
    left = [message.offset() or 0 for message in bench.read(orders)]
    work = Work(app, orders)
    member = bench.run(app)
    work.hold(member)
    in_flight = work.in_flight
    work.let_go()
    member.settled()
    injected(18, times=left[-1] + 1 - len(left), members=1, in_flight=in_flight)

    assert sorted(work.ended) == left
    assert stored(bench, app, orders) == left[-1] + 1


def test_transactions_around_what_runs(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """Aborted records never run, an open transaction is not passed, a restart repeats nothing, markers are no lag."""
    orders = topic()
    work = Work(app, orders)
    bench.write(orders, numbered(20, [b"%d" % number for number in range(20)]))
    first = bench.run(app)
    work.hold(first)
    writer = Producer(bench.kafka.client(transactional_id=unique("writer")))
    writer.init_transactions(30)
    for commits in (False, True, False):
        _write_in_one(writer, orders)
        (writer.commit_transaction if commits else writer.abort_transaction)(30)
    _write_in_one(writer, orders)
    in_flight = work.in_flight
    work.let_go()
    first.settled()
    stopped_at = stored(bench, app, orders)
    first.stop()
    second = bench.run(app)
    second.until(lambda: second.ear.heard("assigned"))
    writer.commit_transaction(30)
    second.until(lambda: len(work.ended) == 40)
    second.settled()
    injected(19, times=4, members=2, in_flight=in_flight)

    assert sorted(work.ended) == [*range(20), *range(31, 41), *range(53, 63)]
    assert Counter(work.ended).most_common(1)[0][1] == 1
    assert stopped_at == 53
    assert stored(bench, app, orders) == 64
    second.until(lambda: unread(second) == 0)


def _write_in_one(writer: Producer, topic: str) -> None:
    """Begin a transaction of ten records."""
    writer.begin_transaction()
    for number in range(10):
        writer.produce(topic, b"%d" % number, b"key-%d" % (number % 3))
    writer.flush(30)


def _is_compacted(bench: Bench, topic: str) -> bool:
    """Whether the cleaner has been there; each record closes the segment before it, which only then is cleaned."""
    bench.write(topic, [(b"tick", b"")])
    messages = bench.read(topic)
    return len(messages) < (messages[-1].offset() or 0) / 2
