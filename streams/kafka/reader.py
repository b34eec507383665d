"""Reading stretches of a log from end to end: no group is joined, nothing is committed.

For looking at dead letters, for the record that a lag is counted from, and
for an owner's scan of its chain.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import Final

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.cursor import Cursor, Move
from streams.kafka.message import OFFSET, Message
from streams.record import Partition

_SILENCE_S: Final = 10.0
_AT_ONCE: Final = 500
_LOOK_S: Final = 0.1
_LOOKING: Final = {
    "auto.offset.reset": "earliest",  # what retention removed meanwhile is not there to be shown
    "isolation.level": "read_committed",
    "queued.max.messages.kbytes": 16 * 1024,
    "max.partition.fetch.bytes": 256 * 1024,
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which offsets of a partition to read."""

    start: int
    stop: int
    """The first that is not read."""


def read(
    settings: Settings, stretches: Mapping[Partition, Stretch], *, silence_s: float = _SILENCE_S
) -> Iterator[Message]:
    """Give the records of *stretches*, each partition in its order, partitions mixed.

    A stretch may begin before its log and end after it.  Transactions that
    were aborted or are still open are not shown.  Memory is bounded whatever
    the stretches hold; ending the iteration early is free.

    Raises:
        BrokerError: Nothing came for *silence_s*, though the end was not reached.
    """
    with closing(Cursor(settings, _LOOKING)) as cursor:
        for _, messages in walk(cursor, stretches, silence_s, may_end_early=True):
            yield from messages


def first_records(settings: Settings, starts: Mapping[Partition, Stretch]) -> dict[Partition, Message]:
    """Give the first record in each stretch; partitions that hold none there are not in the answer."""
    found: dict[Partition, Message] = {}
    with closing(Cursor(settings, _LOOKING)) as cursor:
        for place, messages in walk(cursor, starts, _SILENCE_S, may_end_early=True):
            found.setdefault(place, messages[0])
            cursor.leave([place])
    return found


def walk(
    cursor: Cursor, stretches: Mapping[Partition, Stretch], silence_s: float, *, may_end_early: bool
) -> Iterator[Move]:
    """Give the records of *stretches* in batches of one partition; *cursor* reads nothing else meanwhile.

    Offsets that do not exist, at the end of a stretch too, are not waited for:
    the broker tells how far a partition was read.  A partition that the caller
    leaves is read no further.

    Args:
        cursor: Read with it.
        stretches: What to read.
        silence_s: How long to wait for a sign of progress.
        may_end_early: The end of a log ends its stretch.  Else the stop is known to exist, and an end before it is
            that of a leader which does not show yet what its predecessor had.

    Raises:
        BrokerError: Nothing came for *silence_s*, or what a stretch begins with is not there any more.
    """
    stops = {place: stretch.stop for place, stretch in stretches.items() if stretch.start < stretch.stop}
    cursor.place({place: stretches[place].start for place in stops})
    silent_s = 0.0
    while cursor.positions:
        asked = monotonic()
        moves = cursor.take(_AT_ONCE, _LOOK_S)
        silent_s = 0.0 if moves else silent_s + monotonic() - asked  # not the time that the caller takes
        _require_progress(cursor, silent_s, silence_s)
        for place, messages in moves:
            wanted = _below(stops[place], messages)
            if wanted and place in cursor.positions:
                yield place, wanted
        cursor.leave(
            {
                place
                for place, _ in moves
                if cursor.positions.get(place, 0) >= stops[place] or (may_end_early and cursor.has_ended(place))
            }
        )


def _require_progress(cursor: Cursor, silent_s: float, silence_s: float) -> None:
    missed = cursor.missed()
    if missed:
        places = ", ".join(f"{place}/{offset}" for place, offset in sorted(missed.items()))
        raise BrokerError(f"the log has no record any more, or not yet, at {places}: was it removed by retention?")
    if silent_s > silence_s:
        raise cursor.fault(f"nothing came for {silence_s:g} s")


def _below(stop: int, messages: list[Message]) -> list[Message]:
    """Leave out what stands at *stop* or after it."""
    if not messages or (messages[-1].offset() or 0) < stop:
        return messages
    return messages[: bisect_left(list(map(OFFSET, messages)), stop)]  # type: ignore[type-var]  # each has one
