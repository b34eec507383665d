"""When a failed record runs again, and when it is given up."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ConfigError, DecodeError, RecordError, ResultError
from streams.retry import NO_RETRY, GiveUp, RetryAfter, RetryPolicy, label, seconds

DOWN = OSError("down")


def decide(policy: RetryPolicy, attempt: int, error: BaseException = DOWN, **more: Any) -> RetryAfter | GiveUp:
    """What follows run number *attempt*."""
    return policy.decide(error, attempt=attempt, **{"since_first_s": 0.0, **more})


# -- durations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        ("250ms", 0.25),
        ("1.5s", 1.5),
        (" 10 s ", 10.0),
        ("5m", 300.0),
        ("2h", 7_200.0),
        ("1d", 86_400.0),
        ("0s", 0.0),
        (3, 3.0),
        (0.5, 0.5),
        (timedelta(minutes=2), 120.0),
    ],
    ids=str,
)
def test_durations_are_taken_as_people_write_them(duration: Any, expected: float) -> None:
    """Text with a unit, seconds, or a timedelta."""
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(
    "duration",
    [
        "",
        "10",
        "10 sec",
        "-1s",
        "1e3s",
        "s",
        "1s2m",
        -1,
        float("nan"),
        float("inf"),
        1e306,
        "101000d",
        timedelta(seconds=-1),
        None,
        [1],
        True,
    ],
    ids=str,
)
def test_what_is_no_duration_is_told(duration: Any) -> None:
    """A duration that is none is named as it was written, whatever it is."""
    with pytest.raises(ConfigError) as caught:
        seconds(duration)
    assert repr(duration) in str(caught.value)


@pytest.mark.parametrize(
    ("delay_s", "text"),
    [
        (0.5, "500ms"),
        (1.5, "1500ms"),
        (60, "1m"),
        (90, "90s"),
        (600, "10m"),
        (3_600, "1h"),
        (5_400, "90m"),
        (86_400, "1d"),
        (129_600, "36h"),
        (0, "0s"),
    ],
)
def test_a_delay_has_one_name(delay_s: float, text: str) -> None:
    """Whole numbers of the largest unit that fits: topics are named by it."""
    assert label(delay_s) == text


@given(ms=st.integers(0, 10**12))
def test_a_delay_is_read_back_from_its_name(ms: int) -> None:
    """Whatever the delay, to the millisecond."""
    assert seconds(label(ms / 1_000)) == pytest.approx(ms / 1_000, abs=1e-6)


# -- tiers ----------------------------------------------------------------------------------------------------


class SlowError(Exception):
    """One with a policy of its own."""


@pytest.mark.parametrize(
    ("policy", "tiers"),
    [
        (RetryPolicy(), (60.0, 600.0)),
        (RetryPolicy(("1s", "10s")), ()),
        (RetryPolicy(("1m", "30s", "60s")), (30.0, 60.0)),
        (RetryPolicy(("1m", "1h"), max_attempts=2), (60.0,)),
        (RetryPolicy(("1m",), max_attempts=9), (60.0,)),
        (RetryPolicy(("1s", "1m"), memory_up_to=0), (1.0, 60.0)),
        (RetryPolicy(("1m", "1h"), memory_up_to="1m"), (3_600.0,)),
        (RetryPolicy(("1m",), overrides={SlowError: RetryPolicy(("1h", "5s"))}), (60.0, 3_600.0)),
        (RetryPolicy(("1m",), memory_up_to="2m", overrides={SlowError: RetryPolicy(("90s", "3m"))}), (180.0,)),
        (RetryPolicy((10.0001, "1.1m")), (10.001, 66.0)),
        (NO_RETRY, ()),
    ],
    ids=lambda one: str(one) if isinstance(one, tuple) else "",
)
def test_each_length_above_what_memory_waits_is_a_tier(policy: RetryPolicy, tiers: tuple[float, ...]) -> None:
    """Every wait that an attempt reaches and memory does not hold, once, the shortest first."""
    assert policy.tiers == tiers
    assert policy.tier_faults() == []


@pytest.mark.parametrize(
    ("delay_s", "tier_s"),
    [(0.0, None), (10.0, None), (10.5, 60.0), (60.0, 60.0), (60.001, 600.0), (600.0, 600.0), (86_400.0, 600.0)],
)
def test_a_wait_is_spent_in_the_shortest_tier_that_is_long_enough(delay_s: float, tier_s: float | None) -> None:
    """Short waits in memory; what is longer than every tier in the longest."""
    assert RetryPolicy().tier_for(delay_s) == tier_s


@given(delay=st.floats(0, 1e6))
def test_without_tiers_every_wait_is_spent_in_memory(delay: float) -> None:
    """A handler may ask for a wait that no topic is there for."""
    assert RetryPolicy(("1s",)).tier_for(delay) is None


@given(delays=st.lists(st.floats(0, 1e6), min_size=1, max_size=6), memory=st.floats(0, 100))
def test_a_wait_of_the_policy_is_never_cut(delays: list[float], memory: float) -> None:
    """Each of its delays has a tier that is as long, to the millisecond, or is no longer than memory waits."""
    policy = RetryPolicy(delays, memory_up_to=memory)

    for attempt in range(1, policy.attempts):
        delay_s = policy.delay_s(attempt)
        tier_s = policy.tier_for(delay_s)
        if tier_s is None:
            assert delay_s <= memory + 0.001
        else:
            assert delay_s - 1e-6 <= tier_s <= delay_s + 0.0011


def test_more_tiers_than_topics_are_named() -> None:
    """All of them, and what would leave four."""
    policy = RetryPolicy(("1s", "30s", "1m", "5m"), overrides={SlowError: RetryPolicy(("10m", "1h"))})
    (fault,) = policy.tier_faults()

    assert "30s, 1m, 5m, 10m, 1h" in fault
    assert RetryPolicy(policy.delays, memory_up_to="30s", overrides=policy.overrides).tier_faults() == []
    assert "memory_up_to='30s'" in fault


# -- decisions ------------------------------------------------------------------------------------------------


def test_each_attempt_has_its_delay_and_the_last_repeats() -> None:
    """The second run waits for the first delay, and further runs than there are delays for the last."""
    policy = RetryPolicy(delays=("1s", "10s"), max_attempts=5)

    assert [decide(policy, attempt) for attempt in range(1, 5)] == [RetryAfter(one) for one in (1, 10, 10, 10)]
    assert isinstance(decide(policy, 5), GiveUp)


def test_without_a_number_there_is_one_run_more_than_delays() -> None:
    """The delays alone say how often."""
    policy = RetryPolicy(delays=("1s", "10s"))

    assert policy.attempts == 3
    assert decide(policy, 2) == RetryAfter(10)
    assert decide(policy, 3) == GiveUp("attempt 3 of 3 failed")


def test_no_retry_is_one_run() -> None:
    """A failure is a dead letter at once."""
    assert NO_RETRY.attempts == 1
    assert isinstance(decide(NO_RETRY, 1), GiveUp)
    assert isinstance(decide(NO_RETRY, 1, after_s=1.0), GiveUp)


@pytest.mark.parametrize("error", [RecordError("x"), DecodeError("x"), ResultError("x"), KeyError("x")], ids=repr)
def test_some_errors_are_never_retried(error: Exception) -> None:
    """What is wrong with the record itself no further attempt mends, and a policy may name more such errors."""
    policy = RetryPolicy(dead_letter_on=(LookupError,))

    assert decide(policy, 1, error) == GiveUp(f"{type(error).__name__} is not retried")


def test_the_closest_class_of_an_error_decides() -> None:
    """Of several overrides the one counts that is nearest in the error's ancestry."""
    policy = RetryPolicy(
        delays=("1s",), overrides={Exception: RetryPolicy(delays=("5s",)), OSError: RetryPolicy(delays=("9s",))}
    )

    assert decide(policy, 1, TimeoutError()) == RetryAfter(9)
    assert decide(policy, 1, KeyError()) == RetryAfter(5)
    assert decide(policy, 1, BaseException()) == RetryAfter(1)


def test_an_override_decides_everything() -> None:
    """Attempts, deadline and errors that are never retried are those of the override."""
    policy = RetryPolicy(
        delays=("1s",) * 9, overrides={OSError: RetryPolicy(delays=("1s",), dead_letter_on=(TimeoutError,))}
    )

    assert isinstance(decide(policy, 2, OSError()), GiveUp)
    assert isinstance(decide(policy, 1, TimeoutError()), GiveUp)
    assert decide(policy, 2, ValueError()) == RetryAfter(1)


def test_no_override_makes_a_bad_record_good() -> None:
    """What is wrong with the record is not retried, whatever is declared for its class."""
    policy = RetryPolicy(overrides={DecodeError: RetryPolicy(delays=("1s",))})

    assert isinstance(decide(policy, 1, DecodeError("x")), GiveUp)


def test_the_handler_may_ask_for_another_wait() -> None:
    """The wait that was asked for counts; how often is still the policy's."""
    policy = RetryPolicy(delays=("1s", "1s"))

    assert decide(policy, 1, after_s=90.0) == RetryAfter(90.0)
    assert isinstance(decide(policy, 3, after_s=90.0), GiveUp)


@pytest.mark.parametrize(("since", "gives_up"), [(0, False), (20, False), (20.1, True), (50, True)])
def test_no_attempt_begins_after_the_deadline(since: float, *, gives_up: bool) -> None:
    """The deadline counts from the end of the first run to the start of the next one."""
    policy = RetryPolicy(delays=("10s",), max_attempts=9, deadline="30s")

    assert isinstance(decide(policy, 1, since_first_s=since), GiveUp) == gives_up


@given(seed=st.integers(), delay=st.floats(0, 1e6), jitter=st.floats(0, 1))
def test_jitter_lengthens_and_is_bounded(seed: int, delay: float, jitter: float) -> None:
    """A wait never gets shorter, and longer by no more than its share."""
    jittered = RetryPolicy(jitter=jitter).jittered(delay, random.Random(seed))

    assert delay <= jittered <= delay * (1 + jitter)


@given(
    delays=st.lists(st.floats(0, 1e4), max_size=5),
    attempts=st.none() | st.integers(1, 10),
    deadline=st.none() | st.floats(0, 1e5),
)
def test_every_policy_comes_to_an_end(delays: list[float], attempts: int | None, deadline: float | None) -> None:
    """Whatever the policy, a record that always fails is given up after exactly as many runs as it says, or earlier."""
    if attempts is not None and attempts > 1 and not delays:
        attempts = 1
    policy = RetryPolicy(delays=delays, max_attempts=attempts, deadline=deadline)
    since, runs = 0.0, 1
    while isinstance(decision := decide(policy, runs, since_first_s=since), RetryAfter):
        since += decision.delay_s
        runs += 1

    assert runs == policy.attempts or (deadline is not None and runs < policy.attempts)
    assert deadline is None or since <= deadline


# -- what is wrong with a policy ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"delays": ("1s", "soon", "-1s")}, ["delays", "delays"]),
        ({"delays": "1s"}, ["delays"]),
        ({"delays": 5}, ["delays"]),
        ({"delays": None}, ["delays"]),
        ({"max_attempts": 0}, ["max_attempts"]),
        ({"max_attempts": 1.5}, ["max_attempts"]),
        ({"max_attempts": 3, "delays": ()}, ["max_attempts"]),
        ({"jitter": 1.1}, ["jitter"]),
        ({"jitter": -0.1}, ["jitter"]),
        ({"jitter": float("nan")}, ["jitter"]),
        ({"jitter": "much"}, ["jitter"]),
        ({"deadline": "tomorrow"}, ["deadline"]),
        ({"memory_up_to": "a lot"}, ["memory_up_to"]),
        ({"dead_letter_on": ValueError}, ["dead_letter_on"]),
        ({"dead_letter_on": ("ValueError",)}, ["dead_letter_on"]),
        ({"overrides": {"OSError": RetryPolicy()}}, ["overrides"]),
        ({"overrides": {OSError: "1s"}}, ["overrides"]),
        ({"overrides": [OSError]}, ["overrides"]),
        ({"overrides": {OSError: RetryPolicy(memory_up_to="1m")}}, ["overrides"]),
        (
            {"delays": ("soon",), "jitter": 7, "max_attempts": 0, "deadline": "x"},
            ["delays", "deadline", "max_attempts", "jitter"],
        ),
    ],
    ids=str,
)
def test_all_faults_of_a_policy_are_listed(fields: dict[str, Any], names: list[str]) -> None:
    """A policy that can't be meant is refused where it is made, with every fault in words."""
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(**fields)

    assert [fault.split()[1].rstrip(":") for fault in caught.value.faults] == names
    assert all(fault.startswith("retry ") for fault in caught.value.faults)


def test_a_policy_is_a_value() -> None:
    """Two policies that say the same are the same, and none can be changed."""
    policy = RetryPolicy(delays=("1s",))

    assert policy == RetryPolicy(delays=("1s",))
    with pytest.raises(AttributeError):
        policy.jitter = 0.5  # type: ignore[misc]
