"""The outstanding records of one key that stand in the chain: their origins, and where each one's live copy is.

A key has one only while it is in trouble.  It is kept as two arrays of
numbers, so that a million records that wait cost memory by the byte, not by
the object.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

LaneKey: TypeAlias = bytes | int
"""A Kafka key; a record without one has a lane of its own, named by its offset."""

MOVING: Final = -1
"""Instead of a place: a copy is on its way to the broker."""

_HOP_BITS: Final = 16
_OFFSET_BITS: Final = 42
MOST_HOPS: Final = (1 << _HOP_BITS) - 1
"""Moves of one record that the index can tell apart."""
_NUMBER_AT: Final = _HOP_BITS + _OFFSET_BITS
_OFFSETS: Final = (1 << _OFFSET_BITS) - 1
_TRIM_AT: Final = 1_024
_NO_PLACES: Final = array("q")


class Place(NamedTuple):
    """Where a copy stands: the number of its topic in the chain, its hop, its offset."""

    number: int
    hop: int
    offset: int

    def pack(self) -> int:
        """Give it as one number, which fits into eight bytes."""
        return pack(self.number, self.hop, self.offset)


def pack(number: int, hop: int, offset: int) -> int:
    """Give a place as one number, which fits into eight bytes."""
    if hop >> _HOP_BITS or offset >> _OFFSET_BITS:
        raise OverflowError(f"hop {hop} or offset {offset} is beyond what the index can hold")
    return (number << _HOP_BITS | hop) << _OFFSET_BITS | offset


def first_places(number: int, last: int) -> int:
    """Give what becomes the packed place of a first copy in a topic by ``| offset``, for offsets up to *last*."""
    return pack(number, 1, last) - last


def number_of(packed: int) -> int:
    """Give the number of the topic that is in a packed place."""
    return packed >> _NUMBER_AT


def offset_of(packed: int) -> int:
    """Give the offset that is in a packed place."""
    return packed & _OFFSETS


def hop_of(packed: int) -> int:
    """Give the hop that is in a packed place."""
    return packed >> _OFFSET_BITS & MOST_HOPS


def unpack(packed: int) -> Place:
    """Read what `Place.pack` gave."""
    rest = packed >> _OFFSET_BITS
    return Place(rest >> _HOP_BITS, rest & MOST_HOPS, packed & _OFFSETS)


class Backlog(msgspec.Struct, Generic[T], eq=False):
    """What one key has outstanding in the chain.

    Always true:

    * Origins ascend; the first is the key's oldest record in the chain.
    * The first `in_memory` of them were read from the chain and are running,
      waiting for another attempt, or stand in `loaded`.
    * A key with one record, as most in trouble are, has no arrays: what
      the collector never has to look at costs nothing.
    """

    _only: int | None = None
    _only_place: int = MOVING
    in_memory: int = 0
    loaded: deque[T] | None = None
    """Copies that were read and may run next."""
    is_running: bool = False
    """A record of the key, of the source or the chain, is running or waits in memory for another attempt."""
    is_suspect: bool = False
    """Nobody can tell whether its records were finished: an operator decides."""
    _origins: array[int] | None = None
    _places: array[int] = _NO_PLACES
    _first: int = 0

    def __len__(self) -> int:
        """Count the outstanding records."""
        if self._origins is None:
            return self._only is not None
        return len(self._origins) - self._first

    @property
    def is_alone(self) -> bool:
        """There is one record, and it is not in memory."""
        if self.in_memory:
            return False
        return self._only is not None if self._origins is None else len(self) == 1

    @property
    def first(self) -> int | None:
        """The oldest origin; None with none."""
        if self._origins is None:
            return self._only
        return self._origins[self._first] if self._first < len(self._origins) else None

    @property
    def first_place(self) -> int:
        """Where its copy is, packed, or `MOVING`."""
        return self._only_place if self._origins is None else self._places[self._first]

    def rank(self, origin: int) -> int:
        """Count the outstanding records that are older than *origin*."""
        if self._origins is None:
            return self._only is not None and self._only < origin
        return bisect_left(self._origins, origin, self._first) - self._first

    def place(self, origin: int) -> int | None:
        """Give the packed place of *origin*'s copy, or `MOVING`; None where it has none."""
        origins = self._origins
        if origins is None:
            return self._only_place if self._only == origin else None
        if not origins or origins[-1] < origin:
            return None
        at = bisect_left(origins, origin, self._first)
        return self._places[at] if origins[at] == origin else None

    def put(self, origin: int, place: int) -> int | None:
        """Note that the live copy of *origin* is at *place*; give where it was before."""
        if self._origins is None:
            if self._only is None:
                self._only, self._only_place = origin, place
                return None
            if self._only == origin:
                left, self._only_place = self._only_place, place
                return left
            self._origins, self._places = array("q", (self._only,)), array("q", (self._only_place,))
        origins = self._origins
        if not origins or origins[-1] < origin:  # most come in their order
            origins.append(origin)
            self._places.append(place)
            return None
        at = bisect_left(origins, origin, self._first)
        if origins[at] == origin:
            left, self._places[at] = self._places[at], place
            return left
        origins.insert(at, origin)
        self._places.insert(at, place)
        return None

    def land(self, origin: int, place: int) -> bool:
        """Note that the copy of *origin*, which was `MOVING`, is at *place*; say whether it `is_alone`."""
        if self._origins is None and self._only == origin:  # as nearly always: no call for it
            self._only_place = place
            return not self.in_memory
        self.put(origin, place)
        return self.is_alone

    def remove(self, origin: int) -> int | None:
        """Forget *origin*; give where its copy was."""
        origins = self._origins
        if origins is None:
            if self._only != origin:
                return None
            self._only = None
            return self._only_place
        at = bisect_left(origins, origin, self._first)
        if at >= len(origins) or origins[at] != origin:
            return None
        place = self._places[at]
        if at == self._first:
            self._first += 1
            self._trim(origins)
        else:
            del origins[at], self._places[at]
        return place

    def entries(self) -> Iterator[tuple[int, int]]:
        """Give each origin with its packed place, oldest first."""
        if self._origins is None:
            return iter(() if self._only is None else ((self._only, self._only_place),))
        return zip(self._origins[self._first :], self._places[self._first :], strict=True)

    def _trim(self, origins: array[int]) -> None:
        if self._first == len(origins) or self._first > _TRIM_AT + len(self):
            del origins[: self._first], self._places[: self._first]
            self._first = 0
