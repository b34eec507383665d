"""What one run is told, and what it answers: both go through a pipe as JSON."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

Mode: TypeAlias = Literal["inline", "threads", "asyncio", "batch"]
"""Where handlers run; ``batch`` takes up to 500 values a call, in threads."""

Handler: TypeAlias = Literal["noop", "json", "checked", "stamped", "flaky"]
"""What a handler does with a record:

* ``noop``: nothing.
* ``json``: it takes the decoded value, and does nothing with it.
* ``checked``: it verifies the order of each key.
* ``stamped``: it notes how old the record is.
* ``flaky``: one record in a thousand fails once, one in ten thousand for good.
"""

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
SPEED_HANDLERS: Final[tuple[Handler, ...]] = ("noop", "json")


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    topic: str
    partitions: int
    handler: Handler = "noop"
    mode: Mode | None = None
    """None: the control, which is the client alone."""
    group: str = ""
    records: int | None = None
    """The run ends when so many have settled; None: it goes on until it is told to end."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured."""

    records: int
    """Records between the two readings of the clock."""
    seconds: float
    """From the first batch in hand until the last record settled (control: was read)."""
    cpu_s: float
    """CPU time of all threads of the process between the same two moments."""
    resident_bytes: int
    """The most memory that the process ever had in use."""
    settled: int = 0
    """Records that the engine reported as done, skipped or dead-lettered."""
    is_complete: bool = True
    """Everything that was read had settled, and the broker acknowledged the last commit."""
    violations: int = 0
    """Records that a ``checked`` handler found out of order, twice, or missing before."""
    examples: list[str] = []
    """The first few of them, in words."""
    keys: int = 0
    """Keys that a ``checked`` handler saw."""
    checked: int = 0
    """Records that it saw in order, each once."""
    latencies_ms: list[float] = []
    """Age of each record when its handler began, by ``stamped`` handlers."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a record."""
        return self.cpu_s / self.records * 1e6 if self.records else 0.0


def to_json(message: Task | Outcome) -> bytes:
    """Write *message*."""
    return msgspec.json.encode(message)


def read_task(data: str | bytes) -> Task:
    """Read what `to_json` wrote."""
    return msgspec.json.decode(data, type=Task)


def read_outcome(data: bytes) -> Outcome:
    """Read what `to_json` wrote."""
    return msgspec.json.decode(data, type=Outcome)


def summary(outcome: Outcome) -> dict[str, Any]:
    """Give the figures of *outcome* for machines, without its long lists."""
    return {
        "records_per_s": round(outcome.rate),
        "cpu_us_per_record": round(outcome.cpu_us, 3),
        "resident_mb": round(outcome.resident_bytes / 2**20, 1),
    }
