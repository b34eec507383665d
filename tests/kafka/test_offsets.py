"""Offsets are told as the log has them, and those of a stopped group are written with their metadata."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaError

from streams.errors import BrokerError, CommitError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.offsets import (
    Committed,
    Watermarks,
    commit_for_stopped,
    committed,
    delete_before,
    ends,
    offsets_at,
    watermarks,
)
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write, write_at, write_in_transaction
from tests.kafka.oddity import OddBroker
from tests.waiting import eventually


def test_watermarks_tell_begin_and_end(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """An empty partition begins where it ends; records move its end."""
    name = topic(partitions=2)
    write(kafka, name, [b"a", b"b", b"c"], partition=1)

    marks = watermarks(admin, [Partition(name, 0), Partition(name, 1)])
    assert marks == {Partition(name, 0): Watermarks(0, 0), Partition(name, 1): Watermarks(0, 3)}
    assert marks[Partition(name, 1)].span == 3


def test_a_time_is_an_offset(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """The first record of that time or later; the end where there is none."""
    name = topic()
    write_at(kafka, name, (1_000, 2_000, 3_000))
    place = Partition(name, 0)

    assert offsets_at(admin, [place], 0) == {place: 0}
    assert offsets_at(admin, [place], 1_001) == {place: 1}
    assert offsets_at(admin, [place], 9_000) == {place: 3}


def test_what_is_written_is_read_back(admin: Admin, topic: Topics, group: Callable[..., str]) -> None:
    """Offsets and metadata come back as they were given; more partitions than go into one request too."""
    name, team = topic(partitions=600), group()
    offsets = {Partition(name, number): Committed(number, f"s1-{number}") for number in range(600)}
    commit_for_stopped(admin, team, offsets)

    assert committed(admin, team) == offsets


def test_what_stands_in_a_topic_that_is_gone_is_not_told(
    admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """Topics that are there are asked about by name; the others' offsets are nobody's any more."""
    kept, gone, team = topic(), topic(), group()
    commit_for_stopped(admin, team, {Partition(kept, 0): Committed(1), Partition(gone, 0): Committed(2)})
    kafka.admin.delete_topics([gone])[gone].result(30)
    eventually(lambda: gone not in kafka.admin.list_topics(timeout=30).topics)

    assert committed(admin, team) == {Partition(kept, 0): Committed(1)}


def test_a_group_that_never_was_has_committed_nothing(admin: Admin, group: Callable[..., str]) -> None:
    """An unknown group is an empty answer."""
    assert committed(admin, group()) == {}


def test_the_offsets_of_a_running_group_are_left_alone(
    admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """Members are named, and nothing is written."""
    name, team = topic(), group()
    with closing(
        Consumer(kafka.client(group_id=team, group_protocol="consumer", client_id="till-1", enable_auto_commit=False))
    ) as member:
        member.subscribe([name])
        eventually(lambda: member.poll(0.1) or member.assignment())
        with pytest.raises(BrokerError, match=r"is running: 1 member\(s\), till-1 at"):
            commit_for_stopped(admin, team, {Partition(name, 0): Committed(5)})

        assert committed(admin, team) == {}


def test_a_refused_offset_is_named(admin: Admin, topic: Topics, group: Callable[..., str]) -> None:
    """Of several, the refused ones are named and the others are written."""
    name, team = topic(), group()
    offsets = {Partition(name, 0): Committed(1), Partition("absent-topic", 0): Committed(1)}
    with pytest.raises(CommitError, match=r"refused for 1 of 2 partition\(s\): absent-topic/0 UNKNOWN_TOPIC_OR_PART"):
        commit_for_stopped(admin, team, offsets)

    assert set(committed(admin, team)) == {Partition(name, 0)}


def test_metadata_past_the_limit_is_refused(admin: Admin, topic: Topics, group: Callable[..., str]) -> None:
    """Too long a ledger is an error that names the partition."""
    with pytest.raises(CommitError, match="OFFSET_METADATA_TOO_LARGE"):
        commit_for_stopped(admin, group(), {Partition(topic(), 0): Committed(1, "x" * 5_000)})


def test_ends_are_told_for_many_at_once(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """Of several topics; an end counts what no reader sees too."""
    name, other = topic(partitions=300), topic("parked")
    write(kafka, name, [b"a", b"b"], partition=299)
    write_in_transaction(kafka, other, [b"x"], commits=False)
    places = [Partition(name, number) for number in range(300)]

    assert ends(admin, [*places, Partition(other, 0)]) == dict.fromkeys(places, 0) | {
        places[299]: 2,
        Partition(other, 0): 2,
    }


def test_ends_of_what_is_not_there_are_an_error(admin: Admin, topic: Topics) -> None:
    """It names the topic."""
    with pytest.raises(TopicError, match="absent-topic"):
        ends(admin, [Partition(topic(), 0), Partition("absent-topic", 0)])


def test_records_below_an_offset_are_removed(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """Several partitions at once; what stands at the offset stays."""
    name = topic(partitions=2)
    first, second = Partition(name, 0), Partition(name, 1)
    for number in range(2):
        write(kafka, name, [b"x"] * 5, partition=number)

    assert delete_before(admin, {first: 3, second: 5}) == {first: None, second: None}
    assert watermarks(admin, [first, second]) == {first: Watermarks(3, 5), second: Watermarks(5, 5)}
    assert delete_before(admin, {first: 1, second: 5}) == {first: None, second: None}
    assert delete_before(admin, {}) == {}


def test_what_can_not_be_removed_is_told_and_the_rest_is_gone(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """An offset past the end and a topic that is not there are answers, not exceptions."""
    name = topic(partitions=2)
    write(kafka, name, [b"x"] * 5)
    good, far, absent = Partition(name, 0), Partition(name, 1), Partition("absent-topic", 0)
    answers = delete_before(admin, {good: 2, far: 9, absent: 1})
    codes = {place: error.code() for place, error in answers.items() if error is not None}

    assert codes == {far: KafkaError.OFFSET_OUT_OF_RANGE, absent: KafkaError.UNKNOWN_TOPIC_OR_PART}
    assert watermarks(admin, [good])[good].low == 2


@pytest.mark.xdist_group("odd_broker")
def test_no_right_to_remove_is_an_answer(odd: OddBroker) -> None:
    """Who may not delete keeps records for a declared time instead: nothing has failed."""
    place = Partition(odd.topic_that_alice_sees(), 0)
    with Admin(odd.settings_of_alice()) as alice:
        (error,) = delete_before(alice, {place: 1}).values()

    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


@pytest.mark.xdist_group("odd_broker")
def test_offsets_that_nobody_tells_are_an_error(odd: OddBroker) -> None:
    """Never an offset that is none: a scan up to there would read nothing."""
    place = Partition(odd.topic_that_alice_sees(), 0)
    with Admin(odd.settings(), timeout_s=1) as admin:
        assert ends(admin, [place]) == {place: 1}
        with odd.suspended(), pytest.raises(BrokerError, match="looking up offsets"):
            ends(admin, [place])

        assert ends(admin, [place]) == {place: 1}
