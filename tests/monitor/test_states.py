"""The log of a member: what a line says, and how loudly."""

from __future__ import annotations

import logging
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.states import LogObserver, spelled
from streams.observer import Failure, PauseReason
from streams.record import Partition
from tests.monitor.views import ORDERS, OTHER, TurnedClock, member

ORDINARY: tuple[PauseReason, ...] = ("in_flight", "partition", "bytes", "draining", "replay", "end")


class Log:
    """A member's log as records of the standard library."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = TurnedClock()
        self.observer = LogObserver("billing", clock=self.clock, window_s=60)
        self._caplog = caplog

    def lines(self, level: int = logging.INFO) -> list[Any]:
        """All lines of at least *level*, so far."""
        return [record for record in self._caplog.records if record.levelno >= level]

    def pass_s(self, seconds: float) -> None:
        """Let time pass, and the next view come."""
        self.clock.at_s += seconds
        self.observer.viewed(member())


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """The log of a new member, at DEBUG."""
    caplog.set_level(logging.DEBUG, logger="streams.member")
    return Log(caplog)


class SpoiltError(Exception):
    """An error of a user's whose text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_rebalance_is_one_line(log: Log) -> None:
    """Partitions that come or go are named in few words, whatever their number."""
    log.observer.assigned([Partition("orders", number) for number in (0, 1, 2, 7)] + [Partition("audit", 3)])
    log.observer.revoked([ORDERS, OTHER], lost=False)
    log.observer.revoked([ORDERS], lost=True)

    assert [(line.levelname, line.partitions, line.count) for line in log.lines()] == [
        ("INFO", "audit/3 orders/0-2,7", 5),
        ("INFO", "orders/0-1", 2),
        ("WARNING", "orders/0", 1),
    ]
    assert {line.group for line in log.lines()} == {"billing"}


def test_a_line_names_its_place_in_one_spelling(log: Log) -> None:
    """Topic, partition and offset are fields of these names in every line that has a place."""
    error = ValueError("no")
    log.observer.committed(ORDERS, 5, 0.01)
    log.observer.retrying(ORDERS, [Failure(5, 1, 0.5, error)])
    log.observer.dead_lettered(ORDERS, 5, 2, error)
    log.observer.letter_refused(ORDERS, 5, "MSG_SIZE_TOO_LARGE")
    log.observer.stuck(ORDERS, 5, 130.0)

    for line in log.lines(logging.DEBUG):
        assert (line.topic, line.partition, line.offset) == ("orders", 0, 5)


def test_records_in_trouble_are_counted_above_debug(log: Log) -> None:
    """A thousand failures are one line at first and one a minute, with the number and the last of them."""
    for offset in range(1_000):
        log.observer.retrying(ORDERS, [Failure(offset, 1, 0.5, ConnectionError("refused"))])
        log.observer.dead_lettered(ORDERS, offset, 4, ConnectionError("refused"))
    at_once = log.lines()
    log.pass_s(60)
    later = log.lines()[len(at_once) :]

    assert [(line.offset, line.error) for line in at_once] == [(0, "ConnectionError: refused")] * 2
    assert [(line.offset, line.times) for line in later] == [(999, 999)] * 2
    assert len(log.lines(logging.DEBUG)) == 2_000 + 4


def test_an_outage_is_not_a_flood(log: Log) -> None:
    """The client repeats itself with other figures each time; that is one trouble."""
    for milliseconds in range(500):
        log.observer.broker_error(f"127.0.0.1:9092: connect failed after {milliseconds}ms", fatal=False)
    log.observer.broker_error("unknown topic", fatal=False)
    log.pass_s(60)

    assert [getattr(line, "times", 1) for line in log.lines()] == [1, 1, 499]


def test_what_is_fatal_is_always_said(log: Log) -> None:
    """The reason for an end is never held back."""
    for _ in range(2):
        log.observer.broker_error("fenced", fatal=True)

    assert [line.levelname for line in log.lines()] == ["ERROR", "ERROR"]


def test_a_dependency_that_turns_is_told_once_a_window(log: Log) -> None:
    """Down, tried and back are a line each, with the cause; tried in vain again and again is no flood."""
    log.observer.breaker_turned("payments", "closed", "")
    for _ in range(3):
        log.observer.breaker_turned("payments", "open", "5 of 5 runs failed")
        log.observer.breaker_turned("payments", "half_open", "the wait is over")
    log.observer.breaker_turned("payments", "closed", "probes ended well: 2")

    assert [(line.levelname, line.dependency, line.cause) for line in log.lines()] == [
        ("WARNING", "payments", "5 of 5 runs failed"),
        ("INFO", "payments", "the wait is over"),
        ("INFO", "payments", "probes ended well: 2"),
    ]


def test_too_many_dead_letters_are_an_alarm(log: Log) -> None:
    """A topic that stands still for its dead letters is an error that says what to do; its end is news."""
    log.observer.guard_turned("orders", "closed", "")
    log.observer.guard_turned("orders", "open", "50 dead letters in a row")
    log.observer.guard_turned("orders", "half_open", "the wait is over")
    log.observer.guard_turned("orders", "closed", "probes ended well: 2")
    first, *others = log.lines()

    assert (first.levelname, first.topic, first.cause) == ("ERROR", "orders", "50 dead letters in a row")
    assert "restart" in first.getMessage()
    assert [line.levelname for line in others] == ["INFO", "INFO"]


def test_the_look_for_a_record_that_kills_is_told_with_its_end(log: Log) -> None:
    """Both lines are warnings: the process stands still in between."""
    log.observer.suspected(ORDERS, 3, -1)
    log.observer.suspected(ORDERS, 4, 777)
    log.observer.acquitted(ORDERS, "its killer was found and is a dead letter")
    first, second, end = log.lines()

    assert [(line.owners, line.blamed) for line in (first, second)] == [(3, None), (4, 777)]
    assert end.cause == "its killer was found and is a dead letter"
    assert {line.levelname for line in (first, second, end)} == {"WARNING"}


def test_back_pressure_is_no_news(log: Log) -> None:
    """Intake that stops and goes on as it should is for those who look for faults."""
    for reason in ORDINARY:
        log.observer.paused(ORDERS, reason)
        log.observer.resumed(ORDERS)

    assert log.lines() == []


@pytest.mark.parametrize("reason", sorted(set(get_args(PauseReason)) - set(ORDINARY)))
def test_a_pause_that_needs_somebody_says_why(log: Log, reason: PauseReason) -> None:
    """A partition that is held back is a warning with advice, and its end is said too."""
    log.observer.paused(ORDERS, reason)
    log.observer.resumed(ORDERS)
    first, second = log.lines()

    assert (first.levelname, first.reason) == ("WARNING", reason)
    assert first.why
    assert (second.levelname, second.getMessage()) == ("INFO", "intake resumed")


def test_loss_is_an_error(log: Log) -> None:
    """Records that were never processed are said as loudly as can be, with their number."""
    log.observer.expired(ORDERS, 40)
    (line,) = log.lines()

    assert (line.levelname, line.records) == ("ERROR", 40)


def test_other_changes_of_state_are_one_line_each(log: Log) -> None:
    """What ends or spoils an assignment is a warning with its cause; a stop is news."""
    log.observer.restarted(ORDERS, "unknown outcome")
    log.observer.ledger_cut(ORDERS)
    log.observer.ledger_unreadable(ORDERS, "checksum")
    log.observer.commit_failed(ORDERS, "COORDINATOR_NOT_AVAILABLE")
    log.observer.stopping()

    assert [line.levelname for line in log.lines()] == ["WARNING"] * 4 + ["INFO"]
    assert [line.cause for line in log.lines() if hasattr(line, "cause")] == ["unknown outcome", "checksum"]


def test_what_former_owners_left_is_news(log: Log) -> None:
    """One line with its numbers."""
    log.observer.recovered(ORDERS, 1_000, 7, 2, 0.1234)
    (line,) = log.lines()

    assert (line.levelname, line.copies, line.keys, line.fenced, line.took_s) == ("INFO", 1_000, 7, 2, 0.123)


def test_keys_that_nobody_can_judge_are_an_error(log: Log) -> None:
    """Somebody has to decide."""
    log.observer.suspect(ORDERS, 4)
    (line,) = log.lines()

    assert (line.levelname, line.keys) == ("ERROR", 4)


def test_a_partition_that_waits_for_its_chain_says_what_mends_it(log: Log) -> None:
    """Once a window, however often it is tried."""
    for _ in range(5):
        log.observer.lacking(ORDERS, "Widen it: streams topics check orders --group billing --fix")
    (line,) = log.lines()

    assert (line.levelname, line.topic, line.partition) == ("ERROR", "orders", 0)
    assert line.cause.endswith("streams topics check orders --group billing --fix")


def test_a_topic_that_grows_is_told(log: Log) -> None:
    """With the reason; it harms nothing."""
    log.observer.not_deleted("orders.billing.parked", "TOPIC_AUTHORIZATION_FAILED")
    (line,) = log.lines()

    assert (line.levelname, line.topic, line.code) == ("WARNING", "orders.billing.parked", "TOPIC_AUTHORIZATION_FAILED")


def test_a_word_that_was_missed_is_told(log: Log) -> None:
    """What is kept that others are to have, and what is done about it."""
    log.observer.unheard([ORDERS])
    (line,) = log.lines()

    assert (line.levelname, line.partitions) == ("WARNING", str(ORDERS))
    assert "joining anew" in line.getMessage()


def test_an_error_without_a_text_is_no_error_of_ours(log: Log) -> None:
    """Whatever a user's exception does when it is asked for its text, the line is written."""
    log.observer.retrying(ORDERS, [Failure(1, 1, 0.5, SpoiltError())])
    log.observer.dead_lettered(ORDERS, 1, 1, KeyError("k" * 10_000))
    spoilt, long = log.lines()

    assert spoilt.error == "SpoiltError: (its text failed: RuntimeError)"
    assert len(long.error) <= 300


def test_the_end_says_what_was_held_back(log: Log) -> None:
    """Counts of the last minute are in the log."""
    for _ in range(5):
        log.observer.commit_failed(ORDERS, "NOT_COORDINATOR")
    log.observer.stopping()

    assert [getattr(line, "times", 1) for line in log.lines(logging.WARNING)] == [1, 4]


@given(st.sets(st.builds(Partition, st.sampled_from(["a", "b"]), st.integers(0, 30))))
def test_spelling_names_every_partition_once(partitions: set[Partition]) -> None:
    """The few words stand for exactly the partitions that were given."""
    read = set()
    for word in spelled(partitions).split():
        topic, _, numbers = word.partition("/")
        for part in numbers.split(","):
            low, _, high = part.partition("-")
            read |= {Partition(topic, number) for number in range(int(low), int(high or low) + 1)}

    assert read == partitions
