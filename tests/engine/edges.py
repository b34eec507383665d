"""Stand-ins for the client at the engine's two edges: a consumer and a producer that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.errors import BrokerError
from streams.kafka.commits import CommitAnswer, Entry
from streams.kafka.consumer import Event, GroupConsumer, Rebalances, Stored
from streams.kafka.message import Message
from streams.kafka.producer import Delivery, EngineProducer, Fate
from streams.record import Headers, Partition


@dataclass(eq=False)
class Produced:
    """One record on its way to the broker."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    done: Callable[[Delivery], None] = field(repr=False)


class ScriptedProducer(EngineProducer):
    """Keeps what is produced until the test says what became of it."""

    def __init__(self) -> None:
        self.flying: list[Produced] = []
        self.landed: list[Produced] = []
        """What the broker has."""
        self.is_full = False
        self.fails: Exception | None = None
        self.refuses: str | None = None
        """The error that `produce` itself ends in, as for a topic's bad name."""
        self.waits: list[float] = []
        """How long answers were waited for, each time that they were asked for."""
        self._answers: list[Callable[[], None]] = []

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
        if self.is_full:
            return False
        if self.fails is not None:
            raise self.fails
        if self.refuses is not None:
            done(Delivery("refused", -1, self.refuses))
            return True
        self.flying.append(Produced(topic, partition, key, value, headers, done))
        return True

    def acknowledge(self, timeout_s: float = 0) -> None:
        self.waits.append(timeout_s)
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()

    def answer(self, fate: Fate = "stored", error: str = "", *, which: int = 0) -> Produced:
        """Let the next `acknowledge` tell that the *which*-th record on its way met *fate*."""
        one = self.flying.pop(which)
        if fate == "stored":
            self.landed.append(one)
        self._answers.append(lambda: one.done(Delivery(fate, len(self.landed), error)))
        return one

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

    def assign(self, starts: Mapping[Partition, int]) -> None:
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
