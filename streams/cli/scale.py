"""`streams scale`: how many replicas a group needs, and why."""

from __future__ import annotations

import time
from typing import Final

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.lag import require_known
from streams.cli.output import print_json
from streams.engine.standing import standing
from streams.kafka.admin import Admin
from streams.monitor.scale import Gauge
from streams.scaling.hint import Goal, advise, hint_document
from streams.scaling.lag import keda_lag
from streams.scaling.signals import Signals
from streams.wording import age

_GOAL: Final = Goal()
_BETWEEN_S: Final = 1.5
"""Between two looks, where no member tells what comes."""


@click.group()
def scale() -> None:
    """How many replicas a group needs, and why."""


@scale.command(epilog="Example:  streams scale hint billing --drain 300 --max 8")
@click.argument("group")
@click.option(
    "--drain",
    "drain_s",
    type=click.FloatRange(min=0, min_open=True),
    default=_GOAL.drain_s,
    show_default=True,
    metavar="SECONDS",
    help="What is due should be worked off in this time.",
)
@click.option(
    "--min", "least", type=click.IntRange(0), default=_GOAL.min_replicas, show_default=True, help="Never fewer."
)
@click.option(
    "--max", "most", type=click.IntRange(1), default=_GOAL.max_replicas, show_default=True, help="Never more."
)
@bootstrap_option
@json_option
def hint(group: str, *, drain_s: float, least: int, most: int, bootstrap: str | None, as_json: bool) -> None:
    """Say how many replicas GROUP needs now, with the reason.

    Made from what its members report and what the broker knows: records that could run now, what comes, what one
    replica ends, how long one takes to start. Records that wait for a retry, or behind one of their own key, need
    nobody. This is one look: 'streams monitor' looks on, and does not ask for fewer before a while has passed.
    """
    goal = Goal(drain_s=drain_s, min_replicas=least, max_replicas=most).checked()
    gauge = Gauge(group)
    with Admin(settings_for(bootstrap, group=group)) as admin:
        found = require_known(standing(admin, group))
        signals = gauge.look(admin)
        if signals.arrivals_per_s is None:
            time.sleep(_BETWEEN_S)
            signals = gauge.look(admin)
    given, lag = advise(signals, goal), keda_lag(found.progress.values())
    if as_json:
        print_json(hint_document(group, signals, given) | {"lag": lag})
        return
    click.echo(f"{'?' if given.desired is None else given.desired} replica(s) for {group}: {given.reason}")
    for name, value in _told(signals, lag):
        click.echo(f"  {name:<20} {value}")


def _told(one: Signals, lag: int) -> list[tuple[str, str]]:
    startup = age(one.startup_s)
    return [
        ("replicas", f"{one.replicas}, of {one.partitions} partition(s), {_known(one.busy_partitions)} with work"),
        ("due", f"{_known(one.due_records)} record(s), {age(one.due_work_s)} of work of one replica"),
        ("oldest due", age(one.oldest_due_s)),
        ("waiting, parked", f"{one.waiting_records:,}, {one.parked_records:,}: they need nobody yet"),
        ("next falls due in", age(one.next_due_s)),
        ("arrivals", f"{_known(one.arrivals_per_s)} record(s)/s"),
        ("service", f"{_known(one.service_per_s)} record(s)/s of one replica"),
        ("busy", "-" if one.busy_ratio is None else f"{one.busy_ratio:.0%}"),
        ("start of a replica", startup),
        ("lag", f"{lag:,} offset(s) from committed to end, as a lag scaler counts"),
    ]


def _known(number: float | None) -> str:
    return "?" if number is None else f"{number:,.6g}"
