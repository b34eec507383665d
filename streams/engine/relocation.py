"""Produces what an outcome leads to, and says when the broker has it.

Dead letters and a handler's sends go through one producer that the poll thread
alone polls.  A record settles only after the acknowledgement of everything it
led to.  Where a fate is unknown the partition's assignment ends: nobody may
guess whether the broker has a record.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from streams.engine.context import Sends
from streams.engine.partition import Item, Move, PartitionState
from streams.kafka.producer import EngineProducer, Fate, Parcel

MAX_UNACKNOWLEDGED: Final = 20_000
"""Records on their way to the broker at most; further ones wait for room."""

_TOO_LARGE: Final = "MSG_SIZE_TOO_LARGE"


class Ticket(msgspec.Struct, eq=False):
    """Everything a handler sent, until the last of it is acknowledged; or a copy that the broker did not take."""

    item: Item
    missing: int = 0
    fate: Fate = "stored"
    error: str = ""
    move: Move | None = None
    """The copy that it is; None for what a handler sent."""


Errand: TypeAlias = Parcel[Ticket | Move]
"""One record to produce, and what it belongs to."""


class Relocator:
    """Owned by the poll thread.

    Always true:

    * A ticket comes out of `acknowledged` once, with the worst fate of its
      records, after the last of them has one; or never, where its partition
      was dropped before.
    * A copy comes out once: out of `arrived` where the broker has it, else as a ticket.
    * A record counts as too large only if it was so alone: the broker measures
      the batch in which it came.
    """

    def __init__(self, producer: EngineProducer[Ticket | Move]) -> None:
        """Produce through *producer*."""
        self._producer = producer
        self._queue: deque[Errand] = deque()
        self._alone: deque[Errand] = deque()
        self._loner: Errand | None = None
        """The last one that was produced with nothing else on its way."""
        self._done: list[Ticket] = []
        self._arrived: defaultdict[PartitionState, list[Move]] = defaultdict(list)
        self._open: Counter[PartitionState] = Counter()
        self.unacknowledged = 0

    def send(self, item: Item, sends: Sends) -> None:
        """Produce what the handler of *item* sent."""
        ticket = Ticket(item, missing=len(sends.records))
        self._open[item[4]] += 1
        self._queue.extend(Parcel(one.topic, None, one.key, one.value, one.headers, ticket) for one in sends.records)

    def relocate(self, state: PartitionState, copies: Sequence[Errand]) -> None:
        """Produce copies of records of *state*."""
        if copies:
            self._open[state] += len(copies)
            self._queue.extend(copies)

    def acknowledged(self) -> list[Ticket]:
        """Produce what waits, as far as there is room, hear the broker's answers, and give the complete tickets."""
        if self._alone:  # what was too large in a batch goes by itself, once nothing else is on its way
            self._produce(self._alone, 1)
        else:
            self._produce(self._queue, MAX_UNACKNOWLEDGED)
        self.push(0)
        done, self._done = self._done, []
        for ticket in done:
            self._close(ticket.item[4], 1)
        for state in [state for state in self._open if state.is_dropped]:
            del self._open[state]
        return done

    def push(self, timeout_s: float) -> None:
        """Wait for acknowledgements, at most *timeout_s*."""
        if self.unacknowledged:
            answered = self._producer.acknowledge(timeout_s)
            self.unacknowledged -= len(answered)
            for errand in answered:
                what = errand.what
                if errand.fate == "stored" and isinstance(what, Move):
                    what.offset, what.appended_ms = errand.offset, errand.timestamp_ms
                    self._arrived[what.item[4]].append(what)
                else:
                    self._note(errand, what)

    def arrived(self) -> Mapping[PartitionState, list[Move]]:
        """Give the copies of which it was heard, since the last call, that the broker has; in their order."""
        arrived, self._arrived = self._arrived, defaultdict(list)
        for state, moves in arrived.items():
            self._close(state, len(moves))
        return arrived

    @property
    def is_idle(self) -> bool:
        """Nothing waits to be produced or acknowledged."""
        return not (self._queue or self._alone or self.unacknowledged or self._done or self._arrived)

    def is_busy_with(self, states: Iterable[PartitionState]) -> bool:
        """Say whether anything of *states* waits to be produced or acknowledged."""
        return any(state in self._open for state in states)

    def _produce(self, queue: deque[Errand], most: int) -> None:
        """Produce what waits in *queue*, in its order, until *most* are on their way."""
        room = most - self.unacknowledged
        if not queue or room <= 0:
            return
        first = [queue.popleft() for _ in range(min(room, len(queue)))]
        errands = [errand for errand in first if not errand.what.item[4].is_dropped]
        taken = self._producer.produce(errands)
        self.unacknowledged += taken
        if taken and most == 1:
            self._loner = errands[0]
        queue.extendleft(reversed(errands[taken:]))

    def _note(self, errand: Errand, what: Ticket | Move) -> None:
        if errand.error == _TOO_LARGE and errand is not self._loner:
            self._alone.append(errand)
        elif isinstance(what, Move):
            self._done.append(Ticket(what.item, 0, errand.fate, errand.error, what))
        else:
            what.missing -= 1
            if errand.fate != "stored" and what.fate != "unknown":
                what.fate, what.error = errand.fate, errand.error
            if what.missing == 0:
                self._done.append(what)

    def _close(self, state: PartitionState, errands: int) -> None:
        self._open[state] -= errands
        if self._open[state] <= 0:
            del self._open[state]
