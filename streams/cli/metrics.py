"""`streams metrics`: what members measure, with alerts and graphs for it."""

from __future__ import annotations

import click
import msgspec

from streams.cli.connect import json_option
from streams.cli.output import print_json, print_table


@click.group()
def metrics() -> None:
    """What members measure, and alerts and graphs for it."""


@metrics.command("list", epilog="Example:  streams metrics list")
@json_option
def list_metrics(*, as_json: bool) -> None:
    """Show every metric of a member: its kind, its labels, and what it means."""
    from streams.monitor.metrics import GROUP, TABLE

    found = [
        {"name": row.name, "kind": row.kind, "labels": [GROUP, *row.labels], "meaning": row.sentence} for row in TABLE
    ]
    if as_json:
        print_json({"metrics": found})
    else:
        print_table(
            ("metric", "kind", "labels", "meaning"), [(*row[:2], " ".join((GROUP, *row[2])), row[3]) for row in TABLE]
        )


@metrics.command("rules", epilog="Example:  streams metrics rules > streams-rules.yml")
@json_option
def print_rules(*, as_json: bool) -> None:
    """Print the alerts as a file of rules for Prometheus.

    Each names the command to type next.  Name the file under 'rule_files' of Prometheus; 'promtool check rules' checks
    it after a change.
    """
    from streams.monitor.alerts import document, rules

    if as_json:
        print_json(document())
    else:
        click.echo(rules(), nl=False)


@metrics.command("dashboard", epilog="Example:  streams metrics dashboard > streams.json")
@json_option
def print_dashboard(*, as_json: bool) -> None:
    """Print a dashboard for Grafana: a graph for each metric, by group.

    It is JSON with and without --json: import it as it is, or have it provisioned.
    """
    from streams.monitor.graphs import dashboard, written

    if as_json:
        print_json(msgspec.to_builtins(dashboard()))
    else:
        click.echo(written(), nl=False)
