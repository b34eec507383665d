"""A thread that takes notices to one target, each until it is taken or given up."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.monitor.dashboard.alarms import Notice
from streams.monitor.dashboard.targets import TIMEOUT_S, Fault, Target

PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0)
"""Between the tries at one notice: five in all."""
MOST_WAITING: Final = 1_000
"""Notices that wait for one target; beyond them the oldest go."""
_LOG: Final = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """How it stands with one target."""

    label: str
    sent: int
    failed: int
    """Given up, or dropped at the bound."""
    waiting: int
    """The one that is being sent counts."""
    error: str
    """Why the last try failed; empty where it did not."""
    error_s: float | None
    """When, seconds since 1970."""


class Courier:
    """Any thread may hand it a notice; the thread of its own owns the target.

    Always true: notices are sent in their order, one after the other; `take` never waits for the target.
    """

    def __init__(self, target: Target, pauses_s: Sequence[float] = PAUSES_S) -> None:
        """Send to *target*; after a failure again, after each of *pauses_s*."""
        self._target = target
        self._pauses_s = tuple(pauses_s)
        self._waiting: deque[Notice] = deque()
        self._sent = self._failed = 0
        self._error = ""
        self._error_s: float | None = None
        self._lock = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streams-notify", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what is under way is waited for, what waits is lost, and told."""
        self._stopped.set()
        with self._lock:
            self._lock.notify()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + 1)
        if self._waiting:
            _LOG.warning("notices were not sent", extra={"target": self._target.label, "notices": len(self._waiting)})

    def take(self, notice: Notice) -> None:
        """Have *notice* sent."""
        with self._lock:
            self._waiting.append(notice)
            if len(self._waiting) > MOST_WAITING:
                del self._waiting[1]  # the one before it may be under way
                self._failed += 1
                _LOG.error("a notice was dropped", extra={"target": self._target.label, "waiting": MOST_WAITING})
            self._lock.notify()

    @property
    def delivery(self) -> Delivery:
        """How it stands."""
        with self._lock:
            label, waiting = self._target.label, len(self._waiting)
            return Delivery(label, self._sent, self._failed, waiting, self._error, self._error_s)

    def _run(self) -> None:
        while (notice := self._next()) is not None:
            fault = self._send(notice)
            if self._stopped.is_set() and fault is not None:
                return
            with self._lock:
                self._sent += fault is None
                self._failed += fault is not None
                self._waiting.popleft()

    def _next(self) -> Notice | None:
        with self._lock:
            self._lock.wait_for(lambda: self._waiting or self._stopped.is_set())
            return None if self._stopped.is_set() else self._waiting[0]

    def _send(self, notice: Notice) -> Fault | None:
        """Send it, again where that may help; give why it was not taken."""
        body, pauses_s, place = notice.pack(), iter(self._pauses_s), {"target": self._target.label, "notice": notice.id}
        while True:
            fault = self._try(body)
            self._error, self._error_s = ("", None) if fault is None else (fault.text, time.time())
            if fault is None:
                return None
            pause_s = None if fault.is_final else next(pauses_s, None)
            if pause_s is None:
                _LOG.error("a notice was given up: %s", fault.text, extra=place)
                return fault
            _LOG.warning("a notice was not taken, and is sent again: %s", fault.text, extra=place)
            if self._stopped.wait(pause_s):
                return fault

    def _try(self, body: bytes) -> Fault | None:
        try:
            return self._target.deliver(body)
        except Exception:  # noqa: BLE001  # whatever it is, the notices behind this one are sent
            _LOG.exception("a notice could not be sent", extra={"target": self._target.label})
            return Fault("it failed by a fault of this program; its log says more")
