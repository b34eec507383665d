"""`streams status`: what every group is doing, from the broker alone."""

from __future__ import annotations

from typing import Any, get_args

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.lag import require_known
from streams.cli.output import print_json, print_table
from streams.engine.standing import Standing, standing, standings
from streams.kafka.admin import Admin
from streams.observer import ChainKind


@click.command(epilog="Example:  streams status billing")
@click.argument("group", required=False)
@bootstrap_option
@json_option
def status(group: str | None, *, bootstrap: str | None, as_json: bool) -> None:
    """Show what GROUP, or every group of streams, is doing.

    Outstanding is what is not settled in the topic itself; waiting is in retry topics for another attempt, parked
    behind a record of its own key, and dead letters are those that nobody has decided about.

    What a member settled since its last commit, a second at most, still counts.  All is counted in offsets, so each
    number is at most so many records: compaction and transactions leave offsets without one, and what a member wrote
    to the chain while it lost the partition is nobody's.
    """
    with Admin(settings_for(bootstrap)) as admin:
        found = standings(admin) if group is None else [require_known(standing(admin, group))]
    if as_json:
        print_json({"groups": [document(one) for one in found]})
    elif not found:
        click.echo("No group of streams has left a trace here yet. Start one: streams run module:app")
    else:
        rows = [row for one in found for row in _rows(one)]
        columns = ("group", "state", "#members", "topic", "#outstanding", "#waiting", "#parked", "#dead letters")
        print_table(columns, rows)


def document(one: Standing) -> dict[str, Any]:
    """Give what machines are told of a group."""
    return {
        "group": one.group.name,
        "state": one.group.state,
        "protocol": one.group.protocol,
        "members": len(one.group.members),
        "outstanding": one.outstanding,
        "waiting": one.in_chain("tier") or 0,
        "parked": one.in_chain("parked") or 0,
        "dead_letters": one.in_chain("dlq") or 0,
        "topics": [
            {
                "topic": topic,
                "partitions": len(one.of_topic(topic)),
                "outstanding": sum(part.outstanding for part in one.of_topic(topic)),
                "settled_above": sum(part.settled_above for part in one.of_topic(topic)),
                "expired": sum(part.expired for part in one.of_topic(topic)),
                "waiting": one.in_chain("tier", topic),
                "parked": one.in_chain("parked", topic),
                "dead_letters": one.in_chain("dlq", topic),
            }
            for topic in one.topics
        ],
        "gone_topics": list(one.gone),
    }


def _rows(one: Standing) -> list[tuple[object, ...]]:
    group = one.group
    rows: list[tuple[object, ...]] = [
        (
            group.name,
            group.state,
            len(group.members),
            topic,
            sum(part.outstanding for part in one.of_topic(topic)),
            *(one.in_chain(kind, topic) for kind in get_args(ChainKind)),
        )
        for topic in one.topics
    ]
    return rows or [(group.name, group.state, len(group.members), None, 0, None, None, None)]
