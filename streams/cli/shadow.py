"""Running a shadow group: defined once, run in the foreground, its progress told, discarded."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import click

from streams.cli.connect import load_app, settings_for
from streams.cli.naming import key_of
from streams.cli.output import Failure, age, print_json, say
from streams.errors import BrokerError, UsageError
from streams.kafka.admin import Admin
from streams.replay.choice import Choice, condition
from streams.replay.discard import discard, remains
from streams.replay.outputs import Outputs
from streams.replay.reach import Reach, reach
from streams.replay.run import plan_replay
from streams.replay.shadow import Definition, Register, begin, define, look_up, stretches
from streams.replay.target import Target, parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.app import App
    from streams.config import Settings
    from streams.engine.shadow import Shadow
    from streams.service import Summary

_Command = TypeVar("_Command", bound=Callable[..., Any])

_TOLD_EVERY_S: Final = 5.0
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,150}")

_OPTIONS: Final = (
    click.option("--app", "path", metavar="MODULE:APP", required=True, help="Whose handlers run."),
    click.option("--as", "name", metavar="NAME", help="The shadow group's name. Default: GROUP.shadow-<random>."),
    click.option("--prefix", help="Stands before each topic that handlers send to. Default: NAME and a dot."),
    click.option("--key", "keys", multiple=True, help="Only records of this Kafka key; hex:.. for bytes; repeatable."),
    click.option("--where", multiple=True, metavar="FIELD=VALUE", help="Only with this field in JSON; repeatable."),
    click.option("--text", default="", help="Only where the payload contains this."),
    click.option("--until", metavar="end|TIME", help="Up to the ends of now, the default, or to this time."),
    click.option("--rate", type=click.IntRange(1), metavar="N", help="Records a second, at most, of each member."),
    click.option("--output", "outputs", multiple=True, metavar="TOPIC", help="Handlers send to it: made at the start."),
    click.option("--metrics-port", type=click.IntRange(0, 65_535), help="Serve /metrics and health; 0: a free port."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True),
    click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO"),
)


def shadow_options(command: _Command) -> _Command:
    """Add the options of a shadow group."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_shadow(
    group: str, target: Target | None, *, topic: str | None, partitions: Sequence[int], options: dict[str, Any]
) -> None:
    """Run a member of a shadow of *group* until all that it takes is settled; define it first where it is new.

    Args:
        group: The live group.
        target: Where the shadow begins; None: it is defined already.
        topic: Only this source topic; None: all of the group.
        partitions: Only these; empty: all.
        options: Those of `shadow_options`, and ``bootstrap`` and ``as_json``.
    """
    from streams.engine.ending import RESTART, Until
    from streams.monitor.logs import configure_logs
    from streams.service import run

    configure_logs(options["log_format"], options["log_level"])
    app, name = load_app(options["path"]), options["name"] or f"{group}.shadow-{uuid4().hex[:8]}"
    base = settings_for(options["bootstrap"], base=app.settings)
    settings = base.over(group=name, metrics_port=options["metrics_port"]).checked()
    with Admin(settings) as admin:
        register = look_up(admin, name)
        if register is None:
            if target is None:
                raise UsageError(f"there is no shadow group {name!r} to go on with: say where a new one begins")
            wanted = _definition(admin, name, group, target, topic, partitions, options)
            _require_handlers(app, wanted, options["path"])
            register = define(admin, wanted)
        definition = _checked(register, group, options)
        _require_handlers(app, definition, options["path"])
        say(_opening(definition, options["path"]))
        outputs = Outputs(settings, definition)
        outputs.prepare(options["outputs"])
        begin(admin, definition)
    shadow = _shadow(definition, outputs, options["rate"])
    with _telling(settings, definition):
        summary = run(app, settings, Until(settled=True), shadow=shadow)
    if summary.report.reason == RESTART:
        again = [*sys.orig_argv[1:], *([] if options["name"] else ["--as", name])]
        os.execv(sys.executable, [sys.executable, *again])  # noqa: S606  # this very command line
    _tell_end(settings, definition, summary, shadow.left_out, as_json=options["as_json"])


def discard_shadow(group: str, *, yes: bool, bootstrap: str | None, as_json: bool) -> None:
    """Show what removing the shadow group *group* would remove; with *yes* remove it."""
    with Admin(settings_for(bootstrap, group=group)) as admin:
        found = remains(admin, group)
        if yes:
            discard(admin, found)
    if as_json:
        print_json(
            {"group": group, "of": found.definition.of, "applied": yes, "topics": found.topics, "stay": found.foreign}
        )
        return
    done = "Removed" if yes else "Would be removed"
    click.echo(f"{done}: shadow group {group} with its offsets, and its topics:")
    for name in found.topics:
        click.echo(f"  {name}")
    if found.foreign:
        click.echo(f"They begin with {found.definition.prefix!r}, it did not make them, they stay:")
        for name in found.foreign:
            click.echo(f"  {name}")
    if not yes:
        click.echo("Nothing was changed. Do it with --yes.")


def _definition(  # noqa: PLR0917  # each is an option of the command
    admin: Admin,
    name: str,
    group: str,
    target: Target,
    topic: str | None,
    partitions: Sequence[int],
    options: dict[str, Any],
) -> Definition:
    """Say what the new shadow group *name* is to be."""
    until = options["until"]
    until_ms = None if until in (None, "end") else parse_time(until, time.time())
    planned = plan_replay(admin, group, target, topic=topic, partitions=partitions)
    definition = Definition(
        group=name,
        of=group,
        topics=stretches(admin, planned, until_ms),
        prefix=f"{name}." if options["prefix"] is None else options["prefix"],
        choice=_choice(options),
        time_ms=int(time.time() * 1000),
    )
    if definition.prefix and not _PREFIX.fullmatch(definition.prefix):
        raise UsageError(
            f"--prefix {definition.prefix!r}: it must be up to 150 letters, digits, dots, dashes or underscores, as"
            f" topics are named after it"
        )
    if not definition.prefix:
        raise UsageError("--prefix: without one a shadow would send to the very topics that the live group sends to")
    if not definition.total:
        raise UsageError("there is nothing to process: no record stands between where it begins and where it ends")
    return definition


def _choice(options: dict[str, Any]) -> Choice:
    return Choice(
        keys=tuple(map(key_of, options["keys"])), where=tuple(map(condition, options["where"])), text=options["text"]
    )


def _checked(register: Register, group: str, options: dict[str, Any]) -> Definition:
    """Give what the shadow is, once it is sure that this command means the same.

    Raises:
        UsageError: It does not, or there is nothing left to go on with.
    """
    definition = register.definition
    name = definition.group
    if register.is_discarded:
        raise UsageError(f"shadow group {name!r} is being discarded: streams replay discard {name} --yes")
    if definition.of != group:
        raise UsageError(f"--as {name!r}: that is a shadow of group {definition.of!r}, not of {group!r}")
    choice, prefix = _choice(options), options["prefix"]
    if (choice and choice != definition.choice) or prefix not in (None, definition.prefix):
        was = f"--prefix {definition.prefix} {definition.choice.words()}".rstrip()
        raise UsageError(f"--as {name!r}: it was defined with {was}, which stays. Leave that out, or take another name")
    return definition


def _require_handlers(app: App, definition: Definition, path: str) -> None:
    unhandled = sorted(set(definition.topics) - set(app.routes))
    if unhandled:
        raise UsageError(
            f"{path} has no handler for {', '.join(unhandled)}, which group {definition.of!r} reads: name the topic"
            f" that is meant with --topic"
        )


def _shadow(definition: Definition, outputs: Outputs, rate: int | None) -> Shadow:
    from streams.engine.shadow import Shadow

    ends = {place: stretch.stop for place, stretch in definition.stretches.items()}
    return Shadow(ends=ends, output=outputs, takes=definition.choice.takes(), rate=rate)


@contextmanager
def _telling(settings: Settings, definition: Definition) -> Iterator[None]:
    """Tell every few seconds how far the group is, from a thread of its own."""
    is_over = threading.Event()

    def tell() -> None:
        first: tuple[Reach, float] | None = None
        with Admin(settings) as admin:
            while not is_over.wait(_TOLD_EVERY_S):
                try:
                    now = reach(admin, definition)
                except BrokerError as error:
                    say(f"{definition.group}: how far it is can't be told now: {error}")
                    continue
                since = first = first or (now, time.monotonic())
                say(_sentence(definition.group, now, now.remaining_s(since[0], time.monotonic() - since[1])))

    teller = threading.Thread(target=tell, name="streams-reach", daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_over.set()
        teller.join()


def _tell_end(settings: Settings, definition: Definition, summary: Summary, left_out: int, *, as_json: bool) -> None:
    """Tell what came of it; ends with 1 where the stop was not in order."""
    with Admin(settings) as admin:
        now = reach(admin, definition)
    if as_json:
        print_json(_document(definition, summary, now, left_out))
    else:
        say(_ending(definition, summary, now, left_out))
    if not summary.report.drained or not summary.report.committed:
        raise Failure("The stop was not in order: what was under way runs again.")


def _opening(definition: Definition, path: str) -> str:
    name, of, choice = definition.group, definition.of, definition.choice
    filtered = f", of them those with {choice.words()}" if choice else ""
    return (
        f"Shadow group {name} of {of}: {definition.total:,} record(s) in {len(definition.stretches)} partition(s)"
        f"{filtered}. What it sends goes to {definition.prefix}<topic>.\n"
        f"Another member, or this one after a stop: streams replay shadow {of} --app {path} --as {name}"
    )


def _sentence(group: str, now: Reach, remaining_s: float | None = None) -> str:
    share = 100 * now.settled // now.total
    parts = [f"{now.settled:,} of {now.total:,} records settled ({share}%)", f"{now.left:,} left"]
    if now.waiting:
        parts.append(f"{now.waiting:,} failed and wait, or behind one that did")
    if now.dead:
        parts.append(f"{now.dead:,} dead-lettered")
    if remaining_s is not None and now.left:
        parts.append(f"about {age(remaining_s)} to go")
    return f"{group}: {', '.join(parts)}"


def _ending(definition: Definition, summary: Summary, now: Reach, left_out: int) -> str:
    totals, name = summary.totals, definition.group
    lines = [
        _sentence(name, now),
        f"  This member: {totals.done:,} done, {totals.skipped:,} skipped, {left_out:,} left out by the filter.",
    ]
    if now.dead:
        lines.append(f"  See the dead letters: streams dlq list {name}")
    if now.left or now.waiting:
        lines.append(f"  Stopped: {summary.report.reason}. The same command with --as {name} goes on.")
    lines.append(f"  When it is needed no more: streams replay discard {name} --yes")
    return "\n".join(lines)


def _document(definition: Definition, summary: Summary, now: Reach, left_out: int) -> dict[str, Any]:
    return {
        "group": definition.group,
        "of": definition.of,
        "prefix": definition.prefix,
        "records": now.total,
        "settled": now.settled,
        "left": now.left,
        "waiting": now.waiting,
        "dead_lettered": now.dead,
        "is_done": now.is_done,
        "member": {
            "reason": summary.report.reason,
            "done": summary.totals.done,
            "skipped": summary.totals.skipped,
            "dead_lettered": summary.totals.dead_lettered,
            "left_out": left_out,
        },
    }
