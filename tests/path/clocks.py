"""Clocks that a test turns under a member that runs."""

from __future__ import annotations

import time


class SpedClock:
    """The clocks of this machine, the one that only goes forward as far ahead as a test puts it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def now(self) -> float:
        return time.time()


class LateClock:
    """The clocks of this machine, the one on the wall as far ahead as a test puts it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time() + self.ahead_s

    def put(self, now_s: float) -> None:
        """Have it be *now_s*."""
        self.ahead_s = now_s - time.time()
