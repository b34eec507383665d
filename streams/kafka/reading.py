"""What a member reads of its topics: changed partition by partition, or as a whole where its group is eager.

A group whose assignor takes every partition back in each rebalance, as `range`
does, has the client take whole assignments alone.  What goes on in one of them
goes on at its position; what was fetched ahead is fetched again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from confluent_kafka import Consumer, Message, TopicPartition

from streams.record import Partition


class Reading(Protocol):
    """Called by the poll thread, inside rebalances and between them."""

    wants_news: bool
    """Whether `given` is to be told what was handed over."""

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """Read each of *starts*, which are not being read, from its offset on."""

    def end(self, partitions: Iterable[Partition]) -> None:
        """Read none of *partitions*, which are being read, any further."""

    def given(self, messages: Iterable[Message]) -> None:
        """Note what was handed over, in its order."""


class Cooperative:
    """Changes what it is told to, and leaves the rest as it is."""

    wants_news = False

    def __init__(self, consumer: Consumer) -> None:
        """Read through *consumer*."""
        self._consumer = consumer

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """See `Reading`."""
        self._consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in starts.items()])

    def end(self, partitions: Iterable[Partition]) -> None:
        """See `Reading`."""
        self._consumer.incremental_unassign([TopicPartition(*place) for place in partitions])

    def given(self, messages: Iterable[Message]) -> None:
        """The client goes on by itself."""


class Eager:
    """Assigns anew all that is to be read, each time.

    The client's own `position` is not asked: of a partition that was begun
    anew it may still be that of its former stay.

    Always true: `_next` names what is being read, and the lowest offset of it that was not handed over.
    """

    wants_news = True

    def __init__(self, consumer: Consumer) -> None:
        """Read through *consumer*."""
        self._consumer = consumer
        self._next: dict[tuple[str | None, int | None], int] = {}

    def begin(self, starts: Mapping[Partition, int]) -> None:
        """See `Reading`."""
        for partition, offset in starts.items():
            self._next[partition] = offset
        self._assign()

    def end(self, partitions: Iterable[Partition]) -> None:
        """See `Reading`."""
        for partition in partitions:
            self._next.pop(partition, None)
        self._assign()

    def given(self, messages: Iterable[Message]) -> None:
        """See `Reading`."""
        for message in messages:
            place = message.topic(), message.partition()
            if place in self._next:
                self._next[place] = (message.offset() or 0) + 1

    def _assign(self) -> None:
        if self._next:
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])  # type: ignore[arg-type]  # names of partitions
        else:
            self._consumer.unassign()
