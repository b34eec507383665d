"""Produces what an outcome leads to, and says when the broker has it.

Dead letters and a handler's sends go through one producer that the poll thread
alone polls.  A record settles only after the acknowledgement of everything it
led to.  Where a fate is unknown the partition's assignment ends: nobody may
guess whether the broker has a record.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeAlias

import msgspec

from streams.engine.context import Send, Sends
from streams.engine.partition import Bury, Item, Move, PartitionState
from streams.kafka.producer import Delivery, EngineProducer, Fate

MAX_UNACKNOWLEDGED: Final = 20_000
"""Records on their way to the broker at most; further ones wait for room."""

_TOO_LARGE: Final = "MSG_SIZE_TOO_LARGE"


class Ticket(msgspec.Struct, eq=False):
    """Everything one record led to, until the last of it is acknowledged."""

    item: Item
    move: Move | Bury | None = None
    """The copy that it is; None for what a handler sent."""
    missing: int = 0
    fate: Fate = "stored"
    error: str = ""
    offset: int = -1
    """Where the copy stands, and since when, once it is stored."""
    appended_ms: int = -1


_Errand: TypeAlias = tuple[Ticket, Send, int | None]
"""One record to produce: what it belongs to, the record, and its partition, None where the key decides."""


class Relocator:
    """Owned by the poll thread.

    Always true:

    * A ticket comes out of `acknowledged` once, with the worst fate of its
      records, after the last of them has one; or never, where its partition
      was dropped before.
    * A record counts as too large only if it was so alone: the broker measures
      the batch in which it came.
    """

    def __init__(self, producer: EngineProducer) -> None:
        """Produce through *producer*."""
        self._producer = producer
        self._queue: deque[_Errand] = deque()
        self._alone: deque[_Errand] = deque()
        self._done: list[Ticket] = []
        self._open: Counter[PartitionState] = Counter()
        self.unacknowledged = 0

    def send(self, item: Item, sends: Sends) -> None:
        """Produce what the handler of *item* sent."""
        ticket = Ticket(item, missing=len(sends.records))
        self._open[item[4]] += 1
        self._queue.extend((ticket, record, None) for record in sends.records)

    def relocate(self, ticket: Ticket, copy: Send, partition: int) -> None:
        """Produce *copy*, which is the ticket's record, to its own partition number; again, if need be."""
        ticket.missing, ticket.fate, ticket.error = 1, "stored", ""
        self._open[ticket.item[4]] += 1
        self._queue.append((ticket, copy, partition))

    def acknowledged(self) -> list[Ticket]:
        """Produce what waits, as far as there is room, and give the tickets that are complete."""
        if self._alone:
            self._produce_alone()
        else:
            self._produce_queue()
        if self.unacknowledged:
            self._producer.acknowledge()
        done, self._done = self._done, []
        for state, tickets in Counter(ticket.item[4] for ticket in done).items():
            self._open[state] -= tickets
        for state in [state for state, count in self._open.items() if not count or state.is_dropped]:
            del self._open[state]
        return done

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be produced or acknowledged."""
        return not (self._queue or self._alone or self.unacknowledged or self._done)

    def is_busy_with(self, states: Iterable[PartitionState]) -> bool:
        """Say whether anything of *states* waits to be produced or acknowledged."""
        return any(state in self._open for state in states)

    def push(self, timeout_s: float) -> None:
        """Wait for acknowledgements, at most *timeout_s*."""
        if self.unacknowledged:
            self._producer.acknowledge(timeout_s)

    def _produce_queue(self) -> None:
        while self._queue and self.unacknowledged < MAX_UNACKNOWLEDGED:
            errand = self._queue[0]
            if not _is_void(errand) and not self._produce(errand, self._settle):
                break
            self._queue.popleft()

    def _produce_alone(self) -> None:
        """Produce the first of those that were too large in a batch, once nothing else is on its way."""
        if not self.unacknowledged and (_is_void(self._alone[0]) or self._produce(self._alone[0], self._settle_alone)):
            self._alone.popleft()

    def _produce(self, errand: _Errand, settle: Callable[[_Errand, Delivery], None]) -> bool:
        _, record, partition = errand
        done = partial(settle, errand)
        self.unacknowledged += 1
        try:
            is_queued = self._producer.produce(
                record.topic, partition, key=record.key, value=record.value, headers=record.headers, done=done
            )
        except (TypeError, ValueError) as error:  # nothing that could be sent
            done(Delivery("refused", -1, f"{type(error).__name__}: {error}"))
            return True
        self.unacknowledged -= not is_queued
        return is_queued

    def _settle(self, errand: _Errand, delivery: Delivery) -> None:
        if delivery.error == _TOO_LARGE:
            self.unacknowledged -= 1
            self._alone.append(errand)
            return
        self._settle_alone(errand, delivery)

    def _settle_alone(self, errand: _Errand, delivery: Delivery) -> None:
        self.unacknowledged -= 1
        ticket = errand[0]
        ticket.missing -= 1
        ticket.offset, ticket.appended_ms = delivery.offset, delivery.timestamp_ms
        if delivery.fate != "stored" and ticket.fate != "unknown":
            ticket.fate, ticket.error = delivery.fate, delivery.error
        if ticket.missing == 0:
            self._done.append(ticket)


def _is_void(errand: _Errand) -> bool:
    """Say whether its partition is not ours any more."""
    return errand[0].item[4].is_dropped
