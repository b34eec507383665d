"""What one run is told, and what it answers: both go through a pipe as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec

from streams.engine.policy import OrderPolicy

Mode: TypeAlias = Literal["inline", "threads", "asyncio", "batch"]
"""Where handlers run; ``batch`` takes up to 500 values a call, in threads."""

Keys: TypeAlias = Literal["zipf", "uniform"]
"""How records fall on 10,000 keys: very unequally, the hottest has 12 %, or evenly."""

Handler: TypeAlias = Literal["noop", "json", "wait1", "wait5", "cpu50", "real", "checked", "stamped", "flaky"]
"""What a handler does with a record:

* ``noop``: nothing.
* ``json``: it takes the decoded value, and does nothing with it.
* ``wait1``, ``wait5``: it waits 1 or 5 ms.
* ``cpu50``: 50 us of Python, no call of the system among it.
* ``real``: what a service does: it validates an order, keeps a total for its key, and sends an event.
* ``checked``: it verifies the order of each key.
* ``stamped``: it notes how old the record is.
* ``flaky``: one record in a thousand fails once, one in ten thousand for good.
"""

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
SPEED_HANDLERS: Final[tuple[Handler, ...]] = ("noop", "json", "wait1", "wait5", "cpu50", "real")

WAIT_S: Final[Mapping[Handler, float]] = {"wait1": 0.001, "wait5": 0.005}
CPU_S: Final = 50e-6
"""CPU seconds that ``cpu50`` takes."""

_RUNS_IN: Final[Mapping[Handler, tuple[Mode, ...]]] = {
    "wait1": ("threads", "asyncio"),  # inline nothing may wait; a batch would wait once for many
    "wait5": ("threads", "asyncio"),
    "real": ("inline", "threads", "asyncio"),  # a batch handler has no context to send by
    "stamped": ("inline", "threads", "asyncio"),
    "flaky": ("threads",),
}


def modes_of(handler: Handler) -> tuple[Mode, ...]:
    """Give the modes in which *handler* can run."""
    return _RUNS_IN.get(handler, MODES)


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
    order: OrderPolicy = "park"
    """What a failing record means for its key; under ``unordered`` no record waits for another one."""
    failures: float = 0.0
    """Percent of the records that fail once, and go through a retry topic."""
    concurrency: int | None = None
    """Handlers under way at once; None: the engine's default."""
    turns: int = 0
    """Turns of the loop that take ``cpu50`` its time; the same in every run that is compared."""
    events: str = ""
    """Where ``real`` sends to."""
    folder: str = ""
    """Where a member of several leaves its outcome; nothing: it is the only one, and prints it."""


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
    marks: list[tuple[float, int]] = []
    """Of a member of several: by the clock that processes share, how many records had settled."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def cpu_us(self) -> float:
        """CPU microseconds a record."""
        return self.cpu_s / self.records * 1e6 if self.records else 0.0

    @property
    def cores(self) -> float:
        """CPU seconds a second."""
        return self.cpu_s / self.seconds if self.seconds else 0.0


def to_json(message: Task | Outcome) -> bytes:
    """Write *message*."""
    return msgspec.json.encode(message)


def read_task(data: str | bytes) -> Task:
    """Read what `to_json` wrote."""
    return msgspec.json.decode(data, type=Task)


def read_outcome(data: bytes) -> Outcome:
    """Read what `to_json` wrote."""
    return msgspec.json.decode(data, type=Outcome)


def read_outcomes(data: bytes) -> list[Outcome]:
    """Read the outcomes of several members."""
    return msgspec.json.decode(data, type=list[Outcome])


def summary(outcome: Outcome) -> dict[str, Any]:
    """Give the figures of *outcome* for machines, without its long lists."""
    return {
        "records_per_s": round(outcome.rate),
        "cpu_us_per_record": round(outcome.cpu_us, 3),
        "resident_mb": round(outcome.resident_bytes / 2**20, 1),
    }
