"""What stands in the topics that the group keeps beside the flights: waiting, parked, dead.

A third of the referee: the commits and the headers of the copies are read by
their written form, with the Kafka client, a MessagePack decoder and the
standard library; it imports nothing of `streams`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicPartition
from confluent_kafka.admin import AdminClient

TOPIC: Final = "flights"
GROUP: Final = "tower"

Kind: TypeAlias = Literal["waiting", "parked", "dead"]
Place: TypeAlias = tuple[str, int]
"""A topic, and the number of a partition."""

_KINDS: Final[dict[str, Kind]] = {"parked": "parked", "dlq": "dead"}
"""By the last word of a topic's name; the others are retry topics."""
_PREFIX: Final = f"{TOPIC}.{GROUP}."
_SUMMED: Final = 4
"""Bytes of the checksum before a ledger."""
_WITHIN_S: Final = 30.0


class Ledger(NamedTuple):
    """What the group has committed for one partition of one topic."""

    offset: int = 0
    """All below it is settled; a topic without a commit counts from its start."""
    settled: tuple[range, ...] = ()
    """What is settled above it."""
    owner: bytes = b""
    """Names the stay of the worker that committed."""
    scan_end: int = -1
    """Where the log ended when that stay began; -1 in a source."""

    def has_settled(self, offset: int) -> bool:
        """Say whether what stands at *offset* needs no more work."""
        return offset < self.offset or any(offset in done for done in self.settled)

    def fences_off(self, offset: int, owner: bytes) -> bool:
        """Say whether *owner*'s copy at *offset* came too late: behind the back of the worker that took over."""
        return 0 <= self.scan_end <= offset and owner != self.owner


class Copy(NamedTuple):
    """One record of a retry topic, of the parked ones or of the dead letters."""

    id: str
    """Of the event."""
    key: str | None
    kind: Kind
    place: Place
    offset: int
    hop: int
    """How often the event was moved: the highest one tells where it stands."""
    owner: bytes
    """Names the stay of the worker that moved it."""
    reason: str
    """Why it is dead; empty for the others."""


@dataclass(frozen=True)
class Chain:
    """What the broker holds of the group's work at one moment."""

    ledgers: dict[Place, Ledger]
    copies: list[Copy]
    """All above the committed offsets."""
    relocated: dict[str, int]
    """Retry topics and the parked one: how many copies each ever took in."""

    def standing(self) -> dict[str, Copy]:
        """Give the events that stand in the chain, by id, each where it was moved last."""
        live: dict[str, Copy] = {}
        for copy in self.copies:
            known = live.get(copy.id)
            if self._counts(copy) and (known is None or known.hop < copy.hop):
                live[copy.id] = copy
        return live

    def _counts(self, copy: Copy) -> bool:
        ledger = self.ledgers.get(copy.place, Ledger())
        return not ledger.has_settled(copy.offset) and not ledger.fences_off(copy.offset, copy.owner)


def read(bootstrap: str) -> Chain:
    """Read what is committed, and then what stands in the chain beyond it.

    Raises:
        OSError: The broker does not answer.
    """
    ledgers = committed(bootstrap)
    settings = {"group.id": "count", "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0}
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    try:
        marks = {place: _marks(consumer, place) for place in _places(consumer)}
        stretches = {
            place: range(max(ledgers.get(place, Ledger()).offset, low), end) for place, (low, end) in marks.items()
        }
        copies = [copy_of(message) for message in _messages(consumer, stretches)]
    finally:
        consumer.close()
    return Chain(ledgers, copies, _relocated(marks))


def committed(bootstrap: str) -> dict[Place, Ledger]:
    """Ask the broker what the group has committed, in the flights and beside them."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    answers = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)], request_timeout=_WITHIN_S)
    stored = answers[GROUP].result().topic_partitions or []
    return {(at.topic, at.partition): ledger(at.offset, at.metadata) for at in stored if at.offset >= 0}


def ledger(offset: int, metadata: str | None) -> Ledger:
    """Read a commit: the offset, and the ledger in the text beside it."""
    if not metadata:
        return Ledger(offset)
    packed = zlib.decompress(base64.b85decode(metadata[2:].rstrip())[_SUMMED:], wbits=-15)
    owner, _starts, lengths, _is_complete, scan_end, *_ = msgspec.msgpack.decode(packed)
    return Ledger(offset, tuple(_settled(offset, lengths)), owner, scan_end)


def _settled(offset: int, lengths: Iterable[int]) -> Iterator[range]:
    """Give the settled stretches; *lengths* are of outstanding and settled ones by turns."""
    at = offset
    for index, length in enumerate(lengths):
        if index % 2:
            yield range(at, at + length)
        at += length


def copy_of(message: Message) -> Copy:
    """Read what a copy says of itself: the packed header tells it by position."""
    headers: dict[str, Any] = dict(message.headers() or ())
    header = msgspec.msgpack.decode(headers["streams"])
    topic, key = message.topic() or "", message.key()
    kind = kind_of(topic)
    return Copy(
        id=headers["ce_id"].decode(),
        key=None if key is None else key.decode(),
        kind=kind,
        place=(topic, message.partition() or 0),
        offset=message.offset() or 0,
        hop=header[8],
        owner=header[7],
        reason=json.loads(headers["streams-error"])["message"] if kind == "dead" else "",
    )


def kind_of(topic: str) -> Kind:
    """Say what stands in a topic of the chain, by its name."""
    return _KINDS.get(topic.rpartition(".")[2], "waiting")


def in_short(topic: str) -> str:
    """Give the part of a name that tells topics of the chain apart: ``retry.1s``."""
    return topic.removeprefix(_PREFIX)


def _places(consumer: Consumer) -> list[Place]:
    """Give the partitions of the topics that are named after the flights and the group."""
    topics = consumer.list_topics(timeout=_WITHIN_S).topics
    names = [name for name in sorted(topics) if name.startswith(_PREFIX)]
    return [(name, number) for name in names for number in topics[name].partitions]


def _marks(consumer: Consumer, place: Place) -> tuple[int, int]:
    """Give where the log begins and ends."""
    return consumer.get_watermark_offsets(TopicPartition(*place), timeout=_WITHIN_S)


def _messages(consumer: Consumer, stretches: dict[Place, range]) -> Iterator[Message]:
    """Read each partition from the start of its stretch to the end."""
    left = {place: len(stretch) for place, stretch in stretches.items() if stretch}
    consumer.assign([TopicPartition(*place, stretches[place].start) for place in left])
    while left:
        message = consumer.poll(_WITHIN_S)
        if message is None or message.error():
            raise OSError(f"{', '.join(sorted({topic for topic, _ in left}))} can't be read: {_why(message)}")
        place = message.topic() or "", message.partition() or 0
        if (message.offset() or 0) not in stretches[place]:
            continue  # appended since
        yield message
        left[place] -= 1
        if not left[place]:
            del left[place]


def _why(message: Message | None) -> str:
    return "no answer" if message is None else str(message.error())


def _relocated(marks: dict[Place, tuple[int, int]]) -> dict[str, int]:
    """Count what each topic of waiting records ever took in: its offsets, as each of them is one copy."""
    counted: Counter[str] = Counter()
    for (topic, _), (_, end) in marks.items():
        if kind_of(topic) != "dead":
            counted[topic] += end
    return dict(counted)
