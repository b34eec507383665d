"""Time as a value that is handed in, so that tests can hand in their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the engine reads the time.  Safe to call from any thread; never blocks."""

    def monotonic(self) -> float:
        """Seconds that only go forward; the origin means nothing."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as Kafka's timestamps count (those in ms)."""


class SystemClock:
    """The clocks of this machine."""

    monotonic = staticmethod(time.monotonic)
    now = staticmethod(time.time)
