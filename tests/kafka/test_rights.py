"""Who may not make, widen or empty topics hears what is missing, and how others can do it; the rest goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from streams import App, Record, RetryPolicy
from streams.clock import Clock
from streams.errors import BrokerError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, committed, watermarks
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import add_partitions, create_topics, find_topics
from streams.record import Partition
from streams.service import prepare_topics
from tests.brokers import Kafka, unique
from tests.cli.shell import Shell
from tests.kafka.oddity import OddBroker
from tests.path.clocks import SpedClock
from tests.path.members import Running
from tests.waiting import eventually

pytestmark = pytest.mark.xdist_group("odd_broker")

TEAM = "billing-by-alice"


@pytest.fixture
def orders(odd: OddBroker) -> Iterator[str]:
    """A topic of three partitions which alice may look at, as at all that is named after it; she may join groups."""
    name = unique("orders")
    with Admin(odd.settings()) as admin:
        create_topics(admin, [NewTopic(name, 3)])
        _allow(admin.client, "billing-", AclOperation.READ, kind=ResourceType.GROUP)
        _allow(admin.client, name, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS)
        odd.await_sight(name)
        yield name


def _allow(
    client: AdminClient, prefix: str, *operations: AclOperation, kind: ResourceType = ResourceType.TOPIC
) -> None:
    rights = [
        AclBinding(
            kind,
            prefix,
            ResourcePatternType.PREFIXED,
            "User:alice",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    for done in client.create_acls(rights).values():
        done.result(30)


def parking(orders: str) -> App:
    """Declare an app that parks records of *orders*."""
    app = App(TEAM)

    @app.on(orders, policy="park")
    def take(_order: bytes) -> None: ...

    return app


def test_a_member_that_may_not_make_topics_says_who_could(odd: OddBroker, orders: str) -> None:
    """The right that is missing, every topic that is, and a command that prints how to make them."""
    app = parking(orders)

    with pytest.raises(TopicError) as caught:
        prepare_topics(odd.settings_of_alice(group=TEAM), app.routes)
    for part in (
        "denies a right",
        *(f"{orders}.{TEAM}.{end}" for end in ("retry.1m", "retry.10m", "parked", "dlq")),
        f"streams topics create {orders} --group {TEAM} --policy park --retry 1m --retry 10m --print",
    ):
        assert part in str(caught.value)


def test_a_member_that_may_not_join_its_group_is_told_at_once(odd: OddBroker, orders: str) -> None:
    """Before any topic is made for a group that could not work."""
    with pytest.raises(BrokerError, match="denies a right on the consumer group, while describing group"):
        prepare_topics(odd.settings_of_alice(group="x"), parking(orders).routes)


def test_topics_that_one_broker_has_not_heard_of_need_nobody_to_make_them(
    odd: OddBroker, orders: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that may make none looks again before it asks for somebody who may."""
    app = parking(orders)
    Shell(odd.bootstrap)(f"topics create {orders} --group {TEAM} --policy park")
    behind = iter([dict[str, Topic]()])
    monkeypatch.setattr("streams.service.find_topics", lambda *asked: next(behind, None) or find_topics(*asked))
    chain = prepare_topics(odd.settings_of_alice(group=TEAM), app.routes)[orders]

    assert chain.has_parked


def test_what_is_printed_can_be_made_by_somebody_else(odd: OddBroker, orders: str) -> None:
    """The command that is named needs no further right; once others made the topics, the member finds them sound."""
    app = parking(orders)
    line = f"topics create {orders} --group {TEAM} --policy park"
    printed = Shell(odd.guarded)(
        f"{line} --print",
        STREAMS_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        STREAMS_KAFKA_SASL_MECHANISM="PLAIN",
        STREAMS_KAFKA_SASL_USERNAME="alice",
        STREAMS_KAFKA_SASL_PASSWORD="open-sesame",  # noqa: S106  # a test's
    )
    assert len(printed.out.splitlines()) == 4

    Shell(odd.bootstrap)(line)
    chain = prepare_topics(odd.settings_of_alice(group=TEAM), app.routes)[orders]

    assert (chain.tiers, chain.old_tiers, chain.has_parked) == ((60.0, 600.0), (), True)


@pytest.fixture
def working(odd: OddBroker, orders: str) -> Iterator[Callable[..., Running]]:
    """Run members as alice, who may read and write what is named after *orders*, and do nothing else to it."""
    members: list[Running] = []
    with Admin(odd.settings()) as admin:
        _allow(admin.client, orders, AclOperation.READ, AclOperation.WRITE)

    def run(app: App, clock: Clock | None = None) -> Running:
        settings = odd.settings_of_alice(group=app.group)
        quick = {**settings.kafka, "topic.metadata.refresh.interval.ms": "500"}
        quick_settings = replace(settings, kafka=quick, protocol="classic", commit_every_s=0.1)
        members.append(Running(app, quick_settings, clock=clock))
        return members[-1]

    yield run
    for member in members:
        member.stop()


def test_a_partition_whose_chain_may_not_be_widened_waits_alone(
    odd: OddBroker, orders: str, group: Callable[..., str], working: Callable[..., Running]
) -> None:
    """It starts nothing, the others go on, the command that is told mends it, and then all of its records are done."""
    app, seen = App(group()), list[tuple[int, bytes]]()

    @app.on(orders, policy="park")
    def take(record: Record) -> None:
        seen.append((record.partition, record.value or b""))

    kafka = Kafka(odd.bootstrap)
    Shell(odd.bootstrap)(f"topics create {orders} --group {app.group}")
    member = working(app)
    member.until(lambda: member.ear.heard("committed"))
    with Admin(odd.settings()) as admin:
        add_partitions(admin, orders, 4)
    write(kafka, orders, 3, b"early")
    member.until(lambda: (Partition(orders, 3), "chain_topic") in member.ear.heard("paused"))
    write(kafka, orders, 0, b"meanwhile")
    member.until(lambda: (0, b"meanwhile") in seen)
    ((waiting, cause),) = member.ear.heard("lacking")
    before = list(seen)
    commands = re.findall("streams (topics check .*? --fix)", cause)
    Shell(odd.bootstrap)(commands[0])
    write(kafka, orders, 3, b"late")
    member.until(lambda: len(seen) == 3)
    member.settled()

    assert waiting == Partition(orders, 3)
    assert "denies a right" in cause
    assert before == [(0, b"meanwhile")]
    assert seen[1:] == [(3, b"early"), (3, b"late")]


def test_who_may_not_delete_is_told_once_and_goes_on(
    odd: OddBroker, orders: str, group: Callable[..., str], working: Callable[..., Running]
) -> None:
    """What settled in the chain stays in its logs, each topic is named once, and nothing else changes."""
    app, seen, clock = App(group()), list[int](), SpedClock()

    @app.on(orders, policy="park", retry=RetryPolicy(delays=("1s",), jitter=0, memory_up_to="0.5s"))
    def take(record: Record) -> None:
        seen.append(record.offset)
        if seen == [0]:
            raise ValueError("not yet")

    tier = f"{orders}.{app.group}.retry.1s"
    Shell(odd.bootstrap)(f"topics create {orders} --group {app.group} --retry 1s")
    write(Kafka(odd.bootstrap), orders, 0, b"x")
    member = working(app, clock)
    member.until(lambda: seen == [0, 0])
    with Admin(odd.settings()) as admin:
        member.until(
            lambda: Committed(1) in [replace(one, metadata="") for one in committed(admin, app.group).values()]
        )
        for day in (1, 3, 5):
            clock.ahead_s = day * 86_400
            pass_looks(member, 3)
        write(Kafka(odd.bootstrap), orders, 0, b"x")
        member.until(lambda: seen == [0, 0, 1])

        assert watermarks(admin, [Partition(tier, 0)])[Partition(tier, 0)].low == 0
    assert member.ear.heard("not_deleted") == [(tier, "TOPIC_AUTHORIZATION_FAILED")]


def pass_looks(member: Running, count: int) -> None:
    """Wait until *member* has shown itself *count* times more."""
    before = len(member.ear.views)
    member.until(lambda: len(member.ear.views) >= before + count)


def write(kafka: Kafka, topic: str, number: int, value: bytes) -> None:
    """Write one record to a partition."""
    producer = Producer(kafka.client(topic_metadata_refresh_interval_ms=500))
    eventually(lambda: number in producer.list_topics(topic, timeout=30).topics[topic].partitions)
    producer.produce(topic, value, partition=number)
    assert producer.flush(30) == 0
