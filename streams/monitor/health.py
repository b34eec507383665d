"""Whether a member lives, and whether it may be counted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.clock import Clock, SystemClock
from streams.observer import MemberView, Observer
from streams.record import Partition

LIMIT_S: Final = 120.0
"""Seconds the poll thread may stand still: above a drain and a commit that wait for a slow broker."""


class Verdict(NamedTuple):
    """The answer to one question, for people and machines."""

    ok: bool
    reason: str


class Health(Observer):
    """Concludes from what the engine tells, and from its silence.

    The poll thread writes, with plain stores; any thread may ask.

    Always true: a broker that is away never makes a member count as dead whose
    poll thread goes round.
    """

    def __init__(self, *, clock: Clock | None = None, limit_s: float = LIMIT_S) -> None:
        """Begin with a member that is starting.

        Args:
            clock: Where the time comes from.
            limit_s: Seconds the poll thread may stand still. It must be more
                than an inline handler may take; shorter finds a hung member
                sooner.
        """
        self._clock = clock or SystemClock()
        self._limit_s = limit_s
        self._beat_s: float | None = None
        self._joined = self._was_lost = False
        self._opening = 0
        self._is_draining = False

    def beat(self) -> None:
        """Note that the poll thread goes round.  Views do so each second; call it where it waits for long."""
        self._beat_s = self._clock.monotonic()

    def live(self) -> Verdict:
        """Tell whether the poll thread goes round; before its first sign it counts as alive."""
        still_s = 0.0 if self._beat_s is None else self._clock.monotonic() - self._beat_s
        if still_s > self._limit_s:
            return Verdict(
                ok=False,
                reason=f"the poll thread has stood still for {still_s:.0f} s, more than {self._limit_s:g} s",
            )
        return Verdict(ok=True, reason="the poll thread goes round")

    def ready(self) -> Verdict:
        """Tell whether this member works on what the group gave it."""
        live = self.live()
        if not live.ok:
            return live
        if self._is_draining:
            return Verdict(ok=False, reason="draining: a stop has begun")
        if not self._joined:
            cause = "its partitions were lost" if self._was_lost else "it started"
            return Verdict(ok=False, reason=f"joining: the group has not answered since {cause}")
        if self._opening:
            return Verdict(ok=False, reason=f"opening {self._opening} partitions: their committed state is being read")
        return Verdict(ok=True, reason="in the group, every assigned partition is open")

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """The group has answered; *partitions* are open when the next view comes."""
        self._joined = True
        self._opening = len(partitions)
        self.beat()

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """After a loss the group has to answer anew."""
        if lost:
            self._joined, self._was_lost = False, True
        self.beat()

    def stopping(self) -> None:
        """A stop takes a member out of service."""
        self._is_draining = True
        self.beat()

    def broker_error(self, text: str, *, fatal: bool) -> None:
        """A poll thread that complains goes round."""
        self.beat()

    def viewed(self, view: MemberView) -> None:
        """The poll thread went round, and all it was given is open."""
        self._opening = 0
        self.beat()
