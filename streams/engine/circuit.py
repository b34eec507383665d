"""A switch in three positions: closed, work goes on; open, it stands still; half-open, a few records try.

Sans I/O: events go in, the position and the room for probes come out, time is
an argument.  What opens a circuit is its owner's affair: `Breaker`, `Tripwire`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streams.observer import CircuitState

Verdict: TypeAlias = Literal["well", "failed", "void"]
"""What one probe says of what it tried; void: nothing, and another may be let in its place."""


@dataclass(slots=True, eq=False)
class Probe:
    """One record that was let through a half-open circuit, until its run ends."""

    overdue_s: float
    """Monotonic time from which a run that has not ended counts as failed."""


class Circuit:
    """Whether work may pass, and how it finds out that it may again.

    Owned by the poll thread.

    Always true:

    * Probes are under way only while it is half-open, and with those that said
      something they are never more than `probes`.
    * A probe speaks once, and only for the half-open time in which it was let:
      a run that began earlier neither closes nor opens anything.
    """

    def __init__(self, *, wait_s: float | None, probes: int) -> None:
        """Begin closed.

        Args:
            wait_s: Seconds from opening to half-open; None: it stays open until somebody closes it.
            probes: Records that try while it is half-open; the majority decides.
        """
        self._wait_s = float("inf") if wait_s is None else wait_s
        self._probes = probes
        self._half_open_at = float("inf")
        self._under_way: set[Probe] = set()
        self._well = self._failed = 0
        self.state: CircuitState = "closed"
        self.why = ""
        """What last turned it, in a clause; empty before anything did."""

    @property
    def is_closed(self) -> bool:
        """Work goes on."""
        return self.state == "closed"

    @property
    def room(self) -> int:
        """How many further probes may be let now."""
        if self.state != "half_open":
            return 0
        return self._probes - self._well - self._failed - len(self._under_way)

    def open(self, now_s: float, why: str) -> None:
        """Let nothing pass from now on; it is half-open once the wait is over."""
        self._turn("open", why)
        self._half_open_at = now_s + self._wait_s

    def close(self, why: str) -> None:
        """Let everything pass."""
        self._turn("closed", why)

    def look(self, now_s: float) -> None:
        """Do what is due: become half-open, give up on probes that do not end."""
        if self.state == "open" and now_s >= self._half_open_at:
            self._turn("half_open", "the wait is over")
        for late in [probe for probe in self._under_way if now_s >= probe.overdue_s]:
            self.end(late, "failed", now_s)

    def let(self, now_s: float, within_s: float) -> Probe:
        """Let one record pass, whose run ends *within_s*; only while there is `room`."""
        assert self.room > 0, "a probe is let only where there is room for one"  # noqa: S101  # the caller looked
        probe = Probe(now_s + within_s)
        self._under_way.add(probe)
        return probe

    def end(self, probe: Probe, verdict: Verdict, now_s: float) -> None:
        """Take what *probe* says; of an earlier half-open time it says nothing."""
        if probe not in self._under_way:
            return
        self._under_way.discard(probe)
        self._well += verdict == "well"
        self._failed += verdict == "failed"
        if self._well > self._probes // 2:
            self.close(f"probes ended well: {self._well}")
        elif self._failed >= self._probes - self._probes // 2:
            self.open(now_s, f"probes failed: {self._failed}")

    def _turn(self, state: CircuitState, why: str) -> None:
        self.state, self.why = state, why
        self._well = self._failed = 0
        self._under_way.clear()
