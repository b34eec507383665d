"""`streams replay`: have a stopped group process records again."""

from __future__ import annotations

import time
from typing import Any

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import Failure, print_json, print_table
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.replay.plan import Move, Plan
from streams.replay.run import carry_out, plan_replay
from streams.replay.target import Target, parse_time


@click.command(epilog="Example:  streams replay billing --topic orders --to-time -1h --yes")
@click.argument("group")
@click.option("--topic", help="Only this source topic. Default: all that the group reads.")
@click.option("--partition", "partitions", type=click.IntRange(0), multiple=True, help="Only this one; repeatable.")
@click.option("--to-beginning", is_flag=True, help="To the oldest record that is still there.")
@click.option("--to-end", is_flag=True, help="To the end: skips everything that waits.")
@click.option("--to-offset", type=click.IntRange(0), help="To this offset of one partition.")
@click.option("--to-time", metavar="TIME", help="To the first record of that time: ISO 8601, or -90m, -1h, -2d.")
@click.option("--allow-skip", is_flag=True, help="Records that never ran may be dropped.")
@click.option("--yes", is_flag=True, help="Do it. Without it the plan is shown and nothing changes.")
@click.option("--dry-run", is_flag=True, help="Show the plan, whatever else is said.")
@bootstrap_option
@json_option
def replay(  # noqa: PLR0913  # one parameter an option
    group: str,
    *,
    topic: str | None,
    partitions: tuple[int, ...],
    to_beginning: bool,
    to_end: bool,
    to_offset: int | None,
    to_time: str | None,
    allow_skip: bool,
    yes: bool,
    dry_run: bool,
    bootstrap: str | None,
    as_json: bool,
) -> None:
    """Move the committed offsets of GROUP, which must be stopped, so that its next member goes on from there.

    Going back, every record from the target on runs again, also what was done out of order.  Going forward drops what
    never ran, and needs --allow-skip.  Dead letters stay where they are.
    """
    target = _target(to_beginning=to_beginning, to_end=to_end, to_offset=to_offset, to_time=to_time)
    with Admin(settings_for(bootstrap, group=group)) as admin:
        planned = plan_replay(admin, group, target, topic=topic, partitions=partitions)
        is_refused = planned.skipped > 0 and not allow_skip
        applies = yes and not dry_run and not is_refused
        if applies and planned.changes:
            carry_out(admin, planned)
    if as_json:
        print_json(_document(planned, applied=applies))
    else:
        _print(planned)
    if is_refused and yes and not dry_run:
        raise Failure(f"{_skip_text(planned)} Nothing was changed; say --allow-skip if that is meant.")
    if not as_json:
        click.echo(_ending(planned, applied=applies, is_refused=is_refused))


def _target(*, to_beginning: bool, to_end: bool, to_offset: int | None, to_time: str | None) -> Target:
    wanted = [
        *([Target("beginning")] if to_beginning else []),
        *([Target("end")] if to_end else []),
        *([] if to_offset is None else [Target("offset", to_offset)]),
        *([] if to_time is None else [Target("time", parse_time(to_time, time.time()))]),
    ]
    if len(wanted) != 1:
        raise UsageError("say where to, once: --to-beginning, --to-end, --to-offset N or --to-time TIME")
    return wanted[0]


def _print(planned: Plan) -> None:
    print_table(
        ("topic", "#partition", "#from", "#to", "#run again", "#settled above", "#skipped", "note"),
        [_row(move) for move in planned.moves],
    )


def _row(move: Move) -> tuple[object, ...]:
    topic, number = move.partition
    note = move.note or ("stays" if move.direction == "stays" else "")
    return topic, number, move.progress.committed, move.target, move.again, move.settled_above, move.skipped, note


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
        "again": planned.again,
        "skipped": planned.skipped,
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
                "note": move.note or None,
            }
            for move in planned.moves
        ],
    }
