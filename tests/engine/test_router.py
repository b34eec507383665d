"""What follows a run that did not simply end well: retries, sends, dead letters, a broker that refuses or is silent."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streams.config import Settings
from streams.engine.chain import unpack, unpack_error
from streams.engine.commit import Committer
from streams.engine.context import Send, Sends
from streams.engine.executors.executor import NOT_STARTED, Interruption, NotStarted
from streams.engine.intake import Intake
from streams.engine.partition import PartitionState, Run
from streams.engine.relocation import Relocator
from streams.engine.route import Ended
from streams.engine.router import Router
from streams.engine.suspension import Suspension
from streams.errors import DecodeError, SendError
from streams.kafka.producer import Fate
from streams.kafka.session import Session
from streams.observer import Failure, Observer
from streams.outcome import Ack, DeadLetter, Retry, Skip
from streams.record import Origin
from streams.retry import RetryPolicy
from streams.testing.clock import ManualClock
from tests.engine.edges import Produced, ScriptedProducer
from tests.engine.stage import ORDERS, Heard, message, messages, route, state

BAD = ValueError("bad")
INVOICE = Send("invoices", b"a", b"{}", [])


class Desk:
    """A router with everything beside it, and the clock in the test's hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.producer = ScriptedProducer()
        self.relocator = Relocator(self.producer)
        settings = Settings(bootstrap="localhost:9092", group="billing")
        self.intake = Intake(
            settings, Committer(settings, Session(45, 3), self.clock, self.heard), self.clock, self.heard
        )
        routes = {"orders": route(charge)}
        self.router = Router(
            routes=routes,
            relocator=self.relocator,
            intake=self.intake,
            suspension=Suspension(routes, self.clock, Observer()),
            clock=self.clock,
            observer=self.heard,
        )

    def end(self, run: Run, outcome: Ended | NotStarted, done: int = 0) -> Run | None:
        """*run* stopped, and this is what it stopped with."""
        followers = self.router.route("orders", [Interruption(run, done, outcome)])
        return followers[0] if followers else None

    def turn(self) -> list[tuple[int | None, Run | None]]:
        """Settle what the broker has; give each record's offset with what follows it."""
        return [(item[0].offset(), follower) for item, follower in self.router.acknowledged()]

    def answer(self, fate: Fate = "stored", error: str = "") -> Produced:
        """Send what waits, and let the oldest of it meet *fate*."""
        if not self.producer.flying:
            self.turn()
        return self.producer.answer(fate, error)


def charge(order: bytes) -> None:
    """The handler whose records are routed here."""


@pytest.fixture
def desk() -> Desk:
    """A router at work."""
    return Desk()


def runs(partition: PartitionState, *places: tuple[int, bytes | None]) -> list[Run]:
    """What runs once records at *places* were read."""
    chunk = partition.admit(messages(*places))
    assert chunk is not None
    return list(partition.enlane(chunk))


# -- outcomes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [Skip("seen"), Ack(), None], ids=str)
def test_what_is_done_settles_and_the_lane_goes_on(outcome: Ended, desk: Desk) -> None:
    """A skipped record is done: the next of its key may run at once."""
    partition = state()
    (run,) = runs(partition, (0, b"a"), (1, b"a"))
    follower = desk.end(run, outcome)

    assert follower is not None
    assert [item[0].offset() for item in follower] == [1]
    assert partition.ledger.committable == 1
    assert desk.heard.of("finished") == [("orders", "skipped", 1)]


def test_what_ended_well_before_has_ended(desk: Desk) -> None:
    """The records of a run before the one that stopped it settle; those behind wait."""
    partition = state()
    (run,) = runs(partition, (0, b"a"), (1, b"a"), (2, b"a"))
    desk.end(run, Retry(BAD), done=1)

    assert (partition.ledger.committable, partition.outstanding, partition.behind) == (1, 2, 1)


def test_a_failed_record_is_held_and_told(desk: Desk) -> None:
    """A retry holds the lane for as long as the policy says, and the observer hears of it."""
    partition = state()
    (run,) = runs(partition, (0, b"a"), (1, b"a"))
    follower = desk.end(run, Retry(BAD))

    assert follower is None
    assert partition.next_due_s == desk.clock.monotonic() + 1
    assert desk.heard.of("retrying") == [(ORDERS, [Failure(0, 1, 1.0, BAD)])]
    assert desk.heard.of("finished") == [("orders", "retried", 1)]


def test_what_was_not_started_counts_as_nothing(desk: Desk) -> None:
    """A record that came back unstarted waits for the lease and is no failure."""
    partition = state()
    (run,) = runs(partition, (0, b"a"))
    desk.end(run, NOT_STARTED)

    assert partition.has_waiting
    assert partition.attempts_of(run[0]) == 0
    assert desk.heard.events == []


def test_a_dropped_partition_hears_nothing(desk: Desk) -> None:
    """What ends after its partition went to another owner leads to nothing."""
    partition = state()
    lanes = runs(partition, (0, b"a"), (1, b"b"), (2, b"c"), (3, b"d"))
    partition.drop()
    outcomes: list[Ended] = [Retry(BAD), DeadLetter(BAD), Sends(Ack(), [INVOICE]), Skip()]
    for run, outcome in zip(lanes, outcomes, strict=True):
        desk.end(run, outcome)

    assert desk.turn() == []
    assert desk.heard.events == []
    assert desk.producer.flying == []


# -- sends --------------------------------------------------------------------------------------------


def test_sends_settle_after_the_last_acknowledgement(desk: Desk) -> None:
    """A record whose handler sent two is open until the broker has both."""
    partition = state()
    (run,) = runs(partition, (0, b"a"), (1, b"a"))
    desk.end(run, Sends(Ack(), [INVOICE, INVOICE]))
    desk.answer()
    first = desk.turn()
    between = partition.ledger.committable
    desk.answer()
    ((offset, follower),) = desk.turn()

    assert (first, between, offset) == ([], 0, 0)
    assert follower is not None
    assert partition.ledger.committable == 1
    assert desk.heard.of("finished") == [("orders", "done", 1)]


def test_a_refused_send_is_a_failed_run(desk: Desk) -> None:
    """What the broker did not take of a handler's sends makes its record run again, in words."""
    partition = state()
    (run,) = runs(partition, (0, b"a"))
    desk.end(run, Sends(Ack(), [INVOICE, INVOICE]))
    desk.answer()
    desk.answer("refused", "MSG_SIZE_TOO_SMALL")
    desk.turn()
    ((_, (failure,)),) = desk.heard.of("retrying")

    assert partition.outstanding == 1
    assert failure.attempt == 1
    assert isinstance(failure.error, SendError)
    assert "MSG_SIZE_TOO_SMALL" in str(failure.error)


def test_a_send_that_is_always_refused_ends_as_a_dead_letter(desk: Desk) -> None:
    """Refused sends count as attempts, and the last one gives the record up."""
    partition = state(policy=RetryPolicy(delays=(1,), jitter=0))
    (run,) = runs(partition, (0, b"a"))
    for _ in range(2):
        desk.end(run, Sends(Ack(), [INVOICE]))
        desk.answer("refused", "POLICY_VIOLATION")
        desk.turn()
        desk.clock.advance(1)
        run = (partition.due(desk.clock.monotonic()) or [run])[0]
    letter = desk.answer()
    desk.turn()
    error = unpack_error(letter.headers)

    assert letter.topic == "orders.billing.dlq"
    assert error is not None
    assert error.error.endswith("SendError")
    assert partition.outstanding == 0


def test_an_unknown_fate_begins_the_partition_anew(desk: Desk) -> None:
    """Nobody may guess whether the broker has a record: the partition is named, once, and nothing settles."""
    partition, other = state(), state()
    lanes = runs(partition, (0, b"a"), (1, b"b"), (2, b"c"))
    (elsewhere,) = runs(other, (5, b"x"))
    for run in lanes:
        desk.end(run, Sends(Ack(), [INVOICE]))
    desk.end(elsewhere, Sends(Ack(), [INVOICE]))
    for _ in lanes:
        desk.answer("unknown", "_MSG_TIMED_OUT")
    desk.answer()
    desk.turn()
    unknown = desk.router.unknown()

    assert unknown == {ORDERS: "the fate of what a handler sent is unknown: _MSG_TIMED_OUT"}
    assert desk.router.unknown() == {}
    assert (partition.outstanding, other.outstanding) == (3, 0)


# -- dead letters -------------------------------------------------------------------------------------


def dead_letter_of(desk: Desk, partition: PartitionState, outcome: Ended) -> Produced:
    """The dead letter of a record that ends in *outcome*."""
    chunk = partition.admit(
        [message(40, b"a", b"payload", headers=[("tenant", b"7"), ("streams", b"forged")], timestamp_ms=9)]
    )
    assert chunk is not None
    desk.end(partition.enlane(chunk)[0], outcome)
    return desk.answer()


def test_a_dead_letter_is_the_record_whole(desk: Desk) -> None:
    """Key, value and headers are kept, and ours tell where it comes from and why it is dead."""
    partition = state(committed=40)
    letter = dead_letter_of(desk, partition, DeadLetter(BAD))
    header, error = unpack(letter.headers), unpack_error(letter.headers)

    assert (letter.topic, letter.partition) == ("orders.billing.dlq", 0)
    assert (letter.key, letter.value) == (b"a", b"payload")
    assert letter.headers[:2] == [("tenant", b"7"), ("streams-was-streams", b"forged")]
    assert header.origin == Origin("orders", 0, 40, 9)
    assert (header.topic_id, header.group, header.assignment_id) == ("id-of-orders", "billing", b"assigned")
    assert (header.hop, header.attempts) == (1, 1)
    assert error is not None
    assert (error.error, error.message, error.handler) == ("ValueError", "bad", "charge")
    assert error.time_ms == int(desk.clock.now() * 1000)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (DeadLetter(BAD), "the handler gave it up"),
        (DeadLetter(DecodeError("not JSON")), "DecodeError is not retried"),
        (Retry(DecodeError("not JSON")), "DecodeError is not retried"),
        (Retry(KeyError("x")), "KeyError is not retried"),
        (Retry(BAD), "attempt 1 of 1 failed"),
    ],
    ids=str,
)
def test_a_dead_letter_says_which_rule_ended_it(outcome: Ended, reason: str, desk: Desk) -> None:
    """The handler's word, an error that is never retried and spent attempts are told apart."""
    partition = state(committed=40, policy=RetryPolicy(delays=(), dead_letter_on=(KeyError,)))
    error = unpack_error(dead_letter_of(desk, partition, outcome).headers)

    assert error is not None
    assert reason in error.reason


def test_a_dead_letter_settles_when_it_is_acknowledged(desk: Desk) -> None:
    """Until the broker has the dead letter its record is open and its key waits."""
    partition = state()
    (run,) = runs(partition, (0, b"a"), (1, b"a"))
    desk.end(run, DeadLetter(BAD))
    desk.turn()
    before = partition.ledger.committable
    desk.answer()
    ((_, follower),) = desk.turn()

    assert before == 0
    assert partition.ledger.committable == 1
    assert follower is not None
    assert desk.heard.of("dead_lettered") == [(ORDERS, 0, 1, BAD)]
    assert desk.heard.of("finished") == [("orders", "dead_lettered", 1)]


def test_a_refused_dead_letter_stops_its_partition_and_is_kept(desk: Desk) -> None:
    """A dead letter that the broker refuses is sent again until it is taken; meanwhile its partition reads nothing."""
    partition = state()
    (run,) = runs(partition, (0, b"a"))
    desk.end(run, DeadLetter(BAD))
    for _ in range(3):
        desk.answer("refused", "TOPIC_AUTHORIZATION_FAILED")
        desk.turn()
        assert desk.intake.blocked == {partition: "dead_letter_topic"}
        desk.turn()
        assert desk.producer.flying == []
        desk.clock.advance(5)
    letter = desk.answer()
    desk.turn()

    assert letter.value == b"{}"
    assert desk.intake.blocked == {}
    assert partition.ledger.committable == 1
    assert desk.heard.of("letter_refused") == [(ORDERS, 0, "TOPIC_AUTHORIZATION_FAILED")] * 3


def test_a_partition_goes_on_when_its_last_dead_letter_is_taken(desk: Desk) -> None:
    """One letter that is taken does not unblock a partition of which another is still refused."""
    partition = state()
    lanes = runs(partition, (0, b"a"), (1, b"b"))
    for run in lanes:
        desk.end(run, DeadLetter(BAD))
    for _ in lanes:
        desk.answer("refused", "POLICY_VIOLATION")
    desk.turn()
    desk.clock.advance(5)
    desk.answer()
    desk.answer("refused", "POLICY_VIOLATION")
    desk.turn()
    between = dict(desk.intake.blocked)
    desk.clock.advance(5)
    desk.answer()
    desk.turn()

    assert between == {partition: "dead_letter_topic"}
    assert desk.intake.blocked == {}
    assert partition.outstanding == 0


def test_letters_of_a_dropped_partition_are_forgotten(desk: Desk) -> None:
    """What is refused or on its way when its partition goes is not sent again, not settled, and holds no memory."""
    partition = state()
    flying, refused, waiting = runs(partition, (0, b"a"), (1, b"b"), (2, b"c"))
    desk.end(refused, DeadLetter(BAD))
    desk.answer("refused", "POLICY_VIOLATION")
    desk.turn()
    desk.end(flying, DeadLetter(BAD))
    desk.turn()
    desk.producer.is_full = True
    desk.end(waiting, DeadLetter(BAD))
    desk.turn()
    partition.drop()
    desk.producer.is_full = False
    desk.producer.answer_all()
    told = desk.turn()
    desk.clock.advance(5)
    told += desk.turn()
    desk.intake.blocked.clear()  # as `regulate` does for partitions that went
    before = partition.ledger.committable

    assert told == []
    assert before == 0
    assert desk.producer.flying == []
    assert desk.relocator.is_idle
    seen = weakref.ref(partition.ledger)
    desk.producer.landed.clear()
    del partition, flying, refused, waiting
    gc.collect()
    assert seen() is None


def test_a_dead_letter_of_unknown_fate_begins_the_partition_anew(desk: Desk) -> None:
    """A dead letter that may or may not stand in its topic ends the assignment, as a send does."""
    partition = state()
    (run,) = runs(partition, (0, b"a"))
    desk.end(run, DeadLetter(BAD))
    desk.answer("unknown", "_TIMED_OUT")
    desk.turn()

    assert desk.router.unknown() == {ORDERS: "the fate of a copy is unknown: _TIMED_OUT"}
    assert partition.ledger.committable == 0


def test_the_wait_may_be_the_handlers_own(desk: Desk) -> None:
    """`Retry.after` is what the observer hears of too."""
    partition = state()
    (run,) = runs(partition, (0, b"a"))
    desk.end(run, Retry(BAD, after=timedelta(seconds=90)))

    assert desk.heard.of("retrying") == [(ORDERS, [Failure(0, 1, 90.0, BAD)])]


@pytest.mark.parametrize("make", [lambda: 1 / 0, set().pop, lambda: int("x")])
def test_any_error_ends_as_a_dead_letter_one_can_read(make: Callable[[], Any], desk: Desk) -> None:
    """Whatever was raised, with its stack, arrives in words."""
    with pytest.raises((ArithmeticError, LookupError, ValueError)) as caught:
        make()
    letter = dead_letter_of(desk, state(committed=40), DeadLetter(caught.value))
    told = unpack_error(letter.headers)

    assert told is not None
    assert told.error == type(caught.value).__name__
    assert "Traceback" in told.stack
