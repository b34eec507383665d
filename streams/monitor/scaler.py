"""Looks at groups for those that scale them, and keeps what was said: what damps sees what lies between questions.

Only groups are looked at that somebody has asked about lately.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from streams.config import Settings
from streams.errors import BrokerError, UsageError
from streams.kafka.admin import Admin
from streams.monitor.scale import Gauge
from streams.scaling.hint import Advisor, Goal, Hint
from streams.scaling.signals import Signals

EVERY_S: Final = 5.0
"""Between two looks at a group."""
ASKED_S: Final = 900.0
"""A group that nobody has asked about for so long is not looked at any more."""
MOST: Final = 200
"""Groups, each with each goal, that are looked at; a further one is refused."""
_BETWEEN_S: Final = 1.2
"""Between the first two looks: one alone does not tell what comes."""
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Told:
    """What was said last of one group and goal."""

    advisor: Advisor
    asked_s: float
    signals: Signals | None = None
    hint: Hint | None = None
    trouble: str = ""


@dataclass
class Scaler:
    """Looks at groups for those that scale them.

    `ask` may be called from any thread; connections belong to whoever holds the lock.
    """

    settings: Settings
    every_s: float = EVERY_S
    clock: Callable[[], float] = time.monotonic
    _told: dict[tuple[str, Goal], Told] = field(default_factory=dict)
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def ask(self, group: str, goal: Goal) -> Told:
        """Give the hint for *group*, of this moment or a few seconds old; the first call looks twice.

        Raises:
            UsageError: Too many are looked at.
        """
        with self._lock:
            one = self._told.get((group, goal))
            if one is None:
                if len(self._told) >= MOST:
                    raise UsageError(f"{MOST} groups and goals are looked at already: ask about fewer")
                one = self._told[group, goal] = Told(Advisor(goal), self.clock())
                self._look([(group, goal)])
                if one.signals is not None and one.signals.arrivals_per_s is None:
                    self._is_over.wait(_BETWEEN_S)
                    self._look([(group, goal)])
            one.asked_s = max(one.asked_s, self.clock())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streams-scaler", daemon=True)
                self._thread.start()
        return one

    def follow(self, group: str, goal: Goal) -> Callable[[], Hint | None]:
        """Look at *group* until `stop`; give what tells the hint of the last look, without waiting."""
        one = self.ask(group, goal)
        one.asked_s = math.inf
        return lambda: one.hint

    def stop(self) -> None:
        """Look no more."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(30)

    def all(self) -> list[tuple[str, Goal, Told]]:
        """Give what was said of each group and goal."""
        with self._lock:
            return [(group, goal, one) for (group, goal), one in self._told.items()]

    def _run(self) -> None:
        while not self._is_over.wait(self.every_s):
            with self._lock:
                now_s = self.clock()
                for key in [key for key, one in self._told.items() if now_s - one.asked_s > ASKED_S]:
                    del self._told[key]
                for group in self._gauges.keys() - {group for group, _ in self._told}:
                    del self._gauges[group]
                self._look(list(self._told))

    def _look(self, keys: list[tuple[str, Goal]]) -> None:
        """Look at the groups of *keys*, each once, and say what follows for each goal."""
        with Admin(self.settings) as admin:
            for group in dict.fromkeys(group for group, _ in keys):
                gauge = self._gauges.setdefault(group, Gauge(group))
                signals, trouble = None, ""
                try:
                    signals = gauge.look(admin)
                except BrokerError as error:
                    trouble = str(error)
                    _LOG.warning("a group can't be looked at for its scaler", extra={"group": group, "cause": trouble})
                for key in keys:
                    if key[0] == group:
                        _say(self._told[key], signals, trouble)


def _say(one: Told, signals: Signals | None, trouble: str) -> None:
    one.signals, one.trouble = signals, trouble
    one.hint = None if signals is None else one.advisor.advise(signals)
