"""How often the broker is asked: seldom at rest, often while somebody looks, for a share of a core at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What the watch may take."""

    watched_s: float = 3.0
    """Seconds between two looks while somebody has a page open."""
    rest_s: float = 30.0
    """The same while nobody has."""
    watched_share: float = 0.15
    """Of one core, at most, while somebody looks: where a look costs more, looks are further apart."""
    rest_share: float = 0.004
    """The same at rest."""
    longest_s: float = 300.0
    """Whatever a look costs, the next one comes after so long."""

    def pause_s(self, cost_s: float, *, is_watched: bool) -> float:
        """Say how long to wait after a look that took *cost_s* of a core."""
        wished_s, share = (self.watched_s, self.watched_share) if is_watched else (self.rest_s, self.rest_share)
        return min(self.longest_s, max(wished_s, cost_s / share))
