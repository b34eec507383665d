"""`streams metrics`: what can be had of it without a broker."""

from __future__ import annotations

import json

import pytest

from streams.monitor.alerts import ALERTS, document, rules
from streams.monitor.graphs import written
from streams.monitor.metrics import TABLE
from tests.cli.shell import Shell


@pytest.fixture
def lonely() -> Shell:
    """The command, with no broker named."""
    return Shell("")


def test_every_metric_is_listed(lonely: Shell) -> None:
    """One line a metric, for people and for machines."""
    said, table = lonely("metrics list --json").json["metrics"], lonely("metrics list").out

    assert [one["name"] for one in said] == [row.name for row in TABLE]
    assert all(one["labels"][0] == "group" for one in said)
    assert all(row.name in table for row in TABLE)


def test_rules_are_printed_as_a_file(lonely: Shell) -> None:
    """What is printed is the file, and nothing else; as JSON it is the same rules."""
    assert lonely("metrics rules").out == rules()
    assert lonely("metrics rules --json").json == document()
    assert len(document()["groups"][0]["rules"]) == len(ALERTS)


def test_the_dashboard_is_printed_as_a_file(lonely: Shell) -> None:
    """It is one JSON document either way."""
    assert lonely("metrics dashboard").out == written()
    assert lonely("metrics dashboard --json").json == json.loads(written())
