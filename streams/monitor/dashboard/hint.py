"""What a group needs, in one sentence: the first thing that an operator wants to know."""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple, TypeAlias

from streams.monitor.dashboard.picture import GroupView
from streams.scaling.load import DRAIN_S
from streams.wording import age

Level: TypeAlias = Literal["bad", "warn", "good", "quiet"]

STILL_S: Final = 60.0
"""A group, or a partition, that has something outstanding and did nothing for so long stands still."""
_MARGIN: Final = 1.05
"""More comes than is done, by so much at least, before anybody is told."""


class Hint(NamedTuple):
    """How bad it is, and what it is."""

    level: Level
    text: str

    @property
    def rank(self) -> int:
        """The worst first."""
        return ("bad", "warn", "good", "quiet").index(self.level)


def hint(group: GroupView, now_s: float) -> Hint:
    """Say what *group* needs."""
    return _stopped(group) or _stuck(group, now_s) or _slow(group) or _letters(group) or _fine(group)


def _stopped(group: GroupView) -> Hint | None:
    if group.members:
        return None
    left = group.outstanding + group.waiting + group.parked
    if left:
        return Hint("bad", f"nobody works on it: {left:,} wait and no member runs")
    if group.dead:
        return Hint("warn", f"stopped; {group.dead:,} dead letters to decide about")
    return Hint("quiet", "stopped; nothing waits")


def _stuck(group: GroupView, now_s: float) -> Hint | None:
    if group.idle_since_s is not None and now_s - group.idle_since_s >= STILL_S:
        return Hint("bad", f"stands still: nothing was done for {age(now_s - group.idle_since_s)}")
    still = sum(1 for since_s in group.still_s.values() if now_s - since_s >= STILL_S)
    if group.seen.expired:
        return Hint("bad", f"{group.seen.expired:,} records were removed by retention before they were done")
    if still:
        return Hint("warn", f"{still} of {len(group.standing.progress)} partitions stand still")
    if group.state != "stable":
        return Hint("warn", f"{group.state}: partitions change hands")
    if group.seen.unowned:
        return Hint("warn", f"{group.seen.unowned} partitions with work have no member")
    return None


def _slow(group: GroupView) -> Hint | None:
    came, done = group.speed
    if came is None or not done or group.outstanding < done:
        return None
    if came > done * _MARGIN:
        return Hint("warn", f"falls behind: {came:,.0f}/s come, {done:,.0f}/s are done{_wanted(group)}")
    if done > came * _MARGIN and group.outstanding > done * 10:
        return Hint("good", f"catches up: {age(group.outstanding / (done - came))} to go{_wanted(group)}")
    return None


def _wanted(group: GroupView) -> str:
    """Say how many members would do, as far as there are partitions for them."""
    replicas, most = wanted_members(group), widest(group)
    if replicas is None or replicas <= len(group.members):
        return ""
    if len(group.members) >= most:
        return f"; all {most} partitions have a member of their own"
    return f"; about {min(replicas, most)} members would do"


def wanted_members(group: GroupView) -> int | None:
    """Say how many members would work off the backlog in `DRAIN_S`; None where nothing tells what one can do."""
    came, done = group.speed
    if came == 0 and not group.outstanding:
        return 0
    if came is None or not done or not group.members:
        return None
    return math.ceil((came + group.outstanding / DRAIN_S) / (done / len(group.members)))


def widest(group: GroupView) -> int:
    """Give the partitions of its widest topic: so many members can have one each."""
    return max((len(group.standing.of_topic(topic)) for topic in group.standing.topics), default=1)


def _letters(group: GroupView) -> Hint | None:
    if group.dead:
        return Hint("warn", f"{group.dead:,} dead letters to decide about")
    return None


def _fine(group: GroupView) -> Hint:
    waits = group.waiting + group.parked
    if waits:
        return Hint("good", f"keeps up; {waits:,} wait for a retry")
    return Hint("good", "keeps up")
