"""The table: each framework's figures, and beside them what it promises and what was seen of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.peers.catalog import Peer
from benchmarks.peers.promise import KeptOrder, Survival
from streams.bench.figures import Figures
from streams.bench.task import Handler

_COLUMNS = (
    "handler",
    "framework",
    "ratio to the bare loop",
    "lowest to highest",
    "records/s",
    "CPU us a record",
    "promises order",
    "order seen",
    "at once, waiting",
    "lost at SIGKILL",
    "again after it",
    "settings",
)


class Seen(NamedTuple):
    """What was seen of one framework's promise; a text says why it was not shown."""

    order: KeptOrder | str
    survival: Survival | str


class Row(NamedTuple):
    """One framework with one handler."""

    handler: Handler
    peer: Peer
    figures: Figures
    seen: Seen


def rows_of(speeds: Mapping[tuple[Handler, str], Figures], seen: Mapping[Peer, Seen]) -> list[Row]:
    """Join figures and promises, the fastest of each handler first."""
    by_name = {peer.name: peer for peer in seen}
    rows = [
        Row(handler, by_name[name], figures, seen[by_name[name]])
        for (handler, name), figures in speeds.items()
        if name in by_name
    ]
    handlers = list(dict.fromkeys(row.handler for row in rows))
    return sorted(rows, key=lambda row: (handlers.index(row.handler), -row.figures.ratio))


def markdown(rows: Iterable[Row]) -> str:
    """Give *rows* as a table in Markdown."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def standings(rows: Iterable[Row]) -> list[str]:
    """Say of each other framework how ours stand beside it, and name every row in which one of ours is behind.

    Set beside each other are those of the same kind: one record at a time, or side by side in the order of keys.
    """
    by_handler: dict[Handler, list[Row]] = {}
    for row in rows:
        by_handler.setdefault(row.handler, []).append(row)
    return [line for handler, found in by_handler.items() for line in _standings(handler, found)]


def _standings(handler: Handler, rows: Sequence[Row]) -> Iterator[str]:
    ours = [row for row in rows if row.peer.kind == "ours"]
    for other in (row for row in rows if row.peer.kind != "ours"):
        alike = [row for row in ours if row.peer.goes_one_at_a_time == other.peer.goes_one_at_a_time]
        if not alike:
            continue
        best = max(alike, key=lambda row: row.figures.ratio)
        times = best.figures.ratio / other.figures.ratio
        line = f"{handler}: {best.peer.name} handles {times:,.1f} times as many records as {other.peer.name}"
        behind = [row.peer.name for row in ours if row.figures.ratio < other.figures.ratio]
        yield f"{line}; BEHIND it: {' and '.join(behind)}" if behind else line


def machine_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Give *rows* for machines."""
    return [
        {
            "handler": row.handler,
            "framework": row.peer.name,
            **row.figures._asdict(),
            "promises_order": row.peer.order,
            "settings": row.peer.settings,
            "order": _machine_order(row.seen.order),
            "kill": _machine_survival(row.seen.survival),
        }
        for row in rows
    ]


def _cells(row: Row) -> Sequence[str]:
    figures = row.figures
    return (
        row.handler,
        row.peer.name,
        f"{figures.ratio:.4f}",
        f"{figures.lowest:.4f}-{figures.highest:.4f}",
        f"{figures.rate:,.0f}",
        f"{figures.cpu_us:.1f}",
        row.peer.order,
        order_text(row.seen.order),
        *_survival_cells(row.seen.survival),
        row.peer.settings,
    )


def _survival_cells(survival: Survival | str) -> tuple[str, str, str]:
    if isinstance(survival, str):
        return "", f"not shown: {survival}", ""
    loss = survival.loss
    return str(survival.at_once), f"{loss.lost:,} of {loss.records:,}", f"{loss.again:,}"


def order_text(order: KeptOrder | str) -> str:
    """Say what the check of each key's order found."""
    if isinstance(order, str):
        return f"not shown: {order}"
    if not order.is_seen:
        return "not shown: the check does not see disorder in this journal"
    if order.is_kept:
        return f"yes, {order.sound.checked:,} records"
    return f"NO, {order.sound.violations:,} violations"


def _machine_order(order: KeptOrder | str) -> dict[str, Any] | str:
    if isinstance(order, str):
        return order
    return {"is_kept": order.is_kept, "is_seen": order.is_seen, **order.sound._asdict()}


def _machine_survival(survival: Survival | str) -> dict[str, Any] | str:
    if isinstance(survival, str):
        return survival
    return {**survival.loss._asdict(), "at_once": survival.at_once}
