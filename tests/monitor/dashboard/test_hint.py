"""What a group needs is told in one sentence, the worst first."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.standing import Progress, Standing
from streams.kafka.groups import Group, Member
from streams.monitor.dashboard.hint import hint
from streams.monitor.dashboard.history import Speed
from streams.monitor.dashboard.picture import GroupView, Seen
from streams.record import Partition

NOW_S = 1_000_000.0
PLACES = [Partition("orders", number) for number in range(4)]


def view(  # what a test may choose
    *,
    members: int = 1,
    outstanding: int = 0,
    dead: int = 0,
    waiting: int = 0,
    state: str = "stable",
    came: float | None = 0.0,
    done: float | None = 0.0,
    **more: Any,
) -> GroupView:
    """A group of four partitions, all of which the first members have."""
    owned = [tuple(PLACES[at :: max(1, members)]) for at in range(members)]
    people = tuple(Member(f"member-{at}", "c", "h", None, places) for at, places in enumerate(owned))
    each = outstanding // len(PLACES)
    progress = {place: Progress(place, 0, 100 + each, 100, (), is_ours=True) for place in PLACES}
    standing = Standing(
        Group("billing", state if members else "empty", "consumer", "", people),
        progress,
        {"orders": {"dlq": dead, "tier": waiting}},
        has_ledger=True,
    )
    return GroupView(Seen(standing, {}), NOW_S, Speed(came, done), **more)


@pytest.mark.parametrize(
    ("chosen", "level", "words"),
    [
        ({}, "good", "keeps up"),
        ({"waiting": 3}, "good", "3 wait for a retry"),
        ({"dead": 7}, "warn", "7 dead letters"),
        ({"members": 0}, "quiet", "nothing waits"),
        ({"members": 0, "outstanding": 40}, "bad", "40 wait and no member runs"),
        ({"members": 0, "dead": 2}, "warn", "2 dead letters"),
        ({"state": "rebalancing"}, "warn", "change hands"),
        ({"outstanding": 40, "idle_since_s": NOW_S - 120}, "bad", "nothing was done for 2.0 m"),
        ({"outstanding": 40, "still_s": {PLACES[0]: NOW_S - 90}}, "warn", "1 of 4 partitions stand still"),
        ({"outstanding": 400, "came": 50.0, "done": 20.0}, "warn", "falls behind: 50/s come, 20/s are done; about 3"),
        ({"outstanding": 6000, "came": 5.0, "done": 25.0}, "good", "catches up: 5.0 m to go"),
        ({"outstanding": 400, "came": 50.0, "done": 20.0, "members": 4}, "warn", "all 4 partitions have a member"),
    ],
)
def test_the_worst_is_told(chosen: dict[str, Any], level: str, words: str) -> None:
    """Each state of a group has its sentence and its level."""
    told = hint(view(**chosen), NOW_S)

    assert told.level == level
    assert words in told.text


def test_a_standstill_is_worse_than_dead_letters() -> None:
    """And a pause that is short is none."""
    stuck = view(outstanding=40, dead=7, idle_since_s=NOW_S - 61)
    paused = view(outstanding=40, dead=7, idle_since_s=NOW_S - 59)

    assert hint(stuck, NOW_S).level == "bad"
    assert hint(paused, NOW_S).text == "7 dead letters to decide about"
