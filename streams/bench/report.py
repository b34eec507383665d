"""What a bench found, as one document: tables, plot and JSON are three views of it.

Figures only: a report that was written yesterday is read again, and drawn
anew, without a broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streams.bench.figures import Figures, control_figures
from streams.bench.latency import Latency
from streams.bench.processes import Scaling
from streams.bench.promise import Verdict
from streams.bench.race import Race, Result
from streams.bench.records import VALUE_BYTES
from streams.bench.task import WAIT_S, Handler, Keys, Mode, Outcome
from streams.engine.policy import OrderPolicy
from streams.errors import UsageError

CONTROL: Final = "control"
_BUSY_CORES: Final = 0.85
"""A process that takes more of a core than this waits for the CPU and for nothing else."""
_NEAR: Final = 0.9


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and under which promise."""

    keys: Keys
    size: int
    order: OrderPolicy
    failures: float

    @property
    def label(self) -> str:
        """What differs from the usual, in a word or two; nothing where nothing does."""
        said = [
            "" if self.keys == "zipf" else f"{self.keys} keys",
            "" if self.size == VALUE_BYTES else f"{self.size:,} bytes",
            "" if self.order != "unordered" else "no order",
            f"{self.failures:g} % fail" if self.failures else "",
        ]
        return ", ".join(filter(None, said))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one handler in one mode, or of its control."""

    handler: Handler
    mode: str
    """A mode, or ``control``."""
    conditions: Conditions
    records: int
    rate: float
    """Records a second, median."""
    ratio: float
    """As a share of the control's rate, or of the bound."""
    lowest: float
    highest: float
    bound: float | None
    """Records a second that arithmetic allows a handler that waits; None: the ratio is to the control."""
    cpu_us: float
    cpu_ratio: float
    cores: float
    """CPU seconds a second."""
    resident_bytes: int

    @property
    def is_control(self) -> bool:
        """It is the bare client."""
        return self.mode == CONTROL

    @property
    def is_wait(self) -> bool:
        """Its handler waits: what it is set beside is arithmetic, not the control."""
        return self.handler in WAIT_S

    @property
    def label(self) -> str:
        """Name it, as tables and plots do."""
        return ", ".join(filter(None, [self.mode, self.handler, self.conditions.label]))

    @property
    def is_cpu_bound(self) -> bool:
        """It waits, misses its bound, and keeps a core busy."""
        return self.bound is not None and self.ratio < _NEAR and self.cores >= _BUSY_CORES

    @property
    def held_by(self) -> str:
        """Say what keeps a handler that waits from its bound; nothing where it reaches it, or has none."""
        if self.bound is None or self.ratio >= _NEAR:
            return ""
        if self.is_cpu_bound:
            return "CPU-bound"
        return f"neither its waits nor a core: {self.cores:.2f} cores busy"


class OrderKept(msgspec.Struct, frozen=True, kw_only=True):
    """What the check of the order found in one mode."""

    mode: Mode
    conditions: Conditions
    is_kept: bool
    is_seen: bool
    checked: int
    keys: int
    violations: int
    violations_of_broken_engine: int
    examples: list[str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was measured."""

    partitions: int
    repeat: int
    runs: list[Run]
    order: list[OrderKept]
    latency: list[Latency]
    processes: list[Scaling]

    @property
    def is_sound(self) -> bool:
        """The order was kept wherever it is promised, and each check was able to see a broken one."""
        return all(one.is_kept and one.is_seen for one in self.order)

    @property
    def default_worker_bytes(self) -> int | None:
        """The most memory of a worker in threads; None where none was measured."""
        return max((run.resident_bytes for run in self.runs if run.mode == "threads"), default=None)


def runs_of(race: Race, result: Result) -> list[Run]:
    """Give the rows of *race*: for each handler the control, then each mode."""
    rows = []
    figures = result.figures()
    for handler in race.handlers:
        rows.append(_control_row(race, handler, result.controls[handler]))
        rows += [_row(race, handler, mode, figures[handler, mode]) for mode in race.modes]
    return rows


def orders_of(race: Race, verdicts: Sequence[Verdict]) -> list[OrderKept]:
    """Give the rows of what was checked on *race*."""
    return [
        OrderKept(
            mode=verdict.mode,
            conditions=_conditions(race),
            is_kept=verdict.is_kept,
            is_seen=verdict.is_seen,
            checked=verdict.sound.checked,
            keys=verdict.sound.keys,
            violations=verdict.sound.violations,
            violations_of_broken_engine=verdict.broken.violations,
            examples=verdict.sound.examples,
        )
        for verdict in verdicts
    ]


def as_document(report: Report) -> Any:
    """Give *report* as what JSON is made of."""
    return msgspec.to_builtins(report) | {"default_worker_resident_bytes": report.default_worker_bytes}


def read_report(data: bytes, name: str) -> Report:
    """Read what ``streams bench --json`` printed, from the file *name*.

    Raises:
        UsageError: It is something else.
    """
    try:
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{name} is no report of `streams bench --json`: {error}") from error


def _conditions(race: Race) -> Conditions:
    return Conditions(keys=race.keys, size=race.size, order=race.order, failures=race.failures)


def _control_row(race: Race, handler: Handler, runs: Sequence[Outcome]) -> Run:
    rate, cpu_us, resident_bytes = control_figures(runs)
    return Run(
        handler=handler,
        mode=CONTROL,
        conditions=_conditions(race),
        records=race.records,
        rate=rate,
        ratio=1.0,
        lowest=1.0,
        highest=1.0,
        bound=None,
        cpu_us=cpu_us,
        cpu_ratio=1.0,
        cores=cpu_us * rate / 1e6,
        resident_bytes=resident_bytes,
    )


def _row(race: Race, handler: Handler, mode: Mode, figures: Figures) -> Run:
    return Run(
        handler=handler,
        mode=mode,
        conditions=_conditions(race),
        records=race.records,
        bound=race.bound(handler, mode),
        **figures._asdict(),
    )
