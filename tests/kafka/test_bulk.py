"""Of each record that is sent in bulk it is known what became of it."""

from __future__ import annotations

import pytest

from streams.config import Settings
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.offsets import watermarks
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import create_topics, require_topics
from tests.brokers import Kafka, Topics, unique
from tests.kafka.oddity import OddBroker

ODD = pytest.mark.xdist_group("odd_broker")


def target(admin: Admin, name: str) -> Topic:
    """Look up a topic as the sender wants it."""
    return require_topics(admin, [name], with_config=True)[name]


def test_acknowledged_records_are_counted_by_partition(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """What is counted is what stands in the log; one key goes to one partition."""
    found = target(admin, topic(partitions=3))
    sender = BulkSender(Settings(bootstrap=kafka.bootstrap), found)
    for number in range(2_000):
        assert sender.send(number, b"%d" % (number % 7), b"x") == ""
    left = sender.finish(30)

    marks = watermarks(admin, found.all_partitions)
    assert left == 0
    assert sender.acknowledged == {place.number: mark.high for place, mark in marks.items() if mark.high}
    assert sender.acknowledged.total() == 2_000


def test_too_large_a_record_is_known_at_once(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """The topic's own limit decides, before anything is sent, and others go on."""
    found = target(admin, topic(config={"max.message.bytes": "2000"}))
    sender = BulkSender(Settings(bootstrap=kafka.bootstrap), found)
    said = sender.send(1, None, b"x" * 3_000)
    sender.send(2, None, b"x")

    assert "3,000 bytes" in said
    assert "max.message.bytes=2,000" in said
    assert sender.finish(30) == 0
    assert sender.acknowledged.total() == 1


def test_ten_megabytes_go_where_the_topic_takes_them(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """Size is the topic's matter, not the client's."""
    found = target(admin, topic(config={"max.message.bytes": "12000000"}))
    sender = BulkSender(Settings(bootstrap=kafka.bootstrap), found)

    assert sender.send(1, b"k", b"x" * 10_000_000) == ""
    assert sender.finish(60) == 0
    assert sender.acknowledged.total() == 1


def test_a_record_that_the_broker_refuses_is_certainly_not_there(admin: Admin, kafka: Kafka, topic: Topics) -> None:
    """A compacted topic refuses a record without a key; its number, value and reason are kept."""
    found = target(admin, topic(config={"cleanup.policy": "compact"}))
    sender = BulkSender(Settings(bootstrap=kafka.bootstrap), found)
    sender.send(7, None, b"no key")
    sender.finish(30)

    assert [(one.number, one.value, one.is_certain) for one in sender.failed] == [(7, b"no key", True)]
    assert "INVALID_RECORD" in sender.failed[0].reason
    assert sender.outstanding == 0


@ODD
def test_without_an_answer_a_record_stays_outstanding(odd: OddBroker) -> None:
    """A broker that stands still leaves the fate open; when it goes on, it is known."""
    name = unique("orders")
    with Admin(odd.settings()) as admin:
        create_topics(admin, [NewTopic(name, 1)])
        sender = BulkSender(odd.settings(), target(admin, name))
    sender.send(1, None, b"before")
    assert sender.finish(30) == 0
    with odd.suspended():
        sender.send(2, None, b"meanwhile")
        left = sender.finish(1.0)

    assert left == 1
    assert sender.finish(60) == 0
    assert sender.acknowledged.total() == 2
