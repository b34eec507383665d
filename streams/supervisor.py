"""N members of one group as N processes that share nothing, looked after by one that does no work.

A member that dies is started again, later each time it dies soon; one that
ends by itself is not.  A signal goes on to all of them.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from streams.errors import StreamsError

_log = logging.getLogger(__name__)

PARENT_VARIABLE: Final = "STREAMS_SUPERVISOR_PID"
"""Tells a member who looks after it; it stops once that process is gone."""

_LOOK_EVERY_S: Final = 0.1
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LASTED_S: Final = 60.0
"""A member that lived this long starts again after the first pause."""
_USAGE: Final = 2


@dataclass(slots=True)
class _Place:
    """One of the N members."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = 0.0
    starts_at: float = 0.0
    ended: int | None = None
    """The exit code it ended with by itself."""
    deaths: int = 0


@dataclass(slots=True)
class Supervisor:
    """Runs *command* in *count* processes until all have ended.

    Always true: after a stop was asked for nothing is started.
    """

    command: Sequence[str]
    count: int
    grace_s: float
    """Seconds after a stop before what still runs is killed."""
    first_pause_s: float = _FIRST_PAUSE_S
    """Seconds before a member that died is started again for the first time."""
    _told: list[int] = field(default_factory=list)
    _kill_at: float = float("inf")

    def run(self) -> list[int]:
        """Give the exit codes, in the members' order."""
        places = [_Place(number) for number in range(self.count)]
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        told = 0
        try:
            while any(place.ended is None for place in places):
                for number in self._told[told:]:
                    self._tell(places, number)
                told = len(self._told)
                for place in places:
                    self._look_after(place)
                time.sleep(_LOOK_EVERY_S)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return [place.ended or 0 for place in places]

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self._told.append(number)

    def _tell(self, places: list[_Place], number: int) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + self.grace_s)
        for place in places:
            if place.process is not None:
                place.process.send_signal(number)
            elif place.ended is None:
                place.ended = 0

    def _look_after(self, place: _Place) -> None:
        now = time.monotonic()
        if place.ended is not None:
            return
        if place.process is None:
            if now >= place.starts_at and not self._told:
                place.process, place.started_at = self._start(place.number), now
            return
        code = place.process.poll()
        if code is None:
            if now > self._kill_at:
                _log.error("member %d did not end within %g s and is killed", place.number, self.grace_s)
                place.process.kill()
            return
        place.process = None
        if code in (0, _USAGE) or self._told:
            place.ended = code
            return
        place.deaths += 1
        place.pause_s = next_pause_s(place.pause_s, now - place.started_at, self.first_pause_s)
        place.starts_at = now + place.pause_s
        _log.error("member %d died with %d; it starts again in %g s", place.number, code, place.pause_s)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, PARENT_VARIABLE: str(os.getpid()), "STREAMS_MEMBER": str(number)}
        try:
            return subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603  # our own command line
        except OSError as error:
            raise StreamsError(f"member {number} can't be started: {error}") from error


def next_pause_s(before_s: float, lived_s: float, first_s: float = _FIRST_PAUSE_S) -> float:
    """Give the pause after a death: twice the one before, or the first again where the member had lasted."""
    if lived_s >= _LASTED_S:
        return first_s
    return min(_LONGEST_PAUSE_S, max(first_s, before_s * 2))
