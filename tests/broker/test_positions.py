"""Where a consumer reads: facts that gaps, expiry and pauses rest on."""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # its types do not mark it as public

from tests.broker.clients import Places, refusal
from tests.broker.conftest import Members
from tests.brokers import Kafka, Topics, unique
from tests.waiting import eventually


def fill(kafka: Kafka, topic: str, count: int) -> None:
    """Write *count* records to partition 0."""
    producer = Producer(kafka.client())
    for number in range(count):
        producer.produce(topic, b"%d" % number, partition=0)
    producer.flush(30)


def end_of(kafka: Kafka, topic: str) -> int:
    """The end of partition 0."""
    place = TopicPartition(topic, 0)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    offset: int = kafka.admin.list_offsets({place: latest})[place].result(30).offset
    return offset


def delete_below(kafka: Kafka, topic: str, offset: int) -> None:
    """Remove the records of partition 0 below *offset*."""
    kafka.admin.delete_records([TopicPartition(topic, 0, offset)])[TopicPartition(topic, 0)].result(30)


def test_position_out_of_range_is_told_once_and_the_partition_stands_still(
    members: Members, topic: Topics, kafka: Kafka
) -> None:
    """With `auto.offset.reset=error`; a seek is refused, and unassign with assign helps."""
    orders, member = topic(), members(auto_offset_reset="error")
    fill(kafka, orders, 50)
    delete_below(kafka, orders, 30)
    member.consumer.assign([TopicPartition(orders, 0, 10)])
    (told,) = member.read(1)
    error = told.error()

    assert error is not None
    assert (error.code(), error.fatal()) == (KafkaError._AUTO_OFFSET_RESET, False)  # noqa: SLF001
    assert refusal(lambda: member.consumer.seek(TopicPartition(orders, 0, 30))) == KafkaError._STATE  # noqa: SLF001

    member.consumer.incremental_unassign([TopicPartition(orders, 0)])
    member.consumer.incremental_assign([TopicPartition(orders, 0, 30)])

    assert member.read(1)[0].offset() == 30


def test_earliest_jumps_over_removed_records_without_a_word(members: Members, topic: Topics, kafka: Kafka) -> None:
    """This is why ours is `error`."""
    orders, member = topic(), members(auto_offset_reset="earliest")
    fill(kafka, orders, 50)
    delete_below(kafka, orders, 30)
    member.consumer.assign([TopicPartition(orders, 0, 10)])
    messages = member.read(20)

    assert [message.error() for message in messages] == [None] * 20
    assert messages[0].offset() == 30


def test_end_of_a_partition_is_told_with_its_offset(members: Members, topic: Topics, kafka: Kafka) -> None:
    """Behind the markers of transactions too: no arithmetic over gaps is needed."""
    orders, member = topic(), members(enable_partition_eof=True)
    producer = Producer(kafka.client(transactional_id=unique("writer")))
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(orders, b"0")
    producer.commit_transaction(30)
    producer.begin_transaction()
    producer.produce(orders, b"aborted")
    producer.flush(30)
    producer.abort_transaction(30)
    member.consumer.assign([TopicPartition(orders, 0, 0)])
    record, end = member.read(2)
    error = end.error()

    assert (record.offset(), record.value()) == (0, b"0")
    assert error is not None
    assert (error.code(), end.offset()) == (KafkaError._PARTITION_EOF, 4)  # noqa: SLF001
    assert end_of(kafka, orders) == 4


def test_pause_survives_unassign_and_assign(members: Members, topic: Topics, kafka: Kafka) -> None:
    """So what is assigned has to be resumed."""
    orders, member = topic(), members()
    fill(kafka, orders, 3)
    place = TopicPartition(orders, 0, 0)
    member.consumer.assign([place])
    member.read(3)
    member.consumer.pause([place])
    member.consumer.incremental_unassign([place])
    member.consumer.incremental_assign([TopicPartition(orders, 0, 0)])
    silent = member.consumer.consume(1, 1.0)
    member.consumer.resume([place])

    assert silent == []
    assert member.read(1)[0].offset() == 0


def test_offset_given_with_the_assignment_counts(members: Members, topic: Topics, kafka: Kafka) -> None:
    """In `on_assign` a seek is refused; the place itself carries the offset."""
    orders, member, codes = topic(), members(), list[int]()
    fill(kafka, orders, 20)

    def take(consumer: Consumer, places: Places) -> None:
        codes.append(refusal(lambda: consumer.seek(TopicPartition(orders, 0, 12))))
        consumer.incremental_assign([TopicPartition(place.topic, place.partition, 12) for place in places])

    first, *_ = member.join(orders, on_assign=take) or member.read(1)

    assert first.offset() == 12
    assert codes in ([KafkaError._STATE], [KafkaError._UNKNOWN_PARTITION])  # noqa: SLF001


def test_assigning_what_is_assigned_refuses_the_whole_list(members: Members, topic: Topics) -> None:
    """And so does unassigning what is not: the engine knows what it holds."""
    orders, member = topic(partitions=2), members()
    first, second = TopicPartition(orders, 0, 0), TopicPartition(orders, 1, 0)
    member.consumer.assign([first])
    twice = refusal(lambda: member.consumer.incremental_assign([first, second]))
    absent = refusal(lambda: member.consumer.incremental_unassign([second]))

    assert twice == KafkaError._CONFLICT  # noqa: SLF001
    assert absent == KafkaError._INVALID_ARG  # noqa: SLF001
    assert [place.partition for place in member.consumer.assignment()] == [0]


def test_what_was_fetched_ahead_goes_with_the_assignment(members: Members, topic: Topics, kafka: Kafka) -> None:
    """The client hands out nothing that it fetched before a partition was unassigned, further down nor further up."""
    orders, member = topic(), members()
    fill(kafka, orders, 5_000)
    member.consumer.incremental_assign([TopicPartition(orders, 0, 0)])
    member.read(1)
    for start in (4_000, 10, 2_500, 11):
        member.consumer.incremental_unassign([TopicPartition(orders, 0)])
        member.consumer.incremental_assign([TopicPartition(orders, 0, start)])

        assert [message.offset() for message in member.read(100)] == list(range(start, start + 100))


def test_end_is_told_anew_when_the_log_has_grown(members: Members, topic: Topics, kafka: Kafka) -> None:
    """It is where the log ends for now: whoever knows of a later end can wait for it."""
    orders, member = topic(), members(enable_partition_eof=True)
    fill(kafka, orders, 3)
    member.consumer.incremental_assign([TopicPartition(orders, 0, 3)])
    (first,) = member.read(1)
    fill(kafka, orders, 1)
    record, second = member.read(2)
    codes = [error.code() for error in (first.error(), second.error()) if error is not None]

    assert codes == [KafkaError._PARTITION_EOF] * 2  # noqa: SLF001
    assert (first.offset(), record.offset(), second.offset()) == (3, 3, 4)


def test_cached_low_watermark_follows_a_fetch(members: Members, topic: Topics, kafka: Kafka) -> None:
    """What retention removes while a reader stands in the log is seen at no cost of a request."""
    orders, member = topic(), members()
    fill(kafka, orders, 50)
    member.consumer.assign([TopicPartition(orders, 0, 0)])
    member.read(50)
    delete_below(kafka, orders, 30)
    fill(kafka, orders, 1)
    member.read(1)
    low, high = member.consumer.get_watermark_offsets(TopicPartition(orders, 0), cached=True)

    assert (low, high) == (30, 51)


def test_reader_that_was_paused_is_told_of_what_went(members: Members, topic: Topics, kafka: Kafka) -> None:
    """Once it is resumed: its position is out of range by then."""
    orders, member = topic(), members(auto_offset_reset="error")
    fill(kafka, orders, 50)
    place = TopicPartition(orders, 0)
    member.consumer.assign([TopicPartition(orders, 0, 0)])
    member.read(50)
    member.consumer.pause([place])
    fill(kafka, orders, 30)
    delete_below(kafka, orders, 60)
    member.consumer.resume([place])
    error = member.read(1)[0].error()

    assert error is not None
    assert error.code() == KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001


def test_exception_in_a_callback_does_not_come_out_as_it_was(members: Members, topic: Topics) -> None:
    """A client's own comes out as something that no `except Exception` catches: every callback is wrapped."""
    orders, member, caught = topic(), members(), list[object]()

    def fail(consumer: Consumer, places: Places) -> None:
        consumer.incremental_assign(places + places)

    member.consumer.subscribe([orders], on_assign=fail)

    def polled() -> bool:
        try:
            member.consumer.consume(1, 0.1)
        except:  # noqa: E722  # what comes out is no BaseException
            caught.append(sys.exc_info()[0])
        return bool(caught)

    eventually(polled, every_s=0)

    assert caught == [KafkaError]
    assert not issubclass(KafkaError, BaseException)
