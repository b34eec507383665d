"""Whether a member lives, and whether it may be counted on."""

from __future__ import annotations

from typing import Final, NamedTuple

LIMIT_S: Final = 60.0
"""Seconds the poll thread may stand still; above any pause it may rightly make."""


class Verdict(NamedTuple):
    """The answer to one question, in a form for people and machines."""

    ok: bool
    reason: str


class Health:
    """What the poll thread lets others know about its own going round.

    The poll thread writes, with plain stores; any thread may ask.

    Always true: a broker that is away never makes a member that goes round
    count as dead.
    """

    joined: bool
    """The group has answered: this member has its partitions, or has none to get."""

    opening: int
    """Assigned partitions whose committed state is not read yet."""

    draining: bool
    """A stop has begun; nothing new is read."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        """Begin with a member that is starting.

        Args:
            limit_s: Seconds the poll thread may stand still. It must be more
                than an inline handler may take and a synchronous commit may
                block; shorter finds a hung member sooner.
        """
        self._limit_s = limit_s
        self._beat_s: float | None = None
        self.joined = False
        self.opening = 0
        self.draining = False

    def beat(self, now_s: float) -> None:
        """Note that the poll thread goes round; *now_s* is monotonic.  Call it each turn, wherever it waits."""
        self._beat_s = now_s

    def live(self, now_s: float) -> Verdict:
        """Tell whether the poll thread goes round; before its first turn it counts as alive."""
        if self._beat_s is None:
            return Verdict(ok=True, reason="starting: the poll thread has not gone round yet")
        still_s = now_s - self._beat_s
        if still_s > self._limit_s:
            return Verdict(
                ok=False,
                reason=f"the poll thread has stood still for {still_s:.0f} s, more than {self._limit_s:g} s",
            )
        return Verdict(ok=True, reason="the poll thread goes round")

    def ready(self, now_s: float) -> Verdict:
        """Tell whether this member works on what the group gave it."""
        live = self.live(now_s)
        if not live.ok:
            return live
        if self.draining:
            return Verdict(ok=False, reason="draining: a stop has begun")
        if not self.joined:
            return Verdict(ok=False, reason="starting: the group has not answered yet")
        if self.opening:
            return Verdict(ok=False, reason=f"opening {self.opening} partitions: their committed state is being read")
        return Verdict(ok=True, reason="in the group; every assigned partition is open")
