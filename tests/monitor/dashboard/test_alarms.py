"""Somebody is told once that it begins, now and then that it goes on, and once that it is over."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

from streams.monitor.dashboard.alarms import REMIND_S, Alarms, Notice
from streams.monitor.dashboard.picture import GroupView, Picture
from streams.monitor.dashboard.thresholds import read_thresholds
from tests.monitor.dashboard.test_hint import NOW_S, PLACES, view


class Room:
    """Alarms, a clock that a test moves, and what was told."""

    def __init__(self, *texts: str) -> None:
        self.now_s = 1_000.0
        self.told: list[Notice] = []
        self.alarms = Alarms(read_thresholds(texts), self.told.append, cluster="here:9092", clock=lambda: self.now_s)

    def look(self, *views: GroupView, after_s: float = 0.0, trouble: str = "", time_s: float = NOW_S) -> list[str]:
        """Have a look that finds *views*, so much later; give what was told by it."""
        self.now_s += after_s
        before = len(self.told)
        self.alarms.hear(Picture(1, time_s, {one.name: one for one in views}, trouble=trouble))
        return [one.kind for one in self.told[before:]]


def named(name: str, **chosen: Any) -> GroupView:
    """A group called *name*."""
    one = view(**chosen)
    group = dataclasses.replace(one.standing.group, name=name)
    standing = dataclasses.replace(one.standing, group=group)
    return dataclasses.replace(one, seen=dataclasses.replace(one.seen, standing=standing))


BAD, WELL = view(dead=7), view()


def test_it_is_told_once_that_it_begins_and_once_that_it_is_over() -> None:
    """Not at the first look, but once it has held for ten seconds; the end has to hold too."""
    room = Room("dead_letters>5")
    said = [room.look(BAD, after_s=5) for _ in range(5)] + [room.look(WELL, after_s=5) for _ in range(4)]

    assert said == [[], [], ["firing"], [], [], [], [], ["resolved"], []]


def test_what_comes_and_goes_is_not_told() -> None:
    """A look at which it is not so begins the time anew."""
    room = Room("dead_letters>5 for 1m")
    said = [room.look(BAD), room.look(BAD, after_s=59), room.look(WELL, after_s=1), room.look(BAD, after_s=1)]
    later = [room.look(BAD, after_s=59), room.look(BAD, after_s=1)]

    assert said == [[]] * 4
    assert later == [[], ["firing"]]


def test_one_good_look_does_not_end_it() -> None:
    """Who was told that it fires is not told twice because one look found otherwise."""
    room = Room("dead_letters>5")
    room.look(BAD)
    said = [room.look(BAD, after_s=10), room.look(WELL, after_s=3), room.look(BAD, after_s=3)]

    assert said == [["firing"], [], []]
    assert [one.group for one in room.alarms.firing] == ["billing"]


def test_for_0s_is_told_at_the_first_look() -> None:
    """And its end as well."""
    room = Room("dead_letters>5 for 0s")

    assert [room.look(BAD), room.look(WELL), room.look(WELL)] == [["firing"], ["resolved"], []]


def test_what_goes_on_is_told_again_every_four_hours() -> None:
    """With the same words, as still firing."""
    room = Room("dead_letters>5 for 0s")
    said = [room.look(BAD, after_s=after_s) for after_s in (0, REMIND_S - 1, 1, REMIND_S - 1, 1)]

    assert said == [["firing"], [], ["still_firing"], [], ["still_firing"]]


def test_what_is_not_known_neither_begins_nor_ends_anything() -> None:
    """An unread age, a group whose look failed, a cluster that can't be looked at."""
    old = view(outstanding=40, heads_ms={PLACES[0]: (NOW_S - 75) * 1000})
    unread = view(outstanding=40)
    failed = dataclasses.replace(WELL, seen=dataclasses.replace(WELL.seen, trouble="no answer"))
    room = Room("queue_age>60s")
    before = [room.look(unread, after_s=20) for _ in range(3)]
    room.look(old)
    fired = room.look(old, after_s=10)
    after = [
        room.look(unread, after_s=20),
        room.look(failed, after_s=20),
        room.look(WELL, after_s=20, trouble="no broker answers"),
        room.look(after_s=20, trouble="no broker answers"),
    ]

    assert (before, fired, after) == ([[]] * 3, ["firing"], [[]] * 4)
    assert len(room.alarms.firing) == 1


def test_each_group_and_each_threshold_stand_for_themselves() -> None:
    """A name, or a pattern, chooses the groups."""
    room = Room("team-*:dead_letters>5 for 0s", "lag>30 for 0s", "other:lag>30 for 0s")
    groups = [named("team-a", dead=7), named("team-b", dead=7, outstanding=40), named("billing", dead=7)]
    room.look(*groups)

    assert [(one.group, one.threshold.measure.name) for one in room.told] == [
        ("team-a", "dead_letters"),
        ("team-b", "dead_letters"),
        ("team-b", "lag"),
    ]


def test_a_group_that_is_gone_fires_no_more() -> None:
    """Its end is told, in words that say so."""
    room = Room("dead_letters>5 for 0s")
    said = [room.look(BAD), room.look(after_s=1), room.look(after_s=1)]

    assert said == [["firing"], ["resolved"], []]
    assert room.told[-1].text.endswith("it is gone")
    assert room.told[-1].document["value"] is None


def test_a_cluster_that_is_not_seen_is_told() -> None:
    """By the age of the last look that went well; where there was none, since the start."""
    room = Room("look_age>60s for 0s")
    fresh = room.look(BAD)
    told = [
        room.look(trouble="no broker answers", time_s=time.time() - 50),
        room.look(trouble="no broker answers", time_s=time.time() - 70),
    ]
    over = room.look(BAD)
    never = Room("look_age>60s for 0s").look(trouble="no broker answers", time_s=0)

    assert (fresh, told, over, never) == ([], [[], ["firing"]], ["resolved"], [])
    assert room.told[0].text.startswith("the cluster: look_age is 1.2 m")
    assert "no broker answers" in room.told[0].text


def test_a_notice_says_what_it_is_about() -> None:
    """In one line for people, and field by field for programs."""
    room = Room("dead_letters>5 for 0s")
    room.look(BAD)
    room.look(BAD, after_s=REMIND_S)
    first, second = (json.loads(one.pack()) for one in room.told)

    assert first["text"] == (
        "billing: dead_letters is 7 (dead_letters>5 for 0s), for 0.0 s; 7 dead letters to decide about"
    )
    assert {
        name: first[name] for name in ("version", "kind", "alert", "group", "measure", "unit", "value", "bound")
    } == {
        "version": 1,
        "kind": "firing",
        "alert": "dead_letters>5 for 0s",
        "group": "billing",
        "measure": "dead_letters",
        "unit": None,
        "value": 7,
        "bound": 5.0,
    }
    assert (first["needs"], first["cluster"]) == ("7 dead letters to decide about", "here:9092")
    assert first["since"] == second["since"]
    assert first["id"] != second["id"]
