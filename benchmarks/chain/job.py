"""What one process of the bench is to do, and what it measured; both travel as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from streams.bench.meter import Reading, resident_bytes
from streams.config import Settings

Part: TypeAlias = Literal[
    "fail", "copy", "restart", "scan", "read", "sweep", "free", "remember", "stuck", "pass", "hung"
]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement."""

    part: Part
    records: int
    keys: int = 0
    errors: int = 1
    """Kinds of failures that take turns."""
    topic: str = ""
    group: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What it gave."""

    records: int
    seconds: float
    cpu_s: float
    resident_bytes: int
    """The most memory that the process ever had in use."""
    facts: dict[str, float] = {}
    """Further numbers, by name; each is told or compared with a bound."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a record."""
        return self.cpu_s / self.records * 1e6 if self.records else 0.0


Measure: TypeAlias = Callable[[Settings, Job], Measured]


def measured(begin: Reading, end: Reading, records: int, **facts: float) -> Measured:
    """Give what lies between two readings of the clocks."""
    return Measured(
        records=records,
        seconds=end.wall_s - begin.wall_s,
        cpu_s=end.cpu_s - begin.cpu_s,
        resident_bytes=resident_bytes(),
        facts=facts,
    )
