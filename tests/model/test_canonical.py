"""What makes two owners the same is known of every field that they have."""

from __future__ import annotations

import pytest

from streams.engine.backlog import Backlog
from streams.engine.chainstate import ChainState
from streams.engine.copies import Copies, Stage
from streams.engine.ledger import Ledger
from streams.engine.partition import Item
from tests.model.canonical import IGNORED, SHAPED, form, names, remember
from tests.model.memory import Memory
from tests.model.physics import Physics
from tests.model.scenes import engine
from tests.model.world import Bounds

ONE_OF_EACH: tuple[object, ...] = (Ledger(0, []), Copies(Stage("s.g.parked", "parked")), Backlog[Item]())


def fields_of(one: object) -> set[str]:
    """Name what *one* keeps."""
    slots = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
    return {*slots, *getattr(one, "__dict__", {})} - {"__dict__", "__weakref__", "__orig_class__"}


@pytest.mark.parametrize("one", ONE_OF_EACH, ids=lambda one: type(one).__name__)
def test_a_form_was_made_for_every_field(one: object) -> None:
    """A class with a form of its own has no field that the form was not made for."""
    assert fields_of(one) - SHAPED[type(one)] == set()


def test_every_class_with_a_form_is_looked_at() -> None:
    """None is left out of the test above."""
    assert {type(one) for one in ONE_OF_EACH} == set(SHAPED)


def test_a_field_that_is_new_is_taken_into_the_form() -> None:
    """What nobody has named makes two owners differ."""
    physics = Physics(Memory(engine("a")), Bounds(owners=1, zombies=0, foreign=0))
    world = physics.begin(physics.start())[1]
    owner = physics.memory.thaw(world.members[0].local)
    remember(owner.state.chain)
    before = form(owner)
    owner.state.lacks = "something"

    assert "lacks" not in IGNORED[type(owner.state)]
    assert {"index", "parts", "moving"} <= set(names(ChainState))
    assert form(owner) != before
