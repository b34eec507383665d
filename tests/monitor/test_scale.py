"""What is due, and what only looks so, on a real Kafka; beside it what a scaler counts that goes by lag."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.cimpl import NewTopic

from streams.config import Settings
from streams.engine.snapshot import Snapshot, encode
from streams.engine.standing import standing
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped, delete_before
from streams.monitor.scale import Gauge
from streams.record import Partition
from streams.scaling.hint import Goal, Hint, advise
from streams.scaling.lag import keda_lag
from streams.scaling.signals import Signals
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write, write_in_transaction
from tests.waiting import eventually

LEDGER = encode(Snapshot(b"12345678"))
GOAL = Goal(min_replicas=0, max_replicas=8)


class Clock:
    """The time, which the test moves on."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


class Scale:
    """A stopped group under a gauge."""

    def __init__(self, admin: Admin, group: str) -> None:
        self.admin, self.group, self.clock = admin, group, Clock()
        self.gauge = Gauge(group, self.clock)

    def commit(self, topic: str, offset: int, *, number: int = 0, metadata: str = LEDGER) -> None:
        """The group has done all below *offset*."""
        commit_for_stopped(self.admin, self.group, {Partition(topic, number): Committed(offset, metadata)})

    def look(self, after_s: float = 5.0) -> Signals:
        """Two looks: nothing comes in between."""
        self.gauge.look(self.admin)
        self.clock.now_s += after_s
        return self.gauge.look(self.admin)

    def hint(self, after_s: float = 5.0) -> Hint:
        """What follows."""
        return advise(self.look(after_s), GOAL)

    @property
    def lag(self) -> int:
        """What KEDA's Kafka scaler counts."""
        return keda_lag(standing(self.admin, self.group).progress.values())


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    """A connection."""
    with Admin(Settings(bootstrap=kafka.bootstrap)) as connection:
        yield connection


@pytest.fixture
def scale(admin: Admin, group: Callable[..., str]) -> Scale:
    """A group of its own."""
    return Scale(admin, group())


def test_records_that_nobody_works_on_want_a_replica(scale: Scale, kafka: Kafka, topic: Topics) -> None:
    """Of a stopped group, of which nobody tells how fast it is; what is settled above the committed offset is done."""
    orders = topic(partitions=2)
    write(kafka, orders, [b"x"] * 10)
    scale.commit(orders, 4, metadata=encode(Snapshot(b"12345678", runs=(2, 3))))
    signals = scale.look()
    hint = advise(signals, GOAL)

    assert (signals.replicas, signals.partitions, signals.busy_partitions) == (0, 2, 1)
    assert (signals.due_records, signals.arrivals_per_s, signals.service_per_s) == (3, 0.0, None)
    assert hint.desired == 1
    assert hint.reason.startswith("3 due records")
    assert scale.lag == 7


def test_markers_of_transactions_are_no_work(scale: Scale, kafka: Kafka, topic: Topics) -> None:
    """Nor is what was aborted: offsets, and no records; a lag scaler would keep a replica for them for ever."""
    orders = topic()
    write_in_transaction(kafka, orders, [b"1", b"2", b"3"], commits=True)
    write_in_transaction(kafka, orders, [b"4", b"5"], commits=False)
    scale.commit(orders, 3)
    signals = scale.look()

    assert (signals.due_records, signals.busy_partitions, signals.oldest_due_s) == (0, 0, 0.0)
    assert advise(signals, GOAL).desired == 0
    assert scale.lag >= 2


def test_records_that_retention_removed_are_no_work(scale: Scale, admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """They are expired, which is told elsewhere; nobody can work on them."""
    orders = topic()
    write(kafka, orders, [b"x"] * 10)
    scale.commit(orders, 2)
    delete_before(admin, {Partition(orders, 0): 6})
    some = scale.look().due_records
    delete_before(admin, {Partition(orders, 0): 10})
    none = scale.hint()

    assert (some, none.desired) == (4, 0)
    assert scale.lag == 8


def test_what_waits_in_a_tier_wants_a_replica_when_it_falls_due(scale: Scale, kafka: Kafka, topic: Topics) -> None:
    """Not before; a lag scaler on the source sees nothing of it, then or ever."""
    orders = topic()
    write(kafka, orders, [b"x"])
    scale.commit(orders, 1)
    tier = f"{orders}.{scale.group}.retry.1m"
    kafka.admin.create_topics([NewTopic(tier, 1, config={"message.timestamp.type": "LogAppendTime"})])[tier].result(30)
    kafka.write(tier, b"copy", b"a")
    eventually(lambda: scale.gauge.look(scale.admin).waiting_records == 1)
    early = scale.look()
    lag = scale.lag
    late = scale.look(after_s=50.0)

    assert (early.due_records, early.waiting_records) == (0, 1)
    assert early.next_due_s == pytest.approx(55, abs=5)
    assert advise(early, GOAL).desired == 0
    assert late.next_due_s == pytest.approx(0, abs=10)
    assert advise(late, GOAL).desired == 1
    assert lag == 0


def test_of_a_group_that_never_committed_nothing_is_known(scale: Scale, topic: Topics) -> None:
    """It may begin at the end, or at the beginning: nobody is asked to do anything."""
    topic()
    signals = scale.look()

    assert (signals.due_records, signals.partitions) == (None, 0)
    assert advise(signals, GOAL).desired is None
    assert advise(signals, GOAL).reason == "what is due is not known: leave what there is"


def test_a_partition_without_an_offset_counts_from_its_beginning(scale: Scale, kafka: Kafka, topic: Topics) -> None:
    """Where the group has others: it was added, and all of it is to be done."""
    orders = topic(partitions=2)
    write(kafka, orders, [b"x"] * 3, partition=1)
    scale.commit(orders, 0)
    signals = scale.look()

    assert (signals.due_records, signals.busy_partitions) == (3, 1)
    assert scale.lag == 1


def test_what_comes_is_counted_between_two_looks(scale: Scale, kafka: Kafka, topic: Topics) -> None:
    """A second, in records; a look that lies too far back says nothing of now."""
    orders = topic()
    write(kafka, orders, [b"x"])
    scale.commit(orders, 1)
    first = scale.gauge.look(scale.admin).arrivals_per_s
    write(kafka, orders, [b"x"] * 20)
    scale.clock.now_s += 10.0
    second = scale.gauge.look(scale.admin).arrivals_per_s
    scale.clock.now_s += 1_000.0
    late = scale.gauge.look(scale.admin).arrivals_per_s

    assert (first, second, late) == (None, 2.0, None)
