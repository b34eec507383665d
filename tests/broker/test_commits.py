"""What the broker makes of commits: facts that the ledger and its fence rest on."""

from __future__ import annotations

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition

from tests.broker.clients import refusal
from tests.broker.conftest import Members
from tests.brokers import Kafka, Topics

LIMIT = 4_095
"""Characters of metadata that a broker with default settings stores, as Python counts them."""


def at(topic: str, number: int, offset: int, metadata: str = "") -> TopicPartition:
    """A place to commit."""
    return TopicPartition(topic, number, offset, metadata=metadata)


def test_metadata_of_4095_characters_is_stored_as_it_is(members: Members, topic: Topics) -> None:
    """Trailing blanks included: the first commit of an assignment is padded with them."""
    orders, member = topic(), members()
    member.join(orders)
    text = "s1abc".ljust(LIMIT)
    member.consumer.commit(offsets=[at(orders, 0, 5, text)], asynchronous=False)
    (stored,) = member.consumer.committed([TopicPartition(orders, 0)], timeout=30)

    assert (stored.offset, stored.metadata) == (5, text)


def test_metadata_of_4096_characters_is_refused_and_the_rest_of_the_request_stored(
    members: Members, topic: Topics
) -> None:
    """So each source partition has a request of its own, and sizes are checked before."""
    orders, member = topic(partitions=2), members()
    member.join(orders)
    request = [at(orders, 0, 5, "x" * (LIMIT + 1)), at(orders, 1, 7, "fits")]
    code = refusal(lambda: member.consumer.commit(offsets=request, asynchronous=False))
    stored = member.consumer.committed([TopicPartition(orders, 0), TopicPartition(orders, 1)], timeout=30)

    assert code == KafkaError.OFFSET_METADATA_TOO_LARGE
    assert [(place.offset, place.metadata) for place in stored] == [(-1001, None), (7, "fits")]


def test_answer_to_an_asynchronous_commit_stamps_one_error_on_all(members: Members, topic: Topics) -> None:
    """It does not tell which partitions were stored."""
    orders, member = topic(partitions=2), members()
    member.join(orders)
    member.consumer.commit(offsets=[at(orders, 0, 5, "x" * (LIMIT + 1)), at(orders, 1, 7, "fits")])
    member.until(lambda: member.answers)
    (stored,) = member.consumer.committed([TopicPartition(orders, 1)], timeout=30)
    (error, places) = member.answers[0]

    assert error is not None
    assert error.code() == KafkaError.OFFSET_METADATA_TOO_LARGE
    assert len({None if place.error is None else place.error.code() for place in places}) == 1
    assert stored.offset == 7


def test_answer_to_an_asynchronous_commit_repeats_offset_and_metadata(members: Members, topic: Topics) -> None:
    """By them answers are matched with what was sent."""
    orders, member = topic(), members()
    member.join(orders)
    member.consumer.commit(offsets=[at(orders, 0, 5, "s1abc  ")])
    member.until(lambda: member.answers)
    error, (place,) = member.answers[0]

    assert error is None
    assert (place.topic, place.partition, place.offset, place.metadata) == (orders, 0, 5, "s1abc  ")


def test_answer_to_an_asynchronous_commit_is_sorted_by_topic(members: Members, topic: Topics) -> None:
    """So the order in which entries were sent has to be remembered."""
    later, sooner, member = topic("z-orders"), topic("a-orders"), members()
    member.join(later)
    member.consumer.commit(offsets=[at(later, 0, 5), at(sooner, 0, 7)])
    member.until(lambda: member.answers)
    _, places = member.answers[0]

    assert [(place.topic, place.offset) for place in places] == [(sooner, 7), (later, 5)]


def test_commit_of_a_partition_that_another_member_owns_is_accepted(members: Members, topic: Topics) -> None:
    """The broker is no fence: a late commit must be impossible in our own code."""
    orders, one, two = topic(partitions=2), members(), members()
    one.join(orders)
    two.consumer.subscribe([orders], on_assign=lambda _, places: two.assigned.extend(places))
    one.until(lambda: two.consumer.consume(1, 0.05) or two.assigned)
    theirs = two.assigned[0].partition
    one.consumer.commit(offsets=[at(orders, theirs, 3, "not mine")], asynchronous=False)
    (stored,) = two.consumer.committed([TopicPartition(orders, theirs)], timeout=30)

    assert (stored.offset, stored.metadata) == (3, "not mine")


def test_offsets_of_a_stopped_group_are_written_with_metadata(members: Members, topic: Topics, kafka: Kafka) -> None:
    """An administrator's tool can move a ledger."""
    orders, member = topic(), members()
    member.join(orders)
    member.consumer.commit(offsets=[at(orders, 0, 5, "old")], asynchronous=False)
    member.consumer.close()
    group = member.group
    request = ConsumerGroupTopicPartitions(group, [at(orders, 0, 2, "moved")])
    kafka.admin.alter_consumer_group_offsets([request])[group].result(30)
    found = kafka.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)

    assert [(place.offset, place.metadata) for place in found.topic_partitions] == [(2, "moved")]
