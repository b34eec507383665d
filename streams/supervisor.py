"""N members of one group as N processes that share nothing, looked after by one that does no work.

A member that dies is started again, later each time it dies soon; one that
ends by itself is not.  A signal goes on to all of them.  Where something says
how many are wanted, members are started, or told to end in order, the youngest
first.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
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
    kill_at: float = float("inf")
    """It was told to leave, as fewer are wanted, and is killed if it has not by then."""

    @property
    def is_leaving(self) -> bool:
        """Fewer are wanted."""
        return self.kill_at < float("inf")


@dataclass(slots=True)
class Supervisor:
    """Runs *command* in *count* processes until all have ended.

    Always true: after a stop was asked for nothing is started; a member that is told to leave is not started again.
    """

    command: Sequence[str]
    count: int
    grace_s: float
    """Seconds after a stop before what still runs is killed."""
    first_pause_s: float = _FIRST_PAUSE_S
    """Seconds before a member that died is started again for the first time."""
    wanted: Callable[[], int | None] | None = None
    """Says how many members are wanted now, None: as many as there are; must not wait.  Without it, *count* are."""
    _told: list[int] = field(default_factory=list)
    _kill_at: float = float("inf")

    def run(self) -> list[int]:
        """Give the exit codes, in the members' order; those that left as fewer were wanted are not among them."""
        places = [_Place(number) for number in range(self.count)]
        before = {number: signal.signal(number, self._hear) for number in (signal.SIGTERM, signal.SIGINT)}
        told = 0
        try:
            while any(place.ended is None for place in places) or (self.wanted is not None and not self._told):
                for number in self._told[told:]:
                    self._tell(places, number)
                told = len(self._told)
                self._resize(places)
                for place in places:
                    self._look_after(place)
                time.sleep(_LOOK_EVERY_S)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return [place.ended or 0 for place in places]

    def _resize(self, places: list[_Place]) -> None:
        """Have as many members as are wanted, but for those that are still leaving."""
        if self.wanted is None or self._told:
            return
        places[:] = [place for place in places if not (place.is_leaving and place.ended is not None)]
        if any(place.ended is not None for place in places):  # one has ended by itself, and so would the others
            self._told.append(signal.SIGTERM)
            return
        staying = [place for place in places if not place.is_leaving]
        wanted = self.wanted()
        if wanted is None:
            return
        taken = {place.number for place in places}
        free = (number for number in range(len(places) + wanted + 1) if number not in taken)
        places += [_Place(next(free)) for _ in range(wanted - len(staying))]
        for place in staying[wanted:]:
            place.kill_at = time.monotonic() + self.grace_s
            if place.process is None:
                place.ended = 0
            else:
                place.process.send_signal(signal.SIGTERM)

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
            if now > min(self._kill_at, place.kill_at):
                _log.error("member %d did not end within %g s and is killed", place.number, self.grace_s)
                place.process.kill()
            return
        place.process = None
        if code in (0, _USAGE) or self._told or place.is_leaving:
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
