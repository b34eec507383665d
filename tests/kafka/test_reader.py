"""A stretch of a log is read as it stands, without joining a group."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import list_groups
from streams.kafka.offsets import watermarks
from streams.kafka.reader import Stretch, first_records, read
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write, write_in_transaction


@pytest.fixture
def settings(kafka: Kafka) -> Settings:
    """Of the broker that all tests share."""
    return Settings(bootstrap=kafka.bootstrap)


def test_a_stretch_is_read_in_order_and_no_further(settings: Settings, kafka: Kafka, topic: Topics) -> None:
    """Each partition gives the offsets that were asked for, in order."""
    name = topic(partitions=2)
    for number in range(2):
        write(kafka, name, [b"%d" % value for value in range(50)], partition=number)
    read_offsets: dict[int | None, list[int | None]] = {0: [], 1: []}
    for message in read(settings, {Partition(name, 0): Stretch(10, 20), Partition(name, 1): Stretch(45, 90)}):
        read_offsets[message.partition()].append(message.offset())

    assert read_offsets == {0: list(range(10, 20)), 1: list(range(45, 50))}


def test_nothing_to_read_ends_at_once(settings: Settings, topic: Topics) -> None:
    """Empty stretches and empty partitions give nothing."""
    name = topic()

    assert list(read(settings, {})) == []
    assert list(read(settings, {Partition(name, 0): Stretch(0, 0)})) == []
    assert list(read(settings, {Partition(name, 0): Stretch(0, 5)})) == []


def test_gaps_at_the_end_are_no_records_to_wait_for(
    admin: Admin, settings: Settings, kafka: Kafka, topic: Topics
) -> None:
    """Transaction markers and aborted records are passed over, also at the very end."""
    name = topic()
    write_in_transaction(kafka, name, [b"kept"], commits=True)
    write_in_transaction(kafka, name, [b"dropped"], commits=False)
    place = Partition(name, 0)
    end = watermarks(admin, [place])[place].high

    assert end == 4
    assert [message.value() for message in read(settings, {place: Stretch(0, end)})] == [b"kept"]


def test_what_retention_removed_is_passed_over(settings: Settings, kafka: Kafka, topic: Topics) -> None:
    """A stretch that begins before the log does begins where the log does."""
    name = topic()
    write(kafka, name, [b"a", b"b", b"c"])
    kafka.admin.delete_records([TopicPartition(name, 0, 2)])[TopicPartition(name, 0, 2)].result(30)

    assert [message.offset() for message in read(settings, {Partition(name, 0): Stretch(0, 3)})] == [2]


def test_the_first_record_of_each_is_found(settings: Settings, kafka: Kafka, topic: Topics) -> None:
    """One record a partition; partitions that hold none are left out."""
    name = topic(partitions=3)
    for number in range(2):
        write(kafka, name, [b"x"] * 30, partition=number)
    starts = {Partition(name, number): Stretch(number * 10, 30) for number in range(3)}
    found = first_records(settings, starts)

    assert {place.number: message.offset() for place, message in found.items()} == {0: 0, 1: 10}


def test_reading_joins_nothing(admin: Admin, settings: Settings, kafka: Kafka, topic: Topics) -> None:
    """No group is left behind."""
    name = topic()
    write(kafka, name, [b"x"])
    before = list_groups(admin)
    assert len(list(read(settings, {Partition(name, 0): Stretch(0, 1)}))) == 1

    assert "streams-reader" not in {*before, *list_groups(admin)}


def test_silence_is_said(settings: Settings) -> None:
    """What gives nothing, such as a topic that was deleted meanwhile, is an error, not an endless wait."""
    with pytest.raises(BrokerError, match=r"nothing came for 1 s.*reading absent-topic/0"):
        list(read(settings, {Partition("absent-topic", 0): Stretch(0, 1)}, silence_s=1.0))
