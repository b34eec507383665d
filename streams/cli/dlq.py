"""`streams dlq`: dead letters, listed and shown; what acts on them stands in `redrive.py` and `edit.py`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import click
import orjson

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.edit import edit
from streams.cli.letters import BY, chosen_topics, filter_of, filters
from streams.cli.naming import origin_of
from streams.cli.output import plain, print_json, print_table, readable, say, time_of
from streams.cli.redrive import forget, retry
from streams.deadletter.counting import CopyTopic
from streams.deadletter.document import original_of, outline, whole
from streams.deadletter.edit import Asking, Kept, askings, first_of
from streams.deadletter.letter import Letter
from streams.deadletter.read import Heap, Listing, each, find, heaps, newest
from streams.engine.edit import EDITED_HEADER
from streams.errors import TopicError, UsageError
from streams.kafka.admin import Admin
from streams.record import Headers, Partition

_SHOWN_CHARS: Final = 4_000


@click.group()
def dlq() -> None:
    """Look at dead letters, have them tried again as they are or mended, or forget them."""


dlq.add_command(retry)
dlq.add_command(edit)
dlq.add_command(forget)


@dlq.command("list", epilog="Example:  streams dlq list billing --error Timeout --since -1h")
@click.argument("group", required=False)
@filters
@click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Show the newest so many."
)
@click.option("--by", type=click.Choice(list(BY)), help="Count them by this, most first, instead of listing them.")
@click.option("--all", "shows_all", is_flag=True, help="Every copy, and why those do not count that do not.")
@bootstrap_option
@json_option
def list_(
    group: str | None,
    *,
    limit: int,
    by: str | None,
    shows_all: bool,
    bootstrap: str | None,
    as_json: bool,
    **which: Any,
) -> None:
    """List the dead letters of GROUP, or of every group: each record once, the newest ones.

    A record that died twice, because a member crashed in between, is shown once. What the group has committed
    tells which copies count: not one that is handled, nor one that a member wrote after it had lost the partition.
    Where it tells nothing, a copy is listed as 'unknown': it may count.
    """
    if by and shows_all:
        raise UsageError("--by counts each record once, and --all shows every copy: choose one")
    wanted = filter_of(which)
    with Admin(settings_for(bootstrap)) as admin:
        topics = chosen_topics(admin, group, which["topic"])
        if by is not None:
            _print_heaps(heaps(admin, topics, wanted, BY[by]), by=by, limit=limit, as_json=as_json)
            return
        listing = newest(admin, topics, wanted, limit, shows_all=shows_all)
    if as_json:
        print_json(_listed(listing, topics))
        return
    _print_listing(listing)


@dlq.command(epilog="Example:  streams dlq export billing --error Timeout > letters.jsonl")
@click.argument("group")
@filters
@bootstrap_option
def export(group: str, *, bootstrap: str | None, **which: Any) -> None:
    """Write the dead letters of GROUP whole, a line of JSON each: payload, headers, origin, error, attempts, stack.

    Each record once; those of one partition in the order in which they died. Nothing is changed.
    """
    wanted, count = filter_of(which), 0
    out = sys.stdout.buffer
    with Admin(settings_for(bootstrap)) as admin:
        for letter in each(admin, chosen_topics(admin, group, which["topic"]), wanted):
            out.write(orjson.dumps(whole(letter), default=str) + b"\n")
            count += 1
    out.flush()
    say(f"{count:,} dead letter(s)")


@dlq.command(epilog="Example:  streams dlq show billing orders/3/1042")
@click.argument("group")
@click.argument("origin", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--raw", is_flag=True, help="Write the value's bytes as they are, and nothing else.")
@click.option(
    "--original", is_flag=True, help="The same of the value before it was ever edited; also where the letter is gone."
)
@click.option("--all", "shows_all", is_flag=True, help="A copy that does not count too, where there is no other.")
@bootstrap_option
@json_option
def show(group: str, origin: str, *, raw: bool, original: bool, **options: Any) -> None:
    """Show one dead letter of GROUP whole: by the place where its record was first consumed, as 'dlq list' names it.

    Of one whose payload was edited, what it was before too.
    """
    place, offset = origin_of(origin)
    with Admin(settings_for(options["bootstrap"])) as admin:
        if original:
            sys.stdout.buffer.write(_original(admin, group, place, offset))
            return
        letter = find(admin, group, place, offset, shows_all=options["shows_all"])
        asked = askings(admin, group, place, offset, letter.header.timestamp_ms) if letter.edits and not raw else []
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
    elif options["as_json"]:
        kept = first_of(asked, letter) if letter.edits else None
        print_json(whole(letter) | ({} if kept is None else {"original": original_of(kept)}))
    else:
        _print_letter(letter, asked)


def _original(admin: Admin, group: str, place: Partition, offset: int) -> bytes:
    """Give the value that the record at *place* and *offset* had before it was ever edited."""
    try:
        letter = find(admin, group, place, offset, shows_all=True)
    except TopicError:
        letter = None
    kept = first_of(askings(admin, group, place, offset), letter)
    if kept is not None:
        return kept.value or b""
    if letter is not None and not letter.edits:
        return letter.value or b""
    raise TopicError(
        place.topic,
        f"the audit of group {group!r} keeps no value of {place}/{offset} from before an edit. The record itself stands"
        f" in topic {place.topic!r} for as long as that keeps it",
    )


def _print_listing(listing: Listing) -> None:
    letters = listing.letters
    if letters:
        columns = ("group", "origin", "key", "died", "#attempts", "error", "reason", "counts")
        more = ("copy", "why") if listing.shows_all else ()
        print_table((*columns, *more), [_row(letter, with_copy=listing.shows_all) for letter in letters])
    left_out = f", the newest {len(letters):,} shown (--limit)" if listing.found > len(letters) else ""
    what = f"copies, {listing.not_counting:,} of them do not count" if listing.shows_all else "dead letter(s)"
    click.echo(f"{listing.found:,} {what}{left_out}")
    for why, count in listing.doubts.items():
        say(f"{count:,} of them may count or not: {plain(why)}")
    if listing.not_counting and not listing.shows_all:
        say(f"{listing.not_counting:,} further copies do not count, and are not shown (--all)")
    if listing.unreadable:
        say(f"{listing.unreadable:,} record(s) in these topics were not written by their group, and are not shown")


def _row(letter: Letter, *, with_copy: bool) -> tuple[object, ...]:
    error = letter.error
    what = None if error is None else f"{error.error}: {error.message}"
    return (
        letter.header.group,
        str(letter.origin),
        readable(letter.key),
        time_of(letter.died_ms),
        letter.header.attempts,
        None if what is None else what[:200],
        None if error is None else error.reason,
        letter.verdict.counts,
        *((f"{letter.place.number}/{letter.offset}", letter.verdict.why) if with_copy else ()),
    )


def _print_heaps(found: Sequence[Heap], *, by: str, limit: int, as_json: bool) -> None:
    shown = found[:limit]
    if as_json:
        print_json({"by": by, "kinds": len(found), "heaps": [_heap(one) for one in shown]})
        return
    if shown:
        rows = [
            (one.name, one.count, time_of(one.oldest_ms), time_of(one.newest_ms), str(one.example.origin))
            for one in shown
        ]
        print_table((by, "#dead letters", "first", "last", "one of them"), rows)
    more = f", the {len(shown):,} with most shown (--limit)" if len(found) > len(shown) else ""
    click.echo(f"{sum(one.count for one in found):,} dead letter(s) of {len(found):,} kind(s){more}")


def _heap(one: Heap) -> dict[str, Any]:
    return {
        "name": one.name,
        "count": one.count,
        "first": time_of(one.oldest_ms),
        "last": time_of(one.newest_ms),
        "example": str(one.example.origin),
    }


def _listed(listing: Listing, topics: list[CopyTopic]) -> dict[str, Any]:
    return {
        "topics": [topic.name for topic in topics],
        "found": listing.found,
        "unknown": listing.doubts.total(),
        "not_counting": listing.not_counting,
        "unreadable": listing.unreadable,
        "letters": [outline(letter) for letter in listing.letters],
    }


def _print_letter(letter: Letter, asked: Sequence[Asking]) -> None:
    header, error = letter.header, letter.error
    _field("origin", f"{letter.origin}  {time_of(header.timestamp_ms) or ''}")
    _field("place", f"{letter.place}/{letter.offset}")
    _field("group", header.group)
    _field("counts", ", ".join(filter(None, letter.verdict)))
    _field("key", readable(letter.key))
    _field("died", f"{time_of(letter.died_ms) or '-'}, after {header.attempts} attempt(s)")
    if error is not None:
        _field("error", f"{error.error}: {error.message}")
        _field("reason", error.reason)
        _field("handler", error.handler)
    for run in header.history:
        _field("attempt", f"{time_of(run.time_ms)}  {run.error}")
    reasons = {one.kept.kept: one.kept.why for one in asked}
    for edit_ in letter.edits:
        _field(
            "edited", f"{time_of(edit_.time_ms)}  by {edit_.who or '-'}: {reasons.get(edit_.id) or 'no reason given'}"
        )
    _print_headers(letter.headers)
    _print_value("value", letter.value, "--raw")
    if letter.edits:
        _print_original(letter, first_of(asked, letter))
    if error is not None and error.stack:
        click.echo(f"\nstack\n{plain(error.stack.rstrip())}")


def _print_headers(headers: Headers) -> None:
    for name, data in headers:
        if name != EDITED_HEADER:
            _field("header", f"{name} = {readable(data)}")


def _print_original(letter: Letter, kept: Kept | None) -> None:
    if kept is not None:
        _print_value("before it was edited", kept.value, "--original")
        return
    was = f"SHA-256 {letter.edits[0].was}" if letter.edits[0].was else "null"
    click.echo(
        f"\nThe audit does not keep the value before it was edited ({was}). The record itself stands at {letter.origin}"
        " for as long as that topic keeps it."
    )


def _print_value(name: str, value: bytes | None, whole_with: str) -> None:
    if value is None:
        _field(name, "null: a tombstone")
        return
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        text = readable(value)
    click.echo(f"\n{name}, {len(value):,} bytes\n{plain(text[:_SHOWN_CHARS])}")
    if len(text) > _SHOWN_CHARS:
        say(f"... cut at {_SHOWN_CHARS:,} of {len(text):,} characters; {whole_with} writes all of it")


def _field(name: str, text: str | None) -> None:
    click.echo(f"{name:<9}{plain(text) if text else '-'}")
