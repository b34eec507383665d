"""A line of the table: what one amount of one thing costs."""

from __future__ import annotations

from typing import Final

import msgspec

from streams.bench.figures import Figures

HEAD: Final = "| {} | run | records/s | ratio | CPU us a record | ratio in CPU | resident MB | |"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One point of a curve."""

    curve: str
    at: int
    """How much of what the curve is of."""
    run: str
    """Handler and mode, or what else is measured."""
    rate: float
    """Records a second, median."""
    ratio: float | None = None
    """To the bare loop, or to what the waits allow."""
    cpu_us: float
    """CPU microseconds a record, median."""
    cpu_ratio: float | None = None
    resident_mb: float | None = None
    remark: str = ""

    def __str__(self) -> str:
        """Give it as a line of Markdown."""
        memory = "" if self.resident_mb is None else f"{self.resident_mb:.0f}"
        return (
            f"| {self.at:,} | {self.run} | {self.rate:,.0f} | {_two(self.ratio)} | {self.cpu_us:.2f} |"
            f" {_two(self.cpu_ratio)} | {memory} | {self.remark} |"
        )


def row_of(curve: str, at: int, run: str, figures: Figures) -> Row:
    """Give what a race found."""
    return Row(
        curve=curve,
        at=at,
        run=run,
        rate=figures.rate,
        ratio=figures.ratio,
        cpu_us=figures.cpu_us,
        cpu_ratio=figures.cpu_ratio,
        resident_mb=figures.resident_bytes / 2**20,
    )


def table(title: str, rows: list[Row]) -> str:
    """Give the curve *title* as Markdown."""
    return "\n".join([HEAD.format(title), "|---" * 8 + "|", *map(str, rows)])


def _two(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
