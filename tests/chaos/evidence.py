"""What a run left behind, read from the journals of its processes and from the broker.

Imports nothing of `streams`: the ledger in a commit's metadata and the header
of a dead letter are read by their written form.
"""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from tests.chaos.history import Committed, Ending, Place, Run
from tests.waiting import eventually

_WITHIN_S: Final = 30.0
_ANSWER_S: Final = 5.0
_ENDINGS: Final[Mapping[str, Ending]] = {"END": "done", "FAIL": "failed"}


class TopicPart(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


def runs_of(journal: Path, died_ns: int) -> Iterator[Run]:
    """Read the runs of one process; those without an end were cut off when it died, at *died_ns*."""
    pid = int(journal.stem)
    begun: dict[tuple[Place, int], tuple[int, str]] = {}
    for step, time_ns, place, attempt, key in steps_of(journal):
        if step == "START":
            begun[place, attempt] = time_ns, key
        else:
            start_ns, _ = begun.pop((place, attempt))
            yield Run(place, key, pid, attempt, start_ns, time_ns, _ENDINGS[step])
    for (place, attempt), (start_ns, key) in begun.items():
        yield Run(place, key, pid, attempt, start_ns, died_ns, "cut")


def in_flight(journal: Path) -> set[Place]:
    """Give the records that have started in this process and not ended."""
    begun: set[Place] = set()
    for step, _, place, _, _ in steps_of(journal):
        if step == "START":
            begun.add(place)
        else:
            begun.discard(place)
    return begun


def steps_of(journal: Path) -> Iterator[tuple[str, int, Place, int, str]]:
    """Read the lines of *journal*: step, time, place, attempt, key.

    One that is being written, or that a kill cut short, is none yet: a write is
    one call, yet a reader can see it half done where it crosses a memory page.
    """
    if not journal.exists():
        return
    whole, _, _ = journal.read_text().rpartition("\n")
    for line in whole.splitlines():
        step, time_ns, partition, offset, attempt, _seq, key = line.split(" ", 6)
        yield step, int(time_ns), Place(int(partition), int(offset)), int(attempt), key


def committed_of(client: Mapping[str, Any], group: str, source: str) -> dict[str, dict[int, Committed]]:
    """Ask the coordinator what *group* has committed of *source* and its chain; nothing while it is away.

    A consumer asks, and joins nothing: where a coordinator dies, the same
    question of an admin client goes unanswered or aborts the process
    (confluentinc/librdkafka#4605).
    """
    consumer = Consumer({**client, "group.id": group})
    try:
        there = consumer.list_topics(timeout=_WITHIN_S).topics
        topics = [name for name in there if name == source or name.startswith(f"{source}.{group}.")]
        asked = [TopicPartition(topic, number) for topic in topics for number in there[topic].partitions]
        places = consumer.committed(asked, timeout=_ANSWER_S)
    except KafkaException:
        return {}
    finally:
        consumer.close()
    if any(place.error for place in places):
        return {}
    found: dict[str, dict[int, Committed]] = defaultdict(dict)
    for place in places:
        if place.offset >= 0:
            found[place.topic][place.partition] = committed(place.offset, place.metadata)
    return found


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


def ends_of(client: Mapping[str, Any], *topics: str) -> dict[TopicPart, int]:
    """Ask the broker for the end of each partition of *topics*; again, while a leader is away."""
    return eventually(lambda: _ends_of(client, topics), within_s=60, every_s=0.5)


def _ends_of(client: Mapping[str, Any], topics: Iterable[str]) -> dict[TopicPart, int]:
    consumer = Consumer({**client, "group.id": "evidence"})
    try:
        there = consumer.list_topics(timeout=_WITHIN_S).topics
        places = [TopicPartition(topic, number) for topic in topics for number in there[topic].partitions]
        return {
            TopicPart(place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=_WITHIN_S)[1]
            for place in places
        }
    except KafkaException:
        return {}
    finally:
        consumer.close()


def messages_of(client: Mapping[str, Any], topic: str) -> Iterator[Message]:
    """Read *topic* from its beginning to its end, aborted records left out."""
    return messages_in(client, {place: range(end) for place, end in ends_of(client, topic).items()})


def messages_in(client: Mapping[str, Any], stretches: Mapping[TopicPart, range]) -> Iterator[Message]:
    """Read each of *stretches*, aborted records left out; what was removed from the log is passed over."""
    left = {place for place, stretch in stretches.items() if stretch}
    if not left:
        return
    settings = {"group.id": "evidence", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer(
        {**client, **settings, "auto.offset.reset": "earliest", "receive.message.max.bytes": 200_000_000}
    )
    consumer.assign([TopicPartition(*place, stretches[place].start) for place in left])
    try:
        while left:
            message = consumer.poll(_WITHIN_S)
            assert message is not None, f"{left} were not read within {_WITHIN_S:g} s"
            error, place = message.error(), _place(message)
            offset = cast("int", message.offset())
            if error is None and offset in stretches[place]:
                yield message
            if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
                read_to = offset + (error is None)
                if read_to >= stretches[place].stop:
                    left.discard(place)
    finally:
        consumer.close()


def _place(message: Message) -> TopicPart:
    return TopicPart(cast("str", message.topic()), cast("int", message.partition()))
