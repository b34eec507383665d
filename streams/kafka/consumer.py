"""The group's consumer, as the engine wants it: batches and events in, offsets and snapshots out.

One thread, the poll thread, calls everything here: calls from other threads
starve while a consumer polls.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias, cast

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.clientlog import client_log
from streams.kafka.commits import CommitAnswer, Entry, Flight, answer_to, epoch_of, metadata_of, places_of
from streams.kafka.faults import foreign_metadata
from streams.kafka.message import ERROR
from streams.kafka.reading import Cooperative, Eager, Reading
from streams.kafka.settings import consumer as consumer_settings
from streams.record import Partition

_REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,  # noqa: SLF001  # the client's own codes begin with an underscore
        KafkaError.SASL_AUTHENTICATION_FAILED,
    },
)


_NONE: Final[Mapping[Partition, int]] = MappingProxyType({})
_AGAIN_S: Final = 0.01
_AGAIN: Final = 100
"""How far apart and how often a partition that was just assigned is told to seek: it may not have begun yet."""
_CUT: Final = re.compile(r"broker end offset is (\d+)")
SOMEWHERE: Final = -1


class EndReached(NamedTuple):
    """The log of *partition* has nothing further; its end is *offset*."""

    partition: Partition
    offset: int


class OutOfRange(NamedTuple):
    """The broker has no record at the position of *partition*, or another one; it now stands still."""

    partition: Partition
    cut: int | None = None
    """The log was cut off here, and may have been written on since; `SOMEWHERE` where that is all the client knows.
    None: the client has not found that it was."""


class ClientTrouble(NamedTuple):
    """The client reported an error of a broker, a topic or itself."""

    text: str
    is_fatal: bool
    """The client can't go on; everything it owned is lost."""


Event: TypeAlias = EndReached | OutOfRange | ClientTrouble


class Stored(NamedTuple):
    """What the group has committed for one partition."""

    offset: int | None
    metadata: str
    epoch: int = -1
    """Leader epoch of what was read below the offset; -1: not known."""


class Rebalances(Protocol):
    """Hears of changes of ownership, inside `GroupConsumer.poll`."""

    def granted(self, partitions: list[Partition]) -> None:
        """*partitions* are ours: call `GroupConsumer.assign`."""

    def revoked(self, partitions: list[Partition]) -> None:
        """*partitions* are asked back: finish, commit, then call `GroupConsumer.unassign`."""

    def lost(self, partitions: list[Partition]) -> None:
        """*partitions* are another member's already: drop, never commit, then call `GroupConsumer.unassign`."""


@dataclass(slots=True)
class _Failure:
    error: BaseException | None = None


class GroupConsumer:
    """A member of the group.

    Always true: an exception out of a callback comes out of the `poll` that
    ran it, whole.
    """

    def __init__(self, settings: Settings, protocol: str, on_commit: Callable[[CommitAnswer], None]) -> None:
        """Connect in the background; *on_commit* hears the answers to `commit` inside `poll`."""
        self._events: list[Event] = []
        self._failure = _Failure()
        self._moved: set[tuple[str | None, int | None]] = set()
        self._on_commit = on_commit
        self._flight = Flight()
        self._group = settings.group
        self._subscription: tuple[list[str], Rebalances] | None = None
        config = consumer_settings(settings, protocol=protocol)
        config |= {"on_commit": self._committed, "error_cb": self._broker_error}
        try:
            self._consumer = Consumer(config, logger=client_log)
            self._reading: Reading = (Eager if protocol == "classic-range" else Cooperative)(self._consumer)
        except KafkaException as error:
            raise BrokerError(
                f"the client refuses its settings: {error.args[0].str()}; check the 'kafka' settings"
            ) from None

    def subscribe(self, topics: Iterable[str], listener: Rebalances) -> None:
        """Join the group for *topics*."""
        guard, self._subscription = self._guard, (list(topics), listener)
        self._consumer.subscribe(
            self._subscription[0],
            on_assign=lambda _, partitions: guard(listener.granted, partitions),
            on_revoke=lambda _, partitions: guard(listener.revoked, partitions),
            on_lost=lambda _, partitions: guard(listener.lost, partitions),
        )

    def rejoin(self) -> None:
        """Leave the group and join it anew: what is owned is asked back inside the next `poll`, as at a rebalance."""
        if self._subscription is None:
            return
        try:
            self._consumer.unsubscribe()
            self.subscribe(*self._subscription)
        except KafkaException as error:
            raise BrokerError(f"the group can't be joined anew: {error.args[0].str()}") from None

    @property
    def member_id(self) -> str:
        """The name that the group knows this member by; "" before it has joined."""
        return self._consumer.memberid() or ""

    def poll(self, limit: int, timeout_s: float) -> tuple[list[Message], list[Event]]:
        """Give up to *limit* records, waiting at most *timeout_s* for the first, and what happened meanwhile.

        Callbacks run inside.
        """
        messages = self._consumer.consume(limit, 0) or self._await(limit, timeout_s)
        if self._failure.error is not None:
            error, self._failure.error = self._failure.error, None
            raise error
        if messages and any(map(ERROR, messages)):
            messages = self._sort_out(messages)
        if self._reading.wants_news:
            self._reading.given(messages)
        events, self._events = self._events, []
        return messages, events

    def _await(self, limit: int, timeout_s: float) -> list[Message]:
        """Wait for one record, then take what came with it: `consume(N, t)` would wait for N."""
        messages = self._consumer.consume(1, timeout_s)
        if messages and limit > 1:
            self._moved.clear()
            further = self._consumer.consume(limit - 1, 0)
            messages = (self._still_ours(messages) if self._moved else messages) + further
        return messages

    def _still_ours(self, messages: list[Message]) -> list[Message]:
        """Leave out what was read before its partition moved: it belongs to a stay that is over.

        The client leaves out what stands in its own queue, not what it has handed over.
        """
        return [one for one in messages if (one.topic(), one.partition()) not in self._moved]

    def committed(self, partitions: list[Partition], timeout_s: float) -> dict[Partition, Stored]:
        """Read what the group has committed for *partitions*.

        Raises:
            BrokerError: The coordinator does not answer in time, or the metadata is no text.
        """
        try:
            found = self._consumer.committed([_plain(partition) for partition in partitions], timeout=timeout_s)
        except KafkaException as error:
            raise BrokerError(f"the group's committed offsets can't be read: {error.args[0].str()}") from None
        except UnicodeDecodeError as error:
            raise foreign_metadata(self._group) from error
        for stored in found:
            if stored.error is not None:
                raise BrokerError(
                    f"the committed offset of {stored.topic}/{stored.partition} can't be read: {stored.error.str()}"
                )
        return {
            _name(stored): Stored(stored.offset if stored.offset >= 0 else None, metadata_of(stored), epoch_of(stored))
            for stored in found
        }

    def watermarks(self, partition: Partition, timeout_s: float) -> tuple[int, int]:
        """Ask the broker for the first offset and the end of *partition*.

        Raises:
            BrokerError: Its leader does not answer in time.
        """
        try:
            low, high = self._consumer.get_watermark_offsets(_plain(partition), timeout=timeout_s)
        except KafkaException as error:
            raise BrokerError(f"the offsets of {partition} can't be read: {error.args[0].str()}") from None
        return low, high

    def known_watermarks(self, partition: Partition) -> tuple[int, int]:
        """Give what the client last heard of the first offset and the end of *partition*; -1 where nothing."""
        low, high = self._consumer.get_watermark_offsets(_plain(partition), cached=True)
        return max(low, -1), max(high, -1)

    def assign(self, starts: Mapping[Partition, int], epochs: Mapping[Partition, int] = _NONE) -> None:
        """Begin to read each of *starts* at its offset.

        Where *epochs* names the leader epoch of what was read below it, nothing
        comes before the leader has said that it still has that: else an
        `OutOfRange` comes, and no record.
        """
        self._moved.update(starts)
        self._reading.begin(starts)
        known = [TopicPartition(*place, starts[place], "", epoch) for place, epoch in epochs.items() if epoch >= 0]
        if known:
            self._consumer.pause(known)  # or a fetch that finds nothing there would be told first
            for place in known:
                self._compare(place)
            self._consumer.resume(known)

    def _compare(self, place: TopicPartition) -> None:
        """Have the client compare the log with *place*: it does so when it is told to seek, not when it begins."""
        for wait_s in (*repeat(_AGAIN_S, _AGAIN), None):
            try:
                self._consumer.seek(place)
            except KafkaException as error:
                if wait_s is None:
                    text = f"{_name(place)}/{place.offset}: the log can't be compared with what was read"
                    self._events.append(ClientTrouble(f"{text}: {error.args[0].str()}", is_fatal=False))
                else:
                    time.sleep(wait_s)
            else:
                return

    def unassign(self, partitions: Iterable[Partition]) -> None:
        """Stop reading *partitions*, all of which are assigned."""
        partitions = list(partitions)
        self._moved.update(partitions)
        self._reading.end(partitions)

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Fetch nothing more of *partitions*; what was read ahead is dropped and read again later."""
        self._consumer.pause([_plain(partition) for partition in partitions])

    def resume(self, partitions: Iterable[Partition]) -> None:
        """Fetch *partitions* again."""
        self._consumer.resume([_plain(partition) for partition in partitions])

    def commit(self, entries: Sequence[Entry]) -> None:
        """Send *entries* in one request, the source partition's first; its answer comes to ``on_commit``."""
        self._flight.add(entries)
        places = places_of(entries)
        try:
            self._consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:
            self._on_commit(answer_to(self._flight.land(places), [error.args[0]]))

    def commit_now(self, entries: Sequence[Entry]) -> CommitAnswer:
        """Commit *entries* in one request and wait for the answer: up to the socket's timeout, not longer."""
        try:
            answered = self._consumer.commit(offsets=places_of(entries), asynchronous=False)
        except KafkaException as error:
            return answer_to(tuple(entries), [error.args[0]])
        return answer_to(tuple(entries), [place.error for place in answered])

    def partitions_of(self, topic: str, timeout_s: float) -> list[Partition]:
        """List the partitions of *topic* as the broker has them now.

        Never called inside `poll`, as by a listener: there the client aborts the process.
        """
        try:
            found = self._consumer.list_topics(topic, timeout=timeout_s).topics[topic]
        except KafkaException as error:
            raise BrokerError(f"the partitions of {topic} can't be read: {error.args[0].str()}") from None
        return [Partition(topic, number) for number in sorted(found.partitions)]

    def close(self, timeout_s: float) -> bool:
        """Leave the group; False where the client did not manage to in time and was left behind."""
        closer = threading.Thread(target=self._consumer.close, name="streams-close", daemon=True)
        closer.start()
        closer.join(timeout_s)
        return not closer.is_alive()

    def _guard(self, listener: Callable[[list[Partition]], None], partitions: list[TopicPartition]) -> None:
        try:
            listener([_name(partition) for partition in partitions])
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            self._failure.error = error

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        try:
            errors = [error, *(place.error for place in partitions)]
            self._on_commit(answer_to(self._flight.land(partitions), errors))
        except BaseException as failure:  # noqa: BLE001  # whatever it is, it is the record's outcome
            self._failure.error = failure

    def _broker_error(self, error: KafkaError) -> None:
        self._events.append(ClientTrouble(error.str(), is_fatal=error.fatal() or error.code() in _REFUSED))

    def _sort_out(self, messages: list[Message]) -> list[Message]:
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
            else:
                self._events.append(_event(message, error))
        return records


def _event(message: Message, error: KafkaError) -> Event:
    partition = Partition(
        message.topic() or "", -1 if message.partition() is None else cast("int", message.partition())
    )
    code = error.code()
    if code == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's own codes begin with an underscore
        return EndReached(partition, cast("int", message.offset()))
    if code == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  # the client's own codes begin with an underscore
        return OutOfRange(partition, _cut_of(error.str()))
    place = f"{partition}: " if partition.number >= 0 else f"{partition.topic}: " if partition.topic else ""
    return ClientTrouble(
        f"{place}{error.str()}",
        is_fatal=error.fatal() or code == KafkaError._FATAL or code in _REFUSED,  # noqa: SLF001  # the client's own codes begin with an underscore
    )


def _cut_of(text: str) -> int | None:
    """Find where a log was cut off; the client says so in words alone."""
    if "truncation detected" not in text:
        return None
    told = _CUT.search(text)
    return SOMEWHERE if told is None else int(told[1])


def _plain(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number, OFFSET_INVALID)


def _name(partition: TopicPartition) -> Partition:
    return Partition(partition.topic, partition.partition)
