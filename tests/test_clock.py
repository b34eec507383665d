"""Clocks: the machine's, and the one that a test turns."""

from __future__ import annotations

import time

import pytest

from streams.clock import Clock, SystemClock
from streams.testing.clock import ManualClock


def readings(clock: Clock) -> tuple[float, float]:
    """What both of its clocks show."""
    return clock.monotonic(), clock.now()


def test_the_systems_clock_is_the_machines() -> None:
    """Monotonic time goes forward, and wall time counts seconds since 1970."""
    before = (time.monotonic(), time.time())
    shown = readings(SystemClock())
    after = (time.monotonic(), time.time())

    assert before[0] <= shown[0] <= after[0]
    assert before[1] <= shown[1] <= after[1]


def test_a_manual_clock_stands_still() -> None:
    """Nothing moves it but the test."""
    clock = ManualClock(now_s=100.0, monotonic_s=5.0)

    assert readings(clock) == readings(clock) == (5.0, 100.0)


def test_time_passes_on_both_clocks() -> None:
    """What passes on one passes on the other."""
    clock = ManualClock(now_s=100.0, monotonic_s=5.0)
    clock.advance(2.5)
    clock.advance(0)

    assert readings(clock) == (7.5, 102.5)


def test_time_does_not_go_back() -> None:
    """A monotonic clock never does."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_the_wall_clock_may_be_put_back() -> None:
    """A time server may set it, and the monotonic clock does not notice."""
    clock = ManualClock(now_s=100.0, monotonic_s=5.0)
    clock.set_now(50.0)

    assert readings(clock) == (5.0, 50.0)
