"""Pages of dead letters, and the forms that act on them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, quote

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from streams.deadletter.document import whole
from streams.deadletter.letter import Letter
from streams.engine.command import MOST_REASON, Verb
from streams.engine.desk import Who
from streams.errors import UsageError
from streams.monitor.dashboard.board import (
    Board,
    NotFoundError,
    board_of,
    first,
    form_of,
    group_of,
    place_in,
    require_operator,
    require_own,
)
from streams.monitor.dashboard.choice import Choice, require_reason
from streams.monitor.dashboard.guard import visitor_of
from streams.monitor.dashboard.letters import Row, kinds
from streams.monitor.dashboard.pages import render
from streams.monitor.dashboard.records import Payload

PAGE: Final = 50
"""Letters on a page."""
KINDS: Final = 12
"""Kinds that are counted by name; the others together."""
_VERBS: Final[dict[str, Verb]] = {"retry": "retry", "forget": "forget"}
_LIST: Final = "letters.html"


def letters(request: Request) -> Response:
    """Show the dead letters of a group, or of all."""
    board, is_masked = board_of(request), visitor_of(request).is_masked
    one = group_of(request) if "group" in request.path_params else None
    asked = parse_qs(request.url.query, keep_blank_values=True)
    choice, number = Choice.of(asked), _page(first(asked, "page"))
    shelf = board.watch.letters.shelf("" if one is None else one.name)
    rows = choice.of_shelf(shelf, is_masked=is_masked)
    shown = rows[(number - 1) * PAGE : number * PAGE]
    return render(
        request,
        _LIST,
        group=one,
        groups=sorted((each for each in board.watch.picture.groups.values() if each.dead), key=lambda each: -each.dead),
        total=board.watch.picture.dead if one is None else one.dead,
        shelf=shelf,
        choice=choice,
        found=len(rows),
        rows=[(row, row.told(is_masked=is_masked), _key(board, row, is_masked=is_masked)) for row in shown],
        kinds=(kinds(rows, is_masked=is_masked) if choice.texts else shelf.kinds(is_masked=is_masked))[:KINDS],
        number=number,
        pages=max(1, -(-len(rows) // PAGE)),
    )


def letter(request: Request) -> Response:
    """Show one dead letter whole."""
    board, one, (place, offset), visitor = (
        board_of(request),
        group_of(request),
        place_in(request),
        visitor_of(request),
    )
    row = board.watch.letters.row(one.name, place, offset)
    found = board.reading.letter(one.name, row, place, offset)
    payload = Payload.of(board, visitor, found.value, found.headers, found.key)
    error = (masked(board, found) if visitor.is_masked else found).error
    return render(request, "letter.html", group=one, letter=found, error=error, payload=payload)


def confirm(request: Request) -> Response:
    """Show what an action would be about, before anything is done."""
    asked = parse_qs(request.url.query, keep_blank_values=True)
    return _confirm(request, asked, Choice.of(asked), "")


def export(request: Request) -> Response:
    """Give the chosen letters whole, a line of JSON each."""
    board, one, visitor = board_of(request), group_of(request), visitor_of(request)
    choice = Choice.of(parse_qs(request.url.query, keep_blank_values=True))
    rows = choice.of_shelf(board.watch.letters.shelf(one.name), is_masked=visitor.is_masked)
    lines = _lines(board, one.name, rows, is_masked=visitor.is_masked)
    name = f"{one.name}-dead-letters-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="application/jsonl", headers=headers)


async def act(request: Request) -> Response:
    """Begin an action."""
    form = await form_of(request)
    return await run_in_threadpool(_act, request, form)


def jobs(request: Request) -> Response:
    """Show the actions that were begun here."""
    return render(request, "jobs.html", jobs=board_of(request).jobs.all())


def job(request: Request) -> Response:
    """Show one action, and what came of it so far."""
    found = board_of(request).jobs.get(request.path_params["job"])
    if found is None:
        raise NotFoundError("This action is not remembered any more; the audit of its group is.")
    return render(request, "job.html", job=found)


async def stop(request: Request) -> Response:
    """Have an action ask for no more."""
    require_own(request, await form_of(request))
    job_id = request.path_params["job"]
    board_of(request).jobs.stop(job_id)
    return RedirectResponse(f"/jobs/{quote(job_id)}", status_code=303)


def _act(request: Request, form: Mapping[str, Sequence[str]]) -> Response:
    board, one, visitor = board_of(request), group_of(request), visitor_of(request)
    require_own(request, form)
    verb = _verb(form)
    chosen = parse_qs(first(form, "choice"), keep_blank_values=True)
    choice = Choice.of(chosen)
    try:
        reason = require_reason(first(form, "reason"), MOST_REASON)
        rate = _number(first(form, "rate"), "letters a second", least=0.1)
        redrives = _number(first(form, "redrives"), "retried fewer times than", least=1)
        _require_sure(verb, form)
    except UsageError as error:
        return _confirm(request, {**form, **chosen}, choice, str(error))
    rows = _chosen(board, one.name, choice, is_masked=visitor.is_masked)
    shown = first(form, "shown")
    if not shown.isdecimal() or len(rows) > int(shown):
        return _confirm(request, {**form, **chosen}, choice, "there are more by now: look again")
    wanted = [row for row in rows if redrives is None or row.redrives < redrives]
    begun = board.jobs.begin(verb, one.name, wanted, Who(visitor.name, reason), rate=rate)
    return RedirectResponse(f"/jobs/{begun.id}", status_code=303)


def _confirm(request: Request, asked: Mapping[str, Sequence[str]], choice: Choice, fault: str) -> Response:
    require_operator(request)
    board, one, visitor = board_of(request), group_of(request), visitor_of(request)
    rows = _chosen(board, one.name, choice, is_masked=visitor.is_masked)
    found = kinds(rows, is_masked=visitor.is_masked)
    return render(
        request,
        "confirm.html",
        status=400 if fault else 200,
        group=one,
        verb=_verb(asked),
        choice=choice,
        count=len(rows),
        keys=len({row.key for row in rows}),
        again=sum(1 for row in rows if row.redrives),
        doubtful=sum(1 for row in rows if row.doubt),
        kinds=found[:KINDS],
        others=sum(count for _, count in found[KINDS:]),
        shelf=board.watch.letters.shelf(one.name),
        reason=first(asked, "reason"),
        rate=first(asked, "rate"),
        redrives=first(asked, "redrives"),
        fault=fault,
    )


def _require_sure(verb: Verb, form: Mapping[str, Sequence[str]]) -> None:
    if verb == "forget" and first(form, "sure") != "yes":
        raise UsageError("tick that they are dropped for good")


def _chosen(board: Board, group: str, choice: Choice, *, is_masked: bool) -> list[Row]:
    return choice.of_shelf(board.watch.letters.shelf(group), is_masked=is_masked)


def _lines(board: Board, group: str, rows: Sequence[Row], *, is_masked: bool) -> Iterator[bytes]:
    for found in board.reading.letters(group, rows):
        yield orjson.dumps(whole(masked(board, found) if is_masked else found), default=str) + b"\n"


def masked(board: Board, found: Letter) -> Letter:
    """Give *found* without what is hidden below an administrator."""
    mask, value, error = board.mask, found.value, found.error
    if not mask:
        return found
    if error is not None:
        error = type(error)(
            error=error.error,
            message=mask.scrub(error.message, value),
            reason=mask.scrub(error.reason, value),
            handler=error.handler,
            stack=mask.scrub(error.stack, value),
            time_ms=error.time_ms,
        )
    return dataclasses.replace(
        found,
        error=error,
        key=mask.scrub_bytes(found.key, value),
        value=mask.payload(value),
        headers=mask.headers(found.headers, value),
    )


def _key(board: Board, row: Row, *, is_masked: bool) -> bytes | None:
    """Give the key as it may be shown: what was hidden in the message is hidden here too."""
    return row.shown_key if is_masked and board.mask else row.key


def _verb(fields: Mapping[str, Sequence[str]]) -> Verb:
    try:
        return _VERBS[first(fields, "verb")]
    except KeyError:
        raise UsageError("say what is to be done: retry or forget") from None


def _number(text: str, name: str, *, least: float) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{name}: {text!r} is no number") from None
    if not least <= value <= 1_000_000:  # noqa: PLR2004  # more than anybody means
        raise UsageError(f"{name}: must be between {least:g} and 1,000,000")
    return value


def _page(text: str) -> int:
    return max(1, int(text)) if text.isdecimal() and len(text) < 8 else 1  # noqa: PLR2004  # digits of a page's number
