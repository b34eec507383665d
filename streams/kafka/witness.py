"""What a bystander sees of a group and its topics: for those who judge the engine, and share no code with it.

A consumer asks, and joins nothing: where a coordinator dies, the same questions
of an admin client go unanswered or abort the process (confluentinc/librdkafka#4605).
Settings are those of a bare client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic, sleep
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.errors import BrokerError
from streams.kafka.clientlog import client_log
from streams.record import Partition

_WITHIN_S: Final = 30.0
_ANSWER_S: Final = 5.0
_ENDS_WITHIN_S: Final = 60.0
_AGAIN_S: Final = 0.5


class Stored(NamedTuple):
    """What a group committed of one partition."""

    partition: Partition
    offset: int
    metadata: str | None


def stored_offsets(client: Mapping[str, Any], group: str, of: Callable[[str], bool]) -> list[Stored]:
    """Ask the coordinator what *group* has committed of the topics that *of* says yes to; nothing while it is away."""
    consumer = _consumer({**client, "group.id": group})
    try:
        there = consumer.list_topics(timeout=_WITHIN_S).topics
        asked = [TopicPartition(topic, number) for topic in there if of(topic) for number in there[topic].partitions]
        places = consumer.committed(asked, timeout=_ANSWER_S)
    except KafkaException:
        return []
    finally:
        consumer.close()
    if any(place.error for place in places):
        return []
    return [
        Stored(Partition(place.topic, place.partition), place.offset, place.metadata)
        for place in places
        if place.offset >= 0
    ]


def topics_of(client: Mapping[str, Any]) -> list[str]:
    """Name the topics there are.

    Raises:
        BrokerError: No broker answers.
    """
    consumer = _consumer({**client, "group.id": "witness"})
    try:
        return sorted(consumer.list_topics(timeout=_WITHIN_S).topics)
    except KafkaException as error:
        raise BrokerError(f"no broker tells the topics: {error}") from error
    finally:
        consumer.close()


def ends_of(client: Mapping[str, Any], *topics: str) -> dict[Partition, int]:
    """Ask the broker for the end of each partition of *topics*; again, while a leader is away.

    Raises:
        BrokerError: One stays away.
    """
    give_up = monotonic() + _ENDS_WITHIN_S
    while True:
        try:
            return _ends_of(client, topics)
        except KafkaException as error:
            if monotonic() > give_up:
                raise BrokerError(f"no broker tells the ends of {', '.join(topics)}: {error}") from error
        sleep(_AGAIN_S)


def leader_of(client: Mapping[str, Any], topic: str, number: int) -> int:
    """Say which broker leads a partition; -1 where none does."""
    consumer = _consumer({**client, "group.id": "witness"})
    try:
        leader: int = consumer.list_topics(topic, timeout=_WITHIN_S).topics[topic].partitions[number].leader
        return leader
    finally:
        consumer.close()


def messages_of(client: Mapping[str, Any], topic: str) -> Iterator[Message]:
    """Read *topic* from its beginning to its end, aborted records left out."""
    return messages_in(client, {place: range(end) for place, end in ends_of(client, topic).items()})


def messages_in(client: Mapping[str, Any], stretches: Mapping[Partition, range]) -> Iterator[Message]:
    """Read each of *stretches*, aborted records left out; what was removed from the log is passed over.

    Raises:
        BrokerError: Nothing came for half a minute.
    """
    left = {place for place, stretch in stretches.items() if stretch}
    if not left:
        return
    settings = {"group.id": "witness", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = _consumer(
        {**client, **settings, "auto.offset.reset": "earliest", "receive.message.max.bytes": 200_000_000}
    )
    consumer.assign([TopicPartition(*place, stretches[place].start) for place in left])
    try:
        while left:
            message = consumer.poll(_WITHIN_S)
            if message is None:
                raise BrokerError(f"{', '.join(map(str, left))} were not read within {_WITHIN_S:g} s")
            error, place = message.error(), Partition(cast("str", message.topic()), cast("int", message.partition()))
            offset = cast("int", message.offset())
            if error is None and offset in stretches[place]:
                yield message
            if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
                read_to = offset + (error is None)
                if read_to >= stretches[place].stop:
                    left.discard(place)
    finally:
        consumer.close()


def _ends_of(client: Mapping[str, Any], topics: Iterable[str]) -> dict[Partition, int]:
    consumer = _consumer({**client, "group.id": "witness"})
    try:
        there = consumer.list_topics(timeout=_WITHIN_S).topics
        places = [TopicPartition(topic, number) for topic in topics for number in there[topic].partitions]
        return {
            Partition(place.topic, place.partition): consumer.get_watermark_offsets(place, timeout=_WITHIN_S)[1]
            for place in places
        }
    finally:
        consumer.close()


def _consumer(settings: Mapping[str, Any]) -> Consumer:
    return Consumer(dict(settings), logger=client_log)
