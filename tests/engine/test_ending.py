"""When everything that was there at the start is done, in the whole group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from streams.engine.assignment import Assignment
from streams.engine.elsewhere import Elsewhere
from streams.engine.ending import Emptiness
from streams.engine.partition import PartitionState, Run, finish
from streams.errors import BrokerError
from streams.kafka.consumer import Stored
from streams.outcome import Retry
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, ScriptedConsumer, ScriptedReader
from tests.engine.stage import ORDERS, OTHER, messages, plan, route, state


@dataclass
class Owned:
    """What a member owns, as far as it matters here."""

    states: list[PartitionState] = field(default_factory=list)
    has_joined: bool = True

    def all(self) -> list[PartitionState]:
        return self.states

    def get(self, partition: Partition) -> PartitionState | None:
        return next((one for one in self.states if one.partition == partition), None)


def take(_order: bytes) -> None:
    """Do nothing."""


class Group:
    """A topic of two partitions, one of which is owned here."""

    def __init__(self, **ends: int) -> None:
        self.clock = ManualClock()
        self.consumer = ScriptedConsumer()
        self.consumer.partitions = {"orders": 2}
        self.consumer.marks = {ORDERS: (0, ends.get("ours", 3)), OTHER: (0, ends.get("others", 0))}
        self.owned = Owned([state()])
        plans = {"orders": plan(route(take))}
        elsewhere = Elsewhere(self.consumer, plans, ScriptedReader(ChainLog()), self.clock)
        self.emptiness = Emptiness(self.consumer, ["orders"], elsewhere, self.clock)

    @property
    def ours(self) -> PartitionState:
        return self.owned.states[0]

    def read(self, *places: tuple[int, bytes | None]) -> list[Run]:
        chunk = self.ours.admit(messages(*places))
        assert chunk is not None
        return list(self.ours.enlane(chunk))

    def is_reached(self, *, settled: bool = False) -> bool:
        return self.emptiness.is_reached(cast("Assignment", self.owned), settled=settled)


def test_nothing_is_reached_before_the_group_answered() -> None:
    """A member that has not joined yet knows nothing of what is left."""
    group = Group(ours=0)
    group.owned = Owned([], has_joined=False)
    before = group.is_reached()
    group.owned.has_joined = True

    assert not before
    assert group.is_reached()


def test_the_end_is_reached_when_all_before_it_is_done() -> None:
    """Records have to be read and settled; what comes later does not matter."""
    group = Group()
    steps = [group.is_reached()]
    runs = group.read((0, b"a"), (1, b"b"))
    list(finish(runs))
    steps.append(group.is_reached())
    runs = group.read((2, b"c"))
    steps.append(group.is_reached())
    list(finish(runs))
    steps.append(group.is_reached())

    assert steps == [False, False, False, True]


def test_markers_before_the_end_are_passed_when_it_is_told() -> None:
    """An end behind the last record is reached once the client tells of it."""
    group = Group(ours=5)
    list(finish(group.read((0, b"a"), (1, b"b"))))
    before = group.is_reached()
    group.ours.reach(5)

    assert not before
    assert group.is_reached()


def test_what_waits_for_a_retry_is_left_unless_it_is_to_be_settled() -> None:
    """Nothing is due: so it ends, or, if everything is to be settled, waits for it."""
    group = Group()
    first, *_ = group.read((0, b"a"), (1, b"a"), (2, b"a"))
    item = group.ours.interrupt(first, 0)
    before = group.is_reached()
    group.ours.fail(item, Retry(OSError("down")), 0.0, 0)
    waiting = (group.is_reached(), group.is_reached(settled=True))
    group.ours.due(1.0)
    running = group.is_reached()

    assert not before
    assert waiting == (True, False)
    assert not running


def test_partitions_of_others_count_by_what_is_committed() -> None:
    """The group is done when others have committed their ends; they are asked now and then, not each turn."""
    group = Group(ours=0, others=10)
    group.consumer.stored[OTHER] = Stored(9, "")
    steps = [group.is_reached()]
    group.consumer.stored[OTHER] = Stored(10, "")
    steps.append(group.is_reached())
    group.clock.advance(0.5)
    steps.append(group.is_reached())

    assert steps == [False, False, True]


def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    """Trouble while looking is no end."""
    group = Group(ours=0, others=10)
    group.consumer.stored[OTHER] = Stored(10, "")
    group.consumer.failures = [BrokerError("timed out")]
    before = group.is_reached()
    group.clock.advance(0.5)

    assert not before
    assert group.is_reached()


@pytest.mark.parametrize("committed", [None, 0])
def test_a_partition_that_nobody_has_begun_is_not_done(committed: int | None) -> None:
    """A partition with records and without an owner's commit is not empty."""
    group = Group(ours=0, others=10)
    group.consumer.stored[OTHER] = Stored(committed, "")

    assert not group.is_reached()


def test_a_chain_counts_though_its_source_holds_nothing() -> None:
    """Retention may have emptied the source of what waits in its chain: that counts where all is to be settled."""
    group = Group(ours=0, others=0)
    parked = Partition("orders.billing.parked", OTHER.number)
    group.consumer.marks[parked] = (0, 1)
    waits = group.is_reached(settled=True)
    is_empty = group.is_reached()
    group.consumer.stored[parked] = Stored(1, "")
    group.clock.advance(0.5)

    assert (waits, is_empty) == (False, True)
    assert group.is_reached(settled=True)


def test_a_topic_that_the_broker_has_not_heard_of_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again: a topic has partitions; without them nobody could say what its end is."""
    pauses: list[float] = []
    consumer, clock = ScriptedConsumer(), ManualClock()
    elsewhere = Elsewhere(consumer, {}, ScriptedReader(ChainLog()), clock)

    def pause(pause_s: float) -> None:
        pauses.append(pause_s)
        consumer.partitions = {"orders": 1} if len(pauses) == 3 else {}

    monkeypatch.setattr("streams.engine.ending.time.sleep", pause)
    Emptiness(consumer, ["orders"], elsewhere, clock)

    assert len(pauses) == 3
    with pytest.raises(BrokerError, match="no partition of payments"):
        Emptiness(consumer, ["payments"], elsewhere, clock)
