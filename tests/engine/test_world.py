"""The engine keeps its promise in a world in which everything goes wrong, and a broken one is found out there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest

from streams.engine import assignment, redrive
from streams.engine.broken import NoFence, NoIndex, ReverseOrder, SettleBeforeAck
from streams.engine.chain import unpack
from streams.engine.chainstate import ChainState
from streams.engine.edit import Edit, Mending, mended
from streams.engine.partition import Item, Move, PartitionState, Run
from streams.engine.policy import DeadLetterPolicy, OrderPolicy
from streams.kafka.message import Message
from streams.record import Origin, Partition
from tests.engine.history import PARTITIONS
from tests.engine.world import World


def lived(world: World, *, turns: int = 250, heals: int = 3_000) -> World:
    """*world* after a time of trouble and a time of calm."""
    for _ in range(turns):
        world.turn()
    world.heal(heals)
    return world


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_and_keys_stay_in_order(seed: int) -> None:
    """Through rebalances, crashes, failing commits and sends every record ends, in its key's order, truly committed."""
    world = lived(World(seed))

    assert world.history.faults == []
    assert world.history.missing == []
    assert {one: world.stored[one].offset for one in PARTITIONS} == world.ends
    assert all(not state.lanes and not state.trouble for state in world.member.assignment.all())


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_loses_nothing_and_keeps_keys_in_order(seed: int) -> None:
    """With two tiers and a parked topic, requests that arrive after their sender's death: lost 0, out of order 0."""
    world = lived(World(seed, policy="park"))
    states = world.member.assignment.all()

    assert world.history.faults == []
    assert world.history.missing == []
    assert {one: world.stored[one].offset for one in PARTITIONS} == world.ends
    assert all(not state.lanes and not state.chain.index and not state.chain.outstanding for state in states)


@pytest.mark.parametrize("dead_letters", ["continue", "hold", "follow"])
@pytest.mark.parametrize("seed", range(2))
def test_relief_loses_nothing_and_keeps_keys_in_order(seed: int, dead_letters: DeadLetterPolicy) -> None:
    """Where copies are moved again and again, dead letters too, so that ledgers go on, the promise holds as well."""
    world = lived(World(seed, policy="park", dead_letters=dead_letters, is_relieved=True), turns=100)

    assert world.history.faults == []
    assert world.history.missing == []
    assert any(moved_on(world))


@pytest.mark.parametrize("dead_letters", ["continue", "hold", "follow"])
@pytest.mark.parametrize("seed", range(3))
def test_operators_lose_nothing_and_keep_keys_in_order(seed: int, dead_letters: DeadLetterPolicy) -> None:
    """Dead letters are tried again, edited and dropped, by commands late and twice, while relief moves them."""
    is_relieved = seed % 2 == 1
    world = World(seed, policy="park", dead_letters=dead_letters, has_operators=True, is_relieved=is_relieved)
    lived(world, turns=120)
    fates = {asked.fate for _, asked in world.answers_given}

    assert world.history.faults == []
    assert world.history.missing == []
    assert "gone" in fates
    assert fates & {"retried", "edited", "forgotten"}


def edited(seeds: Iterable[int]) -> tuple[int, list[str]]:
    """Let worlds live in which operators edit dead letters; give how many edits were done, and what went wrong."""
    worlds = [lived(World(seed, policy="park", has_operators=True), turns=120) for seed in seeds]
    done = {asked.mending for world in worlds for _, asked in world.answers_given if asked.fate == "edited"}
    return len(done), [fault for world in worlds for fault in world.history.faults]


def test_what_operators_edit_runs_with_its_new_value_wherever_it_goes() -> None:
    """Each copy holds what the one before it held, each handler gets what the mark says, through deaths of owners."""
    count, faults = edited(range(4))

    assert faults == []
    assert count >= 4


@pytest.mark.parametrize("loses", ["value", "mark"])
def test_an_engine_that_loses_an_edit_is_found_out(loses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the old value under the mark of a new one, or no mark."""

    def lose(message: Message, origin: Origin, mending: Mending) -> Message:
        was = mending._replace(edit=Edit(message.value() or b"", mending.edit.was))
        return mended(message, origin, was) if loses == "value" else message

    monkeypatch.setattr(redrive, "mended", lose)

    assert edited(range(4))[1]


def moved_on(world: World) -> list[Partition]:
    """Give the places of copies that were moved to the end of the topic in which they stood."""
    logs = world.log.records.items()
    copies = [(place, unpack(record.headers())) for place, records in logs for record in records]
    return [place for place, copy in copies if copy.from_topic == place.topic and copy.hop > 1]


@pytest.mark.parametrize("seed", range(3))
def test_many_deaths_make_no_loss_and_no_disorder(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where so many processes die that their records are suspected and run alone, the promise holds as well."""
    world = World(seed, policy="park", death_rate=0.15)
    names = count(1)
    monkeypatch.setattr(world, "name_process", lambda: monkeypatch.setattr(assignment, "PROCESS", b"%d" % next(names)))
    lived(world)

    assert world.history.faults == []
    assert world.history.missing == []
    assert world.suspected


@pytest.mark.parametrize("seed", range(4))
def test_a_key_behind_a_dead_letter_waits(seed: int) -> None:
    """Under `hold` nothing younger than a dead letter runs, nothing of it is lost, and the other keys end."""
    world = lived(World(seed, policy="park", dead_letters="hold"))

    assert world.history.faults == []
    assert world.history.missing == []
    assert {one: world.stored[one].offset for one in PARTITIONS} == world.ends


@pytest.mark.parametrize("seed", range(4))
def test_a_key_follows_its_dead_letter(seed: int) -> None:
    """Under `follow` every younger record of its key joins a dead letter, and nothing is lost."""
    world = lived(World(seed, policy="park", dead_letters="follow"))
    strays = [
        (partition, offset)
        for partition in PARTITIONS
        for key, dead in dead_of(world, partition).items()
        for offset, other in world.history.keys[partition].items()
        if other == key and offset > min(dead) and offset not in dead
    ]

    assert world.history.faults == []
    assert world.history.missing == []
    assert strays == []
    assert any(len(dead) > 1 for partition in PARTITIONS for dead in dead_of(world, partition).values())


def dead_of(world: World, partition: Partition) -> dict[bytes, set[int]]:
    """Give the records of each key of *partition* whose dead letters count."""
    dead: dict[bytes, set[int]] = {}
    for copy in world.history.letters(partition):
        key = world.history.keys[partition][copy.origin]
        if key is not None:
            dead.setdefault(key, set()).add(copy.origin)
    return dead


@pytest.mark.parametrize("seed", range(4))
def test_without_order_nothing_is_lost(seed: int) -> None:
    """A chain that gives up the order of keys gives up nothing else."""
    world = lived(World(seed, policy="unordered"))

    assert [fault for fault in world.history.faults if "say" in fault or "committed" in fault] == []
    assert world.history.missing == []


# -- broken on purpose ------------------------------------------------------------------------------------


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


class SettlesAtDeparture(PartitionState):
    """Settles a record when its copy is sent, not when the broker has it."""

    def depart(self, item: Item, number: int) -> Move:
        item[1][item[2]] = 1
        return super().depart(item, number)


class KeepsLosers(ChainState[Item]):
    """Leaves the copy open from which another was made."""

    def leave(self, origin: int, left: int) -> None:
        self.carried.pop(origin, None)
        self.reasons.pop(origin, None)


def is_found_out(policy: OrderPolicy, dead_letters: DeadLetterPolicy, seeds: Iterable[int], **broken: Any) -> bool:
    """Say whether one of *seeds* worlds shows a fault."""
    for seed in seeds:
        try:
            world = lived(World(seed, policy=policy, dead_letters=dead_letters, **broken), heals=1_500)
        except (KeyError, IndexError):  # it broke down
            return True
        is_left = any(state.chain.outstanding for state in world.member.assignment.all())
        if world.history.faults or world.history.missing or is_left:
            return True
    return False


@pytest.mark.parametrize("broken", [SettleBeforeAck, ReverseOrder, LetsTheLaneGoOn, ForgetsRetries])
def test_a_broken_engine_is_found_out(broken: type[PartitionState]) -> None:
    """The same world finds a fault in an engine that is broken on purpose."""
    assert is_found_out("block", "continue", range(5), state_class=broken)


def test_what_settles_before_the_acknowledgement_is_found_out() -> None:
    """Rule 8: what was sent and is not known to be stored is nothing to commit upon."""
    assert is_found_out("park", "continue", range(5), state_class=SettlesAtDeparture)


@pytest.mark.parametrize(
    ("broken", "first"),
    [(NoFence, 0), (KeepsLosers, 14), (NoIndex, 0)],  # the seeds before it show nothing of losers, and take long
    ids=["NoFence", "KeepsLosers", "NoIndex"],
)
def test_a_chain_that_breaks_a_rule_is_found_out(broken: type[ChainState[Item]], first: int) -> None:
    """Without the fence of rule 12, the settling of rule 4, or the index of keys the world shows a fault."""
    assert is_found_out("park", "continue", range(first, first + 20), chain_class=broken)


def test_a_sound_engine_is_not_found_out() -> None:
    """What finds the broken ones finds nothing in the one that is to be shipped."""
    assert not is_found_out("park", "continue", range(5))
