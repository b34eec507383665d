"""What a slot shows to other threads, and in which order it comes to show it."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.executors.executor import perform, perform_batch
from streams.engine.slot import CURRENT, Slot, current_message
from tests.engine.stage import messages, route, state


class Recorder(Slot):
    """A slot that notes in which order it is written."""

    def __init__(self) -> None:
        object.__setattr__(self, "order", [])
        super().__init__()
        self.order: list[str]
        self.order.clear()

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "order":
            self.order.append(name)
        super().__setattr__(name, value)


def charge(order: bytes) -> None:
    """Do nothing."""


def charge_all(orders: list[bytes]) -> None:
    """Do nothing."""


@pytest.mark.parametrize("is_batch", [False, True])
def test_a_slot_shows_a_run_after_its_time_and_all_of_it(*, is_batch: bool) -> None:
    """Whoever sees the record sees its time and its batch: no new run is taken for one that has run for long."""
    chunk = (orders := state()).admit(messages((0, b"a"), (1, b"a")))
    assert chunk is not None
    runs = orders.enlane(chunk)
    slot = Recorder()
    if is_batch:
        perform_batch(route(charge_all, batch=10), runs, slot)
    else:
        perform(route(charge), runs[0], slot)

    assert slot.order == (["batch", "since", "item"] if is_batch else ["since", "item"] * 2)


def test_an_idle_slot_shows_nothing() -> None:
    """Between runs there is no record, even where the last batch is still at hand."""
    chunk = (orders := state()).admit(messages((0, b"a"), (1, b"b")))
    assert chunk is not None
    slot = Slot()
    slot.batch = [item for run in orders.enlane(chunk) for item in run]
    idle = list(slot.running())
    slot.item = slot.batch[0]

    assert idle == []
    assert [item[0].offset() for item in slot.running()] == [0, 1]


def test_the_record_in_hand_is_that_of_the_own_slot() -> None:
    """Code finds the record of the slot that it runs in, and none outside."""
    chunk = (orders := state()).admit(messages((7, b"a")))
    assert chunk is not None
    slot = Slot()
    before = current_message()
    token = CURRENT.set(slot)
    idle = current_message()
    slot.item = orders.enlane(chunk)[0][0]
    found = current_message()
    CURRENT.reset(token)

    assert before is idle is None
    assert found is not None
    assert found.offset() == 7
