"""The engine's producer tells of each record what became of it."""

from __future__ import annotations

from collections.abc import Callable

from streams.config import Settings
from streams.kafka.admin import Admin
from streams.kafka.chainreader import ChainReader
from streams.kafka.producer import Delivery, EngineProducer
from streams.kafka.reader import Stretch
from streams.kafka.topics import add_partitions
from streams.record import Headers, Partition
from tests.brokers import Kafka, Topics, unique
from tests.waiting import eventually


def deliveries(producer: EngineProducer, topic: str, count: int, headers: Headers | None = None) -> list[Delivery]:
    """Produce *count* records to partition 0 and give what became of them."""
    told: list[Delivery] = []
    for number in range(count):
        assert producer.produce(topic, 0, key=b"k", value=b"%d" % number, headers=headers or [], done=told.append)

    def all_told() -> bool:
        producer.acknowledge(0.05)
        return len(told) == count

    eventually(all_told, every_s=0)
    return told


def test_a_copy_s_time_is_told_with_its_acknowledgement(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """When a record of a tier is due, its writer knows without reading it back."""
    settings = Settings(bootstrap=kafka.bootstrap, group=group())
    tier = topic("orders.billing.retry.1m", config={"message.timestamp.type": "LogAppendTime"})
    told = deliveries(EngineProducer(settings), tier, 50)
    stretch = {Partition(tier, 0): Stretch(0, 50)}
    read = [message for _, batch in ChainReader(settings).scan(stretch) for message in batch]

    assert {one.fate for one in told} == {"stored"}
    assert [(one.offset, one.timestamp_ms) for one in told] == [
        (message.offset(), message.timestamp()[1]) for message in read
    ]


def test_a_record_that_is_not_stored_has_no_time(kafka: Kafka, group: Callable[..., str]) -> None:
    """Nor an offset."""
    settings = Settings(bootstrap=kafka.bootstrap, group=group(), kafka={"topic.metadata.propagation.max.ms": "500"})
    (told,) = deliveries(EngineProducer(settings), unique("absent"), 1)

    assert told == Delivery("refused", -1, "UNKNOWN_TOPIC_OR_PART", -1)


def test_a_partition_that_was_added_since_is_written(
    kafka: Kafka, admin: Admin, topic: Topics, group: Callable[..., str]
) -> None:
    """The client looks at topics every few minutes only; a record for a partition that it does not know has it look."""
    orders, told = topic(), list[Delivery]()
    producer = EngineProducer(Settings(bootstrap=kafka.bootstrap, group=group()))
    deliveries(producer, orders, 1)
    add_partitions(admin, orders, 3)
    for number in (2, 3):
        producer.produce(orders, number, key=b"k", value=b"v", headers=[], done=told.append)

    def both_told() -> bool:
        producer.acknowledge(0.05)
        return len(told) == 2

    eventually(both_told, every_s=0)

    assert {(one.fate, one.error) for one in told} == {("stored", ""), ("refused", "_UNKNOWN_PARTITION")}
