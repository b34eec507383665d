"""What nobody can tell of: the broker has forgotten a topic's offset, and a copy in it may be done already."""

from __future__ import annotations

import pytest

from streams.engine.chainstate import ChainState
from streams.kafka.consumer import Stored
from tests.model.memory import Memory
from tests.model.physics import Physics
from tests.model.scenes import engine
from tests.model.world import Bounds, World

LIFE = ("store", "read", "fail", "append", "acknowledge", "time", "load", "end_well", "commit", "store", "die")
"""An owner has a record in the tier, ends it well, commits that, and dies."""


@pytest.fixture
def physics() -> Physics:
    """Give a world of one record."""
    return Physics(Memory(engine("a")), Bounds(owners=3, zombies=0))


def lived(physics: Physics, world: World, *steps: str) -> World:
    """Give *world* after the next owner has begun and *steps* have happened."""
    world = physics.begin(world)[1]
    for wanted in steps:
        world = next(
            after
            for label, after, fault in physics.after(world)
            if not fault and wanted == (label[2][0] if label[0] == "step" else label[0])
        )
    return world


def forgotten(world: World) -> World:
    """Give *world* after the broker has forgotten what was committed for the tier."""
    return world._replace(stored=(world.stored[0], Stored(None, ""), *world.stored[2:]))


def held(physics: Physics, world: World) -> int:
    """Count the keys that the owner in *world* holds for an operator."""
    index = physics.memory.thaw(world.members[0].local).state.chain.index
    return sum(backlog.is_suspect for backlog in index.values())


def test_what_may_have_been_done_is_held(physics: Physics) -> None:
    """A finished record does not run again for a forgotten offset: its key waits for an operator."""
    world = lived(physics, forgotten(lived(physics, physics.start(), *LIFE)), "store", "load")

    assert held(physics, world) == 1
    assert physics.face(world.members[0]).running == ()


def test_without_the_rule_it_would_run_again(physics: Physics, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that suspects nothing runs the finished record a second time."""
    monkeypatch.setattr(ChainState, "_suspect", lambda _chain, _is_settled: None)

    world = lived(physics, forgotten(lived(physics, physics.start(), *LIFE)), "store", "load")

    assert physics.face(world.members[0]).running == ((b"a", 0),)


def test_what_is_held_stays_held(physics: Physics) -> None:
    """The next owner holds it too: nobody has decided since."""
    first = lived(physics, physics.start(), *LIFE)
    second = lived(physics, forgotten(first), "store", "die")
    third = lived(physics, second, "store")

    assert held(physics, third) == 1
