"""`streams groups`: what a running group is to do: stand still, go on, begin anew, finish and leave, log more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import Failure, print_json, print_table, say, time_of
from streams.cli.redrive import who_of
from streams.engine.directive import LEVELS, Directive, Kind, standing_directives
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.monitor.direct import Following, await_followers, direct, make, open_guards

_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def groups() -> None:
    """Have the members of a running group stand still, go on, begin anew, finish and leave, or log more.

    What is asked for stands in the topic streams.GROUP.directives until it is lifted: members that begin later follow
    it too. Each change is noted in the audit, with who wants it and why.
    """


def _options(command: _Command) -> _Command:
    """Add what all of them take."""
    for option in reversed(
        (
            click.argument("group"),
            click.option("--why", default="", help="The reason, for the audit."),
            click.option("--who", default=None, help="Who wants it, for the audit. Default: this user at this host."),
            click.option(
                "--wait",
                "wait_s",
                type=click.FloatRange(0, 3_600),
                default=30.0,
                show_default=True,
                metavar="SECONDS",
                help="How long to wait for all members to follow.",
            ),
            bootstrap_option,
            json_option,
        )
    ):
        command = option(command)
    return command


_TOPIC: Final = click.option(
    "--topic", metavar="TOPIC", default="", help="Only this source. Default: all of the group."
)


@groups.command(epilog="Example:  streams groups pause billing --topic orders --why 'the ledger service is moved'")
@_options
@_TOPIC
def pause(group: str, topic: str, **options: Any) -> None:
    """Let GROUP, or one topic of it, stand still until it is resumed, restarts included.

    Nothing starts any more; what runs ends. Partitions stay with their members, offsets stay committed, and no attempt
    is counted.
    """
    _direct(group, "pause", options, topic=topic)


@groups.command(epilog="Example:  streams groups resume billing --topic orders")
@_options
@_TOPIC
def resume(group: str, topic: str, **options: Any) -> None:
    """Let GROUP, or one topic of it, go on: what was paused, or what a guard stopped for too many dead letters.

    A guard that is let go on counts anew: while the cause is still there it stops its topic again.
    """
    with Admin(settings_for(options["bootstrap"])) as admin:
        standing = [one for one in standing_directives(admin, group).values() if one.kind == "pause"]
        stopped = open_guards(admin, group)
    is_paused = any(one.topic == topic for one in standing)
    if not is_paused and not (stopped if not topic else topic in stopped):
        paused = [f"topic {one.topic}" if one.topic else "the whole group" for one in standing]
        others = ", ".join([*paused, *(f"topic {name}, by its guard" for name in stopped)]) or "nothing"
        what = f"topic {topic!r}" if topic else "the whole group"
        raise UsageError(f"{what} is not paused; paused is {others}")
    if is_paused:
        _direct(group, "pause", options, topic=topic, is_lifted=True)
    else:
        _direct(group, "resume", options, topic=topic)


@groups.command(epilog="Example:  streams groups restart billing --over 60")
@_options
@click.option(
    "--over",
    type=click.FloatRange(0, 3_600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="The members spread over so long, each at a moment of its own.",
)
def restart(group: str, over: float, **options: Any) -> None:
    """Have each member of GROUP that runs now end in order, and begin anew in the same process: after a deploy.

    What runs ends first, and all that is done is committed.
    """
    _direct(group, "restart", options, value=f"{over:g}")


@groups.command(epilog="Example:  streams groups drain billing")
@_options
def drain(group: str, **options: Any) -> None:
    """Have the members of GROUP that run now finish what is there, retry topics included, and leave.

    Members that begin afterwards work on as always. What stands still, as behind a held dead letter, is left.
    """
    _direct(group, "drain", options)


@groups.command("log-level", epilog="Example:  streams groups log-level billing DEBUG")
@_options
@click.argument("level", type=click.Choice([*LEVELS, "default"]))
def log_level(group: str, level: str, **options: Any) -> None:
    """Have the members of GROUP log at LEVEL, restarts included; `default`: at that which they were started with."""
    _direct(group, "log_level", options, value="" if level == "default" else level, is_lifted=level == "default")


@groups.command(epilog="Example:  streams groups show billing")
@click.argument("group")
@bootstrap_option
@json_option
def show(group: str, *, bootstrap: str | None, as_json: bool) -> None:
    """Show what stands for GROUP."""
    with Admin(settings_for(bootstrap)) as admin:
        found = sorted(standing_directives(admin, group).values(), key=lambda one: one.time_ms)
    if as_json:
        print_json({"group": group, "directives": [_document(one) for one in found]})
    elif not found:
        click.echo(f"Nothing stands for group {group}: its members do as they were started.")
    else:
        rows = [(time_of(one.time_ms), one.who, one.kind, one.topic or "all", one.value, one.why) for one in found]
        print_table(("since", "who", "what", "topic", "value", "why"), rows)


def _direct(
    group: str, kind: Kind, options: dict[str, Any], *, topic: str = "", value: str = "", is_lifted: bool = False
) -> None:
    who = who_of(options)
    with Admin(settings_for(options["bootstrap"])) as admin:
        given = direct(admin, group, [make(kind, who, topic=topic, value=value, is_lifted=is_lifted)])
        if given.members and options["wait_s"] and kind not in {"restart", "drain"}:
            given = await_followers(admin, group, given, options["wait_s"])
    _print(group, kind, given, waited=kind not in {"restart", "drain"} and bool(options["wait_s"]), options=options)


def _print(group: str, kind: Kind, given: Following, *, waited: bool, options: dict[str, Any]) -> None:
    if options["as_json"]:
        print_json({"group": group, "kind": kind, "members": given.members, "followers": given.followers})
    elif not given.members:
        say(f"No member of group {group} runs: those that begin follow it." if waited else "No member runs.")
    elif waited:
        click.echo(f"{given.followers} of {given.members} member(s) follow.")
    else:
        click.echo(f"{given.members} member(s) are told. See: streams status {group}, streams why {group}")
    if waited and given.followers < given.members:
        raise Failure(
            f"{given.members - given.followers} member(s) have not said within {options['wait_s']:g} s that they"
            f" follow. It stands, and they do once they hear it; members that report no status never say so."
        )


def _document(one: Directive) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "topic": one.topic or None,
        "value": one.value or None,
        "who": one.who,
        "why": one.why or None,
        "since": time_of(one.time_ms),
    }
