"""A dependency as they are: mostly quick, sometimes slow, sometimes down for a moment.

Seeded: whether and how often a call for an event fails depends on the seed,
the event's id and the attempt, so the same run fails the same way.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

FAILING: Final = 0.02
"""Share of events whose first call fails, half of them twice; the call after that succeeds."""

SLOW: Final = 0.01
"""Share of events whose call takes a quarter of a second."""

_QUICK_S: Final = (0.005, 0.025)
_SLOW_S: Final = 0.25


class RadarError(Exception):
    """The radar did not answer; asked again, it will."""


class Radar:
    """Confirms what is told of a flight."""

    def __init__(self, seed: int) -> None:
        """Fail and be slow as *seed* says."""
        self._seed = seed

    async def confirm(self, event_id: str, attempt: int) -> None:
        """Wait for the answer on an event.

        Raises:
            RadarError: This call is one of those that fail.
        """
        luck = random.Random(f"{self._seed}/{event_id}")
        failures = luck.choice((1, 2)) if luck.random() < FAILING else 0
        slow = luck.random() < SLOW
        await asyncio.sleep(_SLOW_S if slow else luck.uniform(*_QUICK_S))
        if attempt <= failures:
            raise RadarError(f"no answer on {event_id}")
