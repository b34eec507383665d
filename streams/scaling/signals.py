"""What a group's work looks like at one moment, as far as it is known: all that a hint is made from.

Lag in records is the wrong signal.  It counts what waits for its time and
needs nobody, knows no service rate, and is the same whether a minute or a day
of work stands there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Signals:
    """One group at one moment; None is unknown, and never 0."""

    at_s: float
    """When, seconds of any clock that goes on."""
    replicas: int
    """Members that the group has."""
    partitions: int
    """Of its topics: so many members can have work at once."""
    busy_partitions: int | None = None
    """Of these, the ones that hold due records; None where what is due is not known."""
    due_records: int | None = None
    """Records that could run now, were there a replica free for them."""
    waiting_records: int = 0
    """In retry topics, for their next attempt."""
    parked_records: int = 0
    """Behind another record of their key."""
    next_due_s: float | None = None
    """Seconds until the first record of a retry topic falls due; None where none waits, or members wait for it."""
    arrivals_per_s: float | None = None
    """Records that become due a second, retries included."""
    service_per_s: float | None = None
    """Records that one replica ends in a second in which it has work."""
    busy_ratio: float | None = None
    """Share of their time in which the replicas have work, 0 to 1."""
    oldest_due_s: float | None = None
    """Age of the oldest due record, by its timestamp."""
    key_work_s: float = 0.0
    """Work that is known to stand behind records of its own keys, of the partition with most: it takes so long at
    least, however many replicas there are."""
    held_by: str = ""
    """What keeps the work from being done, in a clause, where no further replica would help; empty: nothing does."""
    startup_s: float | None = None
    """From a replica's start until it has its partitions."""

    @property
    def due_work_s(self) -> float | None:
        """Seconds of work of one replica that are due."""
        if self.due_records == 0:
            return 0.0
        if self.due_records is None or not self.service_per_s:
            return None
        return self.due_records / self.service_per_s

    def document(self) -> dict[str, Any]:
        """Give all of it by name, for machines; None is unknown."""
        return {**asdict(self), "due_work_s": self.due_work_s}
