"""Writes copies: the record whole, where it comes from, and of a dead letter why it is dead."""

from __future__ import annotations

from streams.engine.chain import ErrorHeader, copy_headers, describe_error
from streams.engine.context import Send
from streams.engine.partition import Bury, Move
from streams.errors import DecodeError, FollowsError
from streams.kafka.message import KEY, VALUE, Message
from streams.record import Headers, headers_of

_FOLLOWS = FollowsError("an older record of its key stands in the dead-letter topic")


def copy(move: Move | Bury, error: ErrorHeader | None = None) -> Send:
    """Give the copy that *move* asks for: key, value and headers as they were, ours added."""
    item = move.item
    message = item[0]
    headers = copy_headers(_headers(message), move.header, error)
    return Send(item[4].chain.parts[move.number].stage.topic, KEY(message), VALUE(message), headers)


def letter(move: Move | Bury, *, handler: str, wall_ms: int) -> Send:
    """Give the copy that *move* asks for in the dead-letter topic: it tells why its record is dead."""
    if isinstance(move, Bury):
        return copy(move, describe_error(move.cause, reason=move.reason, handler=handler, time_ms=wall_ms))
    known = move.item[4].chain.reasons.get(move.header.offset)  # of a dead letter that moves on
    return copy(move, known or describe_error(_FOLLOWS, reason="its key is followed", handler=handler, time_ms=wall_ms))


def _headers(message: Message) -> Headers:
    """Give the record's own headers; of one whose headers can't be read none: its key and value matter more."""
    try:
        return headers_of(message)
    except DecodeError:
        return []
