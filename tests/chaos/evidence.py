"""What a run left behind, read from the journals of its processes and from the broker.

Imports nothing of `streams`: the ledger in a commit's metadata and the header
of a dead letter are read by their written form.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from tests.chaos.history import Committed, Dead, Ending, Headers, Place, Reading, Run
from tests.waiting import eventually

_OURS: Final = ("streams", "streams-error")
_WITHIN_S: Final = 30.0
_ENDINGS: Final[Mapping[str, Ending]] = {"END": "done", "FAIL": "failed"}


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


def reading(admin: AdminClient, group: str, topic: str) -> Reading:
    """Ask the broker what *group* has committed of *topic*."""
    asked = time.monotonic_ns(), int(time.time() * 1000)
    answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=_WITHIN_S)
    try:
        places = answer[group].result().topic_partitions or []
    except KafkaException:  # the coordinator is away: nothing is known
        places = []
    found = {
        place.partition: Committed(place.offset, tuple(settled_above(place.offset, place.metadata)))
        for place in places
        if place.topic == topic and place.offset >= 0
    }
    return Reading(*asked, found)


def settled_above(offset: int, metadata: str | None) -> Iterator[range]:
    """Read the ledger in a commit's metadata: settled ranges above the committed offset."""
    if not metadata:
        return
    packed = zlib.decompress(base64.b85decode(metadata[2:].rstrip())[4:], wbits=-15)
    at = offset
    for index, length in enumerate(msgspec.msgpack.decode(packed)[2]):
        if index % 2:
            yield range(at, at + length)
        at += length


def ends_of(client: Mapping[str, Any], topic: str) -> dict[int, int]:
    """Ask the broker for the end of each partition of *topic*; again, while a leader is away."""
    return eventually(lambda: _ends_of(client, topic), within_s=60, every_s=0.5)


def _ends_of(client: Mapping[str, Any], topic: str) -> dict[int, int]:
    consumer = Consumer({**client, "group.id": "evidence"})
    try:
        partitions = consumer.list_topics(topic, timeout=_WITHIN_S).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in partitions]
        return {place.partition: consumer.get_watermark_offsets(place, timeout=_WITHIN_S)[1] for place in places}
    except KafkaException:
        return {}
    finally:
        consumer.close()


def messages_of(client: Mapping[str, Any], topic: str) -> Iterator[Message]:
    """Read *topic* from its beginning to its end, aborted records left out."""
    left = {number for number, end in ends_of(client, topic).items() if end}
    settings = {"group.id": "evidence", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer(
        {**client, **settings, "auto.offset.reset": "earliest", "receive.message.max.bytes": 200_000_000}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in left])
    try:
        while left:
            message = consumer.poll(_WITHIN_S)
            assert message is not None, f"{topic} was not read within {_WITHIN_S:g} s; {left} are left"
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
                left.discard(cast("int", message.partition()))
    finally:
        consumer.close()


def dead_letters(messages: Iterable[Message], topic: str) -> Iterator[Dead]:
    """Read dead letters of *topic*: the packed header tells the origin by position."""
    for message in messages:
        headers = cast("Headers", message.headers() or [])
        header = msgspec.msgpack.decode(next(value for name, value in headers if name == "streams") or b"")
        _, _, source, partition, offset, *_ = header
        assert source == topic, f"a dead letter of {source} stands in the topic of {topic}"
        key = message.key()
        yield Dead(
            origin=Place(partition, offset),
            partition=cast("int", message.partition()),
            key="-" if key is None else key.decode(),
            value=message.value(),
            headers=[(name, value) for name, value in headers if name not in _OURS],
            attempts=header[11],
            time_ms=message.timestamp()[1],
        )
