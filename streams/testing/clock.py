"""A clock that a test turns by hand, so that nothing has to wait."""

from __future__ import annotations


class ManualClock:
    """Both clocks stand still until `advance`; fit wherever a `streams.clock.Clock` is taken.

    >>> clock = ManualClock()
    >>> began = clock.monotonic()
    >>> clock.advance(1.5)
    >>> clock.monotonic() - began
    1.5
    """

    def __init__(self, *, now_s: float = 1_700_000_000.0, monotonic_s: float = 1_000.0) -> None:
        """Stand at *now_s* seconds since 1970-01-01 UTC, and at *monotonic_s* of the clock that only goes forward."""
        self._now_s = now_s
        self._monotonic_s = monotonic_s

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._monotonic_s

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks.

        Raises:
            ValueError: *seconds* is negative; see `set_now` for a wall clock that is put back.
        """
        if seconds < 0:
            raise ValueError(f"time goes forward: {seconds} s")
        self._monotonic_s += seconds
        self._now_s += seconds

    def set_now(self, now_s: float) -> None:
        """Put the wall clock to *now_s*, forward or back, as a time server does; the other clock does not notice."""
        self._now_s = now_s
