"""How many replicas are asked for, and why, in moments whose answer can be said beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import ConfigError
from streams.scaling.hint import Advisor, Goal, advise
from streams.scaling.signals import Signals

QUIET = Signals(
    at_s=0.0,
    replicas=1,
    partitions=12,
    busy_partitions=0,
    due_records=0,
    arrivals_per_s=0.0,
    service_per_s=100.0,
    startup_s=5.0,
)
GOAL = Goal(drain_s=60.0, min_replicas=0, max_replicas=100, headroom=0.1, keep_for_s=60.0)


def burst(due: int, *, busy: int = 12, **more: object) -> Signals:
    """So much is due, and nothing else comes."""
    return replace(QUIET, due_records=due, busy_partitions=busy, **more)  # type: ignore[arg-type]  # its own fields


def test_a_burst_is_drained_within_the_goal() -> None:
    """60,000 records at 100/s are 600 s of work; of 60 s the new ones have 55 left, when the first has done 500."""
    hint = advise(burst(60_000), GOAL)

    assert hint.desired == math.ceil((60_000 - 500) / 55 / 100) == 11
    assert hint.reason == "drain 60,000 due records in 1.0 m needs 11"


def test_what_is_there_is_enough_where_it_drains_in_time() -> None:
    """No replica is added for a backlog that is gone sooner than asked for."""
    assert advise(burst(60_000, replicas=10), GOAL).desired == 10
    assert advise(burst(5_000), GOAL).desired == 1


def test_what_comes_is_kept_up_with_and_has_room() -> None:
    """1,000 a second at 100 a second each need ten, and one more for headroom."""
    hint = advise(replace(QUIET, arrivals_per_s=1_000.0, replicas=11), GOAL)

    assert (hint.desired, hint.bounds) == (11, ())
    assert hint.reason == "1e+03 records/s come, which needs 11"


def test_a_slow_start_asks_for_more() -> None:
    """The backlog grows while they start, and less time is left."""
    coming = burst(20_000, arrivals_per_s=500.0)
    slow, quick = advise(replace(coming, startup_s=30.0), GOAL), advise(replace(coming, startup_s=0.0), GOAL)

    assert slow.wanted > quick.wanted


def test_what_waits_needs_nobody() -> None:
    """A hundred thousand records in retry and parked topics, and nothing due."""
    waits = replace(QUIET, replicas=0, waiting_records=100_000, parked_records=50_000, next_due_s=600.0)
    hint = advise(waits, GOAL)

    assert hint.desired == 0
    assert hint.reason == "nothing is due; 150,000 wait for their time"


@pytest.mark.parametrize(("in_s", "desired"), [(-5.0, 1), (9.0, 1), (11.0, 0)])
def test_a_replica_is_there_when_a_record_falls_due(in_s: float, desired: int) -> None:
    """Twice its start-up time before, so that it has time to start."""
    assert advise(replace(QUIET, replicas=0, waiting_records=1, next_due_s=in_s), GOAL).desired == desired


def test_members_that_wait_for_a_record_stay() -> None:
    """They know when it is due; who looks from outside does not."""
    assert advise(replace(QUIET, waiting_records=1), GOAL).desired == 1


def test_never_more_than_have_work() -> None:
    """Partitions with work bound a burst, all partitions what comes; the reason names the bound."""
    hint = advise(burst(1_200_000, busy=6, partitions=20), GOAL)
    coming = advise(burst(1_200_000, busy=6, partitions=20, arrivals_per_s=500.0), GOAL)

    assert (hint.desired, hint.bounds) == (6, ("partitions",))
    assert "drain 1.2 M due records in 1.0 m needs" in hint.reason
    assert "capped at 6 by the partitions that have work" in hint.reason
    assert coming.desired == 20


def test_one_key_is_not_sped_up() -> None:
    """Its records take 600 s whatever there is: the others have that long too, and replicas beyond are saved."""
    free, bound = advise(burst(60_000), GOAL), advise(burst(60_000, key_work_s=600.0), GOAL)

    assert (free.desired, bound.desired) == (11, 1)
    assert "key" in bound.bounds
    assert "records of one key alone take 10.0 m" in bound.reason


def test_what_is_down_is_not_met_with_replicas() -> None:
    """They would only call it more often."""
    hint = advise(burst(1_000_000, replicas=3, held_by="the breaker of radar is open"), GOAL)

    assert (hint.desired, hint.bounds) == (3, ("dependency",))
    assert hint.reason == "the breaker of radar is open: more replicas would not help; 3 replicas as there are"


def test_bounds_that_are_declared_hold() -> None:
    """Whatever the work says."""
    few, many = replace(GOAL, max_replicas=4), replace(GOAL, min_replicas=3)

    assert advise(burst(60_000), few).desired == 4
    assert advise(QUIET, many).desired == 3
    assert advise(burst(10), many).desired == 3


def test_what_is_not_known_is_not_guessed() -> None:
    """Nobody is asked to do anything; records that nobody works on are the exception."""
    unknown = replace(QUIET, due_records=None)
    unmeasured = burst(500, arrivals_per_s=None)

    assert advise(unknown, GOAL).desired is None
    assert advise(unmeasured, GOAL).desired is None
    assert advise(replace(unmeasured, replicas=0), GOAL).desired == 1
    assert advise(burst(500, service_per_s=None, replicas=4), GOAL).desired == 4
    assert advise(burst(500, service_per_s=None, replicas=0), GOAL).desired == 1


def test_going_up_is_at_once_and_going_down_is_not() -> None:
    """A quiet moment between two bursts costs no rebalance; a minute of less ends what is not needed."""
    advisor = Advisor(GOAL)
    told = []
    for at_s, due in ((0, 60_000), (10, 0), (20, 60_000), (30, 0), (79, 0), (81, 0)):
        told.append(advisor.advise(burst(due, at_s=float(at_s), replicas=1 if at_s == 0 else 11)).desired)

    assert told == [11, 11, 11, 11, 10, 0]


def test_who_begins_to_look_takes_nothing_away_at_once() -> None:
    """It has not seen the minute before."""
    advisor = Advisor(GOAL)
    first = advisor.advise(replace(QUIET, replicas=7))
    later = advisor.advise(replace(QUIET, replicas=7, at_s=61.0))

    assert (first.desired, later.desired) == (7, 0)
    assert first.bounds == ("kept",)
    assert first.reason.endswith("7 replicas for 1.0 m more, as so many were wanted")


def test_an_unknown_moment_changes_nothing() -> None:
    """The one after it is held against what was wanted before."""
    advisor = Advisor(GOAL)
    advisor.advise(burst(60_000))
    unknown = advisor.advise(replace(QUIET, due_records=None, at_s=1.0)).desired

    assert unknown is None
    assert advisor.advise(replace(QUIET, at_s=2.0, replicas=11)).desired == 11


def test_a_group_without_members_is_woken_now_and_then() -> None:
    """Else the broker would forget what it has done; a member that has come ends that."""
    advisor = Advisor(replace(GOAL, wake_every_s=100.0))
    empty = replace(QUIET, replicas=0)
    told = [advisor.advise(replace(empty, at_s=float(at_s))).desired for at_s in (0, 99, 100, 120)]
    there = advisor.advise(replace(QUIET, at_s=130.0)).desired
    after = advisor.advise(replace(empty, at_s=200.0))

    assert told == [0, 0, 1, 1]
    assert there == 1
    assert after.desired == 0


def test_every_fault_of_a_goal_is_told() -> None:
    """At once."""
    with pytest.raises(ConfigError) as caught:
        Goal(drain_s=0, keep_for_s=-1, headroom=math.nan).checked()
    with pytest.raises(ConfigError, match="min_replicas: 5 is more than max_replicas, 4"):
        Goal(min_replicas=5, max_replicas=4).checked()

    assert len(caught.value.faults) == 3


counts = st.integers(0, 50)
moments = st.builds(
    Signals,
    at_s=st.just(0.0),
    replicas=counts,
    partitions=st.integers(1, 50),
    busy_partitions=counts,
    due_records=st.none() | st.integers(0, 10**9),
    waiting_records=counts,
    parked_records=counts,
    next_due_s=st.none() | st.floats(-1e3, 1e3),
    arrivals_per_s=st.none() | st.floats(0, 1e6),
    service_per_s=st.none() | st.floats(0, 1e6),
    key_work_s=st.floats(0, 1e5),
    held_by=st.sampled_from(["", "the breaker of radar is open"]),
    startup_s=st.none() | st.floats(0, 1e3),
)


@given(moments, st.integers(0, 10), st.integers(1, 40))
def test_whatever_is_seen_the_bounds_hold(moment: Signals, least: int, most: int) -> None:
    """Between minimum and maximum, and no more than there are partitions, but for what is there or declared."""
    goal = replace(GOAL, min_replicas=min(least, most), max_replicas=most)
    hint = advise(moment, goal)

    assert hint.reason
    if hint.desired is not None:
        assert goal.min_replicas <= hint.desired <= goal.max_replicas
        assert hint.desired <= max(moment.partitions, moment.replicas, goal.min_replicas, 1)


@given(st.lists(moments, min_size=1, max_size=20), st.floats(0.1, 30))
def test_a_damped_hint_is_never_below_what_is_wanted_now(seen: list[Signals], step_s: float) -> None:
    """And never above the most that was wanted, or was there at the beginning."""
    advisor, most = Advisor(GOAL), seen[0].replicas
    for number, moment in enumerate(seen):
        now = replace(moment, at_s=number * step_s)
        plain, damped = advise(now, GOAL).desired, advisor.advise(now).desired
        if plain is None or damped is None:
            assert plain is damped
            continue
        most = max(most, plain, moment.replicas)

        assert plain <= damped <= most
