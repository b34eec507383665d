"""A dependency as they are: mostly quick, sometimes slow, now and then without an answer for seconds.

Seeded: whether and how often a call for an event fails depends on the seed,
the event and the attempt, so the same run fails the same way.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Final

from examples.flights.events import FlightEvent

FAILING: Final = 0.02
"""Share of events whose first call fails, half of them twice; the call after that succeeds."""

LOST_EVERY: Final = 300
"""An aircraft is out of sight at one of so many of its events: three calls for it fail, or four."""

SLOW: Final = 0.01
"""Share of events whose call takes a quarter of a second."""

_QUICK_S: Final = (0.01, 0.05)
_SLOW_S: Final = 0.25


class RadarError(Exception):
    """The radar did not answer; asked again, it will."""


class Radar:
    """Confirms what is told of a flight."""

    def __init__(self, seed: int, down: Path | None = None) -> None:
        """Fail and be slow as *seed* says; while there is a file *down*, answer nothing."""
        self._seed = seed
        self._down = down

    async def confirm(self, event: FlightEvent, attempt: int) -> None:
        """Wait for the answer on *event*.

        Raises:
            RadarError: This call is one of those that fail.
        """
        luck = random.Random(f"{self._seed}/{event.id}")
        failures = luck.choice((1, 2)) if luck.random() < FAILING else 0
        slow = luck.random() < SLOW
        await asyncio.sleep(_SLOW_S if slow else luck.uniform(*_QUICK_S))
        if self._down is not None and self._down.exists():
            raise RadarError("the radar is down")
        if attempt <= (self._failures_out_of_sight(event) or failures):
            raise RadarError(f"no answer on {event.id}")

    def _failures_out_of_sight(self, event: FlightEvent) -> int:
        luck = random.Random(f"{self._seed}/{event.tail}")
        is_lost = event.seq % LOST_EVERY == luck.randrange(LOST_EVERY)
        return luck.choice((3, 4)) if is_lost else 0
