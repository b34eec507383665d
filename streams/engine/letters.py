"""Writes dead letters: the record whole, its origin, and why it is dead."""

from __future__ import annotations

from typing import cast

from streams.engine.chain import copy_headers, describe_error, dlq_topic, new_header
from streams.engine.context import Send
from streams.engine.partition import Bury
from streams.kafka.message import KEY, VALUE
from streams.record import Headers, Record


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
    headers = copy_headers(cast("Headers", message.headers()), header, error)
    return Send(dlq_topic(state.partition.topic, group), KEY(message), VALUE(message), headers)
