"""Charts of the last hours, drawn as SVG here: no script, and nothing that a browser has to fetch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from streams.monitor.dashboard.history import Counters, between
from streams.wording import age

WIDTH: Final = 300
HEIGHT: Final = 64
_HOURS: Final = (("10 m", 600.0), ("1 h", 3_600.0), ("6 h", 21_600.0))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart, as the points of an SVG polyline; several where it is interrupted."""

    name: str
    parts: tuple[str, ...]
    last: str
    """Its newest value, as people read it."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart, ready to be drawn."""

    title: str
    lines: tuple[Line, ...]
    top: str
    """What the upper edge stands for."""
    since: str
    """How long ago the left edge is."""
    is_empty: bool

    @property
    def told(self) -> str:
        """What it shows, for those who can't see it."""
        now = ", ".join(f"{line.name} {line.last}" for line in self.lines)
        return f"{self.title} over {self.since}: now {now}; at most {self.top}"


Series = Sequence[tuple[float, float | None]]
"""Times, and values; None where nothing is known."""


def charts(points: Sequence[Counters], now_s: float) -> list[Chart]:
    """Draw what was seen in *points*."""
    span_s = max((now_s - points[0].time_s) if points else 0.0, 60.0)
    name, size_s = next(((name, size) for name, size in _HOURS if span_s <= size), _HOURS[-1])
    start_s = now_s - size_s
    return [
        _chart("Records /s", {"come": _speeds(points, 0), "done": _speeds(points, 1)}, start_s, size_s, _rate, name),
        _chart("Outstanding", {"": [(one.time_s, one.outstanding) for one in points]}, start_s, size_s, _count, name),
        _chart("Oldest", {"": [(one.time_s, one.behind_s) for one in points]}, start_s, size_s, age, name),
        _chart(
            "Chain",
            {
                "waiting": [(one.time_s, one.waiting) for one in points],
                "parked": [(one.time_s, one.parked) for one in points],
            },
            start_s,
            size_s,
            _count,
            name,
        ),
        _chart("Dead letters", {"": [(one.time_s, one.dead) for one in points]}, start_s, size_s, _count, name),
    ]


def _speeds(points: Sequence[Counters], which: int) -> Series:
    return [(last.time_s, between(first, last)[which]) for first, last in pairwise(points)]


def _chart(  # noqa: PLR0917  # what one chart is made of
    title: str,
    series: dict[str, Series],
    start_s: float,
    span_s: float,
    told: Callable[[float], str],
    since: str,
) -> Chart:
    values = [value for one in series.values() for _, value in one if value is not None]
    top = max([1.0, *values])
    lines = tuple(
        Line(name, tuple(_parts(one, start_s, span_s, top)), told(_last(one)) if one else "-")
        for name, one in series.items()
    )
    return Chart(title, lines, told(top), since, not values)


def _last(series: Series) -> float:
    return next((value for _, value in reversed(series) if value is not None), 0.0)


def _parts(series: Series, start_s: float, span_s: float, top: float) -> list[str]:
    """Give the points of each part that has no gap."""
    parts: list[list[str]] = [[]]
    for time_s, value in series:
        if value is None:
            parts.append([])
            continue
        x = max(0.0, min(1.0, (time_s - start_s) / span_s)) * WIDTH
        y = HEIGHT - 2 - value / top * (HEIGHT - 4)
        parts[-1].append(f"{x:.1f},{y:.1f}")
    return [" ".join(part if len(part) > 1 else part * 2) for part in parts if part]


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:,.1f}"  # noqa: PLR2004  # below ten a tenth matters


def _count(value: float) -> str:
    return f"{value:,.0f}"
