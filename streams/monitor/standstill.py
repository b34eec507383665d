"""What of a group's partitions is not done, and what it waits for: from the broker alone.

Counted in copies, and as of the group's last commits.
"""

from __future__ import annotations

from dataclasses import dataclass

from streams.engine.standing import Progress, Standing
from streams.kafka.admin import Admin
from streams.kafka.groups import Member
from streams.monitor.trail import Copy, chain_topics_of, copies
from streams.record import Partition


@dataclass(slots=True)
class Waits:
    """What of one partition is not done."""

    source: Progress
    member: Member | None = None
    """Who has the partition; None: nobody."""
    waiting: int = 0
    """Records in retry topics."""
    due: int = 0
    """Those of them whose time has come."""
    next_due_ms: int | None = None
    """When the next of the others may run, ms since 1970."""
    parked: int = 0
    dead: int = 0
    unknown: int = 0
    """Copies of all these of which the broker can't tell whether they count."""

    @property
    def is_nothing(self) -> bool:
        """All is done."""
        return not (self.source.outstanding or self.waiting or self.parked or self.dead)

    def add(self, copy: Copy, now_ms: int) -> None:
        """Count *copy*, which may be its record's place."""
        self.unknown += copy.verdict.counts == "unknown"
        if copy.kind == "parked":
            self.parked += 1
        elif copy.kind == "dlq":
            self.dead += 1
        else:
            self.waiting += 1
            due_ms = copy.due_ms or 0
            if due_ms <= now_ms:
                self.due += 1
            else:
                self.next_due_ms = due_ms if self.next_due_ms is None else min(self.next_due_ms, due_ms)


def standstill(admin: Admin, found: Standing, now_ms: int) -> dict[Partition, Waits]:
    """Give the partitions of *found* in which anything is not done.

    Raises:
        BrokerError: The broker does not answer.
    """
    owners = found.owners
    waits = {place: Waits(source, owners.get(place)) for place, source in found.progress.items()}
    for topic in found.topics:
        for copy in copies(admin, chain_topics_of(admin, found.group.name, topic)):
            one = waits.get(Partition(topic, copy.place.number))
            if one is not None and copy.is_live:
                one.add(copy, now_ms)
    return {place: one for place, one in sorted(waits.items()) if not one.is_nothing}
