"""Pages of groups, topics, schemas, plans and audits: what is looked at and never changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, get_args
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from streams.contracts import check
from streams.errors import UsageError
from streams.kafka.groups import Member
from streams.monitor.dashboard.board import board_of, group_of, origin_in
from streams.monitor.dashboard.charts import charts
from streams.monitor.dashboard.directing import ORDERS
from streams.monitor.dashboard.guard import visitor_of
from streams.monitor.dashboard.hint import STILL_S, hint
from streams.monitor.dashboard.history import total
from streams.monitor.dashboard.pages import render
from streams.monitor.dashboard.picture import GroupView
from streams.monitor.dashboard.reading import ANSWERS
from streams.observer import ChainKind
from streams.record import Partition
from streams.replay.target import Target, parse_time

PARTITIONS: Final = 500
"""Partitions of a group that its page shows, those with most to tell first."""
FOUND: Final = 50
_AUDIT: Final = 200


@dataclass(frozen=True, slots=True)
class PartRow:
    """One partition, as a group's page shows it."""

    place: Partition
    committed: int | None
    start: int
    end: int
    outstanding: int
    settled_above: int
    behind_s: float | None
    still_s: float | None
    """For how long it has done nothing although something is outstanding."""
    member: str
    in_chain: dict[str, int]

    @property
    def is_still(self) -> bool:
        """It stands still."""
        return self.still_s is not None and self.still_s >= STILL_S

    @property
    def rank(self) -> tuple[bool, int, Partition]:
        """Those first in which something stands still, then those with most."""
        return not self.is_still, -(self.outstanding + sum(self.in_chain.values())), self.place


def groups(request: Request) -> Response:
    """Show every group."""
    watch, now_s = board_of(request).watch, time.time()
    picture = watch.picture
    rows = [(one, hint(one, now_s), one.behind_s(now_s)) for one in picture.groups.values()]
    rows.sort(key=lambda row: (row[1].rank, -row[0].outstanding, row[0].name))
    return render(request, "groups.html", rows=rows, charts=charts(total(watch.histories()), now_s))


def group(request: Request) -> Response:
    """Show one group: its partitions, members and rebalances."""
    one, now_s = group_of(request), time.time()
    rows = sorted(_part_rows(one, now_s), key=lambda row: row.rank)
    board = board_of(request)
    conditions, standing = board.reading.conditions(
        one.standing.group, int(now_s * 1000), is_masked=bool(board.mask) and visitor_of(request).is_masked
    )
    told = request.query_params.get("told", "")
    following = board.reading.following(one.name) if told in ORDERS else None
    return render(
        request,
        "group.html",
        group=one,
        hint=hint(one, now_s),
        conditions=conditions,
        paused=sorted(directive.topic for directive in standing if directive.kind == "pause"),
        told=told,
        following=following,
        behind_s=one.behind_s(now_s),
        charts=charts(board_of(request).watch.history(one.name).points, now_s),
        rows=rows[:PARTITIONS],
        left_out=max(0, len(rows) - PARTITIONS),
        member_name=member_name,
    )


def keys(request: Request) -> Response:
    """Show the keys of which something waits in retry and parked topics."""
    one = group_of(request)
    found = board_of(request).reading.troubles(one.standing)
    return render(request, "keys.html", group=one, troubles=found)


def topics(request: Request) -> Response:
    """Show the topics of all groups, those of a chain below their source."""
    found = sorted(
        board_of(request).watch.picture.topics.values(),
        key=lambda one: (one.source or one.name, bool(one.source), one.group, one.name),
    )
    return render(request, "topics.html", topics=found)


def schemas(request: Request) -> Response:
    """Show the contracts of events, held against themselves."""
    folder = board_of(request).schemas
    checked = [] if folder is None else check(folder)
    return render(request, "schemas.html", folder=folder, subjects=checked)


def replay(request: Request) -> Response:
    """Show what a replay of a group would do; it is carried out on the command line."""
    one, asked = group_of(request), request.query_params
    topic, kind, value = asked.get("topic", ""), asked.get("to", ""), asked.get("value", "")
    planned, fault = None, ""
    if kind:
        try:
            planned = board_of(request).reading.replay(one.standing, topic, _target(kind, value))
        except UsageError as error:
            fault = str(error)
    return render(request, "replay.html", group=one, topic=topic, to=kind, value=value, planned=planned, fault=fault)


def replays(request: Request) -> Response:
    """Choose the group whose replay is planned."""
    found = sorted(board_of(request).watch.picture.groups.values(), key=lambda one: (bool(one.members), one.name))
    return render(request, "replays.html", groups=found)


def audit(request: Request) -> Response:
    """Show what operators have had done, of one group or of all."""
    board, name = board_of(request), request.query_params.get("group", "")
    known = board.watch.picture.groups
    wanted = [name] if name in known else list(known)
    entries = board.reading.audit(wanted, _AUDIT if name else ANSWERS)
    return render(request, "audit.html", entries=entries[:_AUDIT], only=name, each=ANSWERS)


def alerts(request: Request) -> Response:
    """Show what somebody is to be told of, what is so now, and how it stands with telling."""
    return render(request, "alerts.html", thresholds=board_of(request).alarms.thresholds)


def search(request: Request) -> Response:
    """Lead to what was typed: a group, a record's place, or a key."""
    text = request.query_params.get("q", "").strip()
    board = board_of(request)
    known = board.watch.picture.groups
    if text in known:
        return RedirectResponse(f"/groups/{quote(text)}", status_code=303)
    if (origin := origin_in(text)) is not None:
        (topic, number), offset = origin
        readers = [one.name for one in known.values() if topic in one.standing.topics]
        if len(readers) == 1:
            return RedirectResponse(
                f"/groups/{quote(readers[0])}/records/{quote(topic)}/{number}/{offset}", status_code=303
            )
        return render(request, "search.html", text=text, origin=origin, readers=readers, groups=[], letters=[])
    named = [one for one in known.values() if text and text.lower() in one.name.lower()]
    key = text.encode()
    rows = [row for row in board.watch.letters.shelf().rows if row.key == key] if text else []
    return render(
        request, "search.html", text=text, origin=None, readers=list(known), groups=named[:FOUND], letters=rows[:FOUND]
    )


def health(request: Request) -> Response:
    """Tell a probe that the pages are served, how old what they show is, and how it stands with notices."""
    board = board_of(request)
    picture, deliveries = board.watch.picture, [one.delivery for one in board.couriers]
    looked_s = None if not picture.time_s else round(time.time() - picture.time_s, 1)
    told = {"ok": True, "seconds_since_look": looked_s, "trouble": bool(picture.trouble)}
    alerts = {
        "firing": len(board.alarms.firing),
        "notices_sent": sum(one.sent for one in deliveries),
        "notices_waiting": sum(one.waiting for one in deliveries),
        "notices_failed": sum(one.failed for one in deliveries),
        "failing_targets": sum(1 for one in deliveries if one.error),
    }
    return JSONResponse({**told, "alerts": alerts} if board.alarms.thresholds else told)


def member_name(member: Member) -> str:
    """Name *member* as a person can tell it from others."""
    return f"{member.instance_id or member.member_id[:8]}@{member.host.lstrip('/')}"


def _part_rows(one: GroupView, now_s: float) -> list[PartRow]:
    owners = one.standing.owners
    rows = []
    for place, part in one.standing.progress.items():
        head_ms, since_s, owner = one.heads_ms.get(place), one.still_s.get(place), owners.get(place)
        chain = {kind: one.chain_of(place, kind) for kind in get_args(ChainKind)}
        rows.append(
            PartRow(
                place,
                part.committed,
                part.start,
                part.end,
                part.outstanding,
                part.settled_above,
                None if head_ms is None else max(0.0, now_s - head_ms / 1000),
                None if since_s is None else now_s - since_s,
                "" if owner is None else member_name(owner),
                chain,
            )
        )
    return rows


def _target(kind: str, value: str) -> Target:
    if kind == "time":
        return Target("time", parse_time(value, time.time()))
    if kind == "beginning":
        return Target("beginning")
    if kind == "end":
        return Target("end")
    raise UsageError("say where to: the beginning, the end, or a time")
