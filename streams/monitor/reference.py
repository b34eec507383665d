"""``docs/METRICS.md``, made from the table of metrics and that of alerts.

``python -m streams.monitor.reference docs/METRICS.md`` writes it anew, and
beside it, in ``docs/monitoring``, what `streams metrics` prints.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from streams.monitor.alerts import ALERTS, Alert, rules
from streams.monitor.graphs import written
from streams.monitor.metrics import GROUP, TABLE, Row

_HEAD: Final = """\
# Metrics

A member with `metrics_port` set (`STREAMS_METRICS_PORT`; 0 takes a free port) serves three pages on `metrics_host`:

| page | 200 | 503 |
|---|---|---|
| `/metrics` | the numbers below, as Prometheus text or, where asked for, OpenMetrics | |
| `/livez` | the poll thread goes round, whatever the broker does | it has stood still past its limit: restart it |
| `/readyz` | in the group, and every assigned partition is open | starting, opening partitions, draining, or not live |

The health pages answer with `{"ok": ..., "reason": ...}`. Counters and histograms are those of this process since its
start; gauges are written about once a second. A partition's gauges go when the partition goes. What is unknown is
absent, not 0. The metrics of the process (`process_resident_memory_bytes` and the like) are served beside these.

## Replicas

`streams_scale_load` says how many members like this one its own work would keep busy:

    load = (arrivals + retries + backlog / 60 s) / service

The sum over the group's members is the number of replicas that the work needs, so a scaler's query is
`sum by (group) (streams_scale_load)` with a target of 1, or a little less to keep room. Records that wait for a retry's
time, or behind a record of their own key, are no backlog: more members would not run them sooner. How each part is
measured stands at the top of `streams/scaling/load.py`.

## Table

| metric | kind | labels | meaning |
|---|---|---|---|
"""


_ALERTS: Final = """
## Alerts

`streams metrics rules > streams-rules.yml` prints them for Prometheus ([as a file](monitoring/rules.yml)): name the
file under `rule_files`. Each alert says in its description what to type next, mostly `streams why GROUP`. The
thresholds are where most groups begin to worry; edit the file, and let `promtool check rules` look at it.

Members tell of themselves: of a group without any, no alert comes from these rules. `streams status` asks the broker.

| alert | severity | for | when |
|---|---|---|---|
"""

_GRAPHS: Final = """
## Graphs

`streams metrics dashboard > streams.json` prints a dashboard for Grafana ([as a file](monitoring/dashboard.json)): a
graph for each metric above, by group, with the metric's sentence as its description. Import it, or have it
provisioned; it asks which Prometheus it is to use.
"""


def reference() -> str:
    """Give the page."""
    return _HEAD + "".join(map(_line, TABLE)) + _ALERTS + "".join(map(_alert, ALERTS)) + _GRAPHS


def _line(row: Row) -> str:
    labels = ", ".join(f"`{label}`" for label in (GROUP, *row.labels))
    return f"| `{row.name}` | {row.kind} | {labels} | {row.sentence} |\n"


def _alert(alert: Alert) -> str:
    expr = " ".join(alert.expr.split()).replace("|", "\\|")
    return f"| `{alert.name}` | {alert.severity} | {alert.wait} | `{expr}` |\n"


def write(page: Path) -> None:
    """Write the page, and the files that it links to."""
    files = page.parent / "monitoring"
    files.mkdir(exist_ok=True)
    page.write_text(reference(), encoding="utf-8")
    (files / "rules.yml").write_text(rules(), encoding="utf-8")
    (files / "dashboard.json").write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
