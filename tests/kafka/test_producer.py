"""The engine's producer tells of each record what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streams.config import Settings
from streams.kafka.admin import Admin
from streams.kafka.chainreader import ChainReader
from streams.kafka.producer import EngineProducer, Parcel
from streams.kafka.reader import Stretch
from streams.kafka.topics import add_partitions
from streams.record import Headers, Partition
from tests.brokers import Kafka, Topics, unique
from tests.waiting import eventually


def produced(
    producer: EngineProducer[int], topic: str, partitions: Sequence[int], headers: Headers | None = None
) -> list[Parcel[int]]:
    """Produce a record to each of *partitions* and give what became of them, in the order in which it was told."""
    told: list[Parcel[int]] = []
    for number, partition in enumerate(partitions):
        assert producer.produce([Parcel(topic, partition, b"k", b"%d" % number, headers or [], number)])

    def all_told() -> bool:
        told.extend(producer.acknowledge(0.05))
        return len(told) == len(partitions)

    eventually(all_told, every_s=0)
    return told


def test_a_copy_s_time_is_told_with_its_acknowledgement(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """When a record of a tier is due, its writer knows without reading it back."""
    settings = Settings(bootstrap=kafka.bootstrap, group=group())
    tier = topic("orders.billing.retry.1m", config={"message.timestamp.type": "LogAppendTime"})
    told = produced(EngineProducer(settings), tier, [0] * 50)
    stretch = {Partition(tier, 0): Stretch(0, 50)}
    read = [message for _, batch in ChainReader(settings).scan(stretch) for message in batch]

    assert {one.fate for one in told} == {"stored"}
    assert [one.what for one in told] == list(range(50))
    assert [(one.offset, one.timestamp_ms) for one in told] == [
        (message.offset(), message.timestamp()[1]) for message in read
    ]


def test_a_record_that_is_not_stored_has_no_time(kafka: Kafka, group: Callable[..., str]) -> None:
    """Nor an offset."""
    settings = Settings(bootstrap=kafka.bootstrap, group=group(), kafka={"topic.metadata.propagation.max.ms": "500"})
    (told,) = produced(EngineProducer(settings), unique("absent"), [0])

    assert (told.fate, told.error) == ("refused", "UNKNOWN_TOPIC_OR_PART")
    assert (told.offset, told.timestamp_ms) == (-1, -1)


def test_a_partition_that_was_added_since_is_written(
    kafka: Kafka, admin: Admin, topic: Topics, group: Callable[..., str]
) -> None:
    """The client looks at topics every few minutes only; a record for a partition that it does not know has it look."""
    orders, producer = topic(), EngineProducer[int](Settings(bootstrap=kafka.bootstrap, group=group()))
    produced(producer, orders, [0])
    add_partitions(admin, orders, 3)
    told = produced(producer, orders, [2, 3])

    assert {(one.fate, one.error) for one in told} == {("stored", ""), ("refused", "_UNKNOWN_PARTITION")}


def test_what_the_client_can_not_read_is_refused(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """A record that the client chokes on meets its fate like another, and ends no thread."""
    producer = EngineProducer[int](Settings(bootstrap=kafka.bootstrap, group=group()))
    producer.produce([Parcel(topic(), 0, b"k", 7, [], 1)])  # type: ignore[arg-type]  # on purpose
    (told,) = producer.acknowledge()

    assert (told.fate, told.what) == ("refused", 1)
    assert "TypeError" in told.error
