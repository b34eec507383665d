"""One owner of the partition: the real `PartitionState`, and round it as little as will make it go.

What loop, router, executor, committer and sweeper do with a partition is done
here in a line each: runs that are handed out start at once where the lease
holds, copies leave in order and are acknowledged in order, topic by topic.
The owner also keeps what it has still to end, and says so when a record starts
that may not.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from streams.engine import parking
from streams.engine.backlog import LaneKey
from streams.engine.chainstate import ChainState, Lineage
from streams.engine.ledger import Ledger
from streams.engine.letters import copies, letter
from streams.engine.partition import NEVER, Bury, Item, Move, PartitionState, Run, finish
from streams.engine.plan import ChainPlan
from streams.engine.recovery import Recovery
from streams.engine.retries import Retries
from streams.engine.snapshot import decode
from streams.kafka.chainreader import ChainReader
from streams.kafka.commits import Request
from streams.kafka.consumer import Stored
from streams.kafka.message import Message, make_message
from streams.kafka.offsets import Watermarks
from streams.kafka.reader import Stretch
from streams.observer import Observer
from streams.outcome import Retry
from streams.record import Partition
from streams.retry import GiveUp, RetryPolicy
from streams.testing.clock import ManualClock

WALL_MS = 1 << 40
"""What the wall clock shows, always: time passes by making copies older."""
FRESH_MS = WALL_MS
"""When a copy was appended that is not due."""
DUE_MS = 0
"""When one was that is."""
LATER_S = 1e9
FOREVER_S = float("inf")
FAILURE = OSError("down")


class Copy(NamedTuple):
    """One record of the chain as the broker keeps it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Placed(NamedTuple):
    """A copy in a log."""

    copy: Copy
    stamp_ms: int


Log: TypeAlias = "tuple[Placed, ...]"
Sent: TypeAlias = "tuple[int, Copy]"
"""The number of a topic in the chain, and what is to be appended there."""


class OrderError(Exception):
    """A record started that may not."""


@dataclass(frozen=True)
class Engine:
    """What is explored: the engine as it is, or with something of it broken on purpose."""

    plan: ChainPlan
    policy: RetryPolicy
    keys: tuple[bytes | None, ...]
    """Of the source's records."""
    state_class: type[PartitionState] = PartitionState
    chain_class: type[ChainState[Item]] = ChainState
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def source(self) -> Partition:
        """The partition that is owned."""
        return Partition(self.plan.source, 0)

    @property
    def places(self) -> list[Partition]:
        """The partitions of its chain."""
        return [Partition(stage.topic, 0) for stage in self.plan.stages]

    def record(self, offset: int) -> Message:
        """Give one record of the source."""
        return make_message(self.plan.source, 0, offset, key=self.keys[offset], value=b"")

    def read(self, number: int, start: int, part: Iterable[Placed]) -> list[Message]:
        """Give *part* of a log of the chain, from *start* on, as it is read."""
        topic = self.plan.stages[number].topic
        return [
            make_message(
                topic,
                0,
                start + index,
                key=one.copy.key,
                value=one.copy.value,
                headers=list(one.copy.headers),
                timestamp_ms=one.stamp_ms,
            )
            for index, one in enumerate(part)
        ]

    def fresh(self, state: PartitionState) -> ChainState[Item]:
        """Make a chain that knows of nothing."""
        plan = self.plan
        return self.chain_class(
            plan.stages,
            Lineage(state.partition, plan.topic_id, plan.group),
            assignment_id=state.assignment_id,
            after_death=plan.dead_letters,
            is_ordered=plan.policy != "unordered",
        )


class Logs(ChainReader):
    """Scans logs that stand still."""

    def __init__(self, engine: Engine, logs: Sequence[Log]) -> None:
        self._engine = engine
        self._logs = logs

    def scan(
        self, ranges: Mapping[Partition, Stretch], *, silence_s: float = 0
    ) -> Iterator[tuple[Partition, list[Message]]]:
        places = self._engine.places
        for place, stretch in ranges.items():
            number = places.index(place)
            part = self._logs[number][stretch.start : stretch.stop]
            yield place, self._engine.read(number, stretch.start, part)


class Running(NamedTuple):
    """A run that was started, and which of its records is at work."""

    run: Run
    at: int

    @property
    def item(self) -> Item:
        """That record."""
        return self.run[self.at]


class Owner:
    """A partition in somebody's hands.

    Always true: `open` has the records that this owner found outstanding, or
    in the source unread, and did not end since.
    """

    def __init__(self, engine: Engine, state: PartitionState) -> None:
        self.engine = engine
        self.state = state
        self.running: dict[LaneKey, Running] = {}
        self.ways: list[deque[Move | Bury]] = [deque() for _ in engine.plan.stages]
        """By topic: copies whose acknowledgement is awaited."""
        self.open: set[int] = set()
        self.sent: list[Sent] = []
        self.done: list[int] = []
        self.started: list[LaneKey] = []
        """What the last step sent, ended well, and started."""

    # -- steps ----------------------------------------------------------------------------------

    def lease(self) -> None:
        """The first commit is acknowledged: records may start."""
        self.state.renew(FOREVER_S)

    def lapse(self) -> None:
        """The lease runs out unnoticed: the partition is another owner's."""
        self.state.lease_until = self.state.granted_until = NEVER

    def read(self, count: int) -> None:
        """Records of the source arrive."""
        position, end = self.state.ledger.position, len(self.engine.keys)
        until = min(end, position + count)
        chunk = self.state.admit([self.engine.record(offset) for offset in range(position, until)])
        if until == end:
            self.state.reach(end)
        if chunk is not None:
            self._hand(self.state.enlane(chunk))

    def end_well(self, key: LaneKey) -> None:
        """The record of *key* that is at work ends well; the next one of its run begins, or the run has ended."""
        run, at = self.running[key]
        offset = _offset(run[at])
        self.done.append(offset)
        self.open.discard(offset)
        if at + 1 < len(run):
            self.running[key] = Running(run, at + 1)
            self._begin(key)
        else:
            del self.running[key]
            self._hand(list(finish([run])))

    def fail(self, key: LaneKey) -> None:
        """The record of *key* that is at work fails."""
        item = self._stop(key)
        match self.state.fail(item, Retry(FAILURE), 0.0, 1):
            case Move() | Bury() as move:
                self._send(move)
            case _:
                pass  # it waits in memory

    def give_up(self, key: LaneKey) -> None:
        """The handler of the record of *key* that is at work gives it up."""
        bury = self.state.bury(self._stop(key), FAILURE, GiveUp("its own word"), 0.0, 1)
        assert isinstance(bury, Bury)
        self._send(bury)

    def acknowledge(self, number: int, offset: int, stamp_ms: int) -> None:
        """The broker has the oldest copy that is on its way to a topic."""
        move = self.ways[number].popleft()
        if isinstance(move, Bury) and self.state.chain.after_death == "continue":
            self.open.discard(_offset(move.item))
        move.offset, move.appended_ms = offset, stamp_ms
        self._hand([run for _, run in self.state.moved([move])])

    def relieve(self) -> None:
        """What has waited long in memory moves out."""
        for _ in range(2):  # the first look notes since when
            for move in parking.relieve(self.state, 0.0):
                self._send(move)

    def force(self) -> None:
        """All that waits in memory moves out."""
        for move in parking.relieve(self.state, 0.0, is_forced=True):
            self._send(move)

    def wait(self) -> None:
        """What waits in memory for its time, or for the lease, is due."""
        self._hand(self.state.due(LATER_S))

    def load(self, number: int, start: int, part: Iterable[Placed]) -> None:
        """A stretch of a topic of the chain is read."""
        runs, moves = parking.load(self.state, number, self.engine.read(number, start, part), WALL_MS)
        self._hand(runs)
        for move in moves:
            self._send(move)

    def go_over(self, number: int) -> None:
        """All that is outstanding in a topic of the chain is to move on: its ledger is too long, or it is old."""
        part = self.state.chain.parts[number]
        part.relief = range(part.committable, part.end)

    def commit(self) -> Request:
        """Say what is to be committed."""
        return self.state.snapshots()[0]

    def grow_old(self, number: int) -> None:
        """The delay of a tier passes."""
        stamps = self.state.chain.parts[number]._stamps  # noqa: SLF001  # time is relative here: the clock stands
        stamps[:] = type(stamps)("q", bytes(8 * len(stamps)))

    # -- told -----------------------------------------------------------------------------------

    def at_work(self, key: LaneKey) -> int:
        """Give the record of *key* that is running."""
        return _offset(self.running[key].item)

    # -- inside ---------------------------------------------------------------------------------

    def _stop(self, key: LaneKey) -> Item:
        running = self.running.pop(key)
        return self.state.interrupt(running.run, running.at)

    def _send(self, move: Move | Bury) -> None:
        self.ways[move.number].append(move)
        is_dead = move.number == self.state.chain.dlq
        record = letter(move, handler="", wall_ms=1) if is_dead else copies(self.state, [move])[0]
        self.sent.append((move.number, Copy(record.key, record.value, tuple(record.headers))))

    def _hand(self, runs: Iterable[Run]) -> None:
        """Start *runs*, as executors do: each key's own, and only with a lease."""
        for run in runs:
            key = run[0][3]
            if key in self.running:
                raise OrderError(f"record {_offset(run[0])} starts while {_offset(self.running[key].item)} runs")
            self.running[key] = Running(run, 0)
            self._begin(key)

    def _begin(self, key: LaneKey) -> None:
        if self.state.lease_until == NEVER:
            self.state.postpone(self._stop(key))
            return
        offset = _offset(self.running[key].item)
        if offset not in self.open:
            raise OrderError(f"record {offset} starts, and it has ended")
        self.started.append(key)
        keys = self.engine.keys
        older = [one for one in sorted(self.open) if one < offset and keys[one] == keys[offset]]
        if older and self.engine.plan.policy != "unordered":
            raise OrderError(f"record {offset} starts before record {older[0]}, an older one of its key, has ended")


def begin(
    engine: Engine, assignment_id: bytes, stored: Sequence[Stored], logs: Sequence[Log], ends: Sequence[int]
) -> Owner:
    """Let a new owner take the partition, by what is *stored* for source and chain, and the logs up to *ends*."""
    offset, metadata, _ = stored[0]
    snapshot = decode(metadata)
    restored = [] if snapshot is None or offset is None else list(snapshot.settled(offset))
    state = engine.state_class(
        partition=engine.source,
        assignment_id=assignment_id,
        ledger=Ledger(offset or 0, restored),
        retries=Retries(engine.policy, engine.rng),
        park_after_s=0.0,
    )
    state.chain = engine.fresh(state)
    places = engine.places
    marks = {place: Watermarks(0, end) for place, end in zip(places, ends, strict=True)}
    recovery = Recovery(Logs(engine, logs), lambda _: marks, ManualClock(), Observer())
    found = dict(zip([engine.source, *places], stored, strict=True))
    recovery.restore([state], found, lambda _, one: decode(one.metadata), engine.fresh)
    owner = Owner(engine, state)
    owner.open = outstanding(owner)
    return owner


def outstanding(owner: Owner) -> set[int]:
    """Give the records that an owner which has read nothing yet is to run."""
    state, chain = owner.state, owner.state.chain
    unread = {offset for offset in range(len(owner.engine.keys)) if not state.ledger.was_settled(offset)}
    return unread | {origin for backlog in chain.index.values() for origin, _ in backlog.entries()}


def _offset(item: Item) -> int:
    offset = item[0].offset()
    return -1 if offset is None else offset
