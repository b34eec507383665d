"""What a member reports of itself, and what is concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from streams.kafka.groups import Group, Member
from streams.kafka.producer import EngineProducer, Parcel
from streams.monitor.conditions import conditions
from streams.monitor.report import Circuit, Held, Report, Running, Troubled, in_hand
from streams.monitor.status import StatusObserver
from streams.observer import HeldView, RunView
from tests.monitor.views import ORDERS, OTHER, TurnedClock, member, place

NOW_MS = 1_700_000_000_000


class Post:
    """In place of a producer: keeps what is sent, and answers when told."""

    def __init__(self) -> None:
        self.sent: list[Parcel[None]] = []
        self.answers: list[Parcel[None]] = []

    def produce(self, parcels: Sequence[Parcel[None]]) -> int:
        self.sent += parcels
        return len(parcels)

    def acknowledge(self, timeout_s: float = 0) -> list[Parcel[None]]:
        answers, self.answers = self.answers, []
        return answers

    def push(self, timeout_s: float) -> int:
        return 0

    def answer(self, **fields: Any) -> None:
        """The broker has the last one, or as *fields* say."""
        parcel = self.sent[-1]
        for name, value in ({"fate": "stored"} | fields).items():
            setattr(parcel, name, value)
        self.answers.append(parcel)


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that the test turns."""
    return TurnedClock()


@pytest.fixture
def post() -> Post:
    """Where reports go."""
    return Post()


@pytest.fixture
def status(clock: TurnedClock, post: Post) -> StatusObserver:
    """A member that reports every five seconds."""
    return StatusObserver("billing", lambda: cast("EngineProducer[None]", post), every_s=5, clock=clock)


def group(*names: str) -> Group:
    """A group with members of these names."""
    return Group("billing", "stable", "consumer", "", tuple(Member(name, "", "", None, ()) for name in names))


def report(name: str = "m1", **fields: Any) -> Report:
    """A member's that is idle, but for *fields*."""
    quiet: dict[str, Any] = {"member": name, "host": "box", "pid": 7, "time_ms": NOW_MS, "every_s": 5.0}
    return Report(**(quiet | fields))


def kinds(*told: Report, present: Sequence[str] = ("m1",), now_ms: int = NOW_MS) -> list[str]:
    """What is concluded from *told*."""
    return [one.kind for one in conditions(group(*present), {one.member: one for one in told}, now_ms)]


def test_a_report_is_written_every_few_seconds(status: StatusObserver, clock: TurnedClock, post: Post) -> None:
    """Views come each second; of these every fifth is reported."""
    for _ in range(11):
        status.viewed(member(member_id="m1"))
        for parcel in post.sent[-1:]:
            if parcel.fate == "unknown":
                post.answer()
        clock.at_s += 1

    assert len(post.sent) == 3
    assert {(one.topic, one.partition) for one in post.sent} == {("streams.billing.status", 0)}


def test_nothing_is_reported_before_the_member_has_joined(status: StatusObserver, post: Post) -> None:
    """Nobody could tell whose it is."""
    status.viewed(member())

    assert post.sent == []


def test_while_a_report_has_no_answer_no_other_one_is_sent(
    status: StatusObserver, clock: TurnedClock, post: Post
) -> None:
    """A broker that is away for long gets one a minute."""
    for _ in range(59):
        status.viewed(member(member_id="m1"))
        clock.at_s += 1
    sent = len(post.sent)
    clock.at_s += 2
    status.viewed(member(member_id="m1"))

    assert sent == 1
    assert len(post.sent) == 2


def test_a_breaker_that_opens_is_reported_at_once(status: StatusObserver, clock: TurnedClock, post: Post) -> None:
    """At the next view; and no more once it is closed."""
    status.viewed(member(member_id="m1"))
    post.answer()
    status.breaker_turned("payments", "open", "5 of 5 failed")
    clock.at_s += 1
    status.viewed(member(member_id="m1"))
    post.answer()
    told = msgspec.json.decode(post.sent[-1].value or b"", type=Report)
    status.breaker_turned("payments", "closed", "it answers")
    clock.at_s += 1
    status.viewed(member(member_id="m1"))

    assert told.circuits == (Circuit("breaker", "payments", "open", "5 of 5 failed"),)
    assert msgspec.json.decode(post.sent[-1].value or b"", type=Report).circuits == ()


def test_a_member_that_leaves_takes_its_report_away(status: StatusObserver, post: Post) -> None:
    """The last record of its key has no value."""
    status.viewed(member(member_id="m1"))
    status.close()

    assert post.sent[-1].key == post.sent[0].key
    assert post.sent[-1].value is None


def test_a_member_that_never_reported_takes_nothing_away(status: StatusObserver, post: Post) -> None:
    """It connects to nothing at its end."""
    status.close()

    assert post.sent == []


def test_a_topic_that_refuses_reports_is_told_of_once(
    status: StatusObserver, clock: TurnedClock, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    """The member goes on."""
    for _ in range(3):
        status.viewed(member(member_id="m1"))
        post.answer(fate="refused", error="TOPIC_AUTHORIZATION_FAILED")
        clock.at_s += 5

    assert [one.getMessage().partition(":")[0] for one in caplog.records] == ["the status topic takes no report"]


def test_a_report_says_what_the_broker_cannot_know(status: StatusObserver) -> None:
    """What runs and since when, what waits in memory and until when, and what of which partition stands still."""
    view = member(
        place(ORDERS, paused="ledger", retrying=2),
        place(OTHER),
        member_id="m1",
        running=1,
        runs=[RunView(ORDERS, 12, 1, 3.0, 60.0)],
        held=[HeldView(ORDERS, 13, 2, 4.0, "Timeout")],
    )

    told = status.report(view)

    assert told.partitions == 2
    assert told.troubled == (Troubled("orders", 0, "ledger", 2, 0, 0, 0),)
    assert told.runs == (Running("orders", 0, 12, 1, NOW_MS - 3_000, 60.0),)
    assert told.held == (Held("orders", 0, 13, 2, NOW_MS + 4_000, "Timeout"),)


def test_a_run_past_its_time_is_stuck_and_one_within_it_is_busy() -> None:
    """Slow is not stuck."""
    run = Running("orders", 0, 12, 1, NOW_MS - 61_000, 60.0)
    slow = Running("orders", 0, 12, 1, NOW_MS - 59_000, 60.0)

    assert kinds(report(runs=(run,), running=1, outstanding=1)) == ["stuck", "busy"]
    assert kinds(report(runs=(slow,), running=1, outstanding=1)) == ["busy"]


def test_what_stands_still_is_told_apart() -> None:
    """A dependency that is down, a guard, a bound, a key that waits for an operator, a member that hangs."""
    assert kinds(report(circuits=(Circuit("breaker", "payments", "open", "down"),))) == ["breaker"]
    assert kinds(report(circuits=(Circuit("guard", "orders", "open", "many"),))) == ["guard"]
    assert kinds(report(troubled=(Troubled("orders", 0, "ledger", 0, 0, 0, 0),))) == ["paused"]
    assert kinds(report(troubled=(Troubled("orders", 0, "breaker", 0, 0, 0, 0),))) == []
    assert kinds(report(troubled=(Troubled("orders", 0, "", 0, 0, 1, 1),))) == ["blocked"]
    assert kinds(report(time_ms=NOW_MS - 16_000)) == ["silent"]
    assert kinds(report(time_ms=NOW_MS - 14_000)) == []
    assert kinds(report()) == []


def test_the_last_words_of_the_dead_count_only_while_nobody_lives() -> None:
    """What ran when they died may be what ended them."""
    dead = report("gone", runs=(Running("orders", 0, 12, 1, NOW_MS, 60.0),))

    (words,) = conditions(group(), {"gone": dead}, NOW_MS)

    assert words.kind == "last words"
    assert "orders/0/12" in words.text
    assert not words.is_wrong
    assert kinds(report(), dead) == []


def test_the_latest_report_says_who_has_a_record_in_hand() -> None:
    """After a rebalance two reports may name it."""
    before = report("m1", runs=(Running("orders", 0, 12, 1, NOW_MS, 60.0),))
    after = report("m2", time_ms=NOW_MS + 1, held=(Held("orders", 0, 12, 2, NOW_MS, "Timeout"),))
    told = {one.member: one for one in (after, before)}

    assert in_hand(told, ORDERS, 12) == (after, after.held[0])
    assert in_hand(told, ORDERS, 13) is None
    assert in_hand(told, OTHER, 12) is None
