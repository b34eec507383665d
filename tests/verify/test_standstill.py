"""A machine that stood still as a whole is noticed, and explains what ran again because of it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.verify.history import Committed, History, Pause, Place, Reading, Run, Sent
from streams.verify.standstill import Watch
from streams.verify.verdict import judge

_S = 10**9
FIRST, SECOND = Place(0, 0), Place(0, 1)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def watched(*at_s: float) -> list[Pause]:
    """Look at the clock at these times, and at nothing between."""
    clock = Clock()
    watch = Watch(clock)
    watch.end()
    for one in at_s:
        clock.now_ns = int(one * _S)
        watch.look()
    return watch.standstills


def test_a_clock_that_leaps_is_a_standstill() -> None:
    """Nobody could look for so long."""
    assert watched(0.5, 4.5, 5.0) == [Pause(0, _S // 2, 4 * _S + _S // 2)]


def test_a_busy_machine_does_not_stand_still() -> None:
    """A thread that wakes a second late is none of that."""
    assert watched(1, 2.5, 4) == []


def test_what_waits_for_something_waits_as_long_as_the_machine_goes_on() -> None:
    """A deadline does not come nearer while nobody can work."""
    clock = Clock()
    watch = Watch(clock)
    watch.end()
    for at_s in (0.1, 0.2, 9.2, 9.3):
        clock.now_ns = int(at_s * _S)
        watch.look()

    assert watch.awake_s() == pytest.approx(0.3)


def history(*, committed: int, again_s: float) -> History:
    """Two records; the second one runs again at *again_s*, after a standstill from second 10 to 15."""
    runs = [
        Run(FIRST, "a", 1, 1, 8 * _S, 8 * _S + 1, "done"),
        Run(SECOND, "b", 1, 1, 9 * _S, 9 * _S + 1, "done"),
        Run(SECOND, "b", 2, 1, int(again_s * _S), int(again_s * _S) + 1, "done"),
    ]
    readings = Reading(9 * _S + 5, 0, {0: Committed(committed)}), Reading(60 * _S, 60_000, {0: Committed(2)})
    sent = {FIRST: Sent("a", 1), SECOND: Sent("b", 1)}
    return History(sent, tuple(runs), readings=readings, ends={0: 2}, standstills=(Pause(0, 10 * _S, 15 * _S),))


def test_what_had_begun_may_run_again() -> None:
    """Its session may have ended meanwhile; without the standstill it would be told."""
    found = history(committed=1, again_s=17)

    assert judge(found).is_clean
    assert set(judge(replace(found, standstills=())).violations) == {"beyond_bound"}


def test_what_was_committed_before_may_not() -> None:
    """A standstill explains nothing of what was finished."""
    assert set(judge(history(committed=2, again_s=17)).violations) == {"risen", "beyond_bound"}


def test_what_begins_later_may_not() -> None:
    """Members have heard of it by then."""
    late = history(committed=1, again_s=40)
    begun = Run(SECOND, "b", 1, 1, 30 * _S, 30 * _S + 1, "done")

    assert "beyond_bound" in judge(replace(late, runs=(late.runs[0], begun, late.runs[2]))).violations
