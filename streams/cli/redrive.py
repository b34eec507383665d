"""`streams dlq retry|forget`: act on dead letters; `edit`, which mends one, stands in `edit.py`."""

from __future__ import annotations

import getpass
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final, TypeVar

import click

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.letters import BY, chosen_topics, filter_of, filters
from streams.cli.naming import origin_of
from streams.cli.output import Failure, print_json, print_table, say
from streams.deadletter.act import Outcome, act, commands
from streams.deadletter.letter import Letter
from streams.deadletter.read import each, find
from streams.engine.command import MOST_LETTERS, MOST_NAME, MOST_REASON, Verb
from streams.engine.desk import Who, prepare
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group

_Command = TypeVar("_Command", bound=Callable[..., Any])

_PROGRESS_EVERY_S: Final = 1.0
_TELL_KINDS: Final = 10
_NO_FILTER: Final = {"topic": None, "error": "", "key": None, "handler": "", "text": "", "since": None, "until": None}
"""What the options of `filters` say where they choose nothing; an empty key is a key."""


def _which(command: _Command) -> _Command:
    """Add what says which letters, and how they are acted on."""
    command = acting(filters(command))
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def acting(command: _Command) -> _Command:
    """Add what says who acts, why, and for how long the answer is waited for."""
    command = json_option(bootstrap_option(command))
    for option in reversed(_ACTING):
        command = option(command)
    return command


_OPTIONS: Final = (
    click.argument("group"),
    click.argument("origins", nargs=-1, metavar="[TOPIC/PARTITION/OFFSET]..."),
    click.option("--all", "everything", is_flag=True, help="Every dead letter of the group."),
    click.option("--limit", type=click.IntRange(1), help="At most so many, in the order of their partitions."),
    click.option("--rate", type=click.FloatRange(0.1), metavar="N", help="Letters a second at most."),
    click.option("--yes", is_flag=True, help="Do it. Without it what would be done is shown, and nothing changes."),
)
_ACTING: Final = (
    click.option("--why", default="", help="The reason, for the audit."),
    click.option("--who", default=None, help="Who wants it, for the audit. Default: this user at this host."),
    click.option("--no-wait", is_flag=True, help="Don't wait for what becomes of them; see: streams audit GROUP"),
    click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(0.1, 86_400),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait with nothing heard from the group.",
    ),
)


@click.command(epilog="Example:  streams dlq retry billing --error Timeout --why 'gateway is back' --yes")
@_which
@click.option("--max-redrives", type=click.IntRange(1), help="Only letters retried fewer times than this so far.")
def retry(group: str, max_redrives: int | None, **options: Any) -> None:
    """Have dead letters of GROUP tried again: those named, those that the filters choose, or --all.

    Each runs again in its place in the order of its key: the oldest of a key first, and none beside another one of
    its key. Its attempts begin anew, its history stays. The group need not be stopped; where no member runs, it is
    done as soon as one does. A letter is retried once, however often it is asked for; to stop, end this command:
    what was asked for by then is done, and the same command goes on with the rest.
    """
    _act("retry", group, options, most_redrives=max_redrives)


@click.command(epilog="Example:  streams dlq forget billing orders/3/1042 --why 'sent by mistake' --yes")
@_which
def forget(group: str, **options: Any) -> None:
    """Drop dead letters of GROUP for good: those named, those that the filters choose, or --all.

    They need no more work then, and a key that one of them blocks goes on. Their bytes stay in the topic for a while.
    """
    _act("forget", group, options)


def _act(verb: Verb, group: str, options: dict[str, Any], *, most_redrives: int | None = None) -> None:
    """Choose, show, and with --yes have it done."""
    who = who_of(options)
    with Admin(settings_for(options["bootstrap"])) as admin:
        letters = islice(_chosen(admin, group, options, most_redrives), options["limit"])
        if not options["yes"]:
            _print_plan(verb, group, letters, as_json=options["as_json"])
            return
        if not (members := describe_group(admin, group).members):
            say(f"No member of group {group} runs: it is done as soon as one does.")
        prepare(admin, group)
        most = MOST_LETTERS if options["rate"] is None else max(1, min(MOST_LETTERS, int(options["rate"])))
        waits = bool(members) and not options["no_wait"]
        outcome = act(
            admin,
            group,
            commands(letters, verb, who, most=most),
            rate=options["rate"],
            wait_s=options["wait_s"] if waits else 0.0,
            tell=_progress(),
        )
    _print_outcome(verb, group, outcome, as_json=options["as_json"])
    if waits and outcome.missing:
        raise Failure(
            f"nothing was heard of {outcome.missing:,} dead letter(s) for {options['wait_s']:g} s. What was asked for"
            f" stays so, and is done once the owner of the partition can."
            f" See: streams why {group}, streams audit {group}"
        )


def _chosen(admin: Admin, group: str, options: dict[str, Any], most_redrives: int | None) -> Iterator[Letter]:
    wanted = filter_of(options)
    is_filtered = any(options[name] not in (None, default) for name, default in _NO_FILTER.items())
    if (bool(options["origins"]) + is_filtered + options["everything"]) != 1:
        raise UsageError("say which: TOPIC/PARTITION/OFFSET, or a filter such as --error, or --all; one of them")
    if options["origins"]:
        found: Iterator[Letter] = (find(admin, group, *origin_of(text)) for text in dict.fromkeys(options["origins"]))
    else:
        found = each(admin, chosen_topics(admin, group, options["topic"]), wanted)
    return (one for one in found if most_redrives is None or one.header.redrives < most_redrives)


def _print_plan(verb: Verb, group: str, letters: Iterable[Letter], *, as_json: bool) -> None:
    """Say what would be done; of the letters nothing is kept but their keys."""
    kinds, met = Counter[str](), set[bytes | None]()
    for letter in letters:
        kinds[BY["error"](letter)] += 1
        met.add(letter.key)
    count, keys = kinds.total(), len(met)
    if as_json:
        print_json({"group": group, "verb": verb, "applied": False, "letters": count, "errors": dict(kinds)})
        return
    if count:
        print_table(("#dead letters", "error"), [(many, error) for error, many in kinds.most_common(_TELL_KINDS)])
    would = "would be tried again" if verb == "retry" else "would be dropped for good"
    click.echo(f"Nothing was changed: {count:,} dead letter(s) of {keys:,} key(s) {would}. Do it with --yes.")


def _print_outcome(verb: Verb, group: str, outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "group": group,
                "verb": verb,
                "applied": True,
                "asked": outcome.asked,
                "fates": dict(outcome.fates),
                "unanswered": outcome.missing,
            }
        )
        return
    told = [f"{count:,} {fate}" for fate, count in outcome.fates.most_common()]
    if outcome.missing:
        told.append(f"{outcome.missing:,} not answered yet")
    click.echo(f"{outcome.asked:,} dead letter(s) asked for: {', '.join(told) or 'none'}.")
    if outcome.fates["gone"]:
        say("'gone': handled, retried or forgotten by then; nothing was done to these.")
    if outcome.fates["impossible"]:
        say(
            "'impossible': the chain of this group has neither a parked nor a retry topic, from which alone a letter"
            " runs again. Give its route a wait that needs a retry topic, or the policy park."
        )


def _progress() -> Callable[[Outcome], None]:
    """Give what tells a person, now and then, how far it is."""
    told = [time.monotonic()]

    def tell(outcome: Outcome) -> None:
        now = time.monotonic()
        if now - told[0] >= _PROGRESS_EVERY_S and sys.stderr.isatty():
            told[0] = now
            say(f"  {outcome.asked:,} asked for, {outcome.fates.total():,} answered")

    return tell


def who_of(options: dict[str, Any]) -> Who:
    """Give who wants it, and why, as the options or the machine say."""
    who = Who(options["who"] or _me()[:MOST_NAME], options["why"])
    for name, text, most in (("--who", who.name, MOST_NAME), ("--why", who.reason, MOST_REASON)):
        if len(text) > most:
            raise UsageError(f"{name} has {len(text):,} characters; the audit takes {most:,}")
    return who


def _me() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container may run as a user without a name
        return socket.gethostname()
