"""Every state of a partition, its owners and a small Kafka, within bounds: what is promised holds in each of them.

And the other way round: without a rule of the protocol the search finds what
then goes wrong, so that the rule, and the search, are known to be of use.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.model import broken
from tests.model.broken import Patch
from tests.model.owner import Engine
from tests.model.scenes import engine
from tests.model.search import search
from tests.model.world import SOUND, Bounds, Habits


class Scene(NamedTuple):
    """An engine, and how far it is explored."""

    name: str
    engine: Engine
    bounds: Bounds


CALM = Bounds(owners=2, zombies=0, foreign=0)
BRIEF = Bounds(owners=2, zombies=0, foreign=0, gives_up=False)
"""Without handlers that give a record up: it dies of its second failure."""
ALONE = Bounds(owners=1, zombies=0, foreign=0)

SCENES = [
    Scene("one record, a zombie", engine("a"), Bounds(owners=2)),
    Scene("one record, three owners", engine("a"), Bounds(owners=3, zombies=0, foreign=1, depth=19)),
    Scene("two of a key", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, depth=17)),
    Scene("two of a key, one owner", engine("aa"), ALONE),
    Scene("two of a key, a zombie", engine("aa"), Bounds(owners=2, gives_up=False, depth=14)),
    Scene(
        "three of a key", engine("aaa"), Bounds(owners=2, zombies=0, foreign=0, gives_up=False, batches=True, depth=16)
    ),
    Scene("two keys", engine("aba"), Bounds(owners=2, zombies=0, foreign=0, gives_up=False, batches=True, depth=14)),
    Scene("hold", engine("aa", "hold"), Bounds(owners=2, zombies=0, foreign=0, depth=17)),
    Scene("follow", engine("aa", "follow"), Bounds(owners=2, zombies=0, foreign=0, depth=17)),
    Scene("two tiers", engine("aa", delay="11s 1m"), Bounds(owners=2, zombies=0, foreign=0, gives_up=False, depth=15)),
    Scene(
        "waits in memory", engine("aa", delay="1s"), Bounds(owners=2, zombies=0, foreign=0, is_forced=True, depth=18)
    ),
    Scene(
        "read in pieces", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, stretches=True, gives_up=False, depth=16)
    ),
    Scene(
        "a forgotten offset", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, forgets=1, gives_up=False, depth=15)
    ),
    Scene("unordered", engine("aa", policy="unordered"), Bounds(owners=2, zombies=0, foreign=0, depth=14)),
    Scene("begun anew", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, restarts=1, gives_up=False, depth=16)),
    Scene("a replay", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, replays=1, gives_up=False, depth=16)),
    Scene("relief", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, reliefs=1, gives_up=False, depth=15)),
    Scene("relief, hold", engine("aa", "hold"), Bounds(owners=2, zombies=0, foreign=0, reliefs=1, depth=15)),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_the_promise_holds_in_every_state(scene: Scene) -> None:
    """No loss, no disorder, no record with two ends, none that rises, wherever owners die and copies come late."""
    found = search(scene.engine, scene.bounds)

    assert not found.fault, str(found)
    assert found.is_whole


GOING_ON = [
    Scene("one record, a zombie", engine("a"), Bounds(owners=2, depth=14)),
    Scene("two of a key", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, depth=12)),
    Scene("three of a key, one owner", engine("aaa"), Bounds(owners=1, zombies=0, foreign=0, gives_up=False, depth=18)),
    Scene("hold", engine("aa", "hold"), ALONE),
    Scene("waits in memory", engine("aa", delay="1s"), Bounds(owners=1, zombies=0, foreign=0, is_forced=True)),
    Scene("unordered", engine("aa", policy="unordered"), Bounds(owners=2, zombies=0, foreign=0, depth=11)),
    Scene("follow, two owners", engine("aa", "follow"), Bounds(owners=2, zombies=0, foreign=0, depth=13)),
    Scene("follow, two keys", engine("aba", "follow"), Bounds(owners=1, zombies=0, foreign=0, batches=True, depth=10)),
    Scene("begun anew", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, restarts=1, gives_up=False, depth=12)),
    Scene("a replay", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, replays=1, gives_up=False, depth=12)),
    Scene("relief", engine("aa"), Bounds(owners=1, zombies=0, foreign=0, reliefs=1, depth=15)),
    Scene("relief, hold", engine("aa", "hold"), Bounds(owners=1, zombies=0, foreign=0, reliefs=1, depth=17)),
]


@pytest.mark.parametrize("scene", GOING_ON, ids=lambda scene: scene.name)
def test_nothing_stands_still(scene: Scene) -> None:
    """From every state all records end once nothing fails any more, but for those that wait for an operator."""
    found = search(scene.engine, scene.bounds, goes_on_every=1)

    assert not found.fault, str(found)
    assert found.is_whole


def test_followers_join_their_dead_letter() -> None:
    """Under `follow`, whatever of a dead record's key was parked is a dead letter in the end."""
    found = search(engine("aa", "follow"), ALONE, goes_on_every=1)

    assert not found.fault, str(found)


ONE = engine("a")
TWO = engine("aa")


class Control(NamedTuple):
    """An engine without a rule, and how what then goes wrong is told."""

    rule: str
    says: str
    patches: tuple[Patch, ...] = ()
    habits: Habits = SOUND
    engine: Engine = ONE
    bounds: Bounds = BRIEF
    goes_on: bool = False


CONTROLS = [
    Control("1 source first", "before record 0, an older one", broken.SOURCE_FIRST, engine=TWO),
    Control("1 held up for ever", "never ends", broken.HELD_UP, goes_on=True),
    Control("2 smallest origin", "before record 0, an older one", broken.SMALLEST_ORIGIN, engine=TWO),
    Control("3 head of a tier", "before record 0, an older one", broken.HEAD_OF_TIER, engine=TWO),
    Control("4 losers settled", "rises", broken.LOSERS_SETTLED, bounds=Bounds(owners=3, zombies=0, foreign=0)),
    Control("5 comes again", "header can't be read", broken.COMES_AGAIN),
    Control(
        "6 former stay",
        "is still at",
        habits=Habits(starts_beside_former=True),
        bounds=Bounds(owners=2, zombies=0, foreign=0, restarts=1),
    ),
    Control(
        "7 lease",
        "starts a key that owner 2 runs",
        habits=Habits(starts_unleased=True),
        engine=TWO,
        bounds=Bounds(owners=2),
    ),
    Control("8 after the acknowledgement", "is lost", broken.AFTER_ACKNOWLEDGEMENT),
    Control("9 unknown fate", "rises", habits=Habits(resends=True)),
    Control("10 assignment id", "rises", habits=Habits(ids_by_member=True)),
    Control("11 foreign copies", "starts, and it has ended", broken.FOREIGN_DROPPED, engine=TWO),
    Control("12 fence", "rises", broken.FENCE),
    Control("13 one request", "is done again after a younger one", habits=Habits(commits_apart=True), engine=TWO),
    Control("14 all or nothing", "is lost", habits=Habits(spoils_commits=True)),
    Control("15 one in flight", "rises", habits=Habits(commits_overlap=True)),
    Control("16 ledgers before ends", "is lost", habits=Habits(ends_first=True), bounds=Bounds(owners=2)),
    Control("16 dead letters scanned", "that counts, and is not listed", broken.LETTERS_SCANNED, bounds=CALM),
    Control("16 dead letters end", "two dead letters", broken.LETTERS_END, bounds=CALM),
    Control(
        "17 from the start", "is lost", broken.FROM_THE_START, bounds=Bounds(owners=2, zombies=0, foreign=0, forgets=1)
    ),
    Control(
        "20 each once",
        "2 are told of",
        broken.EACH_ONCE,
        engine=engine("a", "hold"),
        bounds=Bounds(owners=1, zombies=0, foreign=0, reliefs=1),
    ),
    Control("20 fenced not listed", "has no dead letter that counts", broken.LETTERS_FENCED, bounds=CALM),
    Control(
        "20 settled not listed",
        "has no dead letter that counts",
        broken.LETTERS_SETTLED,
        bounds=Bounds(owners=3, zombies=0, foreign=0),
    ),
    Control(
        "21 moves on",
        "stays where it is",
        broken.MOVE_ON,
        engine=engine("aa", "hold"),
        bounds=Bounds(owners=1, zombies=0, foreign=0, reliefs=1),
        goes_on=True,
    ),
    Control(
        "21 followers join", "never ends", broken.FOLLOWED, engine=engine("aa", "follow"), bounds=ALONE, goes_on=True
    ),
    Control(
        "21 dead head",
        "before record 0, an older one",
        broken.DEAD_HEAD,
        engine=engine("aa", "follow"),
        bounds=ALONE,
    ),
    Control(
        "22 stopped group",
        "though a replay asks for it",
        habits=Habits(replays_running=True),
        bounds=Bounds(owners=2, zombies=0, foreign=0, replays=1),
    ),
]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.rule)
def test_without_a_rule_the_promise_breaks(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine without it is found out, with the shortest way there; with it nothing is wrong as far out as that."""
    for patch in control.patches:
        monkeypatch.setattr(patch.room, patch.name, patch.instead)

    found = search(control.engine, control.bounds, control.habits, goes_on_every=int(control.goes_on))

    monkeypatch.undo()
    sound = search(control.engine, replace(control.bounds, depth=found.depth), goes_on_every=int(control.goes_on))

    assert control.says
    assert control.says in found.fault, str(found)
    assert len(found.trace) == found.depth
    assert not sound.fault, str(sound)
    assert sound.is_whole


LARGE = [
    Scene("one record, three owners", engine("a"), Bounds(owners=3)),
    Scene("two of a key, three owners", engine("aa"), Bounds(owners=3, gives_up=False, depth=17)),
    Scene("two of a key, calm", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, stretches=True, depth=24)),
    Scene("three of a key", engine("aaa"), Bounds(owners=2, zombies=0, foreign=0, batches=True, depth=20)),
    Scene("two keys", engine("aba"), Bounds(owners=2, zombies=0, foreign=0, batches=True, depth=18)),
    Scene("hold", engine("aa", "hold"), Bounds(owners=3, zombies=0, depth=18)),
    Scene("follow", engine("aaa", "follow"), Bounds(owners=2, zombies=0, foreign=0, batches=True, depth=18)),
    Scene("two tiers", engine("aa", delay="11s 1m"), Bounds(owners=2, zombies=0, foreign=0, depth=20)),
    Scene("waits in memory", engine("aaa", delay="1s"), Bounds(owners=2, zombies=0, is_forced=True, depth=17)),
    Scene("a forgotten offset", engine("aa"), Bounds(owners=2, zombies=0, foreign=0, forgets=1, depth=18)),
    Scene("unordered", engine("aa", policy="unordered"), Bounds(owners=2, zombies=0, foreign=0, depth=19)),
    Scene("begun anew", engine("aa"), Bounds(owners=3, zombies=0, foreign=0, restarts=2, depth=18)),
    Scene("a replay", engine("aa"), Bounds(owners=3, zombies=0, foreign=0, replays=1, depth=17)),
    Scene("relief", engine("aba", "hold"), Bounds(owners=2, zombies=0, foreign=0, reliefs=2, batches=True, depth=15)),
]


@pytest.mark.model
@pytest.mark.parametrize("scene", LARGE, ids=lambda scene: scene.name)
def test_the_promise_holds_further_out(scene: Scene) -> None:
    """The same, and from every fiftieth state everything ends; how many states that are is told."""
    began_s = time.monotonic()
    found = search(scene.engine, scene.bounds, goes_on_every=50)
    sys.stdout.write(f"\n{scene.name}: {found}, {time.monotonic() - began_s:.0f} s\n")

    assert not found.fault, str(found)
    assert found.is_whole
