"""How much may be read: bounds in all and for each partition, pauses that come late and end at half the bound."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streams.config import Settings
from streams.engine.commit import Committer
from streams.engine.intake import Intake
from streams.engine.partition import PartitionState, Run, finish
from streams.engine.policy import DeadLetterPolicy
from streams.kafka.session import Session
from streams.outcome import Retry
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import ScriptedConsumer
from tests.engine.stage import AT_DLQ, AT_PARKED, PARK, Heard, chain_state, message, state

BOUNDS: dict[str, Any] = {
    "batch_records": 10,
    "max_in_flight": 100,
    "partition_in_flight": 40,
    "waiting_records": 20,
    "max_in_flight_bytes": 4_096,
}


class Gate:
    """An intake over a few partitions, and the clock in the test's hand."""

    def __init__(self, partitions: int = 2, **settings: Any) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.consumer = ScriptedConsumer()
        chosen = Settings(bootstrap="localhost:9092", group="billing", **{**BOUNDS, **settings})
        self.committer = Committer(chosen, Session(45, 3), self.clock, self.heard)
        self.consumer.answered = self.committer.answered
        self.intake = Intake(chosen, self.committer, self.clock, self.heard)
        self.states = [state(Partition("orders", number)) for number in range(partitions)]
        self.runs: dict[PartitionState, list[Run]] = {one: [] for one in self.states}
        self.consumer.reading = {one.partition: 0 for one in self.states}

    def read(self, number: int, count: int, *, key: bytes | None = None, size: int = 2) -> None:
        """*count* records of one partition are read, and run."""
        one = self.states[number]
        start = one.ledger.position
        chunk = one.admit([message(start + at, key, b"x" * size, partition=one.partition) for at in range(count)])
        assert chunk is not None
        self.runs[one] += one.enlane(chunk)

    def settle(self, number: int, count: int) -> None:
        """*count* runs of one partition end well."""
        runs = self.runs[self.states[number]]
        done, runs[:] = runs[:count], runs[count:]
        runs += finish(done)

    def pass_time(self, seconds: float) -> int:
        """Time passes, with the looks that it brings; give the room there is then."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.intake.room(self.states)
            self.intake.regulate(self.consumer, self.states)
        return self.room

    @property
    def room(self) -> int:
        """How many records may be read."""
        return self.intake.room(self.states)

    @property
    def paused(self) -> dict[int, str]:
        """Why partitions stand still, by number; the client agrees on which."""
        told: dict[int, str] = {one.partition.number: reason for one, reason in self.intake.paused.items()}
        assert {one.number for one in self.consumer.paused} == set(told)
        return told


def full_gate() -> Gate:
    """A member whose partitions fill it together, none of them more than its part."""
    gate = Gate(3, partition_in_flight=1_000)
    for number, count in enumerate((40, 40, 20)):
        gate.read(number, count)
    return gate


def fail(gate: Gate, number: int) -> None:
    """The next run of a partition fails, and its record waits."""
    one = gate.states[number]
    run = gate.runs[one].pop(0)
    one.fail(one.interrupt(run, 0), Retry(OSError("down")), gate.clock.monotonic(), 0)


# -- the member's bound -----------------------------------------------------------------------------


def test_there_is_room_up_to_the_bound() -> None:
    """A batch is read while there is room for half of one; then reading waits."""
    gate = Gate(partition_in_flight=1_000)
    rooms = [gate.room]
    gate.read(0, 91)
    rooms.append(gate.room)
    gate.read(0, 5)
    rooms.append(gate.room)
    gate.settle(0, 6)
    rooms.append(gate.room)

    assert rooms == [10, 9, 0, 10]


@pytest.mark.parametrize("bound", [1, 2, 3, 10])
def test_a_small_bound_is_a_bound_too(bound: int) -> None:
    """Even where one record is all that may be in flight, fullness lasts until there is room, and pauses come."""
    gate = Gate(1, max_in_flight=bound, batch_records=1, partition_in_flight=1_000)
    gate.read(0, bound)
    full = gate.pass_time(3)
    paused = gate.paused
    gate.settle(0, bound)
    room = gate.room
    gate.pass_time(0.1)

    assert (full, room) == (0, 1)
    assert paused == {0: "in_flight"}
    assert gate.paused == {}


def test_a_moment_without_room_pauses_nothing() -> None:
    """A pause drops what the client read ahead, so a short wait is none."""
    gate = full_gate()
    gate.pass_time(0.8)
    gate.settle(0, 20)
    gate.pass_time(0.8)

    assert gate.paused == {}
    assert gate.heard.events == []


def test_a_lasting_fullness_pauses_and_ends_at_half_the_bound() -> None:
    """After a second everything is paused, so that the group is still heard; it goes on when half is free."""
    gate = full_gate()
    gate.pass_time(1.3)
    full = (gate.paused, gate.room, gate.intake.is_stalled)
    gate.settle(0, 40)
    gate.settle(1, 9)
    gate.pass_time(0.5)
    nearly = gate.paused
    gate.settle(1, 1)
    gate.pass_time(0.1)
    everywhere = dict.fromkeys(range(3), "in_flight")

    assert full == (everywhere, 0, True)
    assert nearly == everywhere
    assert gate.paused == {}
    assert len(gate.heard.of("paused")) == len(gate.heard.of("resumed")) == 3


def test_bytes_count_as_records_do() -> None:
    """A few large records fill the member too, and one that is larger than the bound is not waited for for ever."""
    gate = Gate(1)
    gate.read(0, 1, size=10_000)
    full = gate.pass_time(2)
    paused = gate.paused
    gate.settle(0, 1)
    gate.pass_time(0.1)

    assert full == 0
    assert paused
    assert gate.paused == {}
    assert gate.room == 10


# -- a partition's own bounds -------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [{}, {"partition_in_flight": 5_000}], ids=["small", "as large as the member's"])
def test_one_stuck_partition_starves_no_other(bounds: dict[str, int]) -> None:
    """A partition that is over its bound is paused alone, and leaves its room to the others."""
    gate = Gate(**bounds)
    for _ in range(100):
        gate.read(0, gate.room or 1)
        if not gate.pass_time(0.1):
            break
    gate.pass_time(1.5)

    assert gate.paused == {0: "partition"}
    assert gate.room == 10


def test_a_partition_goes_on_at_half_its_bound() -> None:
    """A pause ends late, as it came late."""
    gate = Gate()
    gate.read(0, 40)
    gate.pass_time(0.9)
    early = gate.paused
    gate.pass_time(0.3)
    late = gate.paused
    gate.settle(0, 20)
    gate.pass_time(0.1)
    half = gate.paused
    gate.settle(0, 1)
    gate.pass_time(0.1)

    assert (early, late, half) == ({}, {0: "partition"}, {0: "partition"})
    assert gate.paused == {}


def test_a_short_burst_pauses_nothing() -> None:
    """A partition that falls below its bound within a second was never over it."""
    gate = Gate()
    for _ in range(5):
        gate.read(0, 40)
        gate.pass_time(0.6)
        gate.settle(0, 40)
        gate.pass_time(0.6)

    assert gate.heard.events == []


def test_a_partition_of_large_records_is_paused_alone() -> None:
    """One partition may hold a quarter of the member's bytes; alone it may hold all of them."""
    several, single = Gate(), Gate(1)
    for gate in (several, single):
        gate.read(0, 1, size=1_500)
        gate.pass_time(1.3)

    assert several.paused == {0: "bytes"}
    assert several.room == 10
    assert single.paused == {}


def test_records_behind_a_failed_one_are_bounded() -> None:
    """Records that wait for another attempt, or behind one, stop their partition at once, until half are gone."""
    gate = Gate()
    gate.read(0, 12, key=b"a")
    fail(gate, 0)
    gate.read(0, 9, key=b"a")
    gate.pass_time(0.1)
    paused = gate.paused
    one = gate.states[0]
    (again,) = one.due(one.next_due_s)
    gate.runs[one] = [again]
    gate.settle(0, 1)
    gate.pass_time(0.1)

    assert paused == {0: "lane"}
    assert gate.paused == {}


@pytest.mark.parametrize(
    ("bounds", "count", "crowded"),
    [({}, 20, False), ({}, 21, True), ({"ledger_limit": 200, "waiting_records": 2_000}, 400, True)],
    ids=["at the bound", "past it", "a ledger that will be full"],
)
def test_a_crowd_is_known_at_once(bounds: dict[str, int], count: int, *, crowded: bool) -> None:
    """Whether so much waits that the next look would be too late is told at once; without a failure nothing is."""
    gate = Gate(partition_in_flight=1_000, **bounds)
    gate.read(0, count, key=b"a")
    one = gate.states[0]
    before = gate.intake.is_crowded(one)
    fail(gate, 0)

    assert not before
    assert gate.intake.is_crowded(one) == crowded


def test_many_failed_keys_are_bounded_too() -> None:
    """When everything fails, no more than the bound is read on top."""
    gate = Gate(partition_in_flight=1_000)
    gate.read(0, 30)
    for _ in range(20):
        fail(gate, 0)
    gate.pass_time(0.1)
    before = gate.paused
    fail(gate, 0)
    gate.pass_time(0.1)

    assert before == {}
    assert gate.paused == {0: "lane"}


def test_a_full_ledger_stops_its_partition() -> None:
    """Where the ledger nears what a commit can hold, its partition reads no further until it is half as large."""
    gate = Gate(ledger_limit=200, partition_in_flight=100_000, max_in_flight=100_000)
    one = gate.states[0]
    gate.committer.begin(gate.consumer, one)
    gate.read(0, 2_000)
    runs = gate.runs[one]
    kept = random.Random(1).sample(runs, 500)
    gate.runs[one] = [run for run in runs if run not in kept]
    gate.settle(0, 1_500)
    gate.consumer.answer()
    gate.clock.advance(1)
    gate.committer.commit_if_due(gate.consumer)
    gate.pass_time(0.1)
    full = gate.paused
    gate.runs[one] = kept
    gate.settle(0, 500)
    gate.consumer.answer()
    gate.clock.advance(1)
    gate.committer.commit_if_due(gate.consumer)
    gate.pass_time(0.1)

    assert full == {0: "ledger"}
    assert gate.paused == {}


# -- what waits in the chain ---------------------------------------------------------------------------


def park(gate: Gate, *keys: bytes) -> None:
    """One more record of each of *keys* stands in the parked topic of the first partition."""
    chain = gate.states[0].chain
    for key in keys:
        offset = chain.parts[AT_PARKED].end
        left = chain.depart(key, offset)
        chain.parts[AT_PARKED].sent([offset], [0])
        chain.arrive(key, offset, left, AT_PARKED, offset)


def unpark(gate: Gate, key: bytes, count: int) -> None:
    """The oldest *count* of these end."""
    chain = gate.states[0].chain
    for _ in range(count):
        origin = chain.index[key].first
        assert origin is not None
        chain.finish(key, origin)


def chained(**bounds: Any) -> Gate:
    """A gate whose first partition has a whole chain."""
    gate = Gate(**bounds)
    gate.states[0].chain = chain_state(stages=PARK)
    return gate


def test_what_waits_in_the_chain_is_bounded() -> None:
    """At the bound its partition reads no further until half of it ended, whatever the keys; others go on."""
    gate = chained(chain_records=10)
    park(gate, *(b"%d" % number for number in range(9)))
    gate.pass_time(0.1)
    before = gate.paused
    park(gate, b"9")
    gate.pass_time(0.1)
    full = gate.paused
    for number in range(5):
        unpark(gate, b"%d" % number, 1)
    gate.pass_time(0.1)
    half = gate.paused
    unpark(gate, b"5", 1)
    gate.pass_time(0.1)

    assert (before, full, half) == ({}, {0: "chain"}, {0: "chain"})
    assert gate.paused == {}


@pytest.mark.parametrize(
    ("after_death", "paused"), [("continue", {}), ("hold", {0: "chain"}), ("follow", {0: "chain"})]
)
def test_dead_letters_that_block_keys_are_bounded(after_death: DeadLetterPolicy, paused: dict[int, str]) -> None:
    """They take memory as long as nobody decides about them; those that block nothing are no reason to stop."""
    gate = Gate(chain_records=10)
    chain = gate.states[0].chain = chain_state(stages=PARK, after_death=after_death)
    for offset in range(10):
        left = chain.depart(b"%d" % offset, offset)
        chain.parts[AT_DLQ].sent([offset], [0])
        chain.arrive(b"%d" % offset, offset, left, AT_DLQ, offset)
    gate.pass_time(0.1)

    assert gate.paused == paused


def test_what_waits_of_one_key_is_bounded() -> None:
    """The same for the key that has most; many keys with little each are no reason."""
    gate = chained(key_records=10)
    park(gate, *(b"%d" % number for number in range(30)))
    park(gate, *[b"a"] * 9)
    gate.pass_time(1.1)
    before = gate.paused
    park(gate, b"a")
    gate.pass_time(1.1)
    full = gate.paused
    unpark(gate, b"a", 6)
    gate.pass_time(1.1)

    assert (before, full) == ({}, {0: "key"})
    assert gate.paused == {}


def test_a_full_key_that_is_given_up_stops_nothing() -> None:
    """Its further records become dead letters instead."""
    gate = chained(key_records=10, on_key_full="dead_letter")
    park(gate, *[b"a"] * 12)
    gate.pass_time(1.1)

    assert gate.paused == {}


def test_a_partition_that_its_chain_lacks_stands_still() -> None:
    """Whatever else may be said of it."""
    gate = Gate()
    gate.states[0].lacks = "topic orders.billing.parked has 1 partition(s)"
    gate.pass_time(0.1)

    assert gate.paused == {0: "chain_topic"}


# -- what the engine says -----------------------------------------------------------------------------


def test_a_blocked_partition_stands_still_until_it_is_let_go() -> None:
    """The engine may stop a partition, whatever its bounds say; others go on."""
    gate = Gate()
    gate.intake.blocked[gate.states[0]] = "dead_letter_topic"
    gate.pass_time(0.1)
    blocked = (gate.paused, gate.room)
    gate.intake.blocked.clear()
    gate.pass_time(0.1)

    assert blocked == ({0: "dead_letter_topic"}, 10)
    assert gate.paused == {}


def test_a_member_that_stops_reads_nothing() -> None:
    """At the end everything is paused, at once, and there is no room."""
    gate = Gate()
    gate.intake.is_closed = True
    gate.pass_time(0.1)

    assert gate.paused == {0: "draining", 1: "draining"}
    assert gate.room == 0
    assert gate.intake.is_stalled


def test_a_partition_that_went_leaves_nothing_behind() -> None:
    """A partition that was dropped is not resumed, and nothing is kept of it."""
    gate = Gate()
    gone = gate.states[0]
    gate.intake.blocked[gone] = "dead_letter_topic"
    gate.read(0, 40)
    gate.pass_time(1.3)
    gone.drop()
    gate.states = gate.states[1:]
    gate.consumer.unassign([gone.partition])
    gate.consumer.paused.clear()
    gate.pass_time(0.1)

    assert gate.paused == {}
    assert gate.intake.blocked == {}
    assert gate.heard.of("resumed") == []
