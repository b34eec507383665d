"""What members wrote into Kafka, read by its written form: ledgers in commits, headers of copies."""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from streams.errors import BrokerError
from streams.kafka.witness import stored_offsets
from streams.record import Message
from streams.verify.history import Committed, Copy, Dead, Headers, Kind, Moved, Place, print_of
from streams.verify.journal import key_name

_HEADER: Final = "streams"
_OURS: Final = (_HEADER, "streams-error", "streams-trace")


def committed_of(client: Mapping[str, Any], group: str, source: str) -> dict[str, dict[int, Committed]]:
    """Ask what *group* has committed of *source* and its chain; nothing while the coordinator is away."""
    found: dict[str, dict[int, Committed]] = defaultdict(dict)
    for (topic, number), offset, metadata in stored_offsets(client, group, lambda name: belongs(name, source, group)):
        found[topic][number] = committed(offset, metadata)
    return found


def belongs(topic: str, source: str, group: str) -> bool:
    """Say whether *topic* is *source*, or one of those that *group* keeps beside it."""
    return topic == source or topic.startswith(f"{source}.{group}.")


def committed(offset: int, metadata: str | None) -> Committed:
    """Read a commit: the offset, and the ledger beside it."""
    if not metadata:
        return Committed(offset)
    packed = zlib.decompress(base64.b85decode(metadata[2:].rstrip())[4:], wbits=-15)
    owner, _starts, runs, _complete, scan_end, *_ = msgspec.msgpack.decode(packed)
    return Committed(offset, tuple(_settled(offset, runs)), owner, None if scan_end < 0 else scan_end)


def _settled(offset: int, runs: Iterable[int]) -> Iterator[range]:
    at = offset
    for index, length in enumerate(runs):
        if index % 2:
            yield range(at, at + length)
        at += length


def kind_of(topic: str) -> Kind:
    """Say what a topic of a chain is for, by its name."""
    return "dlq" if topic.endswith(".dlq") else "parked" if topic.endswith(".parked") else "tier"


def copy_of(message: Message, source: str) -> Copy:
    """Read the copy that *message* is: the packed header tells the origin by position.

    Raises:
        BrokerError: It does not belong where it stands.
    """
    topic, offset = cast("str", message.topic()), cast("int", message.offset())
    _, _, origin, partition, at, _, _, owner, hop, *_ = _header(message)
    if (origin, partition) != (source, message.partition()):
        where = f"{topic}/{message.partition()}/{offset}"
        raise BrokerError(f"{where} is a copy of {origin}/{partition}, in the chain of {source}")
    return Copy(kind_of(topic), Place(partition, at), hop, topic, offset, owner)


def moved(message: Message) -> Moved:
    """Read what a copy says of its record, and what it holds of it."""
    _, _, _, partition, offset, time_ms, *_ = _header(message)
    return Moved(
        where=f"{message.topic()}/{message.partition()}/{message.offset()}",
        origin=Place(partition, offset),
        time_ms=time_ms,
        print=print_of(key_name(message.key()), message.value(), _own_headers(message)),
    )


def dead_letter(message: Message) -> Dead:
    """Read a dead letter."""
    _, _, _, partition, offset, *_ = header = _header(message)
    return Dead(
        origin=Place(partition, offset),
        partition=cast("int", message.partition()),
        key=key_name(message.key()),
        value=message.value(),
        headers=_own_headers(message),
        attempts=header[11],
        time_ms=message.timestamp()[1],
    )


def headers_of(message: Message) -> Headers:
    """Give the headers of *message*."""
    return cast("Headers", message.headers() or [])


def _own_headers(message: Message) -> Headers:
    return [(name, value) for name, value in headers_of(message) if name not in _OURS]


def _header(message: Message) -> list[Any]:
    packed = next(value for name, value in headers_of(message) if name == _HEADER)
    header: list[Any] = msgspec.msgpack.decode(packed or b"")
    return header
