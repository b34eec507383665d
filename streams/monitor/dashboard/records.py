"""Pages of one record and of one key."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from streams.envelope import Envelope
from streams.errors import DecodeError, UsageError
from streams.kafka.message import Message
from streams.monitor.dashboard.board import Board, board_of, group_of, key_in, place_in
from streams.monitor.dashboard.guard import visitor_of
from streams.monitor.dashboard.pages import key_text, render
from streams.monitor.journey import STATES, Journey
from streams.monitor.trail import Copy
from streams.record import Headers, headers_of
from streams.retry import label
from streams.wording import age, readable

SHOWN_CHARS: Final = 20_000
"""Of a payload."""
_FRESH_S: Final = 10.0
"""What was seen that lately of a partition is not asked for again."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A record's content, as this visitor may see it."""

    text: str
    size: int
    is_cut: bool
    headers: list[tuple[str, str]]
    key: str

    @classmethod
    def of(cls, board: Board, visitor: Any, value: bytes | None, headers: Headers, key: bytes | None) -> Payload:
        """Read and, below an administrator, mask it."""
        shown, named, shown_key = value, headers, key
        if visitor.is_masked:
            shown, named = board.mask.payload(value), board.mask.headers(headers, value)
            shown_key = board.mask.scrub_bytes(key, value)
        text = _pretty(shown)
        told = [(name, str(readable(data))) for name, data in named]
        return cls(text[:SHOWN_CHARS], len(value or b""), len(text) > SHOWN_CHARS, told, key_text(shown_key))


def record(request: Request) -> Response:
    """Show where a record is, and the way it took."""
    board, one, (place, offset) = board_of(request), group_of(request), place_in(request)
    is_fresh = place in one.standing.progress and time.time() < one.time_s + _FRESH_S
    found = board.reading.journey(one.standing, place, offset, is_fresh=is_fresh)
    visitor = visitor_of(request)
    message = found.record
    payload = None
    if message is not None:
        payload = Payload.of(board, visitor, message.value(), _headers(message), message.key())
    value = None if message is None else message.value()

    def masked(text: str) -> str:
        if not visitor.is_masked or not board.mask:
            return text
        if message is None:  # nobody knows what its fields held
            return text.partition(": ")[0]
        return board.mask.scrub(text, value)

    return render(
        request,
        "record.html",
        group=one,
        journey=found,
        sentence=sentence(found, int(time.time() * 1000)),
        steps=[(step.time_ms, step.where, masked(step.what)) for step in found.steps()],
        payload=payload,
        trace_id=_trace(message),
        copies=found.copies,
    )


def key(request: Request) -> Response:
    """Show what of one key waits in the chain of a group."""
    board, one = board_of(request), group_of(request)
    text = request.query_params.get("key", "")
    if not text:
        raise UsageError("name a key: its text, or hex: and its bytes")
    wanted = key_in(text)
    copies, is_whole = board.reading.of_key(one.standing, wanted)
    now_ms = int(time.time() * 1000)
    rows = [(copy, STATES[copy.kind], until(copy, now_ms)) for copy in copies]
    return render(request, "key.html", group=one, text=text, rows=rows, is_whole=is_whole)


def sentence(one: Journey, now_ms: int) -> str:
    """Say where a record is."""
    if one.state == "absent":
        if one.offset >= one.source.end:
            return f"There is no such record yet; the partition ends at {one.source.end:,}."
        return "There is no record at this offset: it was removed before the group began, or never was one."
    if one.state == "expired":
        return "Retention removed it before the group had read it."
    if one.state == "done":
        return "It is done."
    if one.state == "dead-lettered":
        return "It is a dead letter, and waits for somebody to decide about it."
    if one.here is None:
        told = "It is due: not read yet, or in a member's hands, or waiting in its memory"
    else:
        told = f"It is {one.state} in {one.here.place}/{one.here.offset}, {until(one.here, now_ms)}"
    return told + _behind(one, now_ms)


def until(copy: Copy, now_ms: int) -> str:
    """Say for how long a copy has to stand where it stands."""
    if copy.due_ms is None:
        return "until an operator decides" if copy.kind == "dlq" else "until it is the oldest of its key"
    left_s = (copy.due_ms - now_ms) / 1000
    waits = label(copy.delay_s or 0)
    return f"due in {age(left_s)} of {waits}" if left_s > 0 else f"due since {age(-left_s)}"


def _behind(one: Journey, now_ms: int) -> str:
    if one.behind is None:
        return "."
    first = f"{one.place}/{one.behind.header.offset}"
    return f", behind {first}, which is {STATES[one.behind.kind]}, {until(one.behind, now_ms)}."


def _pretty(value: bytes | None) -> str:
    if value is None:
        return "null: a tombstone"
    try:
        return orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return str(readable(value))


def _headers(message: Message) -> Headers:
    try:
        return list(headers_of(message))
    except DecodeError:
        return []


def _trace(message: Message | None) -> str | None:
    try:
        return None if message is None else Envelope.from_headers(headers_of(message)).trace_id
    except DecodeError:
        return None
