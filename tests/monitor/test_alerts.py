"""Each alert fires when it has to and not before, by Prometheus' own tool, and names only what members measure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import pytest

from streams.cli import COMMANDS
from streams.monitor.alerts import ALERTS, Alert, document, rules
from streams.monitor.metrics import TABLE
from tests.monitor.promtool import promtool, refused_by_promtool, unknown_labels, unknown_names, write

_BY_NAME: Final = {alert.name: alert for alert in ALERTS}
Series: TypeAlias = dict[str, str]
"""What a scrape would show each minute, in promtool's shorthand, by name and labels."""

_ORDERS: Final = '{group="billing",instance="a",topic="orders"}'
_FIRST: Final = '{group="billing",instance="a",topic="orders",partition="0"}'
_MEMBER: Final = '{group="billing",instance="a"}'
_OTHER: Final = '{group="billing",instance="b"}'


def _outcome(name: str) -> str:
    return f'streams_outcomes_total{{group="billing",instance="a",topic="orders",outcome="{name}"}}'


def _rebalances(event: str, labels: str = _MEMBER) -> str:
    return f'streams_rebalances_total{labels[:-1]},event="{event}"}}'


class Case(NamedTuple):
    """When an alert fires, and a day so like it that it does not."""

    fires: Series
    quiet: Series
    labels: dict[str, str]
    """What the alert is told for, beside its group and severity."""
    at: str = "20m"


TOPIC: Final = {"topic": "orders"}
PLACE: Final = {"topic": "orders", "partition": "0"}

CASES: Final = {
    "StreamsQueueOld": Case(
        {f"streams_lag_seconds{_FIRST}": "301x30"}, {f"streams_lag_seconds{_FIRST}": "299x30"}, PLACE
    ),
    "StreamsPartitionStuck": Case(
        {f"streams_lag_seconds{_FIRST}": "0+60x30"},
        {f"streams_lag_seconds{_FIRST}": "0+30x30"},  # half as fast as records come
        PLACE,
    ),
    "StreamsNoProgress": Case(
        {f"streams_lag_records{_FIRST}": "5x30", f"streams_settled_records_total{_ORDERS}": "70x30"},
        {f"streams_lag_records{_FIRST}": "5x30", f"streams_settled_records_total{_ORDERS}": "70+1x30"},
        TOPIC,
    ),
    "StreamsMemberStill": Case(
        {f"streams_view_timestamp_seconds{_MEMBER}": "0+60x10 600x20"},
        {f"streams_view_timestamp_seconds{_MEMBER}": "0+60x30"},
        {"instance": "a"},
    ),
    "StreamsHandlerStuck": Case(
        {f"streams_stuck_runs{_MEMBER}": "1x30"},
        {f"streams_stuck_runs{_MEMBER}": "1x14 0x1 1x15"},  # each of them returned in time
        {},
    ),
    "StreamsPartitionsPaused": Case(
        {f'streams_paused_partitions{_MEMBER[:-1]},reason="ledger"}}': "2x30"},
        {f'streams_paused_partitions{_MEMBER[:-1]},reason="in_flight"}}': "2x30"},  # back-pressure is no fault
        {"reason": "ledger"},
    ),
    "StreamsDeadLetterRate": Case(
        {_outcome("dead_lettered"): "0+2x30", _outcome("done"): "0+98x30", _outcome("retried"): "0+1000x30"},
        {_outcome("dead_lettered"): "0+1x30", _outcome("done"): "0+999x30", _outcome("retried"): "0+1x30"},
        TOPIC,
    ),
    "StreamsDeadLetterDepth": Case(
        {f"streams_dead_letter_records{_FIRST}": "101x50"},
        {f"streams_dead_letter_records{_FIRST}": "100x50"},
        TOPIC,
        at="40m",
    ),
    "StreamsDeadLettersRefused": Case(
        {f"streams_dead_letters_refused_total{_ORDERS}": "0x15 1x15"},
        {f"streams_dead_letters_refused_total{_ORDERS}": "1x30"},  # long ago
        TOPIC,
    ),
    "StreamsKeysBlocked": Case(
        {f"streams_blocked_keys{_FIRST}": "1x30"}, {f"streams_blocked_keys{_FIRST}": "0x10 1x20"}, TOPIC
    ),
    "StreamsRecordsExpired": Case(
        {f"streams_expired_records_total{_ORDERS}": "0x15 40x15"},
        {f"streams_expired_records_total{_ORDERS}": "40x30"},
        TOPIC,
    ),
    "StreamsBreakerOpen": Case(
        {f'streams_breaker_open{_MEMBER[:-1]},dependency="payments"}}': "1x30"},
        {f'streams_breaker_open{_MEMBER[:-1]},dependency="payments"}}': "0x18 1x12"},
        {"dependency": "payments"},
    ),
    "StreamsGuardOpen": Case({f"streams_guard_open{_ORDERS}": "1x30"}, {f"streams_guard_open{_ORDERS}": "0x30"}, TOPIC),
    "StreamsRecordKills": Case(
        {f"streams_suspected_partitions{_MEMBER}": "1x30"}, {f"streams_suspected_partitions{_MEMBER}": "0x30"}, {}
    ),
    "StreamsLedgerNearLimit": Case(
        {f"streams_ledger_used_ratio{_FIRST}": "0.55x30"}, {f"streams_ledger_used_ratio{_FIRST}": "0.45x30"}, PLACE
    ),
    "StreamsLedgerCut": Case(
        {f"streams_ledger_cuts_total{_ORDERS}": "0x15 1x15"}, {f"streams_ledger_cuts_total{_ORDERS}": "1x30"}, TOPIC
    ),
    "StreamsCommitsFail": Case(
        {f"streams_commit_failures_total{_ORDERS}": "0+1x30"},
        {f"streams_commit_failures_total{_ORDERS}": "0x15 3x15"},  # one rebalance
        TOPIC,
    ),
    "StreamsCommitOld": Case(
        {f"streams_commit_age_seconds{_FIRST}": "0+60x30"}, {f"streams_commit_age_seconds{_FIRST}": "60x30"}, PLACE
    ),
    "StreamsMembersFlap": Case(
        {
            _rebalances("revoked"): "0+1x50",
            _rebalances("lost", _OTHER): "0+1x50",
            f"streams_assigned_partitions{_MEMBER}": "3x50",
            f"streams_assigned_partitions{_OTHER}": "3x50",
        },
        {
            _rebalances("assigned"): "0+1x50",  # a scaler adds members elsewhere
            _rebalances("revoked"): "0x20 2x30",
            _rebalances("lost", _OTHER): "0x50",
            f"streams_assigned_partitions{_MEMBER}": "3x50",
            f"streams_assigned_partitions{_OTHER}": "3x50",
        },
        {},
        at="40m",
    ),
}


def _told(alert: Alert, labels: dict[str, str]) -> dict[str, Any]:
    return {"exp_labels": {"severity": alert.severity, "group": "billing", **labels}}


def _unit(name: str, series: Series, expected: list[dict[str, Any]], at: str) -> dict[str, Any]:
    """One test as promtool takes it; only the labels of what fires are compared, the texts by another test."""
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": expected}],
    }


def _bare() -> dict[str, Any]:
    """The rules without their texts."""
    found = document()
    for rule in found["groups"][0]["rules"]:
        del rule["annotations"]
    return found


def test_each_alert_is_tried() -> None:
    """None is without a case, and no case without its alert."""
    assert CASES.keys() == _BY_NAME.keys()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_it_fires_when_it_has_to_and_only_then(alert: Alert, tmp_path: Path) -> None:
    """On the day it is for it fires, for what it is told for; on one that is nearly like it, it does not."""
    case = CASES[alert.name]
    write(tmp_path / "rules.yml", _bare())
    tests = [
        _unit(alert.name, case.fires, [_told(alert, case.labels)], case.at),
        _unit(alert.name, case.quiet, [], case.at),
    ]
    file = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}

    promtool("test", "rules", write(tmp_path / "test.yml", file))


def test_a_case_that_does_not_fire_is_seen(tmp_path: Path) -> None:
    """The check itself: a day on which nothing happens is no day on which it fires."""
    alert, case = _BY_NAME["StreamsQueueOld"], CASES["StreamsQueueOld"]
    write(tmp_path / "rules.yml", _bare())
    file = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [_unit(alert.name, case.quiet, [_told(alert, case.labels)], case.at)],
    }

    assert "StreamsQueueOld" in refused_by_promtool("test", "rules", write(tmp_path / "test.yml", file))


def test_the_texts_are_filled_in(tmp_path: Path) -> None:
    """Who is told reads names and numbers, and what to type next."""
    write(tmp_path / "rules.yml", document())
    alert = _BY_NAME["StreamsQueueOld"]
    told = {
        **_told(alert, PLACE),
        "exp_annotations": {
            "summary": "billing: the oldest record of orders/0 has waited 5m 1s",
            "description": f"{alert.meaning} Next: streams why billing",
        },
    }
    case = CASES[alert.name]
    tests = [_unit(alert.name, case.fires, [told], case.at)]

    promtool("test", "rules", write(tmp_path / "test.yml", {"rule_files": ["rules.yml"], "tests": tests}))


def test_prometheus_takes_the_file(tmp_path: Path) -> None:
    """As it is printed, and as JSON."""
    printed = tmp_path / "rules.yml"
    printed.write_text(rules(), encoding="utf-8")

    promtool("check", "rules", printed)
    promtool("check", "rules", write(tmp_path / "rules.json", document()))


def test_the_file_and_the_document_are_one() -> None:
    """Every text of the one stands in the other."""
    text = rules()

    for alert in ALERTS:
        assert f"- alert: {alert.name}\n" in text
        for line in alert.expr.splitlines():
            assert f"          {line}\n" in text
    assert text.count("- alert: ") == len(document()["groups"][0]["rules"])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_it_names_what_members_measure(alert: Alert) -> None:
    """Metrics and labels are those of the table."""
    assert not unknown_names(alert.expr)
    assert not unknown_labels(alert.expr)


def test_a_name_that_no_member_has_is_found() -> None:
    """The check itself: a metric or a label that is not in the table is named."""
    assert unknown_names("sum by (group) (rate(streams_settled_total[5m])) > 0") == {"streams_settled_total"}
    assert unknown_names("time() - streams_handler_seconds_bucket") == set()
    assert unknown_labels('sum by (group, key) (streams_lag_records{offset="1"})') == {"key", "offset"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_it_says_what_to_type_next(alert: Alert) -> None:
    """A line that tells where, a description that ends with a command there is, a severity, and a time to wait."""
    words = alert.command.split()

    assert words[0] == "streams"
    assert words[1] in COMMANDS
    assert "{{ $labels.group }}" in alert.command
    assert alert.description.endswith(alert.command)
    assert alert.summary.startswith("{{ $labels.group }}: ")
    assert re.fullmatch(r"[1-9]\d*m", alert.wait)
    assert set(re.findall(r"\$labels\.(\w+)", alert.summary)) <= _kept(alert.expr)


def _kept(expr: str) -> set[str]:
    """The labels that an alert has."""
    by = re.search(r"by \(([^)]*)\)", expr)
    assert by is not None
    return {name.strip() for name in by[1].split(",")}


def test_names_are_told_apart() -> None:
    """Each alert has a name of its own."""
    assert len(_BY_NAME) == len(ALERTS)
    assert all(re.fullmatch(r"Streams[A-Za-z]+", name) for name in _BY_NAME)
    assert {row.name for row in TABLE if row.name in rules()}
