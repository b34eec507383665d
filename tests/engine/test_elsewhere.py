"""What waits in the chains of other members' partitions, as the broker alone tells it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streams.engine.chain import copy_headers
from streams.engine.elsewhere import Elsewhere
from streams.engine.policy import DeadLetterPolicy
from streams.engine.snapshot import Snapshot, encode, runs_of
from streams.errors import BrokerError
from streams.kafka.consumer import Stored
from streams.record import Partition
from streams.retry import RetryPolicy
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, ScriptedConsumer, ScriptedReader
from tests.engine.shelf import header
from tests.engine.stage import OTHER, plan, route

MINUTE = Partition("orders.billing.retry.1m", OTHER.number)
PARKED = Partition("orders.billing.parked", OTHER.number)
DEAD = Partition("orders.billing.dlq", OTHER.number)
EVERYTHING: Mapping[Partition, int] = {OTHER: 10}


def take(_order: bytes) -> None:
    """Do nothing."""


class Other:
    """A partition that another member owns: its logs, and what that member commits."""

    def __init__(self, dead_letters: DeadLetterPolicy = "continue") -> None:
        chosen = route(take, retry=RetryPolicy(delays=(60,)), dead_letters=dead_letters)
        self.clock = ManualClock()
        self.log = ChainLog(self.clock)
        self.consumer = ScriptedConsumer()
        self.reader = ScriptedReader(self.log)
        self.elsewhere = Elsewhere(self.consumer, {"orders": plan(chosen)}, self.reader, self.clock)
        self.commit(OTHER, 10)
        for place in (MINUTE, PARKED, DEAD):
            self.commit(place, 0)

    def append(self, place: Partition, origin: int, *, key: bytes = b"a", by: bytes = b"owner") -> None:
        """A copy of the record at *origin* stands at *place*."""
        self.log.append(place, key, b"{}", copy_headers(None, header(origin, by=by)))
        self.consumer.marks[place] = (0, self.log.end(place))

    def commit(self, place: Partition, offset: int, *settled: range, scan_end: int = 0) -> None:
        """The owner commits *offset*, and *settled* above it."""
        text = encode(Snapshot(b"owner", runs=runs_of(settled, offset), scan_end=scan_end))
        self.consumer.stored[place] = Stored(offset, text)

    def is_done(self, *, settled: bool = True, later_s: float = 0.5) -> bool:
        """What a member learns that asks some time later."""
        self.clock.advance(later_s)
        return self.elsewhere.is_done(EVERYTHING, settled=settled)

    def is_done_at_a_standstill(self) -> bool:
        """What it learns when nothing has moved for long."""
        return any(self.is_done(later_s=later_s) for later_s in (0.5, 10))


@pytest.fixture
def other() -> Other:
    """One that has passed its source, and has nothing in its chain."""
    return Other()


def test_an_empty_chain_is_done(other: Other) -> None:
    """Without a look at any copy."""
    assert other.is_done()
    assert other.reader.scanned == []


@pytest.mark.parametrize("place", [MINUTE, PARKED])
def test_what_stands_above_the_commit_waits(other: Other, place: Partition) -> None:
    """Until the owner has committed the end of the log; to be empty no chain is looked at."""
    other.append(place, 3)
    steps = [other.is_done(), other.is_done_at_a_standstill(), other.is_done(settled=False)]
    other.commit(place, 1)
    steps.append(other.is_done())

    assert steps == [False, False, True, True]


def test_what_is_settled_out_of_order_leaves_the_rest_waiting(other: Other) -> None:
    """The second copy has settled, the first has not; the read looks at the first alone."""
    other.append(PARKED, 3)
    other.append(PARKED, 4, key=b"b")
    other.commit(PARKED, 0, range(1, 2))
    before = other.is_done_at_a_standstill()
    other.commit(PARKED, 2)

    assert not before
    assert other.is_done()


def test_dead_letters_alone_hold_nobody_up(other: Other) -> None:
    """A dead letter is an end, however many of them nobody has looked at."""
    other.append(DEAD, 3)

    assert other.is_done()


@pytest.mark.parametrize("dead_letters", ["hold", "follow"])
def test_what_waits_for_an_operator_is_not_waited_for(dead_letters: DeadLetterPolicy) -> None:
    """A key behind its held dead letter stands still until a person decides; other keys are waited for."""
    other = Other(dead_letters)
    other.append(DEAD, 3)
    other.append(PARKED, 4)
    moving, held = other.is_done(), other.is_done_at_a_standstill()
    other.append(PARKED, 5, key=b"b")
    other.commit(PARKED, 0)

    assert (moving, held) == (False, True)
    assert not other.is_done_at_a_standstill()


def test_what_a_former_owner_sent_late_is_not_waited_for(other: Other) -> None:
    """Copies above the fence that carry another assignment are nobody's, and the owner commits nothing for them."""
    other.append(MINUTE, 3, by=b"former")
    dead = other.is_done_at_a_standstill()
    other.append(MINUTE, 4)

    assert dead
    assert not other.is_done_at_a_standstill()


def test_copies_are_read_once_for_each_state_of_the_commits(other: Other) -> None:
    """While nothing moves there is nothing new to learn; while commits move on there is no need to."""
    other.append(MINUTE, 3)
    moving = []
    for starts in range(5):
        other.consumer.stored[MINUTE] = Stored(0, encode(Snapshot(b"owner", starts=starts)))
        moving.append(other.is_done(later_s=3))
    before = list(other.reader.scanned)
    for _ in range(5):
        other.is_done(later_s=10)

    assert moving == [False] * 5
    assert before == []
    assert other.reader.scanned == [(MINUTE, 0, 1)]


def test_a_broker_that_does_not_answer_is_asked_again(other: Other) -> None:
    """No answer is no end; nor is it one when asked again at once."""
    other.consumer.failures = [BrokerError("timed out")]
    silent, at_once = other.is_done(), other.is_done(later_s=0)

    assert (silent, at_once) == (False, False)
    assert other.is_done()


def test_what_a_later_version_wrote_is_waited_for(other: Other) -> None:
    """Nobody here can say what it means; what it leaves no doubt about needs no reading."""
    other.append(MINUTE, 3)
    other.consumer.stored[MINUTE] = Stored(0, "s9whatever")
    unread = other.is_done_at_a_standstill()
    other.consumer.stored[MINUTE] = Stored(1, "s9whatever")

    assert not unread
    assert other.is_done()


def test_damaged_ledgers_are_read_as_the_next_owner_would(other: Other) -> None:
    """A copy whose end nobody knows is held for an operator; one whose source is open will run."""
    other.append(MINUTE, 3)
    other.consumer.stored[MINUTE] = Stored(0, "damaged")
    suspect = other.is_done_at_a_standstill()
    other.append(MINUTE, 12, key=b"b")

    assert suspect
    assert not other.is_done_at_a_standstill()
