"""`streams describe`: what an app guarantees, or who is in a group."""

from __future__ import annotations

from itertools import groupby
from typing import Any, get_args

import click

from streams.cli.connect import bootstrap_option, is_app, json_option, load_app, settings_for
from streams.cli.lag import member_name, require_known
from streams.cli.output import cell, paragraph, print_json, print_table
from streams.cli.status import document as group_document
from streams.engine.standing import Standing, standing
from streams.kafka.admin import Admin
from streams.kafka.groups import Member
from streams.observer import ChainKind


@click.command(epilog="Example:  streams describe examples.orders:app")
@click.argument("name", metavar="GROUP|MODULE:APP")
@bootstrap_option
@json_option
def describe(name: str, *, bootstrap: str | None, as_json: bool) -> None:
    """Say what an app guarantees, or show the topics, members and assignment of a group.

    For an app no broker is asked: order, retries and bounds are told from its code, the environment and the defaults.
    """
    if is_app(name):
        _describe_app(name, bootstrap, as_json=as_json)
    else:
        _describe_group(name, bootstrap, as_json=as_json)


def _describe_app(path: str, bootstrap: str | None, *, as_json: bool) -> None:
    from streams.cli.guarantee import document

    app = load_app(path)
    settings = app.settings.from_environment().over(bootstrap=bootstrap)
    told = document(app, settings)
    if as_json:
        print_json(told)
        return
    click.echo(f"group {told['group']}\n")
    paragraph(told["delivery"])
    paragraph(f"Also: {told['expired']}.")
    for route in told["routes"]:
        _print_route(route)
    click.echo("")
    rows = [(one["setting"], one["value"], one["effect"]) for one in told["bounds"]]
    print_table(("bound", "#value", "effect"), rows)


def _print_route(route: dict[str, Any]) -> None:
    retry = route["retry"]
    click.echo(f"\ntopic {route['topic']}: handler {route['handler']}, {route['runs']}")
    _item("order", f"{route['policy']}: {route['guarantee']}")
    _item("retry", "; ".join(retry["schedule"]))
    if retry["jitter"]:
        _item("", f"each wait in memory up to {retry['jitter']:.0%} longer, at random")
    if retry["deadline"]:
        _item("", f"no attempt starts later than {retry['deadline']} after the first one ended")
    _item("", f"never retried: {', '.join(retry['never_retried'])}")
    for error, lines in retry["overrides"].items():
        _item("", f"on {error}: {'; '.join(lines)}")
    _item("dead", f"{route['dead_letter_policy']}: {route['after_dead_letter']}")
    _item("topics", ", ".join(route["chain"]))
    _item("contract", f"{route['subject'] or 'none'}; null values are {route['tombstones']}")


def _item(name: str, text: str) -> None:
    paragraph(f"  {name:<10}{text}", indent=" " * 12)


def _describe_group(name: str, bootstrap: str | None, *, as_json: bool) -> None:
    with Admin(settings_for(bootstrap, group=name)) as admin:
        found = require_known(standing(admin, name))
    if as_json:
        print_json(group_document(found) | {"assignor": found.group.assignor, "assignment": _assignment(found)})
        return
    group = found.group
    click.echo(f"group {group.name}: {group.state}, protocol {group.protocol}, assignor {group.assignor or '-'}")
    for topic in found.topics:
        parts = found.of_topic(topic)
        outstanding = sum(part.outstanding for part in parts)
        in_retry, parked, dead = (cell(found.in_chain(kind, topic)) for kind in get_args(ChainKind))
        click.echo(
            f"  topic {topic}: {len(parts)} partition(s), {outstanding:,} outstanding, waiting: {in_retry},"
            f" parked: {parked}, dead letters: {dead}"
        )
    rows = [(member_name(member), member.client_id, _partitions(member)) for member in group.members]
    if rows:
        print_table(("member", "client", "partitions"), rows)
    else:
        click.echo("  no member: nobody processes its records")


def _assignment(found: Standing) -> list[dict[str, Any]]:
    return [
        {
            "member": member.member_id,
            "client": member.client_id,
            "host": member.host,
            "instance": member.instance_id,
            "partitions": [{"topic": place.topic, "partition": place.number} for place in member.partitions],
        }
        for member in found.group.members
    ]


def _partitions(member: Member) -> str:
    by_topic = groupby(member.partitions, key=lambda place: place.topic)
    return "  ".join(f"{topic}: {', '.join(str(place.number) for place in places)}" for topic, places in by_topic)
