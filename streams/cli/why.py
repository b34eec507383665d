"""`streams why`: what stands still in a group, and what for; of one key; of one record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import click
import msgspec

from streams.cli.connect import bootstrap_option, json_option, settings_for
from streams.cli.lag import member_name, require_known
from streams.cli.naming import key_of, origin_of
from streams.cli.output import cell, plain, print_json, print_table, readable, say, time_of
from streams.deadletter.document import original_of
from streams.deadletter.edit import askings
from streams.engine.directive import Directive, standing_directives
from streams.engine.standing import Standing, standing
from streams.envelope import Envelope
from streams.errors import DecodeError, TopicError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import Group
from streams.monitor.conditions import conditions
from streams.monitor.journey import STATES, Journey, State, journey
from streams.monitor.queue import Queue, Waiting, queues
from streams.monitor.report import Held, Report, Running, in_hand, reports
from streams.monitor.standstill import Waits, standstill
from streams.monitor.trail import Copy
from streams.record import Partition, headers_of
from streams.wording import age

_HERE: Final = "not read yet, or in a member's hands, or waiting in its memory"
_REPORTED: Final = "not read yet, or in members' hands"


@click.command(epilog="Example:  streams why billing --record orders/3/1042")
@click.argument("group")
@click.option(
    "--key", metavar="KEY", help="What of this Kafka key is not done, oldest first: text, or hex:.. for bytes."
)
@click.option("--record", "origin", metavar="TOPIC/PARTITION/OFFSET", help="Where this record is, and the way it took.")
@bootstrap_option
@json_option
def why(group: str, *, key: str | None, origin: str | None, bootstrap: str | None, as_json: bool) -> None:
    """Tell what of GROUP is not done, and what it waits for.

    It asks the broker alone, so it works where no member lives. All is as of the group's last commits, a second ago
    where it runs. What members have in hand they report every few seconds: what runs and for how long, what waits in
    memory, which breakers are open; of a record that none of them names, only that it is 'due' is known.
    """
    if key is not None and origin is not None:
        raise UsageError("--key and --record: choose one")
    wanted = None if key is None else key_of(key)
    place = None if origin is None else origin_of(origin)
    with Admin(settings_for(bootstrap, group=group)) as admin:
        found = require_known(standing(admin, group))
        directives = list(standing_directives(admin, group).values())
        now = _Now(found, reports(admin, group), int(time.time() * 1000), directives)
        if place is not None:
            _require_read(found, place[0].topic)
            one = journey(admin, found, *place)
            _print_journey(replace(one, edits=askings(admin, group, *place, one.made_ms)), now, as_json=as_json)
        elif wanted is not None:
            _print_queues(wanted, list(queues(admin, found, wanted)), now, as_json=as_json)
        else:
            _print_standstill(standstill(admin, found, now.ms), now, as_json=as_json)


class _Now(NamedTuple):
    """What is known of the group at this moment."""

    standing: Standing
    told: Mapping[str, Report]
    """What its members reported last."""
    ms: int
    standing_directives: Sequence[Directive]
    """What operators want of it."""

    @property
    def group(self) -> Group:
        return self.standing.group

    @property
    def who(self) -> str:
        return f"Group {self.group.name} is {self.group.state}, with {len(self.group.members)} member(s)."

    @property
    def members(self) -> dict[str, Any]:
        return {"state_of_group": self.group.state, "members": len(self.group.members)}

    def in_hand(self, place: Partition, offset: int) -> tuple[Report, Running | Held] | None:
        return in_hand(self.told, place, offset)


def _require_read(found: Standing, topic: str) -> None:
    if topic not in found.topics:
        own = ", ".join(found.topics) or "none"
        raise TopicError(topic, f"group {found.group.name!r} does not read topic {topic!r}; it reads: {own}")


# -- a group ---------------------------------------------------------------------------------------------


def _print_standstill(waits: Mapping[Partition, Waits], now: _Now, *, as_json: bool) -> None:
    found = conditions(now.group, now.told, now.ms, now.standing_directives)
    if as_json:
        print_json(
            {
                "group": now.group.name,
                **now.members,
                "conditions": [one._asdict() for one in found],
                "partitions": [_waits(place, one, now.ms) for place, one in waits.items()],
                "reports": [msgspec.to_builtins(report) for report in now.told.values()],
            }
        )
        return
    if waits:
        columns = ("topic", "#partition", "member", "#due", "#waiting", "next", "#parked", "#dead letters")
        print_table(columns, [_row(place, one, now.ms) for place, one in waits.items()])
    for condition in found:
        if condition.is_wrong:
            click.echo(plain(condition.text) + "." * (condition.kind != "halted"))
    for line in _reasons(list(waits.values()), now):
        click.echo(line)
    for condition in found:
        if not condition.is_wrong:
            click.echo(plain(condition.text) + "." * (condition.kind != "halted"))


def _row(place: Partition, one: Waits, now_ms: int) -> tuple[object, ...]:
    due = one.source.outstanding + one.due
    later = None if one.next_due_ms is None else f"in {age((one.next_due_ms - now_ms) / 1000)}"
    return (*place, member_name(one.member), due, one.waiting - one.due, later, one.parked, one.dead)


def _reasons(waits: Sequence[Waits], now: _Now) -> Iterator[str]:
    """Give what an operator has to know, in sentences."""
    group = now.group.name
    if not waits:
        yield f"Nothing stands still: all that {group} has accepted is done. {now.who}"
        return
    due = sum(one.source.outstanding + one.due for one in waits)
    alone = [one for one in waits if one.member is None and one.source.outstanding + one.due]
    if due and not now.group.members:
        yield f"{due:,} due, and nobody works on them: {now.who} Start one: streams run module:app"
    elif alone:
        yield f"{due:,} due; {len(alone)} partition(s) with some of them have no member yet. {now.who}"
    elif due:
        yield f"{due:,} due: {_HERE if not now.told else _REPORTED}. {now.who}"
    later = [one.next_due_ms for one in waits if one.next_due_ms is not None]
    if later:
        count, first_s = sum(one.waiting - one.due for one in waits), (min(later) - now.ms) / 1000
        yield f"{count:,} wait in retry topics for another attempt, the first for {age(first_s)} more."
    if parked := sum(one.parked for one in waits):
        yield f"{parked:,} are parked behind an earlier record of their key: streams why {group} --key KEY"
    if dead := sum(one.dead for one in waits):
        yield f"{dead:,} dead letter(s) that nobody has decided about: streams dlq list {group}"
    if unknown := sum(one.unknown for one in waits):
        yield f"Of {unknown:,} of these copies the broker can't tell whether they count; they are counted."


def _waits(place: Partition, one: Waits, now_ms: int) -> dict[str, Any]:
    return {
        "topic": place.topic,
        "partition": place.number,
        "member": None if one.member is None else one.member.member_id,
        "outstanding": one.source.outstanding,
        "waiting": one.waiting,
        "waiting_due": one.due,
        "next_due": None if one.next_due_ms is None else time_of(one.next_due_ms),
        "next_due_seconds": None if one.next_due_ms is None else round((one.next_due_ms - now_ms) / 1000, 3),
        "parked": one.parked,
        "dead_letters": one.dead,
        "unknown": one.unknown,
    }


# -- a key -----------------------------------------------------------------------------------------------


def _print_queues(key: bytes, found: list[Queue], now: _Now, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "group": now.group.name,
                "key": readable(key),
                **now.members,
                "queues": [_queue(one, now) for one in found],
            }
        )
        return
    for one in found:
        columns = ("record", "state", "where", "until", "#attempts", "last error")
        print_table(columns, [_queue_row(one.place, record, now) for record in one.records])
        click.echo(plain(_head(one, now)))
        if not one.is_whole:
            say(f"more of {one.place} may be of this key: of so many copies and offsets not all are gone through")
    if not found:
        click.echo(f"Nothing of key {cell(readable(key))} waits in {now.group.name}: it is done, or was never here.")


def _queue_row(place: Partition, record: Waiting, now: _Now) -> tuple[object, ...]:
    copy, name = record.copy, f"{place}/{record.offset}"
    if copy is not None:
        last = copy.header.history[-1].error if copy.header.history else None
        return name, record.state, f"{copy.place}/{copy.offset}", _until(copy, now.ms), copy.header.attempts, last
    match now.in_hand(place, record.offset):
        case (report, Running()):
            return name, "running", f"member {report.member[:8]}", None, None, None
        case (report, Held() as held):
            until = time_of(held.due_ms) if held.due_ms > now.ms else "due"
            return name, "waiting", f"memory of {report.member[:8]}", until, held.attempts, held.error
    return name, record.state, str(place), None, None, None


def _head(one: Queue, now: _Now) -> str:
    head = one.records[0]
    how = _said(one.place, head.offset, head.state, head.copy, now)
    told = f"{len(one.records):,} record(s) not done; the oldest, {one.place}/{head.offset}, {how}"
    is_awaited = head.state == "waiting" and any(record.state == "parked" for record in one.records)
    behind = ", and the others wait for it" if is_awaited else ""
    return f"{told}{behind}. {now.who}"


def _queue(one: Queue, now: _Now) -> dict[str, Any]:
    return {
        "topic": one.place.topic,
        "partition": one.place.number,
        "is_whole": one.is_whole,
        "records": [
            {
                "offset": record.offset,
                "time": time_of(record.timestamp_ms),
                "state": record.state,
                "copy": None if record.copy is None else _copy(record.copy),
                "in_hand": _in_hand(one.place, record.offset, now) if record.copy is None else None,
            }
            for record in one.records
        ],
    }


# -- a record --------------------------------------------------------------------------------------------


def _print_journey(one: Journey, now: _Now, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(one, now))
        return
    click.echo(f"{plain(one.name)} of {one.group}: {plain(_sentence(one, now))}")
    if one.key is not None:
        click.echo(f"key    {cell(readable(one.key))}")
    if (trace := _trace(one)) is not None:
        click.echo(f"trace  {plain(trace)}")
    if one.state != "absent":
        print_table(("time", "where", "what"), [(time_of(step.time_ms), step.where, step.what) for step in one.steps()])
    if one.edits:
        click.echo(plain(f"What it was: streams dlq show {one.group} {one.name} --original"))


def _sentence(one: Journey, now: _Now) -> str:
    if one.state == "absent":
        if one.offset >= one.source.end:
            return f"there is no such record yet; the partition ends at {one.source.end:,}."
        return "there is no record at this offset: it was removed before the group began, or never was one."
    if one.state == "expired":
        return "EXPIRED: retention removed it before the group had read it."
    if one.state == "dead-lettered":
        return (
            f"DEAD-LETTERED. See it: streams dlq show {one.group} {one.name};"
            f" have it tried again: streams dlq retry {one.group} {one.name}, or mended: streams dlq edit"
        )
    if one.state == "done":
        return "DONE."
    if one.here is None and (hand := now.in_hand(one.place, one.offset)) is not None:
        state, _, more = _hand(*hand, now.ms).partition(" ")
        told = f"{state.upper()} {more}"
    else:
        told = one.state.upper() + (f": {_HERE}" if one.here is None else f" {_where(one.here, now.ms)}")
    if one.behind is not None:
        first = one.behind.header.offset
        told += f", behind {one.place}/{first}, which"
        told += f" {_said(one.place, first, STATES[one.behind.kind], one.behind, now)}"
    return f"{told}. {now.who}"


def _said(place: Partition, offset: int, state: State, copy: Copy | None, now: _Now) -> str:
    """Say where a record is, behind its name."""
    if copy is None:
        hand = now.in_hand(place, offset)
        return f"is due: {_HERE}" if hand is None else f"is {_hand(*hand, now.ms)}"
    verb = {"waiting": "waits", "parked": "is parked"}.get(state, "is a dead letter")
    return f"{verb} {_where(copy, now.ms)}"


def _hand(report: Report, one: Running | Held, now_ms: int) -> str:
    """Say what a member has said of a record, and when."""
    ago = age(max(0, now_ms - report.time_ms) / 1000)
    if isinstance(one, Held):
        left = f"{age((one.due_ms - now_ms) / 1000)} more" if one.due_ms > now_ms else "its time is over"
        what = f"waiting in memory for run {one.attempts + 1}, {left}, after {one.error}"
    else:
        run_s = max(0, now_ms - one.since_ms) / 1000
        what = f"{'stuck' if one.is_stuck(now_ms) else 'running'} for {age(run_s)}"
    return f"{what}, as member {report.name} said {ago} ago"


def _in_hand(place: Partition, offset: int, now: _Now) -> dict[str, Any] | None:
    hand = now.in_hand(place, offset)
    if hand is None:
        return None
    report, one = hand
    base = {"member": report.member, "told": time_of(report.time_ms)}
    if isinstance(one, Held):
        return {**base, "state": "waiting", "until": time_of(one.due_ms), "attempts": one.attempts, "error": one.error}
    return {**base, "state": "stuck" if one.is_stuck(now.ms) else "running", "since": time_of(one.since_ms)}


def _where(copy: Copy, now_ms: int) -> str:
    """Say in which topic *copy* stands, and for how long it has to."""
    place = f"in {copy.place}/{copy.offset}"
    if copy.due_ms is None:
        return place
    left_s = (copy.due_ms - now_ms) / 1000
    if left_s > 0:
        return f"{place} until {time_of(copy.due_ms)}, {age(left_s)} more"
    return f"{place}, due since {age(-left_s)}"


def _until(copy: Copy | None, now_ms: int) -> str | None:
    if copy is None or copy.due_ms is None:
        return None
    return time_of(copy.due_ms) if copy.due_ms > now_ms else "due"


def _trace(one: Journey) -> str | None:
    try:
        return None if one.record is None else Envelope.from_headers(headers_of(one.record)).trace_id
    except DecodeError:  # the client can't read its headers; all else is told
        return None


def _document(one: Journey, now: _Now) -> dict[str, Any]:
    return {
        "group": one.group,
        "record": {"topic": one.place.topic, "partition": one.place.number, "offset": one.offset},
        "state": one.state,
        "key": readable(one.key),
        "trace_id": _trace(one),
        **now.members,
        "in_hand": _in_hand(one.place, one.offset, now) if one.here is None else None,
        "here": None if one.here is None else _copy(one.here),
        "behind": None if one.behind is None else {"offset": one.behind.header.offset, "copy": _copy(one.behind)},
        "copies": [_copy(copy) for copy in one.copies],
        "edits": [
            {
                "id": asked.kept.kept,
                "time": time_of(asked.kept.time_ms),
                "who": asked.kept.who,
                "why": asked.kept.why or None,
                "fate": asked.fate,
                "where": asked.where,
                "before": original_of(asked.kept),
            }
            for asked in one.edits
        ],
        "steps": [
            {"time": time_of(step.time_ms), "where": step.where or None, "what": step.what} for step in one.steps()
        ],
    }


def _copy(copy: Copy) -> dict[str, Any]:
    return {
        "topic": copy.place.topic,
        "partition": copy.place.number,
        "offset": copy.offset,
        "kind": copy.kind,
        "hop": copy.header.hop,
        "attempts": copy.header.attempts,
        "written": time_of(copy.appended_ms),
        "due": None if copy.due_ms is None else time_of(copy.due_ms),
        "counts": copy.verdict.counts,
        "why": copy.verdict.why or None,
        "error": None if copy.error is None else f"{copy.error.error}: {copy.error.message}",
    }
