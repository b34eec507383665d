"""Offsets: where a partition begins and ends, where a time is in it, and how far a group has come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from time import monotonic
from typing import Any, Final

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # its types do not mark it as public

from streams.errors import BrokerError, CommitError
from streams.kafka import faults
from streams.kafka.admin import Admin
from streams.kafka.clientlog import client_log
from streams.kafka.commits import metadata_of
from streams.kafka.groups import describe_group, require_stopped
from streams.kafka.settings import reader
from streams.record import Partition

_WRITTEN_AT_ONCE: Final = 500
"""Offsets in one commit: it is stored as one batch, whose size the broker bounds."""
_ASKED_AT_ONCE: Final = 2_000
_NOT_TOLD: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART})
"""Of one partition: it is not for this user to see, or is gone; the others are told."""
_TRY_S: Final = 2.0
_LOOKING_UP: Final = "looking up offsets"
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Where one partition begins and ends."""

    low: int
    """The oldest offset that is still there."""
    high: int
    """The offset that the next record will have."""

    @property
    def span(self) -> int:
        """Offsets between the two; more than records where compaction or transactions left gaps."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group committed for one partition."""

    offset: int
    metadata: str = ""


def ends(admin: Admin, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """Give the end of each of *partitions*: the offset that its next record will have; one request for all.

    Raises:
        TopicError: One of them does not exist.
    """
    return _list_offsets(admin, list(partitions), _LATEST)


def watermarks(admin: Admin, partitions: Iterable[Partition]) -> dict[Partition, Watermarks]:
    """Give begin and end of each of *partitions*.

    Raises:
        TopicError: One of them does not exist.
    """
    asked = list(partitions)
    low = _list_offsets(admin, asked, _EARLIEST)
    high = ends(admin, asked)
    return {place: Watermarks(low[place], high[place]) for place in asked}


def offsets_at(admin: Admin, partitions: Iterable[Partition], time_ms: int) -> dict[Partition, int]:
    """Give the first offset of each partition whose record is of *time_ms* or later; the end where none is.

    Args:
        admin: The connection.
        partitions: Which.
        time_ms: Milliseconds since 1970-01-01 UTC.
    """
    asked = list(partitions)
    found = _list_offsets(admin, asked, OffsetSpec.for_timestamp(time_ms))
    late = [place for place, offset in found.items() if offset < 0]
    return found | ends(admin, late)


def delete_before(admin: Admin, offsets: Mapping[Partition, int]) -> dict[Partition, KafkaError | None]:
    """Remove the records of each partition below its offset; one request for all.

    Gives for each partition None, or why it was refused: no right to delete,
    an offset past the end, a topic that is not there.  The others are done.

    Raises:
        BrokerError: The broker could not be reached or did not answer in time.
    """
    if not offsets:
        return {}
    places = [TopicPartition(*place, offset) for place, offset in offsets.items()]
    answers = admin.ask_each(
        lambda: admin.client.delete_records(places, request_timeout=admin.timeout_s), "deleting records"
    )
    return {
        Partition(place.topic, place.partition): faults.client_error(answer) if isinstance(answer, Exception) else None
        for place, answer in answers.items()
    }


def committed(admin: Admin, group: str, among: Iterable[Partition] | None = None) -> dict[Partition, Committed]:
    """Give what *group* has committed for the topics that are there; nothing for a group that does not exist.

    Of partitions *among* these, or of all.

    A consumer asks for every partition by its name.  An administrator's client
    could ask for all of a group's offsets at once, and ends the whole process
    where their coordinator is new or has just moved:
    https://github.com/confluentinc/librdkafka/issues/5040 (2.16)

    Raises:
        BrokerError: The broker does not tell a partition's offset, or its metadata is no text.
    """
    describe_group(admin, group)  # who may not see it is told so; the client would ask on in silence
    doing = f"reading the offsets of group {group!r}"
    try:
        with closing(Consumer({**reader(admin.settings), "group.id": group}, logger=client_log)) as client:
            places = _all_places(client, admin) if among is None else [TopicPartition(*place) for place in among]
            asked = (client.committed(list(part), timeout=admin.timeout_s) for part in _parts(places, _ASKED_AT_ONCE))
            answers = list(chain.from_iterable(asked))
    except KafkaException as error:
        raise admin.fault(error, doing) from error
    except UnicodeDecodeError as error:
        raise faults.foreign_metadata(group) from error
    for place in answers:
        if place.error is not None and place.error.code() not in _NOT_TOLD:
            raise faults.fault(place.error, doing=doing, settings=admin.settings, topic=place.topic)
    return {
        Partition(place.topic, place.partition): Committed(place.offset, metadata_of(place))
        for place in answers
        if place.error is None and place.offset >= 0
    }


def commit_for_stopped(admin: Admin, group: str, offsets: Mapping[Partition, Committed]) -> None:
    """Write offsets with their metadata for a group that has no members.

    Raises:
        BrokerError: It has members; nothing was written.
        CommitError: Some were refused; names each one.
    """
    require_stopped(describe_group(admin, group))
    places = [TopicPartition(*place, at.offset, at.metadata) for place, at in offsets.items()]
    refused: list[str] = []
    for part in _parts(places, _WRITTEN_AT_ONCE):
        refused += _commit(admin, group, part)
    if refused:
        raise CommitError(
            f"offsets of group {group!r} were refused for {len(refused)} of {len(places)} partition(s):"
            f" {', '.join(refused)}; what is not named here was written."
            " UNKNOWN_MEMBER_ID means that a member started meanwhile: stop it, then repeat.",
        )


def _all_places(client: Consumer, admin: Admin) -> list[TopicPartition]:
    found = client.list_topics(timeout=admin.timeout_s).topics.values()
    return [TopicPartition(topic.topic, number) for topic in found for number in topic.partitions]


def _commit(admin: Admin, group: str, places: Sequence[TopicPartition]) -> list[str]:
    """Write *places*, and name those that were refused."""
    request = [ConsumerGroupTopicPartitions(group, list(places))]

    def question(within_s: float) -> Any:
        return admin.client.alter_consumer_group_offsets(request, request_timeout=within_s)[group]

    answered = admin.ask_coordinator(question, f"writing the offsets of group {group!r}").topic_partitions
    return [f"{place.topic}/{place.partition} {place.error.name()}" for place in answered if place.error is not None]


def _list_offsets(admin: Admin, partitions: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    """Look up one offset of each partition; where a leader has died, until there is another."""
    end = monotonic() + admin.timeout_s
    found = _ask_offsets(admin, partitions, spec) if partitions else {}
    while untold := [place for place in partitions if place not in found]:
        _look_for_leaders(admin, untold, end)
        found |= _ask_offsets(admin, untold, spec)
    return found


def _ask_offsets(admin: Admin, partitions: Sequence[Partition], spec: OffsetSpec) -> dict[Partition, int]:
    """Ask once; what no leader answered is left out.

    The client asks the leader that it knows of, and where that one is gone it
    gives an offset that is none, and no error.
    """
    asked = {TopicPartition(*place): spec for place in partitions}
    try:
        answers = admin.ask_each(lambda: admin.client.list_offsets(asked, request_timeout=_TRY_S), _LOOKING_UP)
    except BrokerError as error:
        if not faults.is_silence(error):
            raise
        return {}
    found = {}
    for place, answer in answers.items():
        if isinstance(answer, KafkaException):
            raise admin.fault(answer, _LOOKING_UP, topic=place.topic)
        found[Partition(place.topic, place.partition)] = answer.offset
    return {place: offset for place, offset in found.items() if offset != OFFSET_INVALID}


def _look_for_leaders(admin: Admin, partitions: Sequence[Partition], end: float) -> None:
    """Have the client learn who leads *partitions* now."""
    if monotonic() > end:
        raise BrokerError(
            f"no broker that leads {partitions[0]} answers at {admin.settings.bootstrap}, while {_LOOKING_UP}."
            " Are all brokers running?"
        )
    for topic in {place.topic for place in partitions}:
        try:
            admin.client.list_topics(topic, timeout=admin.timeout_s)
        except KafkaException as error:
            raise admin.fault(error, _LOOKING_UP, topic=topic) from error


def _parts(places: Sequence[TopicPartition], size: int) -> Iterator[Sequence[TopicPartition]]:
    return (places[start : start + size] for start in range(0, len(places), size))
