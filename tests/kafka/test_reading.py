"""A member of an eager group changes what it reads of one partition, and goes on with the others where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streams.config import Settings
from streams.kafka.consumer import GroupConsumer
from streams.kafka.protocol import MemberProtocol
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write
from tests.waiting import eventually

_RECORDS = 300


class Owner:
    """Takes what it is granted from its beginning, and notes the offsets that come."""

    def __init__(self, consumer: GroupConsumer) -> None:
        self.consumer = consumer
        self.owned: set[Partition] = set()
        self.seen: dict[int, list[int]] = {}

    def granted(self, partitions: list[Partition]) -> None:
        self.owned.update(partitions)
        self.consumer.assign(dict.fromkeys(partitions, 0))

    def revoked(self, partitions: list[Partition]) -> None:
        self.owned.difference_update(partitions)
        self.consumer.unassign(partitions)

    lost = revoked

    def read(self, limit: int = 500) -> dict[int, list[int]]:
        """What has come so far, by partition."""
        for message in self.consumer.poll(limit, 0.1)[0]:
            self.seen.setdefault(message.partition() or 0, []).append(message.offset() or 0)
        return self.seen

    def owns(self, count: int) -> bool:
        """Whether that many partitions are its own, after another look."""
        self.read()
        return len(self.owned) == count


@contextmanager
def owner_of(kafka: Kafka, team: str, topic: str, protocol: MemberProtocol) -> Iterator[Owner]:
    """Let a member join."""
    consumer = GroupConsumer(Settings(bootstrap=kafka.bootstrap, group=team), protocol, lambda _answer: None)
    owner = Owner(consumer)
    consumer.subscribe([topic], owner)
    yield owner
    consumer.close(10)


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic-range", "classic"])
def test_others_go_on_where_they_were(
    protocol: MemberProtocol, kafka: Kafka, topic: Topics, group: Callable[..., str]
) -> None:
    """One partition is left and read again from the middle: of the others each record comes once, in order."""
    name = topic(partitions=3)
    first, moved, last = (Partition(name, number) for number in range(3))
    for place in (first, moved, last):
        write(kafka, name, [b"%d" % number for number in range(_RECORDS)], partition=place.number)
    with owner_of(kafka, group(), name, protocol) as owner:
        eventually(lambda: len(owner.read(20)) == 3, every_s=0)
        owner.consumer.unassign([moved])
        before = list(owner.seen[moved.number])
        for _ in range(5):
            owner.read(20)
        without = list(owner.seen[moved.number])
        owner.consumer.assign({moved: 7})
        owner.consumer.unassign([last])  # whose place is known, and moved's too, of which nothing has come since
        owner.consumer.assign({last: len(owner.seen[last.number])})
        eventually(lambda: sum(map(len, owner.read().values())) >= 3 * _RECORDS + len(before) - 7)
        owner.read()

    assert without == before == list(range(len(before)))
    assert owner.seen[first.number] == owner.seen[last.number] == list(range(_RECORDS))
    assert owner.seen[moved.number] == [*before, *range(7, _RECORDS)]


@pytest.mark.kafka
def test_a_group_of_others_is_joined_and_left(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """Each join takes all partitions back and deals them anew; each record comes to one of its owners at least."""
    name, team = topic(partitions=2), group()
    with owner_of(kafka, team, name, "classic-range") as first:
        eventually(lambda: first.owns(2))
        with owner_of(kafka, team, name, "classic-range") as second:
            eventually(lambda: all([first.owns(1), second.owns(1)]))
            shared = first.owned | second.owned
        eventually(lambda: first.owns(2))

    assert shared == {Partition(name, 0), Partition(name, 1)}
