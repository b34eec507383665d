"""What a producer is told of its records: facts that fates rest on."""

from __future__ import annotations

import os

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.broker.conftest import Members
from tests.brokers import Kafka, Topics, unique


def fates(kafka: Kafka, topic: str, *values: bytes) -> list[str]:
    """Produce *values*, all at once, and give the name of what became of each."""
    names: list[str] = []

    def told(error: KafkaError | None, _message: Message) -> None:
        names.append("stored" if error is None else error.name())

    producer = Producer(kafka.client(enable_idempotence=True, linger_ms=50))
    for value in values:
        producer.produce(topic, value, on_delivery=told)
    producer.flush(30)
    return names


def test_headers_survive_as_they_are(members: Members, topic: Topics, kafka: Kafka) -> None:
    """Their order, duplicates, empty values and null ones."""
    orders, member = topic(), members()
    headers = [("a", b"1"), ("b", b""), ("a", None), ("a", b"1"), ("ü", b"\xff")]
    producer = Producer(kafka.client())
    producer.produce(orders, b"value", b"key", headers=headers)  # type: ignore[arg-type]
    producer.flush(30)
    member.join(orders)
    (message,) = member.read(1)

    assert message.headers() == headers
    assert len(message) == len(b"value")


@pytest.mark.parametrize("timed_by", ["LogAppendTime", "CreateTime"])
def test_delivery_tells_the_time_that_readers_see(timed_by: str, members: Members, topic: Topics, kafka: Kafka) -> None:
    """A record of a tier is due at its append time plus the tier's delay: its writer knows when, without reading it."""
    tier, member = topic(config={"message.timestamp.type": timed_by}), members()
    times: list[tuple[int, int]] = []
    producer = Producer(kafka.client(enable_idempotence=True, linger_ms=0))
    for number in range(5):
        producer.produce(
            tier, b"%d" % number, timestamp=1_000 + number, on_delivery=lambda _, told: times.append(told.timestamp())
        )
        producer.flush(30)
    member.consumer.assign([TopicPartition(tier, 0, 0)])
    read = [message.timestamp() for message in member.read(5)]

    assert times == read
    assert all((time >= 1_000_000) is (timed_by == "LogAppendTime") for _, time in times)


def test_broker_measures_the_batch_and_not_the_record(topic: Topics, kafka: Kafka) -> None:
    """Records that fit one by one are refused together."""
    small = topic(config={"max.message.bytes": "2000"})
    together = fates(kafka, small, *[os.urandom(500) for _ in range(20)])
    alone = fates(kafka, small, os.urandom(500))

    assert set(together) == {"MSG_SIZE_TOO_LARGE"}
    assert alone == ["stored"]


def test_topic_that_is_not_there_is_told_by_the_brokers_code(kafka: Kafka) -> None:
    """Once the client has given it up; a later record is refused at once, by the client's own code."""
    nowhere = unique("nowhere")
    producer = Producer(kafka.client(topic_metadata_propagation_max_ms=500))
    names: list[str] = []
    producer.produce(nowhere, b"0", on_delivery=lambda error, _: names.append(error.name() if error else "stored"))
    producer.flush(30)

    assert names == ["UNKNOWN_TOPIC_OR_PART"]

    with pytest.raises(KafkaException) as refused:
        producer.produce(nowhere, b"1")

    assert refused.value.args[0].name() == "_UNKNOWN_TOPIC"


def test_partition_that_is_not_there_is_refused(topic: Topics, kafka: Kafka) -> None:
    """A copy is produced to the number of its source's partition: there has to be one."""
    orders = topic(partitions=1)
    producer = Producer(kafka.client())
    producer.produce(orders, b"0", partition=0)
    producer.flush(30)

    with pytest.raises(KafkaException) as refused:
        producer.produce(orders, b"1", partition=7)

    assert refused.value.args[0].name() == "_UNKNOWN_PARTITION"


def test_full_queue_is_told_before_anything_is_taken(topic: Topics, kafka: Kafka) -> None:
    """`BufferError`, and the record is not the client's."""
    orders = topic()
    producer = Producer(kafka.client(queue_buffering_max_messages=2, linger_ms=5_000))
    producer.produce(orders, b"0")
    producer.produce(orders, b"1")

    with pytest.raises(BufferError):
        producer.produce(orders, b"2")

    assert len(producer) == 2
    assert producer.flush(30) == 0
