"""What no record triggers: the view of a member, stuck handlers, and what has settled and run since the last look."""

from __future__ import annotations

import math

import pytest

from streams.config import Settings
from streams.engine.commit import Committer
from streams.engine.executors.inline import InlineExecutor
from streams.engine.intake import Intake
from streams.engine.partition import PartitionState, finish
from streams.engine.watch import Watch
from streams.kafka.session import Session
from streams.observer import MemberView
from streams.outcome import Retry
from streams.testing.clock import ManualClock
from tests.engine.edges import ScriptedConsumer
from tests.engine.stage import (
    AT_DLQ,
    AT_MINUTE,
    AT_PARKED,
    ORDERS,
    PARK,
    Heard,
    chain_state,
    message,
    messages,
    route,
    state,
)


def charge(order: bytes) -> None:
    """Do nothing."""


class Tower:
    """A watch over one inline route and the partitions of a test."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.consumer = ScriptedConsumer()
        self.executor = InlineExecutor(route(charge, run="inline", timeout=10))
        settings = Settings(bootstrap="localhost:9092", group="billing")
        self.committer = Committer(settings, Session(45, 3), self.clock, self.heard)
        self.consumer.answered = self.committer.answered
        self.intake = Intake(settings, self.committer, self.clock, self.heard)
        self.watch = Watch(
            executors={"orders": self.executor},
            consumer=self.consumer,
            intake=self.intake,
            committer=self.committer,
            clock=self.clock,
            observer=self.heard,
        )

    def view(self, *states: PartitionState) -> MemberView:
        """How the member stands now."""
        return self.watch.view(states, self.clock.monotonic())


@pytest.fixture
def tower() -> Tower:
    """A watch."""
    return Tower()


def test_the_view_shows_each_partition(tower: Tower) -> None:
    """Place, counts, ledger and commit of a partition are those of its rooms."""
    partition = state()
    tower.committer.begin(tower.consumer, partition)
    tower.consumer.answer()
    tower.consumer.known[ORDERS] = (0, 90)
    chunk = partition.admit([message(0, b"a", timestamp_ms=5), *messages((1, b"a"), (2, b"b"))])
    assert chunk is not None
    lanes = partition.enlane(chunk)
    partition.fail(partition.interrupt(lanes[0], 0), Retry(OSError()), tower.clock.monotonic(), 0)
    tower.intake.paused[partition] = "lane"
    tower.clock.advance(4)
    view = tower.view(partition)
    (place,) = view.partitions

    assert (view.outstanding, view.outstanding_bytes, view.running, view.capacity) == (3, 6, 0, 1)
    assert (place.position, place.committed, place.high_watermark) == (3, 0, 90)
    assert (place.outstanding, place.retrying, place.behind, place.oldest_ms) == (3, 1, 1, 5)
    assert (place.commit_age_s, place.paused, place.caught_up) == (4.0, "lane", False)
    assert place.unread == 87


def test_the_view_shows_what_stands_in_the_chain(tower: Tower) -> None:
    """Copies by where they are, keys by whether anything but time can help them."""
    chain = chain_state(stages=PARK, after_death="hold")
    partition = state(chain=chain)
    for offset, key, number in ((0, b"a", AT_MINUTE), (1, b"a", AT_PARKED), (2, b"b", AT_DLQ), (3, b"c", AT_PARKED)):
        left = chain.depart(key, offset)
        if key != b"c":
            chain.parts[number].sent([offset], [0])
            chain.arrive(key, offset, left, number, offset)
    (place,) = tower.view(partition).partitions

    assert (place.in_tiers, place.parked, place.moving) == (1, 1, 1)
    assert (place.in_trouble, place.blocked) == (3, 1)


def test_fenced_copies_are_told_as_they_are_met(tower: Tower) -> None:
    """Those of the scan with the first look, later ones with the next."""
    partition = state()
    partition.chain.fenced = 2
    tower.watch.tell([partition])
    tower.watch.tell([partition])
    partition.chain.fenced = 3
    tower.watch.tell([partition])

    assert tower.heard.of("fenced") == [(ORDERS, 2), (ORDERS, 1)]


def test_a_partition_without_a_commit_has_no_age(tower: Tower) -> None:
    """The age of a commit that never was is no number."""
    (place,) = tower.view(state()).partitions

    assert math.isnan(place.commit_age_s)
    assert place.committed == -1


def test_a_stuck_handler_is_told_once(tower: Tower) -> None:
    """A run past its timeout is counted as long as it lasts, and told of once."""
    chunk = (partition := state()).admit(messages((7, b"a")))
    assert chunk is not None
    slot = tower.executor.slots()[0]
    slot.since, slot.item = tower.clock.monotonic(), partition.enlane(chunk)[0][0]
    counts = []
    for _ in range(4):
        tower.clock.advance(4)
        counts.append(tower.view(partition).stuck)
    slot.item = None
    counts.append(tower.view(partition).stuck)

    assert counts == [0, 0, 1, 1, 0]
    assert tower.heard.of("stuck") == [(ORDERS, 7, 12.0)]


def test_a_second_stuck_run_is_told_again(tower: Tower) -> None:
    """Each stuck run is told of, whatever the slot did before."""
    chunk = (partition := state()).admit(messages((7, b"a"), (8, b"b")))
    assert chunk is not None
    slot = tower.executor.slots()[0]
    for run in partition.enlane(chunk):
        slot.since, slot.item = tower.clock.monotonic(), run[0]
        tower.clock.advance(11)
        tower.view(partition)

    assert [offset for _, offset, _ in tower.heard.of("stuck")] == [7, 8]


def test_what_settled_is_told_with_its_age(tower: Tower) -> None:
    """Each look tells what has settled since the one before, and how old a record of it was."""
    partition = state()
    made_ms = int(tower.clock.now() * 1000) - 2_500
    chunk = partition.admit([message(at, None, timestamp_ms=made_ms) for at in range(5)])
    assert chunk is not None
    runs = list(partition.enlane(chunk))
    tower.watch.tell_settled([partition])
    list(finish(runs[:2]))
    tower.watch.tell_settled([partition])
    tower.watch.tell_settled([partition])
    list(finish(runs[2:]))
    tower.watch.tell_settled([partition])
    told = tower.heard.of("settled")

    assert [(place, count) for place, _, count in told] == [(ORDERS, 2), (ORDERS, 3)]
    assert [round(age, 3) for _, age, _ in told] == [2.5, 2.5]


def test_handler_time_is_told_with_each_view(tower: Tower) -> None:
    """Runs and their time are told since the last view, once a second; nothing when nothing ran."""
    partition = state()
    chunk = partition.admit(messages((0, b"a"), (1, b"b")))
    assert chunk is not None
    tower.executor.take(partition, chunk)
    tower.watch.look([partition])
    tower.watch.look([partition])
    tower.clock.advance(1)
    tower.watch.look([partition])

    assert [(topic, runs) for topic, runs, _ in tower.heard.of("handled")] == [("orders", 2)]
    assert len(tower.heard.of("viewed")) == 2


def test_bounds_are_looked_at_ten_times_a_second(tower: Tower) -> None:
    """Pauses do not wait for the next view, and cost nothing between two looks."""
    partition = state()
    tower.consumer.reading[ORDERS] = 0
    tower.watch.look([partition])
    tower.intake.blocked[partition] = "dead_letter_topic"
    tower.watch.look([partition])
    before = set(tower.consumer.paused)
    tower.clock.advance(0.1)
    tower.watch.look([partition])

    assert before == set()
    assert tower.consumer.paused == {ORDERS}
