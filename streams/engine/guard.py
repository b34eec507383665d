"""The guard before the dead-letter topic: a few bad records pass, a whole topic does not.

A `Guard` is what the app declares, a frozen value; a `Tripwire` is what a
member knows of one route.  Sans I/O: how records ended goes in, whether a dead
letter may be written comes out, time is an argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streams.engine.breaker import duration_faults
from streams.engine.circuit import Circuit
from streams.errors import ConfigError
from streams.retry import Duration, seconds

_MOST: Final = 1_000_000
_PROBES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Guard:
    """When so many records of a route end as dead letters that something else than the records is wrong.

    Then the route stands still in this member, its alarm is raised, and what
    would have become a dead letter waits and runs again: after a restart, after
    an operator's word, or, with `probe_after`, once a few records ended well.
    """

    share: float = 0.5
    """More dead letters than this share of the last `of` records, 0 to 1; 1 leaves it to `in_a_row`."""

    of: int = 200
    """Records that have ended, done or skipped or dead-lettered; fewer say nothing about a share."""

    in_a_row: int = 50
    """So many dead letters with no other end between them, the one that is not written included."""

    probe_after: Duration | None = None
    """How long it stands still before a few records try by themselves; None: until somebody says so."""

    def __post_init__(self) -> None:
        """Check every field, and list all faults at once."""
        faults = list(self._faults())
        if faults:
            raise ConfigError([f"guard: {fault}" for fault in faults])

    def _faults(self) -> Iterator[str]:
        share: object = self.share
        if not isinstance(share, int | float) or not 0 < share <= 1:
            yield f"share={share!r} is no share above 0 and up to 1"
        for name in ("of", "in_a_row"):
            number: object = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _MOST:
                yield f"{name}={number!r} is no number of records, 1 to {_MOST}"
        if self.probe_after is not None:
            yield from duration_faults("probe_after", self.probe_after)


DEFAULT_GUARD: Final = Guard()
"""Lets the bad records of ordinary days pass: trips at 50 in a row, or over half of 200."""


class Tripwire:
    """What this member knows of the dead letters of one route.

    Owned by the poll thread.

    Always true: of the records that ended while its circuit was closed, no
    more than the guard allows were dead letters, neither in a row nor by share.
    """

    def __init__(self, guard: Guard) -> None:
        """Know of no record yet."""
        self.guard = guard
        self.circuit = Circuit(wait_s=None if guard.probe_after is None else seconds(guard.probe_after), probes=_PROBES)
        self._latest: deque[list[int]] = deque()  # runs of one kind: is dead, records
        self._ended = self._dead = self._in_a_row = 0

    def passed(self, records: int) -> None:
        """Note that *records* ended otherwise than as dead letters."""
        if self.circuit.is_closed:
            self._in_a_row = 0
            self._add(0, records)

    def letter(self, now_s: float, error: BaseException | None = None) -> bool:
        """Say whether one more dead letter, of *error*, may be written; where it may not, its record waits."""
        if self.circuit.is_closed:
            self._in_a_row += 1
            self._add(1, 1)
            why = self._fault()
            if why is None:
                return True
            self._forget()
            self.circuit.open(now_s, f"{why}{_last(error)}")
        elif self.circuit.state == "half_open":
            self.circuit.open(now_s, f"a record that tried again is still a dead letter{_last(error)}")
        return False

    def _fault(self) -> str | None:
        guard = self.guard
        if self._in_a_row >= guard.in_a_row:
            return f"{self._in_a_row} dead letters in a row"
        if self._ended >= guard.of and self._dead > guard.share * guard.of:
            return f"{self._dead} of the last {guard.of} records are dead letters"
        return None

    def _add(self, is_dead: int, records: int) -> None:
        records = min(records, self.guard.of)
        if self._latest and self._latest[-1][0] == is_dead:
            self._latest[-1][1] += records
        else:
            self._latest.append([is_dead, records])
        self._ended += records
        self._dead += is_dead * records
        self._trim()

    def _trim(self) -> None:
        """Keep the last records only."""
        while self._ended > self.guard.of:
            oldest = self._latest[0]
            gone = min(oldest[1], self._ended - self.guard.of)
            oldest[1] -= gone
            self._ended -= gone
            self._dead -= oldest[0] * gone
            if not oldest[1]:
                self._latest.popleft()

    def _forget(self) -> None:
        self._latest.clear()
        self._ended = self._dead = self._in_a_row = 0


def _last(error: BaseException | None) -> str:
    """Name the class of what the last one died of: its text may hold what not everybody may see."""
    if error is None:
        return ""
    return f", the last of {type(error).__name__}"
