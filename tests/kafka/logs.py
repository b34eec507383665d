"""Writing to a log in a test, and waiting until it stands there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.brokers import Kafka
from tests.waiting import eventually


def write(kafka: Kafka, topic: str, values: Iterable[bytes | None], *, partition: int = 0, **record: object) -> None:
    """Append *values* to one partition, in order; *record* is what else `produce` takes.  All are acknowledged."""
    eventually(lambda: _is_led(kafka, topic, partition))  # brokers hear one by one of a topic that was just made
    failed: list[KafkaError] = []

    def hear(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(kafka.client(max_in_flight=1))
    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=hear, **record)  # type: ignore[arg-type]
    assert (producer.flush(60), failed) == (0, [])


def _is_led(kafka: Kafka, topic: str, partition: int) -> bool:
    found = kafka.admin.list_topics(topic, timeout=30).topics[topic]
    return partition in found.partitions and (found.partitions[partition].leader or 0) > 0


def write_at(kafka: Kafka, topic: str, times_ms: Iterable[int], *, partition: int = 0) -> None:
    """Append one record of each time."""
    producer = Producer(kafka.client(max_in_flight=1))
    for moment in times_ms:
        producer.produce(topic, b"x", partition=partition, timestamp=moment)
    assert producer.flush(30) == 0


def write_in_transaction(kafka: Kafka, topic: str, values: Sequence[bytes], *, commits: bool) -> None:
    """Append *values* to partition 0 in a transaction that is committed or aborted; either leaves a marker."""
    before = _end(kafka, topic)
    producer = Producer(kafka.client(transactional_id=f"test-{topic}-{commits}"))
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
    if commits:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)
    eventually(lambda: _end(kafka, topic) == before + len(values) + 1)  # the marker comes after the answer


def _end(kafka: Kafka, topic: str) -> int:
    consumer = Consumer(kafka.client(group_id="test-ends"))
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)[1]
    finally:
        consumer.close()
