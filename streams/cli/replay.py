"""`streams replay`: have a group process records again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import Failure, print_json, print_table
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.replay.plan import Move, Plan
from streams.replay.run import carry_out, plan_replay
from streams.replay.target import Target, parse_time

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.argument("group"),
    click.option("--topic", help="Only this source topic. Default: all that the group reads."),
    click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, help="Only this one; repeatable."),
    click.option("--to-beginning", is_flag=True, help="To the oldest record that is still there."),
    click.option("--to-end", is_flag=True, help="To the end: skips everything that waits."),
    click.option(
        "--to-offset",
        "to_offsets",
        multiple=True,
        metavar="[PARTITION=]OFFSET",
        help="To this offset of one partition; with PARTITION= repeatable.",
    ),
    click.option("--to-time", metavar="TIME", help="To the first record of that time: ISO 8601, or -90m, -1h, -2d."),
    click.option("--by", type=int, help="So many offsets on in each partition, or back: -1000."),
    bootstrap_option,
    json_option,
)


def _options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def replay() -> None:
    """Have a group process records again, from an offset or a time on.

    Going back, every record from there on runs again, in the order of its key, also what was done out of order; going
    forward drops what never ran.  What stands in retry topics stays there and runs once; dead letters stay where they
    are.
    """


@replay.command(epilog="Example:  streams replay plan billing --topic orders --to-time -1h")
@_options
def plan(group: str, *, bootstrap: str | None, as_json: bool, **wish: Any) -> None:
    """Say what a replay of GROUP would do, whether it runs or not; changes nothing."""
    with Admin(settings_for(bootstrap, group=group)) as admin:
        planned = _planned(admin, group, **wish)
    if as_json:
        print_json(_document(planned, applied=False))
        return
    _print(planned)
    click.echo(_outlook(planned))


@replay.command(epilog="Example:  streams replay start billing --topic orders --to-time -1h --yes")
@_options
@click.option("--allow-skip", is_flag=True, help="Records that never ran may be dropped.")
@click.option("--yes", is_flag=True, help="Do it. Without it the plan is shown and nothing changes.")
def start(group: str, *, allow_skip: bool, yes: bool, bootstrap: str | None, as_json: bool, **wish: Any) -> None:
    """Move the committed offsets of GROUP, which must be stopped, so that its next member goes on from there.

    Going forward drops what never ran, and needs --allow-skip.
    """
    with Admin(settings_for(bootstrap, group=group)) as admin:
        planned = _planned(admin, group, **wish)
        is_refused = planned.skipped > 0 and not allow_skip
        applies = yes and not is_refused
        if applies and planned.changes:
            carry_out(admin, planned)
    if as_json:
        print_json(_document(planned, applied=applies))
    else:
        _print(planned)
    if is_refused and yes:
        raise Failure(f"{_skip_text(planned)} Nothing was changed; say --allow-skip if that is meant.")
    if not as_json:
        click.echo(_ending(planned, applied=applies, is_refused=is_refused))


def _planned(admin: Admin, group: str, *, topic: str | None, partitions: tuple[int, ...], **wish: Any) -> Plan:
    return plan_replay(admin, group, _target(**wish), topic=topic, partitions=partitions)


def _target(
    *, to_beginning: bool, to_end: bool, to_offsets: tuple[str, ...], to_time: str | None, by: int | None
) -> Target:
    wanted = [
        *([Target("beginning")] if to_beginning else []),
        *([Target("end")] if to_end else []),
        *([_offsets(to_offsets)] if to_offsets else []),
        *([] if to_time is None else [Target("time", parse_time(to_time, time.time()))]),
        *([] if by is None else [Target("by", by)]),
    ]
    if len(wanted) != 1:
        raise UsageError("say where to, once: --to-beginning, --to-end, --to-offset N, --to-time TIME or --by N")
    return wanted[0]


def _offsets(texts: tuple[str, ...]) -> Target:
    """Read what was said of offsets: one for the one partition, or one for each that is named."""
    pairs = [text.rpartition("=") for text in texts]
    if not all(offset.isdecimal() and (not equals or number.isdecimal()) for number, equals, offset in pairs):
        raise UsageError(f"--to-offset {' '.join(texts)}: an offset is a number of 0 or more, as 120 or 3=120")
    named = {int(number): int(offset) for number, equals, offset in pairs if equals}
    if len(pairs) == 1 and not named:
        return Target("offset", int(pairs[0][2]))
    if len(named) < len(pairs):
        raise UsageError(
            f"--to-offset {' '.join(texts)}: with more than one, each names a partition of its own, as 3=120"
        )
    return Target("offsets", offsets=named)


def _print(planned: Plan) -> None:
    print_table(
        ("topic", "#partition", "#from", "#to", "#run again", "#settled above", "#skipped", "#wait behind", "note"),
        [_row(move) for move in planned.moves],
    )


def _row(move: Move) -> tuple[object, ...]:
    topic, number = move.partition
    note = move.note or ("stays" if move.direction == "stays" else "")
    counts = move.again, move.settled_above, move.skipped, move.behind
    return topic, number, move.progress.committed, move.target, *counts, note


def _outlook(planned: Plan) -> str:
    """Say what stands beside the offsets, and what is needed to carry it out."""
    chain = ", ".join(f"{count:,} in {kind}" for kind, count in sorted(planned.in_chain.items()) if count)
    lines = [
        f"{planned.again:,} record(s) would run again, {planned.skipped:,} that never ran would be dropped.",
        f"In the chain, where it stays: {chain}." if chain else "Nothing stands in the chain.",
    ]
    if planned.is_running:
        lines.append(f"Group {planned.group} is running: it has to be stopped before this can be carried out.")
    return "\n".join(lines)


def _ending(planned: Plan, *, applied: bool, is_refused: bool) -> str:
    if not planned.changes:
        return "Nothing to change."
    if applied:
        return f"Done: {planned.again:,} record(s) run again once group {planned.group} is started."
    skip = f" {_skip_text(planned)} It takes --allow-skip too." if is_refused else ""
    return f"Nothing was changed: {planned.again:,} record(s) would run again.{skip} Do it with --yes."


def _skip_text(planned: Plan) -> str:
    return f"{planned.skipped:,} record(s) that never ran would be dropped."


def _document(planned: Plan, *, applied: bool) -> dict[str, Any]:
    return {
        "group": planned.group,
        "applied": applied,
        "running": planned.is_running,
        "again": planned.again,
        "skipped": planned.skipped,
        "chain": dict(planned.in_chain),
        "partitions": [
            {
                "topic": move.partition.topic,
                "partition": move.partition.number,
                "from": move.progress.committed,
                "to": move.target,
                "direction": move.direction,
                "again": move.again,
                "settled_above": move.settled_above,
                "skipped": move.skipped,
                "behind": move.behind,
                "note": move.note or None,
            }
            for move in planned.moves
        ],
    }
