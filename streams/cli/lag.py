"""`streams lag`: how far a group is behind, partition by partition."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import print_json, print_table
from streams.config import Settings
from streams.engine.standing import Progress, Standing, standing
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import Member
from streams.kafka.reader import Stretch, first_records
from streams.record import Partition
from streams.wording import age


@click.command(epilog="Example:  streams lag billing")
@click.argument("group")
@bootstrap_option
@json_option
def lag(group: str, *, bootstrap: str | None, as_json: bool) -> None:
    """Show how far GROUP is behind, in records and in seconds.

    Outstanding is what is not settled: beyond the committed offset, less what the commit's ledger says is done.
    The seconds are the age of the oldest outstanding record, by its own timestamp.
    """
    settings = settings_for(bootstrap, group=group)
    with Admin(settings) as admin:
        found = require_known(standing(admin, group))
    ages = oldest_ages(settings, found.progress, time.time())
    if as_json:
        print_json(_document(found, ages))
        return
    owners = found.owners
    rows = [_row(one, ages.get(place), owners.get(place)) for place, one in sorted(found.progress.items())]
    print_table(
        ("topic", "#partition", "#committed", "#settled above", "#end", "#outstanding", "#behind", "member"),
        rows,
    )
    for topic in found.gone:
        click.echo(f"topic {topic} has offsets of this group, and does not exist any more")
    worst = max(ages.values(), default=None)
    click.echo(
        f"{found.outstanding:,} outstanding, the oldest {age(worst)} old;"
        f" {len(found.group.members)} member(s), group {found.group.state}",
    )


def require_known(found: Standing) -> Standing:
    """Give *found* back if the broker knows the group.

    Raises:
        BrokerError: It does not.
    """
    if not found.is_known:
        raise BrokerError(
            f"group {found.group.name!r} is not known here: it has no member and never committed."
            " See which there are: streams status",
        )
    return found


def oldest_ages(settings: Settings, progress: Mapping[Partition, Progress], now_s: float) -> dict[Partition, float]:
    """Give the age in seconds of each partition's oldest outstanding record; reads that one record."""
    open_ends = {place: Stretch(one.start, one.end) for place, one in progress.items() if one.outstanding}
    if not open_ends:
        return {}
    found = first_records(settings, open_ends)
    stamps = {place: message.timestamp()[1] for place, message in found.items()}
    return {place: max(0.0, now_s - stamp / 1000) for place, stamp in stamps.items() if stamp >= 0}


def member_name(member: Member | None) -> str | None:
    """Name *member* as a person can tell it from others."""
    return None if member is None else f"{member.instance_id or member.member_id[:8]}@{member.host}"


def _row(one: Progress, age_s: float | None, owner: Member | None) -> tuple[object, ...]:
    committed = one.committed if one.is_ours or one.committed is None else f"{one.committed:,} (foreign metadata)"
    behind = age(age_s) if one.outstanding else None
    topic, number = one.partition
    return topic, number, committed, one.settled_above, one.end, one.outstanding, behind, member_name(owner)


def _document(found: Standing, ages: Mapping[Partition, float]) -> dict[str, Any]:
    owners = found.owners
    return {
        "group": found.group.name,
        "state": found.group.state,
        "members": len(found.group.members),
        "outstanding": found.outstanding,
        "lag_seconds": _rounded(max(ages.values(), default=None)),
        "gone_topics": list(found.gone),
        "partitions": [
            {
                "topic": place.topic,
                "partition": place.number,
                "committed": one.committed,
                "settled_above": one.settled_above,
                "low": one.low,
                "end": one.end,
                "outstanding": one.outstanding,
                "expired": one.expired,
                "lag_seconds": _rounded(ages.get(place)),
                "member": owners[place].member_id if place in owners else None,
            }
            for place, one in sorted(found.progress.items())
        ],
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
