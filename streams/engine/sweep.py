"""Reads the chain back: puts the reader where something is due or has become runnable, and hands over what it finds.

A topic of the chain is read only while it holds something worth reading now.
One pass serves all keys that became free; what may not run yet is passed
over, and read again when it may.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from streams.clock import Clock
from streams.engine.copies import Copies
from streams.engine.parking import load
from streams.engine.partition import Move, PartitionState, Run
from streams.engine.relief import Relief
from streams.kafka.chainreader import ChainReader
from streams.kafka.message import Message, by_partition
from streams.observer import Observer
from streams.record import Partition

_LOOK_EVERY_S: Final = 0.01
_IDLE_S: Final = 0.5
"""How long a topic is read on, at its place, with nothing wanted of it: the next want often comes soon."""
_FAR: Final = 5_000
"""Offsets ahead from which on it is cheaper to go there than to read up to there."""
_RESERVE: Final = 500
"""Records that are read whatever else is in memory: what waits there may wait for them."""


class Swept(NamedTuple):
    """What was read of one partition's chain."""

    state: PartitionState
    runs: list[Run]
    moves: list[Move]


class Home(NamedTuple):
    """What a topic of a chain belongs to."""

    source: str
    number: int


class Sweeper:
    """Reads the chains of all owned partitions.

    Owned by the poll thread.

    Always true: a partition of the chain is read only while its source partition is owned.
    """

    def __init__(
        self,
        reader: ChainReader,
        homes: Mapping[str, Home],
        room: Callable[[], int],
        clock: Clock,
        observer: Observer,
        *,
        relief: Relief | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            reader: Reads the topics of the chain.
            homes: By name of the topic: the source, and its number in the source's chain.
            room: How many records may be taken into memory.
            clock: Where the time comes from.
            observer: Hears what was read.
            relief: Says what is to move on.
        """
        self._reader = reader
        self._homes = homes
        self._room = room
        self._clock = clock
        self._observer = observer
        self._relief = relief or Relief()
        self._look_at = float("-inf")
        self._idle_since: dict[Partition, float] = {}
        self._failed: dict[Partition, str] = {}

    def sweep(self, states: Sequence[PartitionState]) -> Iterator[Swept]:
        """Read on where something is wanted; give what may run and what is to move on."""
        now_s = self._clock.monotonic()
        if now_s >= self._look_at:
            self._look_at = now_s + _LOOK_EVERY_S
            if (
                self._relief.look(states, now_s)
                or self._reader.positions
                or any(state.chain.outstanding or state.chain.asked for state in states)
            ):
                self._place(states, now_s)
        if self._reader.positions:
            self._note_gone()
            yield from self._read({state.partition: state for state in states})

    def _read(self, states: Mapping[Partition, PartitionState]) -> Iterator[Swept]:
        messages = self._reader.poll(max(_RESERVE, self._room()))
        for place, part in by_partition(messages):
            home = self._homes[place.topic]
            state = states.get(Partition(home.source, place.number))
            if state is not None and not state.is_closed:
                yield self._load(state, home.number, part)

    def _load(self, state: PartitionState, number: int, messages: Sequence[Message]) -> Swept:
        before = state.admitted
        runs, moves = load(state, number, messages, int(self._clock.now() * 1000))
        if state.admitted > before:
            self._observer.swept(state.partition, state.chain.parts[number].stage.kind, state.admitted - before)
        return Swept(state, runs, moves)

    def _place(self, states: Sequence[PartitionState], now_s: float) -> None:
        """Put the reader where each topic is to be read next, and let it leave what is not worth reading."""
        wall_ms, positions = int(self._clock.now() * 1000), self._reader.positions
        wanted: dict[Partition, int] = {}
        for state in states:
            for part in _readable(state, now_s):
                place = Partition(part.stage.topic, state.partition.number)
                target = part.wanted(wall_ms, positions.get(place)) if part.outstanding else None
                if target is not None:
                    wanted[place] = target
        for place in [place for place in positions if place not in wanted]:
            if now_s - self._idle_since.setdefault(place, now_s) > _IDLE_S or not self._is_owned(place, states):
                self._reader.leave(place)
        for place, target in wanted.items():
            self._idle_since.pop(place, None)
            at = positions.get(place)
            if at is None or target < at or target > at + _FAR:
                self._reader.read_from(place, target)
        self._idle_since = {place: since for place, since in self._idle_since.items() if place in positions}

    def _is_owned(self, place: Partition, states: Sequence[PartitionState]) -> bool:
        source = Partition(self._homes[place.topic].source, place.number)
        return any(state.partition == source for state in states)

    def failed(self) -> Mapping[Partition, str]:
        """Give the source partitions, since the last call, whose chain has lost copies, and which."""
        failed, self._failed = self._failed, {}
        return failed

    def _note_gone(self) -> None:
        for place, offset in self._reader.out_of_range().items():
            self._reader.leave(place)
            source = Partition(self._homes[place.topic].source, place.number)
            self._failed[source] = f"{place}/{offset}: the copy is gone; somebody else removed it from the log"

    def close(self) -> None:
        """Let go of the connection."""
        self._reader.close()


def _readable(state: PartitionState, now_s: float) -> Sequence[Copies]:
    """Give the topics of *state* that may be read: where a route stands still and one can try, only what is to move."""
    parts = state.chain.parts
    if state.is_closed:
        return ()
    if state.chain.outstanding and not (state.is_suspended and state.can_probe(now_s)):
        return parts
    return [part for part in parts if part.relief or part.sought >= 0]
