"""The engine's own producer: idempotent, acknowledged by all in-sync replicas, polled by the poll thread alone.

A user's `flush()` on a shared producer would run our callbacks in a handler's
thread; this one nobody else touches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, Literal, TypeAlias, TypeVar

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.clientlog import client_log
from streams.kafka.faults import REFUSED
from streams.kafka.settings import producer as producer_settings
from streams.record import Headers

Fate: TypeAlias = Literal["stored", "refused", "unknown"]

T = TypeVar("T")

_LOOK_WITHIN_S: Final = 2.0

_ANY: Final = -1
"""In place of a partition: the key decides."""
_REFUSED: Final = REFUSED | {KafkaError.UNKNOWN_TOPIC_OR_PART}  # a topic that did not appear in time
"""Errors after which it is certain that no broker has the record; the unknown ones: no place could hold it."""


class Parcel(msgspec.Struct, Generic[T], eq=False, gc=False):
    """One record to produce, whose it is, and what became of it."""

    topic: str
    partition: int | None
    """None: the key decides."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    what: T
    """Whatever its sender knows it by."""
    fate: Fate = "unknown"
    error: str = ""
    """The broker's or the client's code; empty where it is stored."""
    offset: int = -1
    """Where it is stored."""
    timestamp_ms: int = -1
    """Of a stored record, as its readers see it: where the topic's time is LogAppendTime, when the broker took it."""
    tell: Callable[[Parcel[T]], None] | None = None
    """Hears of it once that is known."""

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Note what the client says; it calls this once."""
        if error is None:
            self.fate, self.error = "stored", ""
            self.offset = message.offset()  # type: ignore[assignment]  # a stored record has one
            self.timestamp_ms = message.timestamp()[1]
        else:
            self.fate = "refused" if error.code() in _REFUSED else "unknown"
            self.error = error.name()
        self.tell(self)  # type: ignore[misc]  # who produced it has set it

    def refuse(self, error: str) -> None:
        """Note that no broker has it, for *error*."""
        self.fate, self.error = "refused", error
        self.tell(self)  # type: ignore[misc]


class EngineProducer(Generic[T]):
    """Produces copies and sends.

    Owned by the poll thread; `acknowledge` runs the client's callbacks on it.

    Always true: a parcel that was queued comes out of `acknowledge` once.
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
        self._answered: list[Parcel[T]] = []
        self._tell = self._answered.append

    def produce(self, parcels: Sequence[Parcel[T]]) -> int:
        """Queue *parcels* in their order until the client's queue is full; give how many it took."""
        produce, tell = self._producer.produce, self._tell
        for taken, parcel in enumerate(parcels):
            number = _ANY if parcel.partition is None else parcel.partition
            parcel.tell = tell
            try:
                produce(
                    parcel.topic,
                    parcel.value,
                    parcel.key,
                    number,
                    parcel.delivered,
                    headers=parcel.headers,  # type: ignore[arg-type]  # a list of pairs
                )
            except BufferError:
                return taken
            except KafkaException as error:
                if parcel.partition is not None and self._has_grown(parcel.topic, parcel.partition, error.args[0]):
                    return taken + self.produce(parcels[taken:])
                parcel.refuse(error.args[0].name())
            except (TypeError, ValueError) as error:  # nothing that could be sent
                parcel.refuse(f"{type(error).__name__}: {error}")
        return len(parcels)

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

    def acknowledge(self, timeout_s: float = 0) -> list[Parcel[T]]:
        """Give the records that have met their fate since the last call; wait for the first at most so long."""
        self._producer.poll(timeout_s)
        answered = self._answered[:]
        self._answered.clear()
        return answered

    def push(self, timeout_s: float) -> int:
        """Send what is queued and wait for its answers; give how many are still missing."""
        return self._producer.flush(timeout_s)

    def purge(self) -> None:
        """Forget what is queued; what is on its way stays unknown."""
        self._producer.purge(in_queue=True, in_flight=False, blocking=False)
        self._producer.poll(0)
