"""What was seen of a group in the last hours: a ring of a fixed size, for charts and speeds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

EVERY_S: Final = 30
"""Seconds of one point."""
POINTS: Final = 720
"""Points that are kept: six hours."""
_SPEED_S: Final = 60.0
"""Speeds are means over about so many seconds."""
_RECENT: Final = 40


class Counters(NamedTuple):
    """What was seen of a group at one moment."""

    time_s: float
    """Seconds since 1970."""
    came: int = 0
    """Ends of its partitions, added up: it grows by what producers write."""
    done: int = 0
    """Offsets settled in them, added up: it grows by what the group does."""
    outstanding: int = 0
    waiting: int = 0
    parked: int = 0
    dead: int = 0
    behind_s: float = 0.0
    """Age of the oldest outstanding record that is known."""
    partitions: int = 0
    """How many partitions were added up: where that changes, no speed is told across it."""


class Speed(NamedTuple):
    """Records a second; None where nothing was measured yet."""

    came_per_s: float | None = None
    done_per_s: float | None = None


class History:
    """Owned by the watch; others take `points`, a copy.

    Always true: at most `POINTS` points and the newest, in the order of time, `EVERY_S` apart at least.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._ring: deque[Counters] = deque(maxlen=POINTS)
        self._recent: deque[Counters] = deque(maxlen=_RECENT)

    @property
    def points(self) -> list[Counters]:
        """Oldest first; the last one is the newest there is."""
        newest = [self._recent[-1]] if self._recent and self._recent[-1] is not self._ring[-1] else []
        return [*self._ring, *newest]

    def add(self, now: Counters) -> None:
        """Take in one more."""
        self._recent.append(now)
        if not self._ring or now.time_s >= self._ring[-1].time_s + EVERY_S:
            self._ring.append(now)

    def speed(self) -> Speed:
        """Tell how fast it goes now."""
        if not self._recent:
            return Speed()
        last = self._recent[-1]
        earlier = [one for one in self._recent if one.time_s < last.time_s and one.partitions == last.partitions]
        if not earlier:
            return Speed()
        within = [one for one in earlier if one.time_s >= last.time_s - _SPEED_S]
        return between(within[0] if within else earlier[-1], last)


def between(first: Counters, last: Counters) -> Speed:
    """Give the mean speed from one moment to a later one; None where partitions came or went, or were made anew."""
    span_s = last.time_s - first.time_s
    if span_s <= 0 or first.partitions != last.partitions:
        return Speed()
    came, done = last.came - first.came, last.done - first.done
    return Speed(came / span_s if came >= 0 else None, done / span_s if done >= 0 else None)


def total(histories: Iterable[History]) -> list[Counters]:
    """Add up what was seen of several groups, point by point of the time they have in common."""
    slots: dict[int, list[Counters]] = {}
    for one in histories:
        for point in one.points:
            slots.setdefault(int(point.time_s // EVERY_S), []).append(point)
    return [_sum(slots[slot]) for slot in sorted(slots)]


def _sum(points: list[Counters]) -> Counters:
    columns = list(zip(*points, strict=True))
    sums = [sum(column) for column in columns]
    sums[0] = max(columns[0])
    sums[7] = max(columns[7])
    return Counters(*sums)
