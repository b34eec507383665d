"""How many records may be taken up a second: a cap on intake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.clock import Clock
from streams.engine.intake import Intake
from streams.engine.partition import PartitionState


class Pace:
    """An allowance of records that grows with time, up to that of a second.

    Owned by the poll thread.
    """

    def __init__(self, rate: float, clock: Clock) -> None:
        """Allow *rate* records a second."""
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate)
        self._left = 1.0
        self._at_s = clock.monotonic()

    def room(self) -> int:
        """Give how many records may be taken up now."""
        now = self._clock.monotonic()
        self._left = min(self._most, self._left + self._rate * (now - self._at_s))
        self._at_s = now
        return max(0, int(self._left))

    def spend(self, records: int) -> None:
        """Note that so many were taken up."""
        self._left -= records


class PacedIntake(Intake):
    """Reads no more than a pace allows.

    Where it allows nothing the loop waits a moment, and nothing is paused: at
    one record a second or more that moment is short enough for the group.
    """

    def __init__(self, pace: Pace, *bounds: Any) -> None:
        """Hold *pace*, and what `Intake` holds."""
        super().__init__(*bounds)
        self._pace = pace

    def room(self, states: Sequence[PartitionState]) -> int:
        """Give how many records may be read now."""
        return min(super().room(states), self._pace.room())
