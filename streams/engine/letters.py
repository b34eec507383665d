"""Writes copies: the record whole, where it comes from, and of a dead letter why it is dead."""

from __future__ import annotations

from collections.abc import Sequence

from streams.engine.chain import HEADER, describe_error, headers_with
from streams.engine.partition import Bury, Move, PartitionState, offset_of
from streams.engine.relocation import Errand
from streams.errors import DecodeError, FollowsError
from streams.kafka.message import KEY, VALUE, Message
from streams.kafka.producer import Parcel
from streams.record import Headers, headers_of

_FOLLOWS = FollowsError("an older record of its key stands in the dead-letter topic")


def copies(state: PartitionState, moves: Sequence[Move]) -> list[Errand]:
    """Give the copies that *moves* of *state* ask for: key, value and headers as they were, ours added."""
    topics, number, parcels = [part.stage.topic for part in state.chain.parts], state.partition.number, list[Errand]()
    for move in moves:
        message, packed = move.item[0], move.packed
        own = _headers(message)
        headers: Headers = headers_with(own, packed) if own else [(HEADER, packed)]
        parcels.append(Parcel(topics[move.number], number, KEY(message), VALUE(message), headers, move))
    return parcels


def letter(move: Move, *, handler: str, wall_ms: int) -> Errand:
    """Give the copy that *move* asks for in the dead-letter topic: it tells why its record is dead."""
    message, state = move.item[0], move.item[4]
    if isinstance(move, Bury):
        error = describe_error(move.cause, reason=move.reason, handler=handler, time_ms=wall_ms)
    else:  # of a dead letter that moves on it is known
        error = state.chain.reasons.get(offset_of(move.item)) or describe_error(
            _FOLLOWS, reason="its key is followed", handler=handler, time_ms=wall_ms
        )
    topic, headers = state.chain.parts[move.number].stage.topic, headers_with(_headers(message), move.packed, error)
    return Parcel(topic, state.partition.number, KEY(message), VALUE(message), headers, move)


def _headers(message: Message) -> Headers:
    """Give the record's own headers; of one whose headers can't be read none: its key and value matter more."""
    try:
        return headers_of(message)
    except DecodeError:
        return []
