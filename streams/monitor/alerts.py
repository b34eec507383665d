"""What somebody should be told of: alerts on the metrics of members, for Prometheus.

`ALERTS` is written against `metrics.TABLE`, and against the labels that every
scrape adds.  Each alert names the command that tells more.  Thresholds are
where most groups begin to worry; who knows better edits the file.
"""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["critical", "warning"]
"""``critical``: records are lost, or nothing moves.  ``warning``: it will come to that, or a part stands still."""

GROUP_OF_RULES: Final = "streams"


class Alert(NamedTuple):
    """One alert, as its receiver knows it."""

    name: str
    severity: Severity
    wait: str
    """How long it has to be so, in Prometheus' words."""
    expr: str
    summary: str
    """What is the case and where, in one line."""
    meaning: str
    """What follows from it, and what is done about it."""
    command: str
    """What tells more."""

    @property
    def description(self) -> str:
        """The meaning, and what to type next."""
        return f"{self.meaning} Next: {self.command}"


_GROUP: Final = "{{ $labels.group }}"
_TOPIC: Final = "{{ $labels.topic }}"
_PLACE: Final = _TOPIC + "/{{ $labels.partition }}"
_WHY: Final = f"streams why {_GROUP}"
_LETTERS: Final = f"streams dlq list {_GROUP} --by error"

ALERTS: Final = (
    # -- records wait ---------------------------------------------------------------------
    Alert(
        "StreamsQueueOld",
        "warning",
        "5m",
        "max by (group, topic, partition) (streams_lag_seconds) > 300",
        f"{_GROUP}: the oldest record of {_PLACE} has waited {{{{ $value | humanizeDuration }}}}",
        "Records come faster than they are processed, or something holds them up. More members help while partitions "
        "are left to divide.",
        _WHY,
    ),
    Alert(
        "StreamsPartitionStuck",
        "critical",
        "5m",
        "delta(max by (group, topic, partition) (streams_lag_seconds)[10m:1m]) > 540",
        f"{_GROUP}: the oldest record of {_PLACE} has been the same for ten minutes",
        "One record keeps the committed offset where it is: its handler does not return, or it waits for another "
        "attempt. The rest of the partition may go on meanwhile, up to its bounds.",
        _WHY,
    ),
    Alert(
        "StreamsNoProgress",
        "critical",
        "5m",
        "sum by (group, topic) (streams_lag_records) > 0\n"
        "and sum by (group, topic) (rate(streams_settled_records_total[10m])) == 0",
        f"{_GROUP}: nothing of {_TOPIC} has settled for ten minutes, {{{{ $value }}}} records are outstanding",
        "No record of the topic ends, neither well nor as a dead letter.",
        _WHY,
    ),
    Alert(
        "StreamsMemberStill",
        "critical",
        "1m",
        "time() - max by (group, instance) (streams_view_timestamp_seconds) > 60",
        f"{_GROUP}: the poll thread of {{{{ $labels.instance }}}} has stood still for "
        "{{ $value | humanizeDuration }}",
        "An inline handler does not return, or a step with the broker does not end. Its /livez says so: restart it.",
        _WHY,
    ),
    Alert(
        "StreamsHandlerStuck",
        "warning",
        "5m",
        "sum by (group) (streams_stuck_runs) > 0",
        f"{_GROUP}: {{{{ $value }}}} handler runs are past their timeout and have not returned",
        "A thread can't be stopped: each keeps its key until it returns. Give what the handler calls a timeout of its "
        "own.",
        _WHY,
    ),
    Alert(
        "StreamsPartitionsPaused",
        "warning",
        "10m",
        "sum by (group, reason) (\n"
        '  streams_paused_partitions{reason=~"ledger|lane|lease|dead_letter_topic|retry_topic|chain_topic|chain|key"}\n'
        ") > 0",
        f"{_GROUP}: {{{{ $value }}}} partitions are not read, for {{{{ $labels.reason }}}}",
        "Their intake stands still until what it names is mended or has gone on.",
        _WHY,
    ),
    # -- records fail ---------------------------------------------------------------------
    Alert(
        "StreamsDeadLetterRate",
        "warning",
        "5m",
        'sum by (group, topic) (rate(streams_outcomes_total{outcome="dead_lettered"}[15m]))\n'
        '  / sum by (group, topic) (rate(streams_outcomes_total{outcome!="retried"}[15m])) > 0.01',
        f"{_GROUP}: {{{{ $value | humanizePercentage }}}} of the records of {_TOPIC} become dead letters",
        "More than one record in a hundred could not be processed within the last quarter of an hour.",
        _LETTERS,
    ),
    Alert(
        "StreamsDeadLetterDepth",
        "warning",
        "30m",
        "sum by (group, topic) (streams_dead_letter_records) > 100",
        f"{_GROUP}: {{{{ $value }}}} dead letters of {_TOPIC} wait for somebody",
        "Nobody has retried or forgotten them.",
        _LETTERS,
    ),
    Alert(
        "StreamsDeadLettersRefused",
        "critical",
        "1m",
        "sum by (group, topic) (increase(streams_dead_letters_refused_total[10m])) > 0",
        f"{_GROUP}: the broker refuses dead letters of {_TOPIC}",
        "Their partitions read nothing further until it takes them; nothing is dropped. The log names the broker's "
        "error: often a record is larger than the topic's max.message.bytes, or a right is missing.",
        _WHY,
    ),
    Alert(
        "StreamsKeysBlocked",
        "warning",
        "15m",
        "sum by (group, topic) (streams_blocked_keys) > 0",
        f"{_GROUP}: {{{{ $value }}}} keys of {_TOPIC} stand still behind a dead letter",
        "Their later records wait until an operator retries or forgets the letter.",
        _WHY,
    ),
    Alert(
        "StreamsRecordsExpired",
        "critical",
        "1m",
        "sum by (group, topic) (increase(streams_expired_records_total[1h])) > 0",
        f"{_GROUP}: retention removed {{{{ $value | humanize }}}} records of {_TOPIC} unread",
        "They were never processed and can't be had from the topic any more. Give it a longer retention, or the group "
        "more members.",
        f"streams lag {_GROUP}",
    ),
    Alert(
        "StreamsBreakerOpen",
        "warning",
        "5m",
        "max by (group, dependency) (streams_breaker_open) > 0",
        f"{_GROUP}: {{{{ $labels.dependency }}}} counts as down",
        "Every topic whose handler needs it stands still; no attempt is counted, a few records try now and then.",
        _WHY,
    ),
    Alert(
        "StreamsGuardOpen",
        "critical",
        "5m",
        "max by (group, topic) (streams_guard_open) > 0",
        f"{_GROUP}: {_TOPIC} stands still, too many of its records would be dead letters",
        "So many failures are hardly the records' own fault: look for a deploy, a schema, a dependency.",
        _LETTERS,
    ),
    Alert(
        "StreamsRecordKills",
        "critical",
        "1m",
        "sum by (group) (streams_suspected_partitions) > 0",
        f"{_GROUP}: process after process died at {{{{ $value }}}} partitions",
        "Their records run one at a time, to find the one that kills; the rest of that member stands still meanwhile.",
        _WHY,
    ),
    # -- commits, members -----------------------------------------------------------------
    Alert(
        "StreamsLedgerNearLimit",
        "warning",
        "5m",
        "max by (group, topic, partition) (streams_ledger_used_ratio) > 0.5",
        f"{_GROUP}: the ledger of {_PLACE} is at {{{{ $value | humanizePercentage }}}} of what a commit holds",
        "Many records settled behind one that has not. Intake stops at ledger_limit, 59 % by default.",
        _WHY,
    ),
    Alert(
        "StreamsLedgerCut",
        "critical",
        "1m",
        "sum by (group, topic) (increase(streams_ledger_cuts_total[15m])) > 0",
        f"{_GROUP}: a ledger of {_TOPIC} did not fit into its commit",
        "Settled records at its upper end would run again after a crash.",
        _WHY,
    ),
    Alert(
        "StreamsCommitsFail",
        "critical",
        "5m",
        "sum by (group, topic) (increase(streams_commit_failures_total[5m])) > 3",
        f"{_GROUP}: commits of {_TOPIC} fail, {{{{ $value | humanize }}}} in five minutes",
        "What was processed since the last good one would run again after a crash; without one in time nothing "
        "further starts.",
        _WHY,
    ),
    Alert(
        "StreamsCommitOld",
        "critical",
        "2m",
        "max by (group, topic, partition) (streams_commit_age_seconds) > 180",
        f"{_GROUP}: the last commit of {_PLACE} was {{{{ $value | humanizeDuration }}}} ago",
        "Members commit at least once a minute, whether anything came or not: this one does not reach its coordinator.",
        _WHY,
    ),
    Alert(
        "StreamsMembersFlap",
        "warning",
        "5m",
        'sum by (group) (increase(streams_rebalances_total{event=~"revoked|lost"}[30m]))\n'
        "  / count by (group) (streams_assigned_partitions) > 3",
        f"{_GROUP}: each member gave partitions back {{{{ $value | humanize }}}} times in half an hour",
        "Members come and go: they crash, miss their sessions, or a scaler goes up and down. Each time their "
        "partitions stand still for a moment.",
        f"streams describe {_GROUP}",
    ),
)
"""One alert a thing that needs somebody."""


def document() -> dict[str, Any]:
    """Give the rules as Prometheus reads them."""
    return {"groups": [{"name": GROUP_OF_RULES, "rules": [_rule(alert) for alert in ALERTS]}]}


def rules() -> str:
    """Give the rules as a file: YAML whose texts are quoted as JSON quotes them."""
    return f"groups:\n  - name: {GROUP_OF_RULES}\n    rules:\n" + "".join(_block(alert) for alert in ALERTS)


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": alert.description},
    }


def _block(alert: Alert) -> str:
    return (
        f"      - alert: {alert.name}\n"
        f"        expr: |-\n{indent(alert.expr, ' ' * 10)}\n"
        f"        for: {alert.wait}\n"
        f"        labels:\n"
        f"          severity: {alert.severity}\n"
        f"        annotations:\n"
        f"          summary: {json.dumps(alert.summary)}\n"
        f"          description: {json.dumps(alert.description)}\n"
    )
