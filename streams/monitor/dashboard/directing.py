"""Pages on which an operator has a group stand still, go on, begin anew, or finish and leave: `streams groups`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from streams.engine.command import MOST_REASON
from streams.engine.desk import Who
from streams.engine.directive import Kind, standing_directives
from streams.errors import UsageError
from streams.kafka.admin import Admin
from streams.monitor.dashboard.board import board_of, first, form_of, group_of, require_operator, require_own
from streams.monitor.dashboard.choice import require_reason
from streams.monitor.dashboard.guard import visitor_of
from streams.monitor.dashboard.pages import render
from streams.monitor.dashboard.picture import GroupView
from streams.monitor.direct import direct, make

_LONGEST_S: Final = 3_600.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """What a button asks for."""

    kind: Kind
    meaning: str
    has_topic: bool = False
    """It is for one source, or for all of them."""
    is_lifted: bool = False
    needs_member: bool = False
    """It concerns those that run now alone."""


ORDERS: Final[Mapping[str, Order]] = {
    "pause": Order(
        "pause",
        "Nothing starts any more; what runs ends. Partitions stay with their members, offsets stay committed, and no"
        " attempt is counted. It holds until somebody lets it go on, restarts included.",
        has_topic=True,
    ),
    "resume": Order("pause", "What waits meanwhile is done in its order.", has_topic=True, is_lifted=True),
    "restart": Order(
        "restart",
        "Each member that runs now ends in order and begins anew in the same process. What runs ends first, and all"
        " that is done is committed.",
        needs_member=True,
    ),
    "drain": Order(
        "drain",
        "The members that run now finish what is there, retry topics included, and leave: their processes end. Members"
        " that begin afterwards work on as always.",
        needs_member=True,
    ),
}


def confirm(request: Request) -> Response:
    """Show what would be asked of a group, before anything is."""
    require_operator(request)
    asked = parse_qs(request.url.query, keep_blank_values=True)
    _order(asked)
    return _confirm(request, asked, "")


async def act(request: Request) -> Response:
    """Ask it of the group."""
    form = await form_of(request)
    return await run_in_threadpool(_act, request, form)


def _act(request: Request, form: Mapping[str, Sequence[str]]) -> Response:
    require_own(request, form)
    board, one, visitor = board_of(request), group_of(request), visitor_of(request)
    name, order = _order(form)
    try:
        who = Who(visitor.name, require_reason(first(form, "reason"), MOST_REASON))
        topic = _topic(one, order, first(form, "topic"))
        over_s = _over(first(form, "over")) if name == "restart" else ""
        _require_members(one, order)
    except UsageError as error:
        return _confirm(request, form, str(error))
    with Admin(board.settings) as admin:
        if order.is_lifted and not _is_paused(admin, one.name, topic):
            return _confirm(request, form, "it is not paused any more")
        direct(admin, one.name, [make(order.kind, who, topic=topic, value=over_s, is_lifted=order.is_lifted)])
    _LOG.info("a group was directed", extra={"group": one.name, "what": name, "who": who.name})
    board.watch.hurry()
    return RedirectResponse(f"/groups/{quote(one.name)}?told={name}", status_code=303)


def _confirm(request: Request, asked: Mapping[str, Sequence[str]], fault: str) -> Response:
    name, order = _order(asked)
    return render(
        request,
        "direct.html",
        status=400 if fault else 200,
        group=group_of(request),
        what=name,
        order=order,
        topic=first(asked, "topic"),
        over=first(asked, "over") or "10",
        reason=first(asked, "reason"),
        fault=fault,
    )


def _order(fields: Mapping[str, Sequence[str]]) -> tuple[str, Order]:
    name = first(fields, "what")
    if name not in ORDERS:
        raise UsageError(f"say what is to be done: {', '.join(ORDERS)}")
    return name, ORDERS[name]


def _require_members(one: GroupView, order: Order) -> None:
    if order.needs_member and not one.members:
        raise UsageError("no member runs: there is none to be told")


def _topic(one: GroupView, order: Order, topic: str) -> str:
    if not order.has_topic:
        return ""
    if topic and not order.is_lifted and topic not in one.standing.topics:
        raise UsageError(f"the group does not read topic {topic!r}")
    return topic


def _over(text: str) -> str:
    try:
        over_s = float(text)
    except ValueError:
        raise UsageError(f"over how many seconds: {text!r} is no number") from None
    if not 0 <= over_s <= _LONGEST_S:
        raise UsageError(f"over how many seconds: must be between 0 and {_LONGEST_S:,.0f}")
    return f"{over_s:g}"


def _is_paused(admin: Admin, group: str, topic: str) -> bool:
    return any(one.kind == "pause" and one.topic == topic for one in standing_directives(admin, group).values())
