"""Says what keeps happening once, then how often."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

_KEYS: Final = 200
"""Different events that are told apart; what comes on top is one event."""


class _Window:
    """One event that was said, and what happened since."""

    __slots__ = ("count", "opened_s", "say")

    def __init__(self, opened_s: float) -> None:
        self.opened_s = opened_s
        self.count = 0
        self.say: Callable[[int], None] | None = None


class Repeats:
    """Lets the first of equal events through and counts those that follow within a window.

    Owned by one thread; time is an argument.

    Always true: every event is said or counted in something said, at the latest
    at the first `flush` after its window.
    """

    def __init__(self, window_s: float) -> None:
        """Say equal events at most once in *window_s*."""
        self._window_s = window_s
        self._windows: dict[Hashable, _Window] = {}

    def happened(self, key: Hashable, now_s: float, say: Callable[[int], None], times: int = 1) -> None:
        """Call *say* with *times*, or keep it for later if *key* was said a short while ago.

        Args:
            key: What makes two events equal.
            now_s: Monotonic time.
            say: Writes the line; gets how many events it stands for.
            times: How many events these are.
        """
        if key not in self._windows and len(self._windows) >= _KEYS:
            key = None
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(now_s)
            say(times)
        else:
            window.count += times
            window.say = say

    def flush(self, now_s: float, *, ending: bool = False) -> None:
        """Say what was counted in windows that are over, or in all of them if *ending*; call it each second."""
        over = [(key, one) for key, one in self._windows.items() if ending or now_s - one.opened_s >= self._window_s]
        for key, window in over:
            if window.say is None:
                del self._windows[key]
                continue
            say, count = window.say, window.count
            self._windows[key] = _Window(now_s)
            say(count)
