"""Reading a stretch of a log as anybody may: no group is joined, nothing is committed.

For looking at dead letters, and for the record that a lag is counted from.
Transactions that were aborted or are still open are not shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka import faults
from streams.kafka.admin import wrong_setting
from streams.kafka.settings import connection
from streams.record import Partition

_LOG: Final = logging.getLogger("streams.kafka.client")
_SILENCE_S: Final = 10.0
_GROUP: Final = "streams-reader"
"""The client wants a name; it stands in no group list, as nothing is joined or committed."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which offsets of a partition to read."""

    start: int
    stop: int
    """The first that is not read."""


def read(
    settings: Settings, stretches: Mapping[Partition, Stretch], *, silence_s: float = _SILENCE_S
) -> Iterator[Message]:
    """Give the records of *stretches*, each partition in its order, partitions mixed.

    Memory is bounded whatever the stretches hold; ending the iteration early is free.

    Raises:
        BrokerError: Nothing came for *silence_s*, though the end was not reached.
    """
    reader = _Reader(settings, stretches, silence_s)
    try:
        yield from reader.records()
    finally:
        reader.close()


def first_records(settings: Settings, starts: Mapping[Partition, Stretch]) -> dict[Partition, Message]:
    """Give the first record in each stretch; partitions that hold none there are not in the answer."""
    reader = _Reader(settings, starts, _SILENCE_S)
    found: dict[Partition, Message] = {}
    try:
        for message in reader.records():
            place = place_of(message)
            found.setdefault(place, message)
            reader.leave(place)
    finally:
        reader.close()
    return found


def place_of(message: Message) -> Partition:
    """Give the partition that *message* was read from."""
    topic, number = message.topic(), message.partition()
    return Partition(topic or "", -1 if number is None else number)


class _Reader:
    """A consumer that was told where to read, and leaves each partition at its stretch's end."""

    def __init__(self, settings: Settings, stretches: Mapping[Partition, Stretch], silence_s: float) -> None:
        self._settings = settings
        self._silence_s = silence_s
        wanted = {place: stretch for place, stretch in stretches.items() if stretch.start < stretch.stop}
        self._stops = {place: stretch.stop for place, stretch in wanted.items()}
        self._heard: KafkaError | None = None
        self._consumer = self._open()
        self._consumer.assign([TopicPartition(*place, stretch.start) for place, stretch in wanted.items()])

    def records(self) -> Iterator[Message]:
        silent_s = 0.0
        while self._stops:
            asked = monotonic()
            batch = self._consumer.consume(500, 0.1)
            silent_s = 0.0 if batch else silent_s + monotonic() - asked  # not the time that the caller takes
            if silent_s > self._silence_s or self._is_refused:
                raise self._silence()
            yield from filter(self._is_wanted, batch)

    def leave(self, place: Partition) -> None:
        """Read *place* no further."""
        if self._stops.pop(place, None) is not None:
            self._consumer.incremental_unassign([TopicPartition(*place)])

    def close(self) -> None:
        self._consumer.close()

    @property
    def _is_refused(self) -> bool:
        return self._heard is not None and self._heard.code() in faults.CREDENTIALS

    def _is_wanted(self, message: Message) -> bool:
        place, error, offset = place_of(message), message.error(), message.offset()
        if place not in self._stops:
            return False
        if error is not None:
            self._end(place, error)
            return False
        stop, at = self._stops[place], -1 if offset is None else offset
        if at >= stop - 1:
            self.leave(place)
        return at < stop

    def _end(self, place: Partition, error: KafkaError) -> None:
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
            raise faults.fault(error, doing=f"reading {place}", settings=self._settings, topic=place.topic)
        self.leave(place)

    def _silence(self) -> BrokerError:
        doing = f"reading {', '.join(sorted(map(str, self._stops)))}"
        if self._heard is not None:
            return faults.fault(self._heard, doing=doing, settings=self._settings)
        return faults.unreachable(self._settings, doing=doing, heard=f"nothing came for {self._silence_s:g} s")

    def _open(self) -> Consumer:
        chosen: dict[str, Any] = {
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": 16 * 1024,
            "max.partition.fetch.bytes": 256 * 1024,
            **connection(self._settings),
            "group.id": _GROUP,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",  # what retention removed meanwhile is not there to be shown
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "error_cb": self._hear,
        }
        try:
            return Consumer(chosen, logger=_LOG)
        except KafkaException as error:
            raise wrong_setting(error) from error

    def _hear(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # it follows the error that says why
            self._heard = error
