"""Reads one partition onward, whatever happens to it: what members are told there may come late and must stop nobody.

A consumer that joins no group.  The topic may not exist yet, or not be
readable; what retention has removed is passed over.  None of that is an error
here: there is nothing to hear then, and `trouble` says why.
"""

from __future__ import annotations

from typing import Any, Final, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import wrong_setting
from streams.kafka.clientlog import client_log
from streams.kafka.message import Message
from streams.kafka.settings import reader
from streams.record import Partition

_GROUP: Final = "streams-reader"
_NOT_THERE: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}  # noqa: SLF001  # the client's own codes begin with an underscore
)
_ANSWERS_WITHIN_S: Final = 5.0
_CHOSEN: Final[dict[str, Any]] = {
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    "fetch.wait.max.ms": 5_000,  # nearly always there is nothing, and what comes is sent at once
    "queued.max.messages.kbytes": 2 * 1024,
    "topic.metadata.refresh.interval.ms": 10_000,  # it may be made while this runs
    "log.connection.close": False,
}


class Tail:
    """Owned by one thread.  The first `begin` connects.

    Always true: records come in their order, each once, from the offset on that was asked for last.
    """

    def __init__(self, settings: Settings, partition: Partition) -> None:
        """Read *partition* of the cluster of *settings*."""
        self._settings = settings
        self._partition = partition
        self._consumer: Consumer | None = None
        self._floor = 0
        self.trouble = ""
        """What the client complained of at the last `take`; it goes on trying."""
        self.was_reset = False
        """The log had nothing at the offset that was asked for, and is read from its beginning: it was made anew."""
        self.position: int | None = None
        """What comes next; None before anything has come since `begin` from the beginning."""

    def begin(self, offset: int | None) -> None:
        """Read from *offset* on, or from the beginning of the log."""
        if self._consumer is None:
            self._consumer = self._open()
        self.position, self._floor, self.was_reset = offset, offset or 0, False
        place = TopicPartition(*self._partition, OFFSET_BEGINNING if offset is None else offset)
        self._consumer.assign([place])

    def take(self, limit: int) -> list[Message]:
        """Give what has arrived, up to *limit* records; does not wait."""
        if self._consumer is None:
            return []
        records, self.trouble = list[Message](), ""
        for message in self._consumer.consume(limit, 0):
            error = message.error()
            if error is None:
                records.append(message)
            elif error.code() not in _NOT_THERE:
                self.trouble = error.str()
        if records:
            self.was_reset = self.was_reset or cast("int", records[0].offset()) < self._floor
            self.position = cast("int", records[-1].offset()) + 1
        return records

    def end(self) -> int:
        """Give what the next record's offset will be; 0 where nothing is there to read.  Waits some seconds at most.

        Raises:
            BrokerError: The broker does not answer, or this user may not look.
        """
        if self._consumer is None:
            return 0
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(*self._partition), timeout=_ANSWERS_WITHIN_S
            )
        except KafkaException as error:
            if error.args[0].code() in _NOT_THERE:
                return 0
            raise BrokerError(f"where {self._partition} ends can't be read: {error.args[0].str()}") from None
        return high if low < high else 0

    def close(self) -> None:
        """Let go of the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _open(self) -> Consumer:
        chosen = {
            **reader(self._settings),
            **_CHOSEN,
            "group.id": self._settings.group or _GROUP,
            "error_cb": lambda _error: None,  # the group's own consumer complains of the same
        }
        try:
            return Consumer(chosen, logger=client_log)
        except KafkaException as error:
            raise wrong_setting(error) from error
