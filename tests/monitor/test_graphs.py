"""The dashboard shows every metric of the table once, in PromQL that Prometheus can read."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from streams.monitor.graphs import REST, SECTIONS, Dashboard, Panel, dashboard, queries, written
from streams.monitor.metrics import TABLE, Row
from tests.monitor.promtool import promtool, refused_by_promtool, unknown_labels, unknown_names, write


@pytest.fixture
def shown() -> Dashboard:
    """The dashboard."""
    return dashboard()


def _panels(shown: Dashboard) -> list[Panel]:
    return [panel for panel in shown.panels if isinstance(panel, Panel)]


def _recorded(*exprs: str) -> dict[str, Any]:
    """Rules that ask for *exprs*, so that promtool reads them; Grafana's own variables filled in."""
    rules = [
        {"record": f"query:{at}", "expr": expr.replace("$__rate_interval", "5m").replace("$group", "billing")}
        for at, expr in enumerate(exprs)
    ]
    return {"groups": [{"name": "queries", "rules": rules}]}


def test_each_metric_has_its_graph(shown: Dashboard) -> None:
    """One for each row of the table, with what it means."""
    assert sorted(panel.description for panel in _panels(shown)) == sorted(row.sentence for row in TABLE)


def test_the_sections_name_what_there_is() -> None:
    """No section names a metric twice, or one that is gone."""
    named = [name for names in SECTIONS.values() for name in names]

    assert set(named) <= {row.name for row in TABLE}
    assert len(set(named)) == len(named)
    assert REST not in SECTIONS


def test_every_query_can_be_read(tmp_path: Path) -> None:
    """Prometheus' tool reads all of them."""
    exprs = [expr for row in TABLE for expr in queries(row).values()]

    promtool("check", "rules", write(tmp_path / "queries.yml", _recorded(*exprs)))


def test_a_query_that_is_none_is_seen(tmp_path: Path) -> None:
    """The check itself: a bracket that is missing is found."""
    refused = refused_by_promtool("check", "rules", write(tmp_path / "queries.yml", _recorded("sum(rate(x[5m])")))

    assert "parse" in refused


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_query_names_what_members_measure(row: Row) -> None:
    """Metrics and labels are those of the table."""
    for expr in queries(row).values():
        assert not unknown_names(expr)
        assert not unknown_labels(expr)


def test_what_a_graph_shows_follows_from_the_kind() -> None:
    """A counter's rate; a gauge's sum, or its worst where a sum means nothing; both ends of a histogram."""
    shows = {row.name: list(queries(row).values()) for row in TABLE}

    assert shows["streams_retries_total"] == [
        'sum by (group, topic) (rate(streams_retries_total{group=~"$group"}[$__rate_interval]))'
    ]
    assert shows["streams_lag_records"] == ['sum by (group, topic) (streams_lag_records{group=~"$group"})']
    assert shows["streams_lag_seconds"] == ['max by (group, topic) (streams_lag_seconds{group=~"$group"})']
    assert [expr.split("(")[1].split(",")[0] for expr in shows["streams_commit_seconds"]] == ["0.5", "0.99"]


def test_no_graph_stands_on_another(shown: Dashboard) -> None:
    """Each has a place of its own, and a number."""
    places = [panel.grid_pos for panel in shown.panels]

    assert len({panel.id for panel in shown.panels}) == len(shown.panels)
    for one, other in combinations(places, 2):
        is_beside = one.x + one.w <= other.x or other.x + other.w <= one.x
        is_above = one.y + one.h <= other.y or other.y + other.h <= one.y
        assert is_beside or is_above
    assert max(place.x + place.w for place in places) == 24


def test_what_is_written_is_what_grafana_calls_it() -> None:
    """The names of its fields are Grafana's."""
    document = json.loads(written())
    panel = next(one for one in document["panels"] if one["type"] == "timeseries")

    assert {"title", "panels", "templating", "schemaVersion", "time", "uid"} <= document.keys()
    assert {"gridPos", "fieldConfig", "targets", "datasource", "title", "type"} <= panel.keys()
    assert {"expr", "legendFormat", "refId"} <= panel["targets"][0].keys()
    assert [one["name"] for one in document["templating"]["list"]] == ["datasource", "group"]
    assert document["time"] == {"from": "now-3h", "to": "now"}
