"""What failed is counted, and runs again when its policy says so."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from streams.engine.chain import Attempt, new_header
from streams.engine.chainstate import ChainState
from streams.engine.copies import Stage
from streams.engine.retries import Retries
from streams.outcome import Retry
from streams.record import Origin
from streams.retry import GiveUp, RetryAfter, RetryPolicy
from tests.engine.stage import ORDERS

STEPS = RetryPolicy(delays=("1s", "1m", "10m"), jitter=0)
TIERS = [Stage("orders.billing.retry.1m", "tier", 60), Stage("orders.billing.retry.10m", "tier", 600)]
DOWN = OSError("down")
KEY = b"key"


def retries(policy: RetryPolicy = STEPS) -> Retries[str]:
    """Those of a partition in which nothing has failed; its records are words here."""
    return Retries(policy, random.Random(7))


def chain(*stages: Stage) -> ChainState[str]:
    """A chain with these topics."""
    return ChainState(stages)


def wait(chosen: Retries[str], lane: bytes, item: str, wait_s: float) -> None:
    """Let *item*, which has just failed, wait in memory."""
    chosen.count(lane, item, DOWN, 0, 0.0, None)
    chosen.hold(lane, DOWN, RetryAfter(wait_s), 0.0)


def test_failures_of_a_record_add_up() -> None:
    """With the time and the class of each; the wait since the first one counts against the deadline."""
    chosen = retries(RetryPolicy(delays=("1s",), max_attempts=9, deadline="5s"))
    chosen.count(KEY, "one", DOWN, 1_000, 1.0, None)
    trouble = chosen.count(KEY, "one", ValueError("bad"), 3_000, 3.0, None)
    decisions = [chosen.decide(trouble, Retry(DOWN), now_s) for now_s in (5.0, 5.5)]

    assert trouble.attempts == 2
    assert trouble.history == (Attempt(1_000, "OSError"), Attempt(3_000, "ValueError"))
    assert isinstance(decisions[0], RetryAfter)
    assert isinstance(decisions[1], GiveUp)


def test_failures_elsewhere_count_too() -> None:
    """What the copy of a record tells is the beginning of its story, its first failure as long ago as it says."""
    before = new_header(
        Origin(ORDERS.topic, ORDERS.number, 7, 0),
        topic_id="",
        group="billing",
        assignment_id=b"",
        attempts=2,
        history=(Attempt(1_000, "OSError"),),
        first_failed_ms=1_000,
    )
    trouble = retries().count(KEY, "one", DOWN, 61_000, 100.0, before)

    assert (trouble.attempts, len(trouble.history)) == (3, 2)
    assert (trouble.first_failed_ms, trouble.first_failed_s) == (1_000, 40.0)


def test_the_last_ten_failures_are_kept() -> None:
    """A record that fails for ever does not grow for ever."""
    chosen = retries()
    *_, trouble = [chosen.count(KEY, "one", DOWN, at, 0.0, None) for at in range(30)]

    assert trouble.attempts == 30
    assert [one.time_ms for one in trouble.history] == list(range(20, 30))


@pytest.mark.parametrize(("wait_s", "tier"), [(1, None), (60, 0), (600, 1), (3_600, 1)])
def test_a_long_wait_passes_in_a_topic(wait_s: float, tier: int | None) -> None:
    """The one for its length; a short one passes in memory."""
    assert retries().tier(RetryAfter(wait_s), chain(*TIERS)) == tier


def test_the_wait_that_a_handler_asks_for_is_its_wait() -> None:
    """Whatever the policy would have said."""
    chosen = retries()
    trouble = chosen.count(KEY, "one", DOWN, 0, 0.0, None)

    assert chosen.decide(trouble, Retry(DOWN, after=timedelta(seconds=7)), 0.0) == RetryAfter(7)


def test_a_first_failure_leaves_for_the_tier_that_the_policy_names() -> None:
    """Overrides included; a wait that no tier holds stays in memory."""
    chosen = retries(RetryPolicy(delays=("1m",), overrides={LookupError: RetryPolicy(delays=("1s",))}))
    first = [chosen.first_tier(error, chain(*TIERS)) for error in (DOWN, KeyError(), OSError("again"), IndexError())]

    assert first == [0, None, 0, None]


def test_what_was_put_back_goes_first() -> None:
    """Then what is due, soonest first; what is not stays."""
    chosen = retries()
    for item, wait_s in (("late", 9), ("second", 2), ("first", 1)):
        wait(chosen, item.encode(), item, wait_s)
    chosen.put_back += ["unstarted", "another"]
    due = list(chosen.due(5))

    assert due == ["unstarted", "another", "first", "second"]
    assert (chosen.next_due_s, chosen.is_empty, chosen.has_due(5)) == (9, False, False)


def test_one_after_the_other_can_be_taken() -> None:
    """In the same order; then nothing is left, and nothing is due ever."""
    chosen = retries()
    wait(chosen, KEY, "held", 1)
    chosen.put_back.append("unstarted")
    taken = [chosen.next_due(), chosen.next_due()]

    assert taken == ["unstarted", "held"]
    assert (chosen.next_due_s, chosen.is_empty) == (float("inf"), True)


def test_what_left_memory_is_held_no_more() -> None:
    """The others are due as they were."""
    chosen = retries()
    for number in range(5):
        wait(chosen, b"%d" % number, str(number), 5 - number)
    chosen.keep([due for due in chosen.held if due[2] != b"3"])

    assert list(chosen.due(9)) == ["4", "2", "1", "0"]


def test_only_the_record_that_failed_is_in_trouble() -> None:
    """Another one of its key may be equal, and is not it."""
    chosen = Retries[list[int]](STEPS, random.Random(7))
    item = [1]
    trouble = chosen.count(KEY, item, DOWN, 0, 0.0, None)

    assert chosen.of(KEY, item) is trouble
    assert chosen.of(KEY, [1]) is None
    assert chosen.of(b"other", item) is None


def test_jitter_lengthens_a_wait_in_memory() -> None:
    """By a share that the policy bounds, so that not all try at once."""
    chosen = retries(RetryPolicy(delays=("1s",), jitter=0.5))
    for number in range(50):
        wait(chosen, b"%d" % number, str(number), 1)
    due = [due_s for due_s, _, _ in chosen.held]

    assert all(1 <= due_s <= 1.5 for due_s in due)
    assert len(set(due)) > 1
