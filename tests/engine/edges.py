"""Stand-ins for the client at the engine's two edges: a consumer and a producer that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streams.clock import Clock
from streams.errors import BrokerError
from streams.kafka.chainreader import ChainReader
from streams.kafka.commits import CommitAnswer, Entry
from streams.kafka.consumer import Event, GroupConsumer, Rebalances, Stored
from streams.kafka.message import Message, make_message
from streams.kafka.offsets import Watermarks
from streams.kafka.producer import EngineProducer, Fate, Parcel
from streams.kafka.reader import Stretch
from streams.record import Headers, Partition
from streams.testing.clock import ManualClock


@dataclass(eq=False)
class Produced:
    """One record on its way to the broker."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    parcel: Parcel[Any] = field(repr=False)

    def meet(self, fate: Fate, error: str = "", record: Message | None = None) -> None:
        """Let its sender hear of its fate; *record* is what the broker has."""
        self.parcel.fate, self.parcel.error = fate, error
        if record is not None:
            self.parcel.offset, self.parcel.timestamp_ms = record.offset() or 0, record.timestamp()[1]


class ChainLog:
    """What the broker holds of the topics of chains; each record stamped with the time at which it came."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.records: dict[Partition, list[Message]] = {}
        self.gaps: dict[Partition, int] = {}
        """Offsets that hold no record, such as markers, at the end of a log."""

    def append(
        self, place: Partition, key: bytes | None = b"a", value: bytes | None = b"{}", headers: Headers | None = None
    ) -> Message:
        """Take one record; it comes behind what is there."""
        record = make_message(
            place.topic,
            place.number,
            self.end(place),
            key=key,
            value=value,
            headers=headers,
            timestamp_ms=int(self.clock.now() * 1000),
        )
        self.records.setdefault(place, []).append(record)
        self.gaps.pop(place, None)
        return record

    def end(self, place: Partition) -> int:
        """The offset that the next record gets."""
        records = self.records.get(place)
        return self.gaps.get(place, 0) + ((records[-1].offset() or 0) + 1 if records else 0)

    def since(self, place: Partition, offset: int) -> list[Message]:
        """Everything from *offset* on."""
        return [record for record in self.records.get(place, ()) if (record.offset() or 0) >= offset]

    def marks(self, places: Sequence[Partition]) -> dict[Partition, Watermarks]:
        """Where logs begin and end; a topic that holds nothing has both at 0."""
        return {place: Watermarks(0, self.end(place)) for place in places}


class ScriptedReader(ChainReader):
    """Reads the chain out of a log that the test holds."""

    def __init__(self, log: ChainLog) -> None:
        self.log = log
        self.at: dict[Partition, int] = {}
        self.scanned: list[tuple[Partition, int, int]] = []
        """Stretches that were scanned: where, from, to."""
        self.placed: list[tuple[Partition, int]] = []
        """Where it was put, in order."""
        self.failures: list[BrokerError] = []
        """What the next scans end in."""
        self.gone: dict[Partition, int] = {}
        """Where the log has nothing any more."""
        self.limits: list[int] = []
        """How much each poll asked for."""
        self.is_closed = False

    @property
    def positions(self) -> Mapping[Partition, int]:
        return self.at

    @property
    def trouble(self) -> str:
        return ""

    def read_from(self, partition: Partition, offset: int) -> None:
        self.placed.append((partition, offset))
        self.at[partition] = offset

    def leave(self, partition: Partition) -> None:
        self.at.pop(partition, None)

    def poll(self, limit: int) -> list[Message]:
        self.limits.append(limit)
        found: list[Message] = []
        for place, offset in list(self.at.items()):
            part = self.log.since(place, offset)[: limit - len(found)]
            if part:
                self.at[place] = (part[-1].offset() or 0) + 1
            found += part
        return found

    def out_of_range(self) -> dict[Partition, int]:
        gone, self.gone = self.gone, {}
        return gone

    def scan(
        self, ranges: Mapping[Partition, Stretch], *, silence_s: float = 0
    ) -> Iterator[tuple[Partition, list[Message]]]:
        if self.failures:
            raise self.failures.pop(0)
        for place, stretch in ranges.items():
            self.scanned.append((place, stretch.start, stretch.stop))
            records = [
                record for record in self.log.since(place, stretch.start) if (record.offset() or 0) < stretch.stop
            ]
            for start in range(0, len(records), 3):
                yield place, records[start : start + 3]

    def close(self) -> None:
        self.at.clear()
        self.is_closed = True


class ScriptedProducer(EngineProducer[Any]):
    """Keeps what is produced until the test says what became of it; what goes to a chain can be read back."""

    def __init__(self, log: ChainLog | None = None) -> None:
        self.log = log or ChainLog()
        self.flying: list[Produced] = []
        self.landed: list[Produced] = []
        """What the broker has."""
        self.is_full = False
        self.fails: Exception | None = None
        """What the client ends in, as for a value that it can't read."""
        self.refuses: str | None = None
        """The error that it ends in, as for a topic's bad name."""
        self.waits: list[float] = []
        """How long answers were waited for, each time that they were asked for."""
        self.answers: list[Parcel[Any]] = []
        """What is told next."""

    def produce(self, parcels: Sequence[Parcel[Any]]) -> int:
        if self.is_full:
            return 0
        for parcel in parcels:
            self._take(parcel)
        return len(parcels)

    def _take(self, parcel: Parcel[Any]) -> None:
        if self.fails is not None or self.refuses is not None:
            parcel.fate, parcel.error = "refused", self.refuses or f"{type(self.fails).__name__}: {self.fails}"
            self.answers.append(parcel)
            return
        self.flying.append(Produced(parcel.topic, parcel.partition, parcel.key, parcel.value, parcel.headers, parcel))

    def acknowledge(self, timeout_s: float = 0) -> list[Parcel[Any]]:
        self.waits.append(timeout_s)
        answers, self.answers = self.answers, []
        return answers

    def answer(self, fate: Fate = "stored", error: str = "", *, which: int = 0) -> Produced:
        """Let the next `acknowledge` tell that the *which*-th record on its way met *fate*."""
        one = self.flying.pop(which)
        one.meet(fate, error, self.land(one) if fate == "stored" else None)
        self.answers.append(one.parcel)
        return one

    def land(self, one: Produced) -> Message | None:
        """The broker takes *one*, whoever hears of it; what goes to a chain can be read back."""
        self.landed.append(one)
        if one.partition is None:
            return None
        return self.log.append(Partition(one.topic, one.partition), one.key, one.value, one.headers)

    def answer_all(self, fate: Fate = "stored", error: str = "") -> None:
        """The same for everything that is on its way."""
        while self.flying:
            self.answer(fate, error)


@dataclass(frozen=True)
class Commit:
    """One request that was sent."""

    entries: tuple[Entry, ...]

    @property
    def partition(self) -> Partition:
        """The source partition."""
        return self.entries[0].partition

    @property
    def offset(self) -> int:
        """The source partition's."""
        return self.entries[0].offset

    @property
    def metadata(self) -> str:
        """The source partition's."""
        return self.entries[0].metadata


class ScriptedConsumer(GroupConsumer):
    """A member of a group whose broker is the test.

    Always true: what is assigned, read at and paused follows the calls, and a
    call that the client would refuse fails here too.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[list[Message], list[Event]]] = []
        """What the next polls give."""
        self.polled: list[tuple[int, float]] = []
        self.during_poll: list[Callable[[], None]] = []
        """What happens inside the next polls, as rebalances and answers to commits do."""
        self.stored: dict[Partition, Stored] = {}
        self.marks: dict[Partition, tuple[int, int]] = {}
        self.known: dict[Partition, tuple[int, int]] = {}
        self.failures: list[BrokerError] = []
        """What the next questions to the broker end in."""
        self.reading: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        self.commits: list[Commit] = []
        """Asynchronous ones, in order."""
        self.commits_now: list[Commit] = []
        self.codes_now: list[int] = []
        """What the next synchronous commits end in; then they are stored."""
        self.during_commit: Callable[[], None] = lambda: None
        """What happens while one is waited for."""
        self.answered: Callable[[CommitAnswer], None] = lambda _: None
        self.listener: Rebalances | None = None
        self.partitions: dict[str, int] = {}

    @property
    def member_id(self) -> str:
        """The name that the group knows this member by."""
        return "scripted"

    def subscribe(self, topics: Iterable[str], listener: Rebalances) -> None:
        self.listener = listener

    def poll(self, limit: int, timeout_s: float) -> tuple[list[Message], list[Event]]:
        self.polled.append((limit, timeout_s))
        if self.during_poll:
            self.during_poll.pop(0)()
        messages, events = self.batches.pop(0) if self.batches else ([], [])
        assert len(messages) <= limit, "the test gives more than was asked for"
        return messages, events

    def committed(self, partitions: list[Partition], timeout_s: float) -> dict[Partition, Stored]:
        self._fail()
        return {partition: self.stored.get(partition, Stored(None, "")) for partition in partitions}

    def watermarks(self, partition: Partition, timeout_s: float) -> tuple[int, int]:
        self._fail()
        return self.marks.get(partition, (0, 0))

    def known_watermarks(self, partition: Partition) -> tuple[int, int]:
        return self.known.get(partition, (-1, -1))

    def assign(self, starts: Mapping[Partition, int], _epochs: Mapping[Partition, int] | None = None) -> None:
        assert not set(starts) & set(self.reading), "assigned already: the client refuses the whole list"
        self.reading.update(starts)

    def unassign(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            del self.reading[partition]

    def pause(self, partitions: Iterable[Partition]) -> None:
        self.paused.update(self._assigned(partitions))

    def resume(self, partitions: Iterable[Partition]) -> None:
        self.paused.difference_update(self._assigned(partitions))

    def commit(self, entries: Sequence[Entry]) -> None:
        self.commits.append(Commit(tuple(entries)))

    def commit_now(self, entries: Sequence[Entry]) -> CommitAnswer:
        self.commits_now.append(Commit(tuple(entries)))
        self.during_commit()
        if self.codes_now:
            return CommitAnswer(tuple(entries), self.codes_now.pop(0), "REFUSED")
        self._store(entries)
        return CommitAnswer(tuple(entries), None, "")

    def partitions_of(self, topic: str, timeout_s: float) -> list[Partition]:
        self._fail()
        return [Partition(topic, number) for number in range(self.partitions.get(topic, 0))]

    def answer(self, commit: Commit | None = None, code: int | None = None) -> None:
        """The broker answers *commit*, or the last one."""
        one = commit or self.commits[-1]
        if code is None:
            self._store(one.entries)
        self.answered(CommitAnswer(one.entries, code, "" if code is None else "REFUSED"))

    def _store(self, entries: Iterable[Entry]) -> None:
        self.stored.update({entry.partition: Stored(entry.offset, entry.metadata) for entry in entries})

    def _assigned(self, partitions: Iterable[Partition]) -> list[Partition]:
        listed = list(partitions)
        assert set(listed) <= set(self.reading), "not assigned: the client refuses"
        return listed

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
