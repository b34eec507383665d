"""Writes dead letters: the record whole, its origin, and why it is dead."""

from __future__ import annotations

from streams.engine.chain import copy_headers, describe_error, dlq_topic, new_header
from streams.engine.context import Send
from streams.engine.partition import Bury
from streams.errors import DecodeError
from streams.kafka.message import KEY, VALUE, Message
from streams.record import Headers, Record, headers_of


def dead_letter(bury: Bury, *, group: str, topic_id: str, handler: str, wall_ms: int) -> Send:
    """Give the dead letter of the record in *bury*: key, value and headers as they were, ours added."""
    message, _, _, _, state = bury.item
    header = new_header(
        Record(message).origin,
        topic_id=topic_id,
        group=group,
        assignment_id=state.assignment_id,
        attempts=bury.attempts,
        history=bury.history,
    )
    error = describe_error(bury.cause, reason=bury.reason, handler=handler, time_ms=wall_ms)
    headers = copy_headers(_headers(message), header, error)
    return Send(dlq_topic(state.partition.topic, group), KEY(message), VALUE(message), headers)


def _headers(message: Message) -> Headers:
    """Give the record's own headers; of one whose headers can't be read none: its key and value matter more."""
    try:
        return headers_of(message)
    except DecodeError:
        return []
