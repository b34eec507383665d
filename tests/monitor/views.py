"""What the engine would show of itself, with quiet defaults, and a clock that a test turns."""

from __future__ import annotations

from typing import Any

from streams.observer import MemberView, PartitionView
from streams.record import Partition

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)


class TurnedClock:
    """Both clocks stand at one moment until a test moves them."""

    def __init__(self, at_s: float = 1_700_000_000.0) -> None:
        self.at_s = at_s

    def monotonic(self) -> float:
        return self.at_s

    def now(self) -> float:
        return self.at_s


def place(partition: Partition = ORDERS, **fields: Any) -> PartitionView:
    """A partition of 100 records, all read and settled, but for *fields*."""
    quiet = {
        "position": 100,
        "committed": 100,
        "high_watermark": 100,
        "outstanding": 0,
        "retrying": 0,
        "behind": 0,
        "oldest_ms": -1,
        "ledger_used": 0.0,
        "commit_age_s": 0.0,
    }
    return PartitionView(partition, **(quiet | fields))


def member(*places: PartitionView, **fields: Any) -> MemberView:
    """An idle member of one slot that owns *places*, but for *fields*."""
    quiet = {"running": 0, "capacity": 1, "outstanding": 0, "outstanding_bytes": 0, "stuck": 0}
    return MemberView(places, **(quiet | fields))
