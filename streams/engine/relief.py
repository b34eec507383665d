"""Says which copies of a chain are to move on although they can't run yet, so that the ledgers of their topics can.

A ledger goes on from its oldest outstanding copy.  One that stands still holds
back what the commit's metadata has to tell, what memory has to keep and what
the next owner has to scan; and where topics have a finite retention it would
age away.  `Relief` sets the stretch that is to be gone over; reading moves
what waits there to the end of its topic (`parking.load`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.engine.chainstate import ChainState
from streams.engine.copies import Copies
from streams.engine.partition import PartitionState
from streams.engine.snapshot import encode

CHARACTERS: Final = 1_200
"""Characters of one ledger's metadata from which on its settled ranges are joined: half of `Settings.ledger_limit`."""
SPAN: Final = 1_000_000
"""Offsets of one ledger, from its oldest outstanding copy to its end, from which on the oldest are moved.

Each costs a byte of memory, in tiers nine, and the reading of a copy when the partition is taken over.
"""

_DENSE: Final = 4
"""A long ledger is moved only where at most one offset in so many is outstanding: else little would be gained."""
_RANGES: Final = 512
"""Settled ranges that one pass joins."""
_PORTION: Final = 10_000
"""Copies that are under way at once, about."""
_LOOK_EVERY_S: Final = 1.0
_WAIT_S: Final = 10.0
_LONGEST_WAIT_S: Final = 600.0
"""Before a second pass for the same reason, which then doubles up to the longer."""


@dataclass(slots=True)
class _Course:
    """How far the relief of one topic is."""

    rest: range = range(0)
    """Still to be gone over in this pass."""
    wait_s: float = 0.0
    not_before_s: float = float("-inf")


class Relief:
    """Owned by the poll thread.

    Always true:

    * What is old is gone over once for each answer about what is old.
    * For its size or its span a ledger is gone over again only after a wait,
      which doubles from ten seconds to ten minutes for as long as the reason
      stays: where moving gains nothing, as in a log full of what is not ours,
      it is not done for ever.
    """

    def __init__(self, characters: float = CHARACTERS, span: int = SPAN) -> None:
        """Relieve ledgers beyond *characters* of metadata or *span* offsets."""
        self._characters = characters
        self._span = span
        self._courses: dict[Copies, _Course] = {}
        self._look_at = float("-inf")
        self._is_at_work = False

    def look(self, states: Sequence[PartitionState], now_s: float) -> bool:
        """Set what is to be gone over in the chains of *states*, once a second; say whether anything is."""
        if now_s < self._look_at:
            return self._is_at_work
        self._look_at = now_s + _LOOK_EVERY_S
        parts = [(part, state.chain) for state in states if not state.is_closed for part in state.chain.parts]
        self._courses = {part: self._courses.get(part) or _Course() for part, _ in parts}
        at_work = [self._go_on(part, chain, now_s) for part, chain in parts if part.outstanding]
        self._is_at_work = any(at_work)
        return self._is_at_work

    def _go_on(self, part: Copies, chain: ChainState[Any], now_s: float) -> bool:
        course = self._courses[part]
        if part.relief or chain.moving >= _PORTION:
            return True
        if not course.rest and not self._begin(part, chain, course, now_s):
            return False
        stop = part.end_of_copies(course.rest, _PORTION)
        part.relief, course.rest = range(course.rest.start, stop), range(stop, course.rest.stop)
        if not course.rest:
            course.not_before_s = now_s + course.wait_s
        return True

    def _begin(self, part: Copies, chain: ChainState[Any], course: _Course, now_s: float) -> bool:
        """Begin a pass where there is a reason for one."""
        if part.committable < part.aged_until:
            course.rest, part.aged_until = range(part.committable, part.aged_until), 0
            return True
        stretch = self._overgrown(part, chain)
        if not stretch:
            course.wait_s, course.not_before_s = 0.0, now_s
        elif now_s >= course.not_before_s:
            course.rest = stretch
            course.wait_s = min(max(2 * course.wait_s, _WAIT_S), _LONGEST_WAIT_S)
        return bool(course.rest)

    def _overgrown(self, part: Copies, chain: ChainState[Any]) -> range:
        """Give the stretch whose copies make the ledger too large or too long; an empty one where it is neither."""
        if part.characters > self._characters and _characters(part, chain) > self._characters:
            first = next(part.ranges(), range(part.end))  # what stands before it in one piece takes no room
            return range(first.start, part.end_of_runs(_RANGES))
        span = part.end - part.committable
        if span > self._span and part.outstanding * _DENSE <= span:
            return range(part.committable, part.end - self._span // 2)
        return range(0)


def _characters(part: Copies, chain: ChainState[Any]) -> int:
    """Measure the ledger as it is now: the last commit may be a while ago."""
    return len(encode(part.snapshot(chain.assignment_id)[1]))
