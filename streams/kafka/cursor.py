"""A consumer that is told where to read: it joins no group and commits nothing.

What a person looks at, what an owner scans and what it reads of its chain all
come through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka import faults
from streams.kafka.admin import wrong_setting
from streams.kafka.clientlog import client_log
from streams.kafka.message import ERROR, Message, by_partition, place_of
from streams.kafka.settings import reader
from streams.record import Partition

Move: TypeAlias = tuple[Partition, list[Message]]
"""How far a partition was read: its records in order, or none where only its end was reached."""

_GROUP: Final = "streams-reader"
"""The client wants a name; it stands in no group list, as nothing is joined or committed."""
_NAMED: Final = 3
_OUT_OF_RANGE: Final = frozenset(
    {
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError._LOG_TRUNCATION,  # noqa: SLF001  # the client's own codes begin with an underscore
    }
)
_NO_NEWS: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001  # it follows the error that says why
        KafkaError.GROUP_AUTHORIZATION_FAILED,  # the client asks for a coordinator that reading does not need
    }
)


class Cursor:
    """Stands in partitions where it was put, and gives what comes next there.

    Owned by one thread.  The first `place` connects.

    Always true:

    * `positions` names what is being read, and the offset that comes next.
    * What was fetched before its partition was left or placed anew is never
      given: the client sorts it out by the version of its assignment.
    """

    def __init__(self, settings: Settings, chosen: Mapping[str, Any]) -> None:
        """Use the addresses and security of *settings*, and what else is *chosen* of the client's own settings."""
        self._settings = settings
        self._chosen = chosen
        self._consumer: Consumer | None = None
        self._positions: dict[Partition, int] = {}
        self._ended: set[Partition] = set()
        self._missed: dict[Partition, int] = {}
        self._heard: tuple[KafkaError, str] | None = None

    @property
    def positions(self) -> Mapping[Partition, int]:
        """What is being read, and the next offset of each; past an end that was reached, gaps before it included."""
        return MappingProxyType(self._positions)

    @property
    def trouble(self) -> KafkaError | None:
        """What the client complained of last; None where it has read something since."""
        return None if self._heard is None else self._heard[0]

    def has_ended(self, partition: Partition) -> bool:
        """Say whether the end of *partition* was reached after the last of its records that were given."""
        return partition in self._ended

    def missed(self) -> dict[Partition, int]:
        """Give the partitions, since the last call, whose log has nothing at their position any more.

        They stand still until they are placed anew or left.
        """
        missed, self._missed = self._missed, {}
        return missed

    def place(self, starts: Mapping[Partition, int]) -> None:
        """Read each of *starts* from its offset on; one that is being read goes there."""
        self.leave(starts)
        if not starts:
            return
        self._consumer = self._consumer or self._open()
        self._tell(
            self._consumer.incremental_assign, [TopicPartition(*place, offset) for place, offset in starts.items()]
        )
        self._positions.update(starts)

    def leave(self, partitions: Iterable[Partition]) -> None:
        """Read none of *partitions* further; it does not matter whether they were being read."""
        known = [place for place in partitions if place in self._positions]
        if self._consumer is None or not known:
            return
        self._tell(self._consumer.incremental_unassign, [TopicPartition(*place) for place in known])
        for place in known:
            del self._positions[place]
            self._ended.discard(place)
            self._missed.pop(place, None)

    def take(self, limit: int, timeout_s: float) -> list[Move]:
        """Give what has arrived, up to *limit* records, waiting at most *timeout_s* for the first.

        Raises:
            BrokerError: The client can't go on, may not read, or can't make sense of what it read.
        """
        if self._consumer is None:
            return []
        messages = self._consumer.consume(limit, 0)
        if not messages and timeout_s:  # `consume(N, t)` would wait for N
            messages = self._consumer.consume(1, timeout_s)
            messages += self._consumer.consume(limit, 0) if messages else []
        moves = list(self._sort_out(messages) if any(map(ERROR, messages)) else self._advance(messages))
        if self._is_over:
            raise self.fault()
        return moves

    def fault(self, heard: str = "") -> BrokerError:
        """Put into words that nothing more can be read; *heard* is the reason where the client gave none."""
        named = sorted(map(str, self._positions))
        doing = f"reading {', '.join(named[:_NAMED])}{' and others' if len(named) > _NAMED else ''}"
        if self._heard is None:
            return faults.unreachable(self._settings, doing=doing, heard=heard)
        error, topic = self._heard
        return faults.fault(error, doing=doing, settings=self._settings, topic=topic)

    def close(self) -> None:
        """Let go of the connection."""
        consumer, self._consumer = self._consumer, None
        self._positions.clear()
        if consumer is not None:
            consumer.close()

    @property
    def _is_over(self) -> bool:
        return self._heard is not None and _is_final(self._heard[0])

    def _advance(self, records: list[Message]) -> Iterator[Move]:
        if records and not self._is_over:
            self._heard = None
        for place, part in by_partition(records):
            if place in self._positions:
                self._positions[place] = _offset(part[-1]) + 1
                self._ended.discard(place)
                yield place, part

    def _sort_out(self, messages: list[Message]) -> Iterator[Move]:
        """Take in records, and what the client tells of partitions in between."""
        for is_record, run in groupby(messages, _is_record):
            if is_record:
                yield from self._advance(list(run))
            else:
                yield from chain.from_iterable(map(self._note, run))

    def _note(self, message: Message) -> Iterator[Move]:
        error, place = cast("KafkaError", message.error()), place_of(message)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
            if place in self._positions:
                self._positions[place] = _offset(message)
                self._ended.add(place)
                yield place, []
        elif error.code() in _OUT_OF_RANGE:
            if place in self._positions:
                self._missed[place] = self._positions[place]
        else:
            self._hear(error, place)

    def _hear(self, error: KafkaError, place: Partition | None = None) -> None:
        if error.code() in _NO_NEWS:
            return
        self._heard = error, "" if place is None else place.topic
        if place in self._positions and not faults.is_unknown_topic(error):
            raise self.fault()  # records may have been passed over

    def _tell(self, change: Callable[[list[TopicPartition]], None], places: list[TopicPartition]) -> None:
        try:
            change(places)
        except KafkaException as error:
            raise faults.fault(
                error.args[0], doing=f"choosing what is read of {places[0].topic}", settings=self._settings
            ) from error

    def _open(self) -> Consumer:
        chosen: dict[str, Any] = {
            **reader(self._settings),
            **self._chosen,
            "group.id": self._settings.group or _GROUP,
            "enable.partition.eof": True,  # tells the end without arithmetic over gaps
            "fetch.wait.max.ms": 20,  # what is placed anew waits for this to pass
            "fetch.queue.backoff.ms": 5,
            "error_cb": self._hear,
        }
        try:
            return Consumer(chosen, logger=client_log)
        except KafkaException as error:
            raise wrong_setting(error) from error


def _is_record(message: Message) -> bool:
    return message.error() is None


def _is_final(error: KafkaError) -> bool:
    code = error.code()
    return error.fatal() or code == KafkaError._FATAL or code in faults.CREDENTIALS  # noqa: SLF001  # the client's own codes begin with an underscore


def _offset(message: Message) -> int:
    return cast("int", message.offset())
