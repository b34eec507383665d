"""The longest time in which nothing ended although there was work."""

from __future__ import annotations

from collections.abc import Sequence

from streams.verify.history import Committed, Dead, Ending, History, Place, Reading, Run, Sent
from streams.verify.stall import longest_stall_s

_S = 10**9
_WALL_MS = 1_000_000
"""What the wall clock says when the monotonic one says 0."""


def history(
    came_s: list[float], runs: Sequence[tuple[int, float, Ending]], dead: dict[int, float] | None = None
) -> History:
    """Records that came, each with runs that took no time, and dead letters."""
    letters = [
        Dead(Place(0, offset), 0, "a", b"", [], 1, _WALL_MS + int(at_s * 1000)) for offset, at_s in (dead or {}).items()
    ]
    return History(
        sent={
            Place(0, offset): Sent("a", offset, time_ms=_WALL_MS + int(at * 1000)) for offset, at in enumerate(came_s)
        },
        runs=tuple(Run(Place(0, offset), "a", 1, 1, int(at * _S), int(at * _S), ended) for offset, at, ended in runs),
        dead=tuple(letters),
        readings=(Reading(50 * _S, _WALL_MS + 50_000, {0: Committed(0)}),),
    )


def test_work_that_stands_still_is_a_stall() -> None:
    """The second record is there all the while; runs that are cut off are no end."""
    assert longest_stall_s(history([0, 0], [(0, 1, "done"), (1, 3, "cut"), (1, 9, "done")])) == 8


def test_before_the_first_end_of_a_run_nothing_stalls() -> None:
    """Members have to start first."""
    assert longest_stall_s(history([0, 0], [(0, 30, "done"), (1, 31, "done")])) == 1


def test_idleness_is_no_stall() -> None:
    """With no record there nothing can end; from when one comes, it waits."""
    assert longest_stall_s(history([0, 20], [(0, 1, "done"), (1, 22, "done")])) == 2


def test_a_dead_letter_is_an_end() -> None:
    """After it nothing waits; before it its record does."""
    ends: list[tuple[int, float, Ending]] = [(0, 1, "failed"), (1, 30, "done")]

    assert longest_stall_s(history([0, 29], ends, {0: 4})) == 3


def test_failed_runs_are_signs_of_life() -> None:
    """A record that fails at length stalls nothing."""
    assert longest_stall_s(history([0], [(0, at, "failed") for at in range(1, 20)] + [(0, 20, "done")])) == 1


def test_a_run_of_nothing_has_no_stall() -> None:
    """Nothing came, nothing ended."""
    assert longest_stall_s(History(sent={})) == 0
