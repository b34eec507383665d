"""Finds what earlier owners left in the chain: the ledgers that they committed, then the ends, then the copies.

In this order and before anything runs (protocol, rule 16).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from streams.clock import Clock
from streams.engine.chainstate import ChainState
from streams.engine.partition import Item, PartitionState
from streams.engine.snapshot import Snapshot
from streams.kafka.chainreader import ChainReader
from streams.kafka.consumer import Stored
from streams.kafka.offsets import Watermarks
from streams.kafka.reader import Stretch
from streams.observer import Observer
from streams.record import Partition

Marks: TypeAlias = Callable[[Sequence[Partition]], Mapping[Partition, Watermarks]]
"""Gives where logs begin and end."""
Decode: TypeAlias = Callable[[Partition, Stored], Snapshot | None]
"""Reads what a commit says; None where it says nothing readable, which was told."""


class Recovery:
    """Restores the chains of partitions that were just taken.

    Owned by the poll thread.
    """

    def __init__(self, reader: ChainReader, marks: Marks, clock: Clock, observer: Observer) -> None:
        """Scan with *reader* up to what *marks* gives."""
        self._reader = reader
        self._marks = marks
        self._clock = clock
        self._observer = observer

    def restore(
        self,
        states: Sequence[PartitionState],
        stored: Mapping[Partition, Stored],
        decode: Decode,
        fresh: Callable[[PartitionState], ChainState[Item]],
    ) -> None:
        """Restore the chains of *states*, which have read and run nothing yet.

        Args:
            states: Partitions that were just taken.
            stored: What the group had committed for them and for their chains, read before this call.
            decode: Reads the metadata.
            fresh: Makes an empty chain; a second call begins all over.

        Raises:
            BrokerError: The broker does not answer; the call can be repeated.
            ChainError: A topic of the chain holds what this group did not write.
        """
        if not any(state.chain.parts for state in states):
            return
        began_s = self._clock.monotonic()
        marks = self._marks([place for state in states for place in places_of(state)])
        for state in states:
            state.chain = fresh(state)
        parts = {place: (state.chain, number) for state in states for number, place in enumerate(places_of(state))}
        read_chains(self._reader, parts, stored, decode, marks)
        for state in states:
            self._begin(state, began_s)

    def _begin(self, state: PartitionState, began_s: float) -> None:
        state.begin_chain()
        chain = state.chain
        if chain.index or chain.fenced:
            took_s = self._clock.monotonic() - began_s
            self._observer.recovered(state.partition, chain.outstanding, len(chain.index), chain.fenced, took_s)
        for place, count in zip(places_of(state), chain.expired, strict=True):
            if count > 0:
                self._observer.expired(place, count)
        suspects = sum(backlog.is_suspect for backlog in chain.index.values())
        if suspects:
            self._observer.suspect(state.partition, suspects)


def read_chains(
    reader: ChainReader,
    parts: Mapping[Partition, tuple[ChainState[Item], int]],
    stored: Mapping[Partition, Stored],
    decode: Decode,
    marks: Mapping[Partition, Watermarks],
) -> None:
    """Begin the ledger at each of *parts*, a chain and the number of one of its topics, and scan what it leaves open.

    Raises:
        BrokerError: The broker does not answer.
        ChainError: A topic of the chain holds what this group did not write.
    """
    ranges: dict[Partition, Stretch] = {}
    for place, (chain, number) in parts.items():
        mark, found = marks[place], stored[place]
        stretch = chain.restore(number, found.offset, decode(place, found), range(mark.low, mark.high))
        if stretch:
            ranges[place] = Stretch(stretch.start, stretch.stop)
    for place, messages in reader.scan(ranges) if ranges else ():
        chain, number = parts[place]
        chain.scan(number, messages)


def places_of(state: PartitionState) -> list[Partition]:
    """Give the partitions of the chain of *state*, in its order."""
    return [Partition(part.stage.topic, state.partition.number) for part in state.chain.parts]
