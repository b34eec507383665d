"""What settled in the chain is deleted once it is old: nothing that is needed, and nothing that is young."""

from __future__ import annotations

import pytest

from streams import App, Record, RetryPolicy
from streams.config import Settings
from streams.engine.chain import dlq_topic, parked_topic, retry_topic
from streams.engine.growth import Growth
from streams.engine.upkeep import Done, Job, do
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed, watermarks
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write, write_at
from tests.path.clocks import SpedClock
from tests.path.members import Bench, numbered

POLICY = RetryPolicy(delays=("1s",), jitter=0, memory_up_to="0.5s")
DAY_S = 86_400.0


def lows(bench: Bench, *topics: str) -> list[int]:
    """Where the logs of partition 0 of *topics* begin."""
    places = [Partition(topic, 0) for topic in topics]
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        marks = watermarks(admin, places)
    return [marks[place].low for place in places]


def offsets(bench: Bench, app: App, *topics: str) -> list[int]:
    """What the group has committed for partition 0 of *topics*."""
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        found = committed(admin, app.group)
    return [found[Partition(topic, 0)].offset for topic in topics]


def test_settled_copies_go_a_day_later(bench: Bench, topic: Topics, app: App) -> None:
    """Those of tiers and parked; a dead letter stays, as no operator is through with it."""
    orders, clock, failed, done = topic(), SpedClock(), set[int](), list[int]()
    tier, parked, dlq = retry_topic(orders, app.group, 1), parked_topic(orders, app.group), dlq_topic(orders, app.group)

    @app.on(orders, policy="park", retry=POLICY)
    def handle(record: Record) -> None:
        if record.key == b"dead" or (record.value == b"0" and record.offset not in failed):
            failed.add(record.offset)
            raise ValueError("not yet")
        done.append(record.offset)

    bench.write(orders, [*numbered(5), (b"dead", b"0")])
    member = bench.run(app, clock=clock, chain_history_s=DAY_S, waiting_records=2)
    member.until(lambda: len(done) == 5 and member.ear.heard("dead_lettered"))
    member.until(lambda: offsets(bench, app, tier, parked, dlq) == [2, 4, 0])
    clock.ahead_s = DAY_S / 2
    noted = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > noted + 2)
    before = lows(bench, tier, parked, dlq)
    clock.ahead_s = 2 * DAY_S
    member.until(lambda: lows(bench, tier, parked, dlq) == [2, 4, 0])

    assert before == [0, 0, 0]


@pytest.fixture
def admin(kafka: Kafka) -> Admin:
    """A connection to the broker that all tests share."""
    return Admin(Settings(bootstrap=kafka.bootstrap))


def test_what_earlier_owners_settled_goes_by_its_age(kafka: Kafka, topic: Topics, admin: Admin) -> None:
    """When they settled it nobody knows any more: what was written long enough ago goes, the rest stays."""
    parked = topic("orders.billing.parked", partitions=2)
    old, inherited = Partition(parked, 0), Partition(parked, 1)
    for number in range(2):
        write_at(kafka, parked, [1_000, 2_000, 3_000, 4_000, 5_000], partition=number)
    none = do(Job(settled={old: 3}, inherited={inherited: 4}, written_before_ms=500), Growth({}, admin), admin)
    some = do(Job(inherited={inherited: 4}, written_before_ms=2_500), Growth({}, admin), admin)
    most = do(Job(inherited={inherited: 4}, written_before_ms=9_000), Growth({}, admin), admin)

    assert none == Done(deleted={old: 3})
    assert some == Done(deleted={inherited: 2})
    assert most == Done(deleted={inherited: 4})
    assert [mark.low for _, mark in sorted(watermarks(admin, [old, inherited]).items())] == [3, 4]


def test_what_has_become_old_is_found_for_each_topic_by_its_own_time(kafka: Kafka, topic: Topics, admin: Admin) -> None:
    """A tier that keeps longer is asked about an earlier time; where all is young nothing is old."""
    tier, parked, young = (Partition(topic(f"orders.billing.{name}"), 0) for name in ("retry.1d", "parked", "dlq"))
    for place in (tier, parked, young):
        write_at(kafka, place.topic, [1_000, 2_000, 3_000, 4_000])
    aging = {tier: 2_500, parked: 3_500, young: 500}
    done = do(Job(aging=aging), Growth({}, admin), admin)

    assert done == Done(aged={tier: 2, parked: 3, young: 0})


def test_what_can_not_be_deleted_is_named_and_the_rest_goes(kafka: Kafka, topic: Topics, admin: Admin) -> None:
    """Of a topic from which nobody may delete, say."""
    kept, parked = topic(config={"cleanup.policy": "compact"}), topic()
    for name in (kept, parked):
        write(kafka, name, [b"copy"] * 5, key=b"k")
    done = do(Job(settled={Partition(kept, 0): 2, Partition(parked, 0): 2}), Growth({}, admin), admin)

    assert done == Done(deleted={Partition(parked, 0): 2}, refused={kept: "POLICY_VIOLATION"})
