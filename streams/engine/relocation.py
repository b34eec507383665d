"""Produces what an outcome leads to, and says when the broker has it.

Dead letters and a handler's sends go through one producer that the poll thread
alone polls.  A record settles only after the acknowledgement of everything it
led to.  Where a fate is unknown the partition's assignment ends: nobody may
guess whether the broker has a record.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from streams.engine.context import Send, Sends
from streams.engine.partition import Item
from streams.kafka.producer import Delivery, EngineProducer, Fate

MAX_UNACKNOWLEDGED: Final = 20_000
"""Records on their way to the broker at most; further ones wait for room."""

Purpose: TypeAlias = Literal["sends", "dead letter"]


@dataclass(slots=True, eq=False)
class Ticket:
    """Everything one record led to, until the last of it is acknowledged."""

    item: Item
    purpose: Purpose
    cause: BaseException | None = None
    """Of a dead letter: why."""
    attempts: int = 1
    missing: int = 0
    fate: Fate = "stored"
    error: str = ""


class Relocator:
    """Owned by the poll thread.

    Always true: a ticket comes out of `acknowledged` once, with the worst fate
    of its records, after the last of them has one; or never, where its
    partition was dropped before.
    """

    def __init__(self, producer: EngineProducer) -> None:
        """Produce through *producer*."""
        self._producer = producer
        self._queue: deque[tuple[Ticket, Send, int | None]] = deque()
        self._done: list[Ticket] = []
        self.unacknowledged = 0

    def send(self, item: Item, sends: Sends) -> None:
        """Produce what the handler of *item* sent."""
        ticket = Ticket(item, "sends", missing=len(sends.records))
        self._queue.extend((ticket, record, None) for record in sends.records)

    def bury(self, ticket: Ticket, letter: Send, partition: int) -> None:
        """Produce *letter*, the dead letter of the ticket's record, to its own partition number."""
        ticket.missing, ticket.fate, ticket.error = 1, "stored", ""
        self._queue.append((ticket, letter, partition))

    def acknowledged(self) -> list[Ticket]:
        """Produce what waits, as far as there is room, and give the tickets that are complete."""
        while self._queue and self.unacknowledged < MAX_UNACKNOWLEDGED:
            ticket, record, partition = self._queue[0]
            if not ticket.item[4].is_dropped and not self._produce(ticket, record, partition):
                break
            self._queue.popleft()
        if self.unacknowledged:
            self._producer.acknowledge()
        done, self._done = self._done, []
        return done

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be produced or acknowledged."""
        return not self._queue and not self.unacknowledged and not self._done

    def push(self, timeout_s: float) -> None:
        """Wait for acknowledgements, at most *timeout_s*."""
        if self.unacknowledged:
            self._producer.acknowledge(timeout_s)

    def _produce(self, ticket: Ticket, record: Send, partition: int | None) -> bool:
        def done(delivery: Delivery) -> None:
            self.unacknowledged -= 1
            self._settle(ticket, delivery)

        self.unacknowledged += 1
        if self._producer.produce(
            record.topic, partition, key=record.key, value=record.value, headers=record.headers, done=done
        ):
            return True
        self.unacknowledged -= 1
        return False

    def _settle(self, ticket: Ticket, delivery: Delivery) -> None:
        ticket.missing -= 1
        if delivery.fate != "stored" and ticket.fate != "unknown":
            ticket.fate, ticket.error = delivery.fate, delivery.error
        if ticket.missing == 0:
            self._done.append(ticket)
