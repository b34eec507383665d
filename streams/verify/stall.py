"""How long nothing came to an end although there was work: what faults cost in time."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from streams.verify.history import History


@dataclass
class _Times:
    """What happened in one partition, in nanoseconds of the monotonic clock."""

    came: list[int] = field(default_factory=list)
    """When each record was written."""
    gone: list[int] = field(default_factory=list)
    """When each was done or dead."""
    ended: list[int] = field(default_factory=list)
    """When each run ended."""


def longest_stall_s(history: History) -> float:
    """Give the longest time in which nothing of a partition ended while a record of it waited.

    From the first end of a run there.  A record waits from when it was written
    until it is done or dead, its waits for retries included; a run that fails
    ends, too.
    """
    return max((_longest_ns(times) for times in _times(history).values()), default=0) / 1e9


def _times(history: History) -> dict[int, _Times]:
    """Records and letters tell the time by the wall clock, journals by the monotonic one; a reading knows both."""
    ahead_ns = next((one.time_ms * 1_000_000 - one.time_ns for one in history.readings), 0)
    found: dict[int, _Times] = defaultdict(_Times)
    for run in history.runs:
        found[run.place.partition].ended += [] if run.ended == "cut" else [run.end_ns]
    for place, record in history.sent.items():
        times = found[place.partition]
        times.came.append(record.time_ms * 1_000_000 - ahead_ns)
        done = [run.end_ns for run in history.runs_of.get(place, ()) if run.ended == "done"]
        dead = [letter.time_ms * 1_000_000 - ahead_ns for letter in history.dead_at.get(place, ())]
        times.gone += sorted(done + dead)[:1]
    return found


def _longest_ns(times: _Times) -> int:
    came, gone = sorted(times.came), sorted(times.gone)
    gaps = pairwise(sorted(times.ended + times.gone))
    return max((following - _waits_from(one, following, came, gone) for one, following in gaps), default=0)


def _waits_from(last: int, following: int, came: Sequence[int], gone: Sequence[int]) -> int:
    """Say since when a record waited after the end at *last*; where none did, since the one *following*."""
    known = bisect_right(came, last)
    if known > bisect_right(gone, last):
        return last
    return min(came[known], following) if known < len(came) else following
