"""A cursor tells errors that pass from those that do not, and gives no record of what it has left."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from streams.config import Settings
from streams.errors import BrokerError, TopicError
from streams.kafka import cursor as room
from streams.kafka.cursor import Cursor
from streams.kafka.message import make_message
from streams.record import Partition

PARKED, TIER = Partition("orders.billing.parked", 0), Partition("orders.billing.retry.1m", 0)


class Client:
    """Stands in for the client library: gives what it is told to, and takes note of what it is to read."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.batch: list[Message] = []
        self.refuses: KafkaException | None = None
        self.reads: set[tuple[str, int]] = set()

    def open(self, settings: dict[str, Any], logger: object) -> Client:
        """Take note of the settings."""
        assert logger is not None
        self.settings = settings
        return self

    def consume(self, _limit: int, _timeout_s: float) -> list[Message]:
        batch, self.batch = self.batch, []
        return batch

    def incremental_assign(self, places: list[Any]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.reads |= {(place.topic, place.partition) for place in places}

    def incremental_unassign(self, places: list[Any]) -> None:
        self.reads -= {(place.topic, place.partition) for place in places}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client that the cursor gets."""
    client = Client()
    monkeypatch.setattr(room, "Consumer", client.open)
    return client


@pytest.fixture
def cursor(client: Client) -> Cursor:
    """One that stands at offset 5 of the parked records."""
    cursor = Cursor(Settings(bootstrap="127.0.0.1:1", group="billing"), {})
    cursor.place({PARKED: 5})
    assert client.reads == {PARKED}
    return cursor


def record(offset: int, partition: Partition = PARKED) -> Message:
    """Make a record."""
    return make_message(partition.topic, partition.number, offset)


def told(code: int, partition: Partition | None = PARKED, offset: int = -1001) -> Message:
    """Make what the client gives instead of a record."""
    return Message(
        topic=partition.topic if partition else None,
        partition=partition.number if partition else 0,
        offset=offset,
        error=KafkaError(code),
    )


def ends(offset: int, partition: Partition = PARKED) -> Message:
    """Make what the client gives at the end of a log."""
    return told(KafkaError._PARTITION_EOF, partition, offset)  # noqa: SLF001  # the client's own codes begin with an underscore


def test_positions_and_ends_follow_what_came_in_its_order(cursor: Cursor, client: Client) -> None:
    """An end that records follow is none; one that follows them is."""
    cursor.place({TIER: 0})
    client.batch = [record(5), ends(6), record(7), ends(0, TIER), record(3, TIER), ends(9, TIER)]
    moves = cursor.take(100, 0)

    assert [(place, [message.offset() for message in part]) for place, part in moves] == [
        (PARKED, [5]),
        (PARKED, []),
        (PARKED, [7]),
        (TIER, []),
        (TIER, [3]),
        (TIER, []),
    ]
    assert dict(cursor.positions) == {PARKED: 8, TIER: 9}
    assert (cursor.has_ended(PARKED), cursor.has_ended(TIER)) == (False, True)


def test_ends_that_are_told_together_are_each_taken(cursor: Cursor, client: Client) -> None:
    """The client's errors are equal where their codes are."""
    cursor.place({TIER: 0})
    client.batch = [ends(6), ends(2, TIER)]
    cursor.take(100, 0)

    assert dict(cursor.positions) == {PARKED: 6, TIER: 2}


def test_what_is_told_of_a_partition_that_was_left_is_nothing(cursor: Cursor, client: Client) -> None:
    """Neither its records nor its end nor its errors."""
    cursor.leave([PARKED])
    bad = KafkaError._BAD_MSG  # noqa: SLF001  # the client's own codes begin with an underscore
    client.batch = [record(5), ends(6), told(KafkaError._AUTO_OFFSET_RESET), told(bad)]  # noqa: SLF001

    assert cursor.take(100, 0) == []
    assert cursor.missed() == {}
    assert dict(cursor.positions) == {}


@pytest.mark.parametrize("code", [KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION])  # noqa: SLF001
def test_a_position_without_records_is_told_until_it_is_left(code: int, cursor: Cursor, client: Client) -> None:
    """Whether the log was shortened at its beginning or at its end."""
    client.batch = [told(code)]
    cursor.take(100, 0)
    assert cursor.missed() == {PARKED: 5}

    client.batch = [told(code)]
    cursor.take(100, 0)
    cursor.place({PARKED: 9})

    assert cursor.missed() == {}


@pytest.mark.parametrize("code", [KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION])  # noqa: SLF001
def test_what_can_not_be_made_sense_of_is_an_end(code: int, cursor: Cursor, client: Client) -> None:
    """The client passes over such records: copies among them would be lost unseen."""
    client.batch = [told(code)]

    with pytest.raises(BrokerError, match=r"reading orders\.billing\.parked/0"):
        cursor.take(100, 0)


def test_a_topic_that_is_unknown_for_a_while_is_trouble(cursor: Cursor, client: Client) -> None:
    """A broker that has just started says so of topics that it will know soon."""
    client.batch = [told(KafkaError.UNKNOWN_TOPIC_OR_PART)]
    cursor.take(100, 0)

    assert cursor.trouble == KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert isinstance(cursor.fault(), TopicError)

    client.batch = [record(5)]
    cursor.take(100, 0)

    assert cursor.trouble is None


FINAL = [KafkaError._FATAL, KafkaError._AUTHENTICATION]  # noqa: SLF001


@pytest.mark.parametrize("code", FINAL)
def test_what_will_not_pass_is_an_end(code: int, cursor: Cursor, client: Client) -> None:
    """Though records came with it."""
    client.batch = [told(code, None), record(5)]

    with pytest.raises(BrokerError):
        cursor.take(100, 0)


@pytest.mark.parametrize("code", FINAL)
def test_it_is_as_well_where_the_client_calls_back(code: int, cursor: Cursor, client: Client) -> None:
    """The client has two ways to tell errors."""
    client.settings["error_cb"](KafkaError(code))
    client.batch = [record(5)]

    with pytest.raises(BrokerError):
        cursor.take(100, 0)


def test_what_concerns_no_reader_is_no_trouble(cursor: Cursor, client: Client) -> None:
    """Reading needs no right on a group, though the client asks for its coordinator."""
    client.settings["error_cb"](KafkaError(KafkaError._ALL_BROKERS_DOWN))  # noqa: SLF001
    client.batch = [told(KafkaError.GROUP_AUTHORIZATION_FAILED, None)]
    cursor.take(100, 0)

    assert cursor.trouble is None


def test_a_client_that_refuses_is_said(cursor: Cursor, client: Client) -> None:
    """Nothing counts as read that the client does not read."""
    client.refuses = KafkaException(KafkaError(KafkaError._STATE))  # noqa: SLF001

    with pytest.raises(BrokerError, match=r"orders\.billing\.retry\.1m"):
        cursor.place({TIER: 0})
    assert dict(cursor.positions) == {PARKED: 5}


def test_an_error_names_a_few_of_many_partitions(client: Client) -> None:
    """A scan may be of hundreds."""
    cursor = Cursor(Settings(bootstrap="127.0.0.1:1"), {})
    cursor.place({Partition("orders", number): 0 for number in range(200)})

    assert str(cursor.fault("silence")).count("orders/") == 3
    assert "and others" in str(cursor.fault("silence"))
    assert client.settings["group.id"] == "streams-reader"
