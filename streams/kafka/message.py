"""The client's message, and its accessors as plain functions for `map` over a batch."""

from __future__ import annotations

from typing import Any, Final, cast

from confluent_kafka import Message

from streams.record import Headers

TOPIC: Final = Message.topic
PARTITION: Final = Message.partition
KEY: Final = Message.key
VALUE: Final = Message.value
ERROR: Final = Message.error

__all__ = ["ERROR", "KEY", "PARTITION", "TOPIC", "VALUE", "Message", "make_message"]


def make_message(
    topic: str,
    partition: int,
    offset: int,
    *,
    key: bytes | None = None,
    value: bytes | None = b"",
    headers: Headers | None = None,
    timestamp_ms: int = 0,
) -> Message:
    """Make a message as the client would deliver it, for tests and test clients."""
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=cast("Any", headers),
        error=None,
        timestamp=(1, timestamp_ms),
        latency=0.0,
        leader_epoch=0,
    )
