"""The engine keeps its promise in a world in which everything goes wrong, and a broken one is found out there."""

from __future__ import annotations

import pytest

from streams.engine.broken import ReverseOrder, SettleBeforeAck
from streams.engine.partition import Item, PartitionState, Run
from tests.engine.world import World


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_and_keys_stay_in_order(seed: int) -> None:
    """Through rebalances, crashes, failing commits and sends every record ends, in its key's order, truly committed."""
    world = World(seed)
    for _ in range(250):
        world.turn()
    world.heal()

    assert world.history.faults == []
    assert world.history.missing == []
    assert {str(one): stored.offset for one, stored in world.stored.items()} == {
        str(one): end for one, end in world.ends.items()
    }
    assert all(not state.lanes and not state.trouble for state in world.member.assignment.all())


class LetsTheLaneGoOn(PartitionState):
    """Runs what stands behind a failed record."""

    def interrupt(self, run: Run, done: int) -> Item:
        item = super().interrupt(run, done)
        self.lanes.pop(item[3])
        return item


class ForgetsRetries(PartitionState):
    """Takes a record that is to run again for done."""

    def postpone(self, item: Item) -> None:
        self.settle(item)

    def due(self, now_s: float) -> list[Run]:
        for run in super().due(now_s):
            self.settle(run[0])
        return []


@pytest.mark.parametrize("broken", [SettleBeforeAck, ReverseOrder, LetsTheLaneGoOn, ForgetsRetries])
def test_a_broken_engine_is_found_out(broken: type[PartitionState]) -> None:
    """The same world finds a fault in an engine that is broken on purpose."""
    for seed in range(5):
        world = World(seed, broken)
        try:
            for _ in range(250):
                world.turn()
            world.heal(turns=300)
        except (KeyError, IndexError):  # it broke down
            return
        if world.history.faults or world.history.missing:
            return
    pytest.fail("nothing was found")
