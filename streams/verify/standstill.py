"""When the whole machine stands still: members, brokers and whoever judges them, all at once.

Sessions end meanwhile, as members can't tell the group that they live; what
had begun runs again, and no injected fault explains it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from streams.verify.history import Pause

_EVERY_S: Final = 0.1
_LATE_NS: Final = 2_000_000_000
"""A thread that wakes so late tells of more than a busy machine; a third of a session."""
_SLOW_NS: Final = 500_000_000
"""From so late on the time is lost to whoever waits for something."""


class Watch:
    """Looks at the clock all the while; owned by whoever made it, works in a thread of its own.

    Always true: every stretch in `standstills` has ended.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin to look at *clock*."""
        self.standstills: list[Pause] = []
        self._lost_ns = 0
        self._clock = clock
        self._last_ns = clock()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standstill", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Look at the clock: if it was long ago that anybody did, the machine stood still."""
        now_ns = self._clock()
        late_ns = now_ns - self._last_ns
        if late_ns > _LATE_NS:
            self.standstills.append(Pause(0, self._last_ns, now_ns))
        if late_ns > _SLOW_NS:
            self._lost_ns += late_ns
        self._last_ns = now_ns

    def awake_s(self) -> float:
        """Give a time that goes on only while the machine does: what waits for something waits by it."""
        return (self._clock() - self._lost_ns) / 1e9

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            self.look()
