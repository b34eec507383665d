"""The engine's own producer: idempotent, acknowledged by all in-sync replicas, polled by the poll thread alone.

A user's `flush()` on a shared producer would run our callbacks in a handler's
thread; this one nobody else touches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, TypeAlias, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.consumer import client_log
from streams.kafka.settings import producer as producer_settings
from streams.record import Headers

Fate: TypeAlias = Literal["stored", "refused", "unknown"]

_LOOK_WITHIN_S: Final = 2.0

_ANY: Final = -1
"""In place of a partition: the key decides."""
_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_RECORD,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # so the client calls a topic that did not appear in time
        KafkaError._PURGE_QUEUE,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001  # the client's own codes begin with an underscore
    },
)
"""Errors after which it is certain that no broker has the record; the unknown ones: no place could hold it."""


class Delivery(msgspec.Struct, frozen=True):
    """What became of one produced record."""

    fate: Fate
    offset: int
    error: str
    timestamp_ms: int = -1
    """Of a stored record, as its readers see it: where the topic's time is LogAppendTime, when the broker took it."""


class EngineProducer:
    """Produces copies and sends.

    Owned by the poll thread; `acknowledge` runs callbacks on it.
    """

    def __init__(self, settings: Settings) -> None:
        """Connect in the background."""
        try:
            self._producer = Producer(producer_settings(settings), logger=client_log)
        except KafkaException as error:
            raise BrokerError(
                f"the client refuses its settings: {error.args[0].str()}; check the 'kafka' settings"
            ) from None
        self._widths: dict[str, int] = {}

    def produce(
        self,
        topic: str,
        partition: int | None,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        done: Callable[[Delivery], None],
    ) -> bool:
        """Queue one record; *done* hears its fate inside a later `acknowledge`.

        Gives False, with nothing queued, where the client's queue is full.
        """
        delivered, number = partial(_deliver, done), _ANY if partition is None else partition
        try:
            self._producer.produce(topic, value, key, number, delivered, headers=cast("list", headers))  # type: ignore[type-arg]
        except BufferError:
            return False
        except KafkaException as error:
            if partition is not None and self._has_grown(topic, partition, error.args[0]):
                return self.produce(topic, partition, key=key, value=value, headers=headers, done=done)
            done(Delivery("refused", -1, error.args[0].name()))
        return True

    def _has_grown(self, topic: str, partition: int, error: KafkaError) -> bool:
        """Look whether *topic* was widened since the client last looked, which it does every few minutes."""
        is_known = self._widths.get(topic, 0) > partition
        if is_known or error.code() != KafkaError._UNKNOWN_PARTITION:  # noqa: SLF001  # the client's own codes begin with an underscore
            return False
        try:
            found = self._producer.list_topics(topic, timeout=_LOOK_WITHIN_S).topics
        except KafkaException:
            return False  # the record is refused, as it was before
        self._widths[topic] = len(found[topic].partitions)
        return self._widths[topic] > partition

    def acknowledge(self, timeout_s: float = 0) -> None:
        """Run the callbacks of what the broker has answered."""
        self._producer.poll(timeout_s)

    def push(self, timeout_s: float) -> int:
        """Send what is queued and wait for its answers; give how many are still missing."""
        return self._producer.flush(timeout_s)

    def purge(self) -> None:
        """Forget what is queued; what is on its way stays unknown."""
        self._producer.purge(in_queue=True, in_flight=False, blocking=False)
        self._producer.poll(0)


def _deliver(done: Callable[[Delivery], None], error: KafkaError | None, message: Message) -> None:
    if error is None:
        offset = message.offset()
        done(Delivery("stored", -1 if offset is None else offset, "", message.timestamp()[1]))
    else:
        done(Delivery("refused" if error.code() in _REFUSED else "unknown", -1, error.name()))
