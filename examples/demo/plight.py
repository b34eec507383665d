"""What waits where a worker works, and the aircraft among it that is told of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from examples.demo.chain import Copy

_BEHIND_AT_LEAST: Final = 2


class Plight(NamedTuple):
    """Events that wait in retry topics, events that are parked behind them, and one aircraft of theirs."""

    waiting: int
    parked: int
    tail: str
    """The aircraft that has most parked."""
    where: str
    """The retry topic in which its first event waits."""
    events: frozenset[str]
    """All of its events that wait or are parked."""

    @property
    def behind(self) -> int:
        """Events of the aircraft that are parked."""
        return len(self.events) - 1


def plight_of(copies: Iterable[Copy]) -> Plight | None:
    """Tell how it stands with *copies*; None unless an aircraft has one event in a retry topic and others parked."""
    of_tail: defaultdict[str | None, list[Copy]] = defaultdict(list)
    for copy in copies:
        if copy.kind != "dead":
            of_tail[copy.key].append(copy)
    kinds = Counter(copy.kind for each in of_tail.values() for copy in each)
    plights = [
        Plight(kinds["waiting"], kinds["parked"], tail, heads[0].place[0], frozenset(copy.id for copy in each))
        for tail, each in of_tail.items()
        if tail is not None and len(heads := [copy for copy in each if copy.kind == "waiting"]) == 1
    ]
    worst = max(plights, key=lambda plight: plight.behind, default=None)
    return worst if worst is not None and worst.behind >= _BEHIND_AT_LEAST else None
