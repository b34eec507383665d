"""A dead-letter topic that can't be written stops its partition, drops nothing, and is used again once it is mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from streams import App, Record, RetryPolicy
from streams.engine.chain import dlq_topic, parked_topic
from streams.kafka.admin import Admin
from streams.kafka.topics import set_config
from streams.record import Partition
from tests.brokers import Kafka, Topics, require_native
from tests.kafka.oddity import OddBroker, odd_broker
from tests.path.members import Bench, Running, numbered

AT_ONCE = RetryPolicy(delays=(), max_attempts=1)
BAD = b"bad"


def declare(app: App, topic: str) -> list[int]:
    """Declare a handler that refuses every record of the key `BAD`."""
    seen: list[int] = []

    @app.on(topic, retry=AT_ONCE)
    def handle(record: Record) -> None:
        if record.key == BAD:
            raise ValueError("bad")
        seen.append(record.offset)

    return seen


def await_stop(member: Running, topic: str, code: str) -> None:
    """Wait until *member* has said that the dead letters of partition 0 are refused with *code*, and has stopped it."""
    member.until(lambda: (Partition(topic, 0), "dead_letter_topic") in member.ear.heard("paused"))
    told = {(partition, code) for partition, _, code in member.ear.heard("letter_refused")}

    assert told == {(Partition(topic, 0), code)}


def test_partitions_wait_for_a_topic_that_was_deleted(bench: Bench, topic: Topics, app: App) -> None:
    """Nothing is dropped and the command that mends it is named; when the topic is back all ends as it should."""
    orders = topic(partitions=2)
    seen, letters = declare(app, orders), dlq_topic(orders, app.group)
    member = bench.run(app)
    member.until(lambda: member.ear.heard("assigned"))
    bench.kafka.admin.delete_topics([letters])[letters].result(30)
    bench.write(orders, [(BAD, b"0"), (b"a", b"1"), (BAD, b"2")], partition=0)
    bench.write(orders, numbered(50), partition=1)
    member.until(lambda: {partition for partition, _ in member.ear.heard("lacking")} == {(orders, 0), (orders, 1)})
    told = {cause for _, cause in member.ear.heard("lacking")}
    bench.kafka.admin.create_topics([NewTopic(letters, 2, 1)])[letters].result(30)
    member.settled(within_s=60)

    assert all(f"streams topics check {orders}" in cause for cause in told)
    assert sorted(letter.value() or b"" for letter in bench.dead(orders, app.group)) == [b"0", b"2"]
    assert len(seen) >= 51


def test_partition_waits_for_a_topic_that_takes_too_little(bench: Bench, topic: Topics, app: App) -> None:
    """What does not fit is not cut and not dropped; once the limit is raised it is written whole."""
    orders, large = topic(), os.urandom(50_000)
    declare(app, orders)
    member = bench.run(app)
    member.until(lambda: member.ear.heard("assigned"))
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        set_config(admin, dlq_topic(orders, app.group), {"max.message.bytes": "20000"})
        bench.write(orders, [(BAD, large), *[(b"a", b"1")] * 5])
        await_stop(member, orders, "MSG_SIZE_TOO_LARGE")
        set_config(admin, dlq_topic(orders, app.group), {"max.message.bytes": "200000"})
    member.settled(within_s=60)

    assert [letter.value() for letter in bench.dead(orders, app.group)] == [large]


@pytest.mark.chaos
def test_letter_that_fits_does_not_open_a_partition_whose_other_one_does_not(
    bench: Bench, topic: Topics, app: App
) -> None:
    """The partition stands still until every dead letter is written."""
    orders, large, seen = topic(), os.urandom(50_000), []

    @app.on(orders, retry=RetryPolicy(delays=("1s",), jitter=0, dead_letter_on=(ValueError,)))
    def handle(record: Record) -> None:
        if record.key == BAD:
            raise ValueError("bad")
        if record.key == b"bad later":
            raise KeyError("not found")
        seen.append(record.offset)

    member = bench.run(app)
    member.until(lambda: member.ear.heard("assigned"))
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        set_config(admin, dlq_topic(orders, app.group), {"max.message.bytes": "20000"})
        bench.write(orders, [(BAD, large), (b"bad later", b"small")])
        await_stop(member, orders, "MSG_SIZE_TOO_LARGE")
        bench.write(orders, numbered(100))
        member.until(lambda: member.ear.heard("dead_lettered"))
        refusals = len(member.ear.heard("letter_refused"))
        member.until(lambda: len(member.ear.heard("letter_refused")) > refusals)

        assert seen == []
        assert member.ear.heard("resumed") == []

        set_config(admin, dlq_topic(orders, app.group), {"max.message.bytes": "200000"})
    member.settled(within_s=60)

    assert len(seen) == 100


@pytest.mark.chaos
def test_many_small_letters_fit_a_small_topic(bench: Bench, topic: Topics, app: App) -> None:
    """The broker measures batches; what fits alone is written though it came with many."""
    orders = topic(config={"max.message.bytes": "10000"})

    @app.on(orders, retry=AT_ONCE)
    def handle(_: Record) -> None:
        raise ValueError("bad")

    values = sorted(os.urandom(8_000) for _ in range(30))
    for number, value in enumerate(values):
        bench.write(orders, [(b"%d" % number, value)])
    bench.run(app).settled(within_s=60)

    assert sorted(letter.value() or b"" for letter in bench.dead(orders, app.group)) == values


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddBroker]:
    """A broker that asks who comes, and keeps rights."""
    require_native()
    with odd_broker(tmp_path_factory.mktemp("odd")) as broker:
        yield broker


@pytest.mark.chaos
def test_partition_waits_for_the_right_to_write(odd: OddBroker, group: Callable[..., str]) -> None:
    """A right that is taken away while the member runs stops the partition; given back, the letters are written."""
    kafka = Kafka(odd.bootstrap, is_borrowed=True)
    topic = Topics(kafka)
    orders, bench, app = topic(), Bench(kafka, topic), App(group())
    seen = declare(app, orders)
    dead = dlq_topic(orders, app.group)
    everything = [
        grant(ResourceType.TOPIC, orders),
        grant(ResourceType.TOPIC, dead),
        grant(ResourceType.TOPIC, parked_topic(orders, app.group)),
        grant(ResourceType.GROUP, app.group),
    ]
    denied = grant(ResourceType.TOPIC, dead, AclOperation.WRITE, AclPermissionType.DENY)
    cluster = grant(ResourceType.BROKER, "kafka-cluster")
    rights(kafka, *everything, cluster)
    alice = odd.settings_of_alice()
    try:
        member = bench.run(app, bootstrap=alice.bootstrap, kafka=alice.kafka, protocol="classic")
        member.until(lambda: member.ear.heard("assigned"))
        rights(kafka, denied)
        bench.write(orders, [(BAD, b"0"), (b"a", b"1")])
        await_stop(member, orders, "TOPIC_AUTHORIZATION_FAILED")

        assert seen == [1]

        for answer in kafka.admin.delete_acls([_filter(denied)]).values():
            answer.result(30)
        member.settled(within_s=60)
    finally:
        bench.end()

    assert [letter.value() for letter in bench.dead(orders, app.group)] == [b"0"]


def grant(
    kind: Any,
    name: str,
    operation: Any = AclOperation.ALL,
    permission: Any = AclPermissionType.ALLOW,
) -> AclBinding:
    """A right of alice's."""
    return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:alice", "*", operation, permission)


def rights(kafka: Kafka, *bindings: AclBinding) -> None:
    """Give (or deny) alice *bindings*."""
    for answer in kafka.admin.create_acls(list(bindings)).values():
        answer.result(30)


def _filter(binding: AclBinding) -> Any:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )
