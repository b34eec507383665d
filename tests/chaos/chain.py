"""What stands in the chain of a group, as the group's committed ledgers and the broker's logs tell it.

Imports nothing of `streams`: a copy's header is read by its written form, and
the fence is applied as the protocol words it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from tests.chaos.evidence import TopicPart, committed_of, ends_of, messages_in
from tests.chaos.history import Committed, Copy, Dead, Headers, Kind, Place, Reading

_HEADER: Final = "streams"
_OURS: Final = (_HEADER, "streams-error")
_UNREAD: Final = Committed(0)
"""A topic of the chain without a commit counts from its start."""


@dataclass(frozen=True)
class Chain:
    """The topics that *group* keeps beside *source*."""

    admin: AdminClient
    client: Mapping[str, Any]
    """Settings of a bare client."""
    source: str
    group: str

    def reading(self) -> Reading:
        """Read what is committed, and then what stands in retry and parked topics beyond it.

        The logs are read after the ledgers: what was appended meanwhile can
        only add to what waits, as whatever it replaced counts still.
        """
        found = committed_of(self.client, self.group, self.source)
        answered = time.monotonic_ns(), int(time.time() * 1000)
        source = found.pop(self.source, {})
        if not source:
            return Reading(*answered, {})
        copies = list(self._beyond(found))
        counting = [copy for copy in copies if counts(copy, found)]
        late = sum(_ledger(copy, found).fences(copy) for copy in copies)
        return Reading(*answered, source, found, waiting(counting), late)

    def copies(self) -> Iterator[Copy]:
        """Read the copies that need work, superseded ones among them."""
        found = committed_of(self.client, self.group, self.source)
        return (copy for copy in self._beyond(found) if counts(copy, found))

    def dead_letters(self) -> Iterator[Dead]:
        """Read all dead letters that count."""
        found = committed_of(self.client, self.group, self.source)
        for message in messages_in(self.client, {place: range(end) for place, end in self._ends("dlq").items()}):
            if counts(copy_of(message, self.source), found):
                yield dead_letter(message)

    def _beyond(self, found: Mapping[str, Mapping[int, Committed]]) -> Iterator[Copy]:
        stretches = {
            place: range(found.get(place.topic, {}).get(place.number, _UNREAD).offset, end)
            for place, end in self._ends("tier", "parked").items()
        }
        for message in messages_in(self.client, stretches):
            yield copy_of(message, self.source)

    def _ends(self, *kinds: Kind) -> dict[TopicPart, int]:
        there = self.admin.list_topics(timeout=30).topics
        topics = [name for name in there if name.startswith(f"{self.source}.{self.group}.") and kind_of(name) in kinds]
        return ends_of(self.client, *topics) if topics else {}


def kind_of(topic: str) -> Kind:
    """Say what a topic of a chain is for, by its name."""
    return "dlq" if topic.endswith(".dlq") else "parked" if topic.endswith(".parked") else "tier"


def copy_of(message: Message, source: str) -> Copy:
    """Read the copy that *message* is: the packed header tells the origin by position."""
    topic, offset = cast("str", message.topic()), cast("int", message.offset())
    _, _, origin, partition, at, _, _, owner, hop, *_ = _header(message)
    where = f"{topic}/{message.partition()}/{offset}"
    assert origin == source, f"{where} is a copy of {origin}, in the chain of {source}"
    assert partition == message.partition(), f"{where} is a copy out of partition {partition}"
    return Copy(kind_of(topic), Place(partition, at), hop, topic, offset, owner)


def counts(copy: Copy, found: Mapping[str, Mapping[int, Committed]]) -> bool:
    """Say whether *copy* is one that needs work, or a dead letter that is one, by the ledgers in *found*."""
    ledger = _ledger(copy, found)
    return not ledger.covers(copy.offset) and not ledger.fences(copy)


def waiting(copies: Iterable[Copy]) -> dict[Place, Kind]:
    """Give the records that wait in the chain: of each the copy that was moved most often tells where."""
    live: dict[Place, Copy] = {}
    for copy in copies:
        if copy.origin not in live or live[copy.origin].hop < copy.hop:
            live[copy.origin] = copy
    return {origin: copy.kind for origin, copy in live.items()}


def dead_letter(message: Message) -> Dead:
    """Read a dead letter."""
    _, _, _, partition, offset, *_ = header = _header(message)
    key = message.key()
    return Dead(
        origin=Place(partition, offset),
        partition=cast("int", message.partition()),
        key="-" if key is None else key.decode(),
        value=message.value(),
        headers=[(name, value) for name, value in _headers(message) if name not in _OURS],
        attempts=header[11],
        time_ms=message.timestamp()[1],
    )


def _ledger(copy: Copy, found: Mapping[str, Mapping[int, Committed]]) -> Committed:
    return found.get(copy.topic, {}).get(copy.origin.partition, _UNREAD)


def _header(message: Message) -> list[Any]:
    packed = next(value for name, value in _headers(message) if name == _HEADER)
    header: list[Any] = msgspec.msgpack.decode(packed or b"")
    return header


def _headers(message: Message) -> Headers:
    return cast("Headers", message.headers() or [])
