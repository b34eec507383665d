"""One fault as it was done, and what counts as a hit."""

from __future__ import annotations

from typing import Final, NamedTuple

GOES_ON_WITHIN_S: Final = 60.0
FURTHER: Final = 100
"""Runs that end after a fault before the next thing happens."""


class Injected(NamedTuple):
    """One fault as it was done."""

    fault: str
    members: tuple[int, ...]
    """Numbers of the members that were hit."""
    in_flight: int
    """Records that had started and not ended there."""
    missed: str = ""
    """Why it does not count; "" where it does."""

    @property
    def has_hit(self) -> bool:
        """A member was hit, and records were in flight."""
        return bool(self.members) and self.in_flight > 0 and not self.missed
