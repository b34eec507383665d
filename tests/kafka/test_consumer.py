"""The group's consumer hands over what belongs to the stay that goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Message, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka import consumer as room
from streams.kafka.consumer import GroupConsumer
from streams.kafka.message import make_message
from streams.record import Partition

MOVED, KEPT = Partition("orders", 0), Partition("orders", 1)


class Client:
    """Stands in for the client library: gives what it is told to, and lets a rebalance happen in between."""

    def __init__(self, _config: object, logger: object = None) -> None:
        self.batches: list[Callable[[], list[Message]]] = []

    def consume(self, _limit: int, _timeout_s: float) -> list[Message]:
        return self.batches.pop(0)()

    def incremental_assign(self, _partitions: object) -> None:
        """Take note of nothing."""

    def committed(self, _partitions: object, **_: object) -> list[TopicPartition]:
        b"\xff".decode()
        return []

    def incremental_unassign(self, _partitions: object) -> None:
        """Take note of nothing."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """The client that the next consumer gets."""
    client = Client({})
    monkeypatch.setattr(room, "Consumer", lambda _config, **_: client)
    return client


def record(partition: Partition, offset: int) -> Message:
    """Make a record."""
    return make_message(partition.topic, partition.number, offset)


@pytest.mark.parametrize("first", [MOVED, KEPT])
def test_what_was_read_before_its_partition_moved_is_left_out(client: Client, first: Partition) -> None:
    """A record of a stay that ended within the same poll would move the new stay's ledger past unread records."""
    consumer = GroupConsumer(Settings(bootstrap="127.0.0.1:1", group="g"), "classic", lambda _answer: None)

    def rebalance() -> list[Message]:
        consumer.unassign([MOVED])
        consumer.assign({MOVED: 400})
        return [record(MOVED, 400)]

    client.batches = [list, lambda: [record(first, 500)], rebalance]  # nothing has arrived; then one, then more
    messages, _ = consumer.poll(500, 0)
    places = [(message.partition(), message.offset()) for message in messages]

    assert places == ([(0, 400)] if first == MOVED else [(1, 500), (0, 400)])


@pytest.mark.usefixtures("client")
def test_commits_that_are_no_text_are_told_in_words() -> None:
    """Another program's metadata may be any bytes, and the client can't read them: the error says what mends it."""
    consumer = GroupConsumer(Settings(bootstrap="127.0.0.1:1", group="theirs"), "classic", lambda _answer: None)

    with pytest.raises(BrokerError, match=r"another program wrote them.*--group theirs .*--to-current"):
        consumer.committed([Partition("orders", 0)], 1.0)
