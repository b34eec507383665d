"""One run under faults: records come in, members work, something breaks, and then the history is judged."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, cast

import orjson
from confluent_kafka import KafkaError, Message, Producer

from streams.kafka.witness import ends_of
from streams.verify.chain import Chain
from streams.verify.evidence import committed_of
from streams.verify.history import Fault, Headers, History, Kind, Place, Reading, Sent
from streams.verify.verdict import Verdict, judge
from tests.brokers import Kafka
from tests.chaos.crew import Crew, Worker
from tests.waiting import eventually

KEYS: Final = 400
_HOT: Final = 3
IN_FLIGHT: Final = 50
"""Records that are running when a worker is killed, at least."""
_NEWCOMERS: Final = 3
_ALWAYS: Final = 99
"""So many failures are more than any policy allows attempts."""


@dataclass
class Load:
    """Writes records that ask for work of a seeded mix, and remembers what was acknowledged."""

    kafka: Kafka
    topic: str
    rng: random.Random
    max_attempts: int = 3
    failing: float = 0.06
    """Share of the records that fail before they end well."""
    given_up: float = 0.02
    """Share of the records that never end well."""
    work_ms: tuple[int, int] = (20, 200)
    padding: int = 0
    """Bytes by which each record is larger than it need be."""
    at_once: int = 500
    """Records written when fewer than `least` have no end yet."""
    least: int = 1_200
    sent: dict[Place, Sent] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Open a producer."""
        settings = self.kafka.client(enable_idempotence=True, acks="all", linger_ms=5)
        self._producer = Producer(settings)

    def slow(self, seconds: float) -> None:
        """Ask for work that takes about so long, and for less of it."""
        self.work_ms = int(seconds * 900), int(seconds * 1_100)
        self.at_once, self.least = 150, 120

    def quick(self) -> None:
        """Ask for work that takes moments again."""
        self.work_ms = (20, 200)

    def write(self, count: int) -> None:
        """Write *count* records and wait until all are acknowledged."""
        expected = len(self.sent) + count
        for _ in range(count):
            self._write_one(self._record())
        self._producer.flush(60)
        assert len(self.sent) == expected, f"{expected - len(self.sent)} records were not acknowledged"

    def _record(self) -> Sent:
        rng = self.rng
        hot = rng.random() < 0.03
        key = "-" if rng.random() < 0.02 else f"key-{rng.randrange(_HOT if hot else KEYS)}"
        self._counts[key] += 1
        value: dict[str, object] = {
            "seq": self._counts[key],
            "work_ms": rng.randint(*self.work_ms),
            "fails": self._failures(),
        }
        value |= {"padding": "." * self.padding} if self.padding else {}
        headers: Headers = [("trace", rng.randbytes(4)), ("trace", None)]
        return Sent(key, self._counts[key], orjson.dumps(value), headers)

    def _failures(self) -> int:
        draw = self.rng.random()
        if draw < self.given_up / 2:
            return -1
        if draw < self.given_up:
            return _ALWAYS
        return self.rng.randrange(1, self.max_attempts) if draw < self.given_up + self.failing else 0

    def _write_one(self, record: Sent) -> None:
        def acknowledged(error: KafkaError | None, message: Message) -> None:
            if error is None:
                place = Place(cast("int", message.partition()), cast("int", message.offset()))
                self.sent[place] = replace(record, time_ms=message.timestamp()[1])

        key = None if record.key == "-" else record.key.encode()
        headers = cast("list[tuple[str, str | bytes | None]]", record.headers)
        self._producer.produce(self.topic, record.value, key, headers=headers, on_delivery=acknowledged)
        self._producer.poll(0)


@dataclass
class Scene:
    """Everything of one run."""

    kafka: Kafka
    topic: str
    group: str
    load: Load
    crew: Crew
    is_parking: bool = False
    """Records that fail, and those behind them, leave memory for the chain."""
    faults: list[Fault] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    judged: Verdict | None = None
    """What was found in the end."""

    @property
    def chain(self) -> Chain:
        """What its group keeps beside the topic."""
        return Chain(self.kafka.client(), self.topic, self.group)

    @property
    def backlog(self) -> int:
        """Records written whose runs have not come to an end, roughly."""
        return len(self.load.sent) - sum(worker.ended for worker in self.crew.workers)

    def under_load(self, condition: Callable[[], object], *, within_s: float = 60) -> None:
        """Wait for *condition* while there is always work."""

        def met() -> bool:
            if self.backlog < self.load.least:
                self.load.write(self.load.at_once)
            return bool(condition())

        eventually(met, within_s=within_s, every_s=0.05)

    def wait(self, condition: Callable[[], object], *, within_s: float = 60) -> None:
        """Wait for *condition* and write nothing meanwhile."""
        eventually(condition, within_s=within_s, every_s=0.25)

    def start(self, *options: str, **environment: str) -> Worker:
        """Start one more member and wait until it works."""
        worker = self.crew.start(*options, output=None, **environment)
        self.under_load(lambda: worker.ended or self._require(worker))
        return worker

    def busy(self, worker: Worker, *, in_flight: int = IN_FLIGHT, after: int = 0) -> int:
        """Wait until *worker* has so many records in flight, *after* further ones have ended there; give how many."""
        enough, seen = worker.ended + after, 0

        def is_busy() -> bool:
            nonlocal seen
            seen = len(worker.in_flight)
            return worker.ended >= enough and seen >= in_flight

        self.under_load(is_busy)
        return seen

    def kill(self, worker: Worker, *, in_flight: int = 0) -> Fault:
        """Kill *worker* while *in_flight* records run there, counted while it stands still.

        Where records park, at least one of its partitions waits in a tier then, and one is parked.
        """

        def stands_still_at_work() -> bool:
            self.crew.suspend(worker)
            if len(worker.in_flight) < in_flight or (self.is_parking and not all(self.waiting_at(worker))):
                worker.tell(signal.SIGCONT)
            return worker.is_suspended

        self.under_load(stands_still_at_work)
        waiting = self.waiting_at(worker) if self.is_parking else (0, 0)
        worker.kill()
        return self.note_end(worker, "SIGKILL", waiting=waiting)

    def kill_newcomer(self) -> Fault:
        """Kill a member that starts alone, between its partitions and its first commit, which the broker has not."""
        for _ in range(_NEWCOMERS):
            before = self.read().owners
            worker = self.crew.start()
            eventually(partial(getattr, worker, "grants"), within_s=60, every_s=0.001)
            worker.kill()
            fault = self.note_end(worker, "SIGKILL before its first commit", waiting=self._count(self.read().waiting))
            if self.read().owners == before:
                return fault
        raise AssertionError(f"{_NEWCOMERS} newcomers had committed before they were killed")

    def waiting_at(self, worker: Worker) -> tuple[int, int]:
        """Count what waits in tiers and what is parked of the partitions in which *worker* runs records."""
        numbers = {place.partition for place in worker.in_flight}
        waiting = self.read().waiting
        return self._count({place: kind for place, kind in waiting.items() if place.partition in numbers})

    def _count(self, waiting: Mapping[Place, Kind]) -> tuple[int, int]:
        """Count tiers and parked in *waiting*, without what runs or has ended and was not committed yet."""
        ended = {place for one in self.crew.workers for place in one.well_ended}
        busy = ended.union(*(one.in_flight for one in self.crew.workers if one.is_running))
        kinds = Counter(kind for place, kind in waiting.items() if place not in busy)
        return kinds["tier"], kinds["parked"]

    def note_end(
        self, worker: Worker, what: str, *, since: Reading | None = None, waiting: tuple[int, int] = (0, 0)
    ) -> Fault:
        """Note that *worker* goes: what it had begun, and was not committed (*since*) as finished, may run again."""
        reading = since or self.read()
        may_repeat = frozenset(place for place in worker.touched if not reading.has_finished(place))
        fault = Fault(f"{what} of {worker.pid}", may_repeat, len(worker.in_flight), *waiting)
        self.faults.append(fault)
        return fault

    def is_gone(self, worker: Worker) -> bool:
        """Whether *worker* has ended."""
        return not worker.is_running

    def read(self) -> Reading:
        """Read the group's committed state, and keep it."""
        found = self.chain.reading()
        if found.committed:
            self.readings.append(found)
        return found

    def heal(self, *, within_s: float = 90) -> None:
        """Wait until everything that was written is settled and committed, and nothing waits in the chain."""
        ends = self._ends()
        eventually(lambda: self._is_settled(ends), within_s=within_s, every_s=0.25)

    def end(self) -> History:
        """Stop all members in order, and collect what happened."""
        codes = self.crew.stop()
        assert not any(codes), f"members told to stop ended with {codes}:\n{self.crew.workers[-1].last_words}"
        return self.history()

    def history(self) -> History:
        """Collect what happened."""
        self.read()
        return History(
            sent=self.load.sent,
            runs=tuple(run for worker in self.crew.workers for run in worker.runs()),
            dead=tuple(self.chain.dead_letters()),
            readings=tuple(self.readings),
            ends=self._ends(),
            faults=tuple(self.faults),
            pauses=tuple(self.crew.pauses),
            standstills=tuple(self.crew.watch.standstills),
            max_attempts=self.load.max_attempts,
        )

    def verdict(self, *, but: tuple[str, ...] = ()) -> Verdict:
        """Heal, end and judge."""
        self.heal()
        self.judged = judge(self.end(), but=but)
        return self.judged

    def _is_settled(self, ends: dict[int, int]) -> bool:
        for worker in self.crew.present[:1]:
            self._require(worker)
        source = committed_of(self.kafka.client(), self.group, self.topic).get(self.topic, {})
        is_read = all(not end or (number in source and source[number].offset == end) for number, end in ends.items())
        return is_read and not (self.is_parking and self.chain.reading().waiting)

    def _ends(self) -> dict[int, int]:
        return {place.number: end for place, end in ends_of(self.kafka.client(), self.topic).items()}

    def _require(self, worker: Worker) -> bool:
        assert worker.is_running, f"worker {worker.pid} ended by itself:\n{worker.last_words}"
        return False
