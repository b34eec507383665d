"""The client's message, its accessors as plain functions for `map` over a batch, and a batch taken apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, cast

from confluent_kafka import Message

from streams.record import Headers, Partition

TOPIC: Final = Message.topic
PARTITION: Final = Message.partition
OFFSET: Final = Message.offset
KEY: Final = Message.key
VALUE: Final = Message.value
ERROR: Final = Message.error

__all__ = [
    "ERROR",
    "KEY",
    "OFFSET",
    "PARTITION",
    "TOPIC",
    "VALUE",
    "Message",
    "by_partition",
    "make_message",
    "place_of",
]


def place_of(message: Message) -> Partition:
    """Give the partition that *message* was read from."""
    topic, number = message.topic(), message.partition()
    return Partition(topic or "", -1 if number is None else number)


def by_partition(messages: list[Message], only_topic: str | None = None) -> Iterator[tuple[Partition, list[Message]]]:
    """Divide a batch by partition, keeping its order; most batches are of one.

    Args:
        messages: The batch.
        only_topic: The topic of all of them; None where there may be several.
    """
    if not messages:
        return
    numbers = list(map(PARTITION, messages))
    topics = [only_topic] * len(messages) if only_topic else list(map(TOPIC, messages))
    if _are_equal(numbers) and (only_topic or _are_equal(topics)):
        yield Partition(topics[0] or "", numbers[0] or 0), messages
        return
    start = 0
    for (topic, number), group in groupby(zip(topics, numbers, strict=True)):
        end = start + len(list(group))
        yield Partition(topic or "", number or 0), messages[start:end]
        start = end


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


def _are_equal(values: Sequence[object]) -> bool:
    return values.count(values[0]) == len(values)
