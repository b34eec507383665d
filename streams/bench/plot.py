"""A bar for each run, as SVG for the documentation: how near it comes to the bare client, or to its bound.

Written by hand, so that nothing need be installed to draw it.  It follows the
reader's choice of light or dark, and says in words what the bars show.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from streams.bench.report import Report

_LETTER: Final = 8
"""Width of a letter, on average and with something to spare."""
_FEWEST_LETTERS: Final = 28
_BAR: Final = 340
_VALUE: Final = 150
_ROW: Final = 22
_TOP: Final = 64
_BOTTOM: Final = 34
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .quiet { fill: #59636e; }
  .title { font-weight: 600; }
  .one { stroke: #59636e; stroke-dasharray: 3 3; }
  .spread { stroke: #1f2328; stroke-width: 1.5; }
  .control { fill: #3b78c4; }
  .bound { fill: #c4812f; }
  .processes { fill: #4f9a57; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .one { stroke: #9198a1; }
    .spread { stroke: #e6edf3; }
    .control { fill: #6ea3e0; }
    .bound { fill: #dda45c; }
    .processes { fill: #7cc084; }
  }
"""
_KINDS: Final = {
    "control": "of the bare loop",
    "bound": "of what its waits allow",
    "processes": "of one process",
}


class _Bar(NamedTuple):
    """One run."""

    label: str
    kind: str
    """What it is set beside: a key of `_KINDS`."""
    ratio: float
    lowest: float
    highest: float
    remark: str = ""


def plot(report: Report) -> str:
    """Draw *report*."""
    bars = list(_bars(report))
    most = max([1.0, *(bar.highest for bar in bars)])
    left = _LETTER * max([_FEWEST_LETTERS, *(len(bar.label) for bar in bars)]) + 16
    width, height = left + _BAR + _VALUE, _TOP + _ROW * len(bars) + _BOTTOM
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    one = left + _BAR / most
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title">',
        f"<style>{_STYLE}</style>",
        f'<text id="title" class="title" x="8" y="22">Throughput as a ratio, medians of {report.repeat}</text>',
        *_legend(bars),
        *(line for number, bar in enumerate(bars) for line in _drawn(bar, left, _TOP + _ROW * number, _BAR / most)),
        f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{_TOP - 6}" y2="{height - _BOTTOM + 4}"/>',
        f'<text class="quiet" x="{one:.1f}" y="{height - 12}" text-anchor="middle">1.0</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bars(report: Report) -> Iterator[_Bar]:
    for run in report.runs:
        if not run.is_control:
            kind = "control" if run.bound is None else "bound"
            yield _Bar(run.label, kind, run.ratio, run.lowest, run.highest, "CPU-bound" if run.is_cpu_bound else "")
    for one in report.processes:
        yield _Bar(f"{one.processes} processes, cpu50", "processes", one.ratio, one.lowest, one.highest)


def _legend(bars: list[_Bar]) -> Iterator[str]:
    x = 8
    for kind, text in _KINDS.items():
        if any(bar.kind == kind for bar in bars):
            yield f'<rect class="{kind}" x="{x}" y="34" width="12" height="12"/>'
            yield f'<text class="quiet" x="{x + 18}" y="45">{text}</text>'
            x += _LETTER * len(text) + 36


def _drawn(bar: _Bar, left: int, y: int, scale: float) -> Iterator[str]:
    """Draw one bar, and across its end a line from the lowest to the highest ratio."""
    middle = y + _ROW / 2 - 2
    value = f"{bar.ratio:.2f} {bar.remark}".rstrip()
    yield f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>'
    yield f'<rect class="{bar.kind}" x="{left}" y="{y + 2}" width="{bar.ratio * scale:.1f}" height="{_ROW - 8}"/>'
    yield (
        f'<line class="spread" x1="{left + bar.lowest * scale:.1f}" x2="{left + bar.highest * scale:.1f}"'
        f' y1="{middle:.1f}" y2="{middle:.1f}"/>'
    )
    yield f'<text x="{left + bar.highest * scale + 6:.1f}" y="{y + 13}">{escape(value)}</text>'
