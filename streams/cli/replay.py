"""`streams replay`: have a group process records again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.output import Failure, print_json, print_table, say
from streams.cli.redrive import who_of
from streams.cli.shadow import discard_shadow, run_shadow, shadow_options
from streams.engine.desk import prepare
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.replay.live import Course, Ending, Put, beginnings, courses, endings, put
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
)


_WISHES: Final = ("to_beginning", "to_end", "to_offsets", "to_time", "by")
"""Those of them that say where to."""


def _options(command: _Command) -> _Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_DEED: Final = ("yes", "why", "who", "wait_s", "as_json")
_LOOK_EVERY_S: Final = 2.0


def _deed(command: _Command) -> _Command:
    """Add what every command has that changes something."""
    for option in (
        json_option,
        click.option(
            "--wait",
            "wait_s",
            type=click.FloatRange(0.1, 86_400),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait with nothing heard from the group.",
        ),
        click.option("--who", default=None, help="Who wants it, for the audit. Default: this user at this host."),
        click.option("--why", default="", help="The reason, for the audit."),
        click.option("--yes", is_flag=True, help="Do it. Without it, what would be done is shown; nothing changes."),
    ):
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
@json_option
def plan(group: str, *, bootstrap: str | None, as_json: bool, **wish: Any) -> None:
    """Say what a replay of GROUP would do, whether it runs or not; changes nothing."""
    with Admin(settings_for(bootstrap, group=group)) as admin:
        planned = _planned(admin, group, **wish)
    if as_json:
        print_json(_document(planned, applied=False))
        return
    _print(planned)
    click.echo(_outlook(planned))


@replay.command(epilog="Example:  streams replay start billing --topic orders --to-time -1h --why 'wrong prices' --yes")
@_options
@click.option("--allow-skip", is_flag=True, help="Records that never ran may be dropped.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1),
    metavar="N",
    help="Of a running group: records a second at most, on average, of all partitions together.",
)
@_deed
def start(group: str, *, allow_skip: bool, rate: float | None, bootstrap: str | None, **options: Any) -> None:
    """Have GROUP go on from another offset, while it runs.

    Each partition comes to rest, what had settled goes into the group's audit, and it goes on from there: 'streams
    replay status' shows how far it is, 'cancel' and 'undo' end it. Where no member runs, the committed offsets are
    moved, and the next one goes on from there. Going forward drops what never ran, and needs --allow-skip.
    """
    deed = {name: options.pop(name) for name in _DEED}
    with Admin(settings_for(bootstrap, group=group)) as admin:
        planned = _planned(admin, group, **options)
        is_refused = planned.skipped > 0 and not allow_skip
        applies = deed["yes"] and not is_refused
        done = None
        if applies and planned.changes:
            if rate and not planned.is_live:
                raise UsageError("--rate: only members that run can be told; start the group, then the replay")
            if planned.is_live:
                prepare(admin, group)
                asked = beginnings(admin, planned, who_of(deed), rate or 0.0)
                done = put(admin, group, asked, deed["wait_s"])
            else:
                carry_out(admin, planned, who_of(deed))
    if deed["as_json"]:
        print_json(_document(planned, applied=applies) | ({} if done is None else _put_document(done)))
    else:
        _print(planned)
    if is_refused and deed["yes"]:
        raise Failure(f"{_skip_text(planned)} Nothing was changed; say --allow-skip if that is meant.")
    if done is not None:
        _require_done(group, done, deed["wait_s"])
    if not deed["as_json"]:
        click.echo(_ending(planned, done, applied=applies, is_refused=is_refused))


@replay.command(epilog="Example:  streams replay status billing --follow")
@click.argument("group")
@click.option("--follow", is_flag=True, help="Until all of it is through: tell how far it is, each two seconds.")
@bootstrap_option
@json_option
def status(group: str, *, follow: bool, bootstrap: str | None, as_json: bool) -> None:
    """Show how far the last replay of each partition of GROUP is, as its commits say, whether it runs or not."""
    with Admin(settings_for(bootstrap, group=group)) as admin:
        found = courses(admin, group)
        if follow:
            found = _follow(admin, group, found)
    if as_json:
        print_json({"group": group, "partitions": [_course_document(one) for one in found]})
        return
    if not found:
        click.echo(f"Group {group} has no replay that is known: none was begun, or it was undone.")
        return
    columns = ("topic", "#partition", "replay", "#from", "#until", "#left", "#a second at most", "state")
    print_table(columns, [_course_row(one) for one in found])


@replay.command(epilog="Example:  streams replay cancel billing --why 'enough seen' --yes")
@click.argument("group")
@bootstrap_option
@_deed
def cancel(group: str, *, bootstrap: str | None, **deed: Any) -> None:
    """Have what is left of the last replay of GROUP not run again.

    What had settled before it counts again, beside what has settled since. Records that failed in it and wait in the
    chain run on; see 'undo'.
    """
    _end("cancel", group, bootstrap, deed)


@replay.command(epilog="Example:  streams replay undo billing --why 'was the wrong topic' --yes")
@click.argument("group")
@bootstrap_option
@_deed
def undo(group: str, *, bootstrap: str | None, **deed: Any) -> None:
    """End the last replay of GROUP as if it had not been: nothing that was settled before it runs again.

    Beside what 'cancel' does, copies and dead letters that it made of such records are dropped. What it has run has
    run; what it dropped, going forward, stays dropped.
    """
    _end("undo", group, bootstrap, deed)


def _end(verb: Ending, group: str, bootstrap: str | None, deed: dict[str, Any]) -> None:
    with Admin(settings_for(bootstrap, group=group)) as admin:
        found = [one for one in courses(admin, group) if verb == "undo" or one.state == "on its way"]
        is_heard, done = bool(describe_group(admin, group).members), None
        if found and deed["yes"]:
            prepare(admin, group)
            asked = endings(admin, group, verb, found, who_of(deed))
            done = put(admin, group, asked, deed["wait_s"] if is_heard else 0.0)
            if not is_heard:
                say(f"No member of group {group} runs: it is done as soon as one does.")
    left = sum(one.left for one in found if one.state == "on its way")
    if deed["as_json"]:
        told = {"group": group, "verb": verb, "applied": done is not None, "left": left}
        parts = {"partitions": [_course_document(one) for one in found]}
        print_json(told | parts | ({} if done is None else _put_document(done)))
    if done is not None and is_heard:
        _require_done(group, done, deed["wait_s"])
    if deed["as_json"]:
        return
    if not found:
        click.echo(f"Nothing to {verb}: group {group} has no replay {'on its way' if verb == 'cancel' else 'known'}.")
    elif done is None:
        click.echo(f"Nothing was changed: {left:,} record(s) would not run again. Do it with --yes.")
    elif is_heard:
        click.echo(f"Done: {left:,} record(s) do not run again. See: streams replay status {group}")


def _follow(admin: Admin, group: str, found: list[Course]) -> list[Course]:
    """Tell how far *found* are until they are through."""
    total = sum(one.count for one in found)
    before, since = sum(one.left for one in found), time.monotonic()
    while any(one.state == "on its way" for one in found):
        time.sleep(_LOOK_EVERY_S)
        found = courses(admin, group)
        left, now = sum(one.left for one in found if one.state == "on its way"), time.monotonic()
        rate = max(0, before - left) / (now - since)
        before, since = left, now
        more = f", about {left / rate:,.0f} s to go" if rate else ""
        say(f"  {total - left:,} of {total:,} settled, {rate:,.0f} a second{more}")
    return found


def _require_done(group: str, done: Put, wait_s: float) -> None:
    """See that everything was carried out, and is committed."""
    if done.silent:
        raise Failure(
            f"nothing was heard of {done.silent:,} partition(s) for {wait_s:g} s. What was asked for is done once their"
            f" owners can, within a quarter of an hour. See: streams why {group}, streams replay status {group}"
        )
    turns = Counter(one.rewound.turn for one in done.answers if one.rewound is not None)
    if turns["gone"] or turns["late"]:
        raise Failure(
            f"{turns['gone'] + turns['late']:,} partition(s) did nothing: their replay had ended, or another one had"
            f" begun, or they were asked too long ago. See: streams replay status {group}, streams audit {group}"
        )
    if done.pending:
        raise Failure(
            f"{', '.join(map(str, done.pending))}: answered, but not committed within {wait_s:g} s; the owner may have"
            f" died over it. See: streams replay status {group}, streams why {group}"
        )


def _put_document(done: Put) -> dict[str, Any]:
    turns = Counter(one.rewound.turn for one in done.answers if one.rewound is not None)
    ids = sorted({one.rewound.id for one in done.answers if one.rewound is not None})
    return {
        "replays": ids,
        "answers": dict(turns),
        "unanswered": done.silent,
        "pending": [str(place) for place in done.pending],
    }


def _course_row(one: Course) -> tuple[object, ...]:
    replay = one.replay
    rate = replay.rate or None
    return *one.partition, replay.id, replay.start, replay.until, one.left, rate, one.state


def _course_document(one: Course) -> dict[str, Any]:
    replay = one.replay
    return {
        "topic": one.partition.topic,
        "partition": one.partition.number,
        "replay": replay.id,
        "from": replay.start,
        "until": replay.until,
        "left": one.left,
        "rate": replay.rate or None,
        "state": one.state,
    }


@replay.command(epilog="Example:  streams replay shadow billing --app examples.orders:app --to-time -1h")
@_options
@json_option
@shadow_options
def shadow(group: str, *, topic: str | None, partitions: tuple[int, ...], **options: Any) -> None:
    """Have a second group process records again, with the same handlers, while GROUP goes on untouched.

    A member of that group runs here until all of it is settled.  Its offsets, retries and dead letters are its own,
    what handlers send goes to topics with a prefix, and ctx.is_replay is true for them.  The same command with --as
    NAME is another member of it, or goes on with it; then where it begins need not be said, and is not asked again.
    """
    wish = {name: options.pop(name) for name in _WISHES}
    target = _target(**wish) if any(one not in (None, False, ()) for one in wish.values()) else None
    run_shadow(group, target, topic=topic, partitions=partitions, options=options)


@replay.command("discard", epilog="Example:  streams replay discard billing.shadow-1f0c --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do it. Without it what would be removed is shown and nothing changes.")
@bootstrap_option
@json_option
def discard_(name: str, *, yes: bool, bootstrap: str | None, as_json: bool) -> None:
    """Remove the shadow group NAME, which must be stopped: its offsets, its topics, and the topics it sent to.

    What it did not make stays, and no other group can be removed by it.
    """
    discard_shadow(name, yes=yes, bootstrap=bootstrap, as_json=as_json)


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
    if planned.is_live:
        lines.append(f"Group {planned.group} is running, and goes on doing so: each partition rests for a moment.")
    elif planned.is_running:
        lines.append(f"Group {planned.group} has members that are not of streams: they have to be stopped before.")
    return "\n".join(lines)


def _ending(planned: Plan, done: Put | None, *, applied: bool, is_refused: bool) -> str:
    if not planned.changes:
        return "Nothing to change."
    if done is not None:
        return f"Done: {planned.again:,} record(s) run again. See: streams replay status {planned.group} --follow"
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
