"""Writes copies: the record whole, where it comes from, and of a dead letter why it is dead."""

from __future__ import annotations

from streams.engine.chain import copy_headers, describe_error
from streams.engine.context import Send
from streams.engine.partition import Bury, Move
from streams.errors import DecodeError, FollowsError
from streams.kafka.message import KEY, VALUE, Message
from streams.record import Headers, headers_of

_FOLLOWS = FollowsError("an older record of its key stands in the dead-letter topic")


def copy(move: Move | Bury, *, handler: str, wall_ms: int) -> Send:
    """Give the copy that *move* asks for: key, value and headers as they were, ours added."""
    message, _, _, _, state = move.item
    error = None
    if isinstance(move, Bury):
        error = describe_error(move.cause, reason=move.reason, handler=handler, time_ms=wall_ms)
    elif move.number == state.chain.dlq:
        error = describe_error(_FOLLOWS, reason="its key is followed", handler=handler, time_ms=wall_ms)
    headers = copy_headers(_headers(message), move.header, error)
    return Send(state.chain.parts[move.number].stage.topic, KEY(message), VALUE(message), headers)


def _headers(message: Message) -> Headers:
    """Give the record's own headers; of one whose headers can't be read none: its key and value matter more."""
    try:
        return headers_of(message)
    except DecodeError:
        return []
