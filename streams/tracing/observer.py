"""What the engine tells that concerns spans: partitions that went, and, where it is wanted, batches and commits."""

from __future__ import annotations

from collections.abc import Sequence

from streams.observer import Observer
from streams.record import Partition
from streams.tracing.attempts import LastAttempts
from streams.tracing.spans import Spans


class Forgetting(Observer):
    """Forgets the attempts at records of partitions that another member may have had meanwhile."""

    def __init__(self, attempts: LastAttempts) -> None:
        """Keep *attempts* true."""
        self._attempts = attempts

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """They are another's."""
        self._attempts.forget_all(partitions)

    def restarted(self, partition: Partition, cause: str) -> None:
        """What was under way may stand elsewhere now."""
        self._attempts.forget_all([partition])


class Batches(Forgetting):
    """Makes spans of batches that were read, and of commits that moved something."""

    def __init__(self, attempts: LastAttempts, spans: Spans) -> None:
        """Make them through *spans*."""
        super().__init__(attempts)
        self._spans = spans
        self._committed: dict[Partition, int] = {}

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Note a batch."""
        self._spans.received(partition, records)

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        """Note a commit; one that only renews the lease settles nothing."""
        if self._committed.get(partition) != offset:
            self._committed[partition] = offset
            self._spans.settled(partition, offset, took_s)
