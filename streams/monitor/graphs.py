"""A dashboard for Grafana, made from the table of metrics: one graph for each of them.

What a metric's graph shows follows from its row: a counter's rate, a gauge's
sum or, where a sum means nothing, its worst; of a histogram the middle and the
slow end.  `SECTIONS` says only where each one stands; a row that it does not
name is shown at the end.
"""

from __future__ import annotations

from itertools import count
from typing import Final, Literal

import msgspec

from streams.monitor.metrics import GROUP, TABLE, Row

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "Is it well?": (
        "streams_lag_seconds",
        "streams_lag_records",
        "streams_scale_load",
        "streams_end_to_end_latency_seconds",
        "streams_dead_letter_records",
        "streams_paused_partitions",
    ),
    "Work": (
        "streams_consumed_records_total",
        "streams_consumed_bytes_total",
        "streams_outcomes_total",
        "streams_settled_records_total",
        "streams_handler_seconds",
        "streams_handler_runs",
        "streams_handler_capacity_runs",
        "streams_stuck_runs",
        "streams_in_flight_records",
        "streams_in_flight_bytes",
    ),
    "Failures": (
        "streams_retries_total",
        "streams_retrying_records",
        "streams_waiting_behind_records",
        "streams_tier_records",
        "streams_parked_records",
        "streams_moving_records",
        "streams_relocated_records_total",
        "streams_swept_records_total",
        "streams_troubled_keys",
        "streams_blocked_keys",
        "streams_dead_letters_total",
        "streams_dead_letters_refused_total",
        "streams_operator_letters_total",
        "streams_expired_records_total",
        "streams_breaker_open",
        "streams_guard_open",
        "streams_suspected_partitions",
    ),
    "Commits": (
        "streams_commit_seconds",
        "streams_commit_age_seconds",
        "streams_commit_failures_total",
        "streams_ledger_used_ratio",
        "streams_ledger_cuts_total",
    ),
    "Members": (
        "streams_assigned_partitions",
        "streams_rebalances_total",
        "streams_restarts_total",
        "streams_broker_errors_total",
        "streams_view_timestamp_seconds",
        "streams_build_info",
    ),
    "Scaling": (
        "streams_due_records",
        "streams_arrival_records_per_second",
        "streams_service_records_per_second",
    ),
}
REST: Final = "Further"

_SOURCE: Final = "${datasource}"
_PICKED: Final = f'{{{GROUP}=~"$group"}}'
_RATE: Final = "[$__rate_interval]"
_WORST: Final = ("_seconds", "_ratio", "_open")
"""Ends of the names of gauges whose sum means nothing."""
_UNITS: Final = {"_seconds": "s", "_bytes": "bytes", "_ratio": "percentunit"}
_WIDTH: Final = 8
_HEIGHT: Final = 8
_ACROSS: Final = 24


class _Camel(msgspec.Struct, frozen=True, rename="camel", omit_defaults=False):
    """Written with the names that Grafana uses."""


class Source(_Camel, frozen=True):
    """Where numbers come from."""

    type: str = "prometheus"
    uid: str = _SOURCE


class Target(_Camel, frozen=True):
    """One query of a graph."""

    expr: str
    legend_format: str
    ref_id: str
    exemplar: bool = False
    datasource: Source = Source()


class Place(_Camel, frozen=True):
    """Where a panel stands, in columns of 24 and rows."""

    x: int
    y: int
    w: int = _WIDTH
    h: int = _HEIGHT


class Defaults(_Camel, frozen=True):
    """How the numbers of a graph are written."""

    unit: str
    min: float | None = 0


class FieldConfig(_Camel, frozen=True):
    """How the fields of a graph look."""

    defaults: Defaults
    overrides: tuple[()] = ()


class Panel(_Camel, frozen=True):
    """One graph."""

    id: int
    title: str
    description: str
    grid_pos: Place
    field_config: FieldConfig
    targets: list[Target]
    type: Literal["timeseries"] = "timeseries"
    datasource: Source = Source()


class Section(_Camel, frozen=True):
    """A line across the dashboard, with a title."""

    id: int
    title: str
    grid_pos: Place
    collapsed: bool = False
    panels: tuple[()] = ()
    type: Literal["row"] = "row"


class Variable(_Camel, frozen=True, omit_defaults=True):
    """A choice at the top."""

    name: str
    type: Literal["datasource", "query"]
    label: str
    query: str
    datasource: Source | None = None
    include_all: bool = False
    multi: bool = False
    refresh: int = 0


class Variables(_Camel, frozen=True):
    """All choices."""

    list: tuple[Variable, ...]


class Span(msgspec.Struct, frozen=True):
    """A stretch of time."""

    start: str = msgspec.field(default="now-3h", name="from")
    to: str = "now"


class Dashboard(_Camel, frozen=True):
    """The whole of it."""

    panels: list[Panel | Section]
    templating: Variables
    uid: str = "streams"
    title: str = "streams"
    description: str = "Groups that run on streams; made by 'streams metrics dashboard'."
    tags: tuple[str, ...] = ("kafka", "streams")
    schema_version: int = 41
    editable: bool = True
    refresh: str = "30s"
    time: Span = Span()


def dashboard() -> Dashboard:
    """Give the dashboard."""
    rows = {row.name: row for row in TABLE}
    named = {name for names in SECTIONS.values() for name in names}
    rest = tuple(name for name in rows if name not in named)
    panels = list[Panel | Section]()
    number, top = count(1), 0
    for title, names in {**SECTIONS, REST: rest}.items():
        if not names:
            continue
        panels.append(Section(next(number), title, Place(0, top, _ACROSS, 1)))
        top += 1
        for at, name in enumerate(names):
            column, line = at * _WIDTH % _ACROSS, at * _WIDTH // _ACROSS
            panels.append(_panel(next(number), rows[name], Place(column, top + line * _HEIGHT)))
        top += -(-len(names) * _WIDTH // _ACROSS) * _HEIGHT
    return Dashboard(panels, Variables(_choices()))


def written() -> str:
    """Give the dashboard as a file that Grafana imports."""
    return msgspec.json.format(msgspec.json.encode(dashboard()), indent=2).decode() + "\n"


def queries(row: Row) -> dict[str, str]:
    """Give what the graph of *row* asks for: PromQL, by what each answer is called."""
    labels = (GROUP, *(label for label in row.labels if label != "partition"))
    by, called = ", ".join(labels), " ".join(f"{{{{{label}}}}}" for label in labels)
    picked = row.name + _PICKED
    match row.kind:
        case "counter":
            return {called: f"sum by ({by}) (rate({picked}{_RATE}))"}
        case "histogram":
            spread = f"sum by (le, {by}) (rate({row.name}_bucket{_PICKED}{_RATE}))"
            return {f"{called} p{share * 100:g}": f"histogram_quantile({share}, {spread})" for share in (0.5, 0.99)}
        case "gauge" if row.name.endswith("_timestamp_seconds"):
            return {f"{called} {{{{instance}}}}": f"time() - max by ({by}, instance) ({picked})"}
        case "gauge":
            how = "max" if row.name.endswith(_WORST) else "sum"
            return {called: f"{how} by ({by}) ({picked})"}


def _panel(number: int, row: Row, place: Place) -> Panel:
    asked = queries(row)
    is_spread = row.kind == "histogram"
    return Panel(
        id=number,
        title=_title(row),
        description=row.sentence,
        grid_pos=place,
        field_config=FieldConfig(Defaults(_unit(row))),
        targets=[
            Target(expr, called, chr(ord("A") + at), exemplar=is_spread)
            for at, (called, expr) in enumerate(asked.items())
        ],
    )


def _title(row: Row) -> str:
    """Give the metric's name in words."""
    words = row.name.removeprefix("streams_").removesuffix("_total").replace("_", " ")
    return words + ", a second" if row.kind == "counter" else words


def _unit(row: Row) -> str:
    """Give Grafana's name of what *row* counts in."""
    name = row.name.removesuffix("_total")
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "short")
    if row.kind == "counter":
        return "Bps" if unit == "bytes" else "cps"
    return "cps" if name.endswith("_per_second") else unit


def _choices() -> tuple[Variable, ...]:
    return (
        Variable("datasource", "datasource", "Prometheus", "prometheus"),
        Variable(
            "group",
            "query",
            "Group",
            f"label_values(streams_build_info, {GROUP})",
            Source(),
            include_all=True,
            multi=True,
            refresh=2,  # whenever the stretch of time changes
        ),
    )
