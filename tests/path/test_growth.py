"""Partitions added to a live topic: all their records are done, in order, once the chain has the partitions too."""

from __future__ import annotations

import pytest

from streams import App, Record, RetryPolicy
from streams.config import Settings
from streams.engine.chain import dlq_topic, parked_topic, retry_topic
from streams.engine.growth import Growth
from streams.engine.plan import plan_of
from streams.kafka.admin import Admin
from streams.kafka.topics import add_partitions, delete_topics, find_topics
from streams.record import Partition
from streams.service import prepare_topics
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered
from tests.waiting import eventually

POLICY = RetryPolicy(delays=("1s",), jitter=0, memory_up_to="0.5s")


def declare(app: App, topic: str, *, failing: bytes = b"bad") -> list[tuple[int, bytes]]:
    """Declare a handler that notes what it got; a record with the value *failing* fails once."""
    seen: list[tuple[int, bytes]] = []
    failed: set[tuple[int, int]] = set()

    @app.on(topic, policy="park", retry=POLICY)
    def handle(record: Record) -> None:
        if record.value == failing and (place := (record.partition, record.offset)) not in failed:
            failed.add(place)
            raise ValueError("not yet")
        seen.append((record.partition, record.value or b""))

    return seen


def widen(bench: Bench, topic: str, total: int) -> None:
    """Give *topic* *total* partitions."""
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        add_partitions(admin, topic, total)


@pytest.mark.parametrize("start_at", ["earliest", "latest"])
def test_records_of_new_partitions_are_all_done(
    start_at: str, bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """A record there waits in the tier, its follower in parked, though the clients knew narrower topics."""
    orders = topic()
    seen = declare(app, orders)
    member = bench.run(app, start_at=start_at)
    member.until(lambda: member.ear.heard("committed"))
    bench.write(orders, [(b"a", b"bad"), (b"a", b"after")])
    member.until(lambda: len(seen) == 2)
    widen(bench, orders, 3)
    bench.write(orders, [(b"a", b"bad"), (b"a", b"after"), *numbered(20, [b"b", b"c"])], partition=2)
    injected(14, times=2, members=1, in_flight=24 - len(seen))
    member.until(lambda: len(seen) == 24)
    member.settled()
    report = member.stop()

    assert [value for number, value in seen if number == 2 and value in {b"bad", b"after"}] == [b"bad", b"after"]
    assert (report.left, report.committed) == (0, True)
    assert not member.ear.heard("lacking")
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        chain = [retry_topic(orders, app.group, 1), parked_topic(orders, app.group), dlq_topic(orders, app.group)]
        assert {found.partitions for found in find_topics(admin, chain).values()} == {3}


def test_a_topic_of_the_chain_that_is_gone_is_named(bench: Bench, topic: Topics, app: App) -> None:
    """With the command that makes it; what the partition's others lack is no matter."""
    orders = topic(partitions=2)
    declare(app, orders)
    settings = Settings(bootstrap=bench.bootstrap, group=app.group)
    chain, route = prepare_topics(settings, app.routes)[orders], app.routes[orders]
    plan = plan_of(orders, app.group, chain, route.policy, route.dead_letters)
    parked = parked_topic(orders, app.group)
    with Admin(settings) as admin:
        growth = Growth({orders: plan}, admin)
        before = growth.lacking([Partition(orders, 1)])
        delete_topics(admin, [parked])
        eventually(lambda: not find_topics(admin, [parked]))
        after = growth.lacking([Partition(orders, 1)])

    assert before == {}
    assert after == {
        Partition(orders, 1): f"1 topic(s) of its chain lack the partition: {parked}."
        f" Have somebody who may run: streams topics check {orders} --group {app.group} --policy park --retry 1s --fix"
    }
