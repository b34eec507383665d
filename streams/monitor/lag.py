"""How far a partition is behind, in records and in seconds."""

from __future__ import annotations

from collections.abc import Iterable

from streams.observer import PartitionView
from streams.record import Partition


def lag_records(view: PartitionView) -> int | None:
    """Count the records of a partition that are not settled; None where its end is unknown."""
    return None if view.unread is None else view.unread + view.outstanding


class LagAge:
    """How old the oldest record of a partition is that is not settled.

    Owned by the poll thread.  While that record is in flight the engine knows
    its timestamp.  While all that is left is unread nobody does; then it is no
    older than the records settled last, which came before it, and was not there
    yet when the end of the partition was last seen.
    """

    def __init__(self) -> None:
        """Know no partition yet."""
        self._not_before: dict[Partition, float] = {}

    def settled(self, partition: Partition, timestamp_s: float) -> None:
        """Note that a record with *timestamp_s*, or one younger, settled."""
        if timestamp_s > self._not_before.get(partition, 0.0):
            self._not_before[partition] = timestamp_s

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop what is known of *partitions*: others go on with them."""
        for partition in partitions:
            self._not_before.pop(partition, None)

    def seconds(self, view: PartitionView, now_s: float) -> float | None:
        """Give the age at *now_s*, seconds since 1970; 0 with nothing to do, None where it is unknown."""
        unread = view.unread
        if unread == 0:
            self.settled(view.partition, now_s)
        if view.outstanding:
            return max(0.0, now_s - view.oldest_ms / 1000) if view.oldest_ms >= 0 else None
        if unread == 0:
            return 0.0
        since_s = self._not_before.get(view.partition)
        return None if unread is None or since_s is None else max(0.0, now_s - since_s)
