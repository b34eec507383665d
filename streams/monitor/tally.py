"""What a member did in one run, counted for the report at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from streams.observer import Observer, OutcomeName
from streams.record import Partition


@dataclass(slots=True)
class Totals:
    """Counts of one run of a member."""

    consumed: int = 0
    """Records read and admitted."""
    done: int = 0
    """Records whose handler did its work."""
    skipped: int = 0
    """Records that needed none."""
    retried: int = 0
    """Runs that failed and whose record runs again; a record may count several times."""
    dead_lettered: int = 0
    """Records in the dead-letter topic, acknowledged."""
    expired: int = 0
    """Offsets that retention removed before they were read."""
    commits: int = 0
    """Commits of a partition that the broker acknowledged."""
    rebalances: int = 0
    """Times that partitions came or went."""

    def as_dict(self) -> dict[str, int]:
        """Give the counts by name, for machines."""
        return asdict(self)


class Tally(Observer):
    """Adds up what the engine tells; read `totals` at any time."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.totals = Totals()

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Add what was read."""
        self.totals.consumed += records

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        """Add what ended; a dead letter counts when it is acknowledged, not here."""
        if outcome == "done":
            self.totals.done += records
        elif outcome == "skipped":
            self.totals.skipped += records
        elif outcome == "retried":
            self.totals.retried += records

    def dead_lettered(self, partition: Partition, offset: int, attempts: int, error: BaseException) -> None:
        """Add a dead letter."""
        self.totals.dead_lettered += 1

    def expired(self, partition: Partition, records: int) -> None:
        """Add what retention took."""
        self.totals.expired += records

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        """Add a commit."""
        self.totals.commits += 1

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Add a rebalance, if it brought anything."""
        self.totals.rebalances += bool(partitions)

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """Add a rebalance, if it took anything."""
        self.totals.rebalances += bool(partitions)
