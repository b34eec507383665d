"""One partition in the hands of its owner: what was read, what may run, what has settled.

`PartitionState` is sans I/O: messages, outcomes and acknowledgements go in;
runs, decisions and the offset to commit come out; time is an argument.  On a
record's way it stands between poll and executor (`admit`, `enlane`) and again
between executor and commit (`finish`, `fail`, `settle`, `snapshot`).

Records of one key form a *lane* and run one at a time, in the order of their
offsets.  A key stands in the lane table only while one of its records is
running or waits for another attempt; with no key in trouble the lane table is
all there is.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final, TypeAlias, cast

from streams.engine.chain import Attempt
from streams.engine.ledger import Chunk, Ledger
from streams.engine.snapshot import Snapshot, encode_within, runs_of
from streams.kafka.message import KEY, Message
from streams.outcome import Retry
from streams.record import Partition
from streams.retry import GiveUp, RetryAfter, RetryPolicy

LaneKey: TypeAlias = bytes | int
"""A Kafka key; a record without one has a lane of its own, named by its offset."""

Item: TypeAlias = "tuple[Message, bytearray, int, LaneKey, PartitionState]"
"""One record on its way: the message, its byte in a chunk (array, index), its lane, its partition.

A plain tuple, made by `zip` at a third of an object's cost."""

Run: TypeAlias = Sequence[Item]
"""Records of one lane that one executor slot runs one after the other."""

WHOLE: Final[LaneKey] = -1
"""The one lane of a partition whose records all run in order."""

NEVER: Final = float("-inf")


@dataclass(slots=True)
class Trouble:
    """What happened so far to a record that failed."""

    item: Item
    attempts: int = 0
    first_failed_s: float = 0.0
    history: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """The record waits in memory, its lane held, until it runs again."""

    due_s: float
    attempt: int
    cause: BaseException


@dataclass(frozen=True, slots=True)
class Bury:
    """The record belongs in the dead-letter topic; it settles once that is acknowledged."""

    item: Item
    cause: BaseException
    reason: str
    attempts: int
    history: tuple[Attempt, ...]


@dataclass(slots=True, eq=False)
class PartitionState:
    """What this member knows of one partition during one assignment.

    Owned by the poll thread.  Executor slots read `lease_until` and `partition` only.

    Always true:

    * Of one lane at most one record runs or waits for another attempt; what
      came after it waits behind it, in offset order.
    * A record settles once, after its work, and its lane moves on only then.
    * After `close` nothing starts; after `drop` nothing that comes in is committed,
      as the committer knows only the states of the current assignment.
    """

    partition: Partition
    assignment_id: bytes
    """Random, made anew at each assignment: what was sent under another one is not ours."""
    ledger: Ledger
    policy: RetryPolicy
    rng: random.Random
    whole: bool = False
    """All records of the partition form one lane."""
    starts: int = 0
    """Owners, this one included, that began at the same committed offset without a graceful end."""
    lease_until: float = NEVER
    """No record starts after this monotonic time."""
    has_caught_up: bool = False
    """The end of the log was reached after the last record."""
    is_closed: bool = False
    """Nothing starts any more; what runs may end and settle."""
    is_graceful: bool = False
    """This owner ended of its own will."""
    is_dropped: bool = False
    """Not ours any more: whatever still comes in is ignored."""
    admitted: int = 0
    """Records admitted, ever."""
    told: int = 0
    """Records of those settled that the observer has heard of."""
    latest: Message | None = None
    """One of the records that settled last."""
    outstanding: int = 0
    """Records admitted and not settled."""
    outstanding_bytes: int = 0
    began_at: int = field(init=False)
    """The committed offset that this owner started from."""
    lanes: dict[LaneKey, list[Item] | None] = field(default_factory=dict)
    """Busy lanes: None, or what waits behind the record that holds the lane."""
    trouble: dict[LaneKey, Trouble] = field(default_factory=dict)
    """Lanes whose first record failed and has not settled."""
    _waiting: list[tuple[float, int, LaneKey]] = field(default_factory=list, init=False)
    _postponed: list[Run] = field(default_factory=list, init=False)
    _sequence: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Note where this owner starts."""
        self.began_at = self.ledger.committable

    # -- in: what was read ----------------------------------------------------------------

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read; give those that are to run, None where there is nothing new."""
        chunk = self.ledger.admit(messages)
        self.has_caught_up = False
        if chunk is not None:
            self.admitted += len(chunk.messages)
            self.outstanding += len(chunk.messages)
            self.outstanding_bytes += chunk.size_bytes
        return chunk

    def reach(self, end: int) -> None:
        """Note that the log holds nothing further below *end*."""
        self.ledger.reach(end)
        self.has_caught_up = True

    def settle_chunk(self, chunk: Chunk) -> None:
        """Note that every record of *chunk* has run well."""
        self.outstanding -= len(chunk.messages)
        self.outstanding_bytes -= chunk.size_bytes
        if chunk.messages:  # an earlier owner may have settled them all
            self.latest = chunk.messages[-1]
        chunk.settle_all()

    def settle_first(self, chunk: Chunk, count: int) -> None:
        """Note that the first *count* records of *chunk* have run well."""
        for index, message in zip(chunk.indexes[:count], chunk.messages, strict=False):
            chunk.settled[index] = 1
            self.outstanding_bytes -= len(message)
        self.outstanding -= count
        if count:
            self.latest = chunk.messages[count - 1]

    def enlane(self, chunk: Chunk, start: int = 0) -> Sequence[Run]:
        """Put the records of *chunk* from the *start*-th on into their lanes; give the runs of free lanes."""
        messages = chunk.messages[start:] if start else chunk.messages
        indexes = chunk.indexes[start:] if start else chunk.indexes
        chunk.messages = []
        if self.whole:
            return self._enlane_whole(list(zip(messages, repeat(chunk.settled), indexes, repeat(WHOLE), repeat(self))))
        keys: list[LaneKey] = self._keys(chunk, messages, indexes)
        lanes = self.lanes
        runs: list[list[Item]] = []
        for item in zip(messages, repeat(chunk.settled), indexes, keys, repeat(self)):
            key = item[3]
            if key not in lanes:
                lanes[key] = run = [item]
                runs.append(run)
            elif (lane := lanes[key]) is None:
                lanes[key] = [item]
            else:
                lane.append(item)  # behind a busy lane's record, or further down a run of this very chunk
        for run in runs:
            lanes[run[0][3]] = None
        return runs

    def _keys(self, chunk: Chunk, messages: list[Message], indexes: Sequence[int]) -> list[LaneKey]:
        keys: list[bytes | None] = list(map(KEY, messages))
        if None in keys:
            return [chunk.offset_at(index) if key is None else key for key, index in zip(keys, indexes, strict=True)]
        return cast("list[LaneKey]", keys)

    def _enlane_whole(self, items: list[Item]) -> list[Run]:
        if WHOLE not in self.lanes:
            self.lanes[WHOLE] = None
            return [items] if items else []
        self.lanes[WHOLE] = (self.lanes[WHOLE] or []) + items
        return []

    # -- in: what became of it ------------------------------------------------------------

    def interrupt(self, run: Run, done: int) -> Item:
        """Note that *run* stopped after *done* records ended well; give the one it stopped at.

        That one holds the lane; what the run did not reach waits behind it again.
        """
        self._mark(run[:done])
        item, rest = run[done], list(run[done + 1 :])
        if rest:
            self.lanes[item[3]] = rest + (self.lanes[item[3]] or [])
        return item

    def postpone(self, item: Item) -> None:
        """Put back *item*, which was not started: the lease had ended, or its run had taken long enough."""
        if not self.is_closed:
            self._postponed.append((item,))

    def fail(self, item: Item, outcome: Retry, now_s: float, wall_ms: int) -> Hold | Bury:
        """Decide what follows a run that failed: the lane holds, or the record is given up."""
        error = outcome.cause
        trouble = self._count_failure(item, error, wall_ms, now_s)
        decision = self.policy.decide(
            error,
            attempt=trouble.attempts,
            since_first_s=now_s - trouble.first_failed_s,
            after_s=None if outcome.after is None else outcome.after.total_seconds(),
        )
        if isinstance(decision, RetryAfter):
            due_s = now_s + self.policy.for_error(error).jittered(decision.delay_s, self.rng)
            self._sequence += 1
            heapq.heappush(self._waiting, (due_s, self._sequence, item[3]))
            return Hold(due_s, trouble.attempts, error)
        return Bury(item, error, decision.reason, trouble.attempts, trouble.history)

    def bury(self, item: Item, error: BaseException, why: GiveUp, wall_ms: int) -> Bury:
        """Give up *item* after a run that allows no other: say what its dead letter tells."""
        trouble = self._count_failure(item, error, wall_ms)
        return Bury(item, error, why.reason, trouble.attempts, trouble.history)

    def _count_failure(self, item: Item, error: BaseException, wall_ms: int, now_s: float = 0.0) -> Trouble:
        trouble = self.trouble.setdefault(item[3], Trouble(item, first_failed_s=now_s))
        trouble.attempts += 1
        trouble.history = (*trouble.history[-9:], Attempt(wall_ms, type(error).__name__))
        return trouble

    def settle(self, item: Item) -> Run | None:
        """Note that *item*, which held its lane, needs no more work; give the lane's next run."""
        self.trouble.pop(item[3], None)
        self._mark((item,))
        return self.release(item[3])

    def release(self, key: LaneKey) -> Run | None:
        """Give what waits in the lane of *key* as its next run, or free the lane."""
        behind = self.lanes[key]
        if behind is None:
            del self.lanes[key]
        else:
            self.lanes[key] = None
        return behind

    def _mark(self, items: Run) -> None:
        for message, settled, index, _, _ in items:
            settled[index] = 1
            self.outstanding_bytes -= len(message)
            self.latest = message
        self.outstanding -= len(items)

    # -- in: time and the group -----------------------------------------------------------

    def due(self, now_s: float) -> list[Run]:
        """Give the runs whose wait has ended, and those that wait for the lease, once it holds."""
        if now_s > self.lease_until:
            return []
        runs, self._postponed = self._postponed, []
        while self._waiting and self._waiting[0][0] <= now_s:
            runs.append((self.trouble[heapq.heappop(self._waiting)[2]].item,))
        return runs

    @property
    def has_waiting(self) -> bool:
        """Something waits for its time or for the lease."""
        return bool(self._waiting or self._postponed)

    @property
    def next_due_s(self) -> float:
        """Monotonic time of the next attempt; infinity with none."""
        return self._waiting[0][0] if self._waiting else float("inf")

    def renew(self, until_s: float) -> None:
        """Allow records to start until *until_s*."""
        if not self.is_closed:
            self.lease_until = until_s

    def close(self) -> None:
        """Let nothing start any more; what runs may end."""
        self.is_closed = True
        self.lease_until = NEVER
        self._postponed = []

    def end_gracefully(self) -> None:
        """Take this owner out of the count of starts: what comes after is no second try."""
        self.is_graceful = True

    def drop(self) -> None:
        """Ignore whatever still comes in: another owner reads these records."""
        self.close()
        self.is_dropped = True

    # -- out: what stands in the ledger -----------------------------------------------------

    def snapshot(self) -> tuple[int, str, bool]:
        """Give the offset to commit, its metadata, and whether all settled ranges fitted in."""
        committable = self.ledger.committable
        runs = runs_of(self.ledger.ranges(), committable)
        starts = self.starts if committable == self.began_at else 1
        text, kept = encode_within(Snapshot(self.assignment_id, starts - self.is_graceful, runs))
        return committable, text, kept.complete

    @property
    def settled(self) -> int:
        """Records that have settled here, ever."""
        return self.admitted - self.outstanding

    @property
    def retrying(self) -> int:
        """Records that wait in memory for another attempt."""
        return len(self._waiting)

    @property
    def behind(self) -> int:
        """Records that wait behind one of their key that failed."""
        return sum(len(self.lanes.get(key) or ()) for key in self.trouble)

    @property
    def waiting(self) -> int:
        """Records that can't run before another attempt: the failed ones and what waits behind them."""
        return len(self.trouble) + self.behind

    def attempts_of(self, key: LaneKey) -> int:
        """Count the failed runs of the record that holds the lane of *key*."""
        trouble = self.trouble.get(key)
        return 0 if trouble is None else trouble.attempts


def finish(runs: Iterable[Run]) -> Iterator[Run]:
    """Settle whole *runs* that ended well, of any partitions; give the next runs of their lanes.

    The hot half of `PartitionState.settle`: one loop for all of a turn's runs.
    """
    for run in runs:
        size_bytes = 0
        for message, settled, index, key, state in run:  # noqa: B007  # key and state are those of all of them
            settled[index] = 1
            size_bytes += len(message)
        state.outstanding_bytes -= size_bytes
        state.outstanding -= len(run)
        state.latest = message
        if state.trouble:
            state.trouble.pop(key, None)
        behind = state.lanes[key]
        if behind is None:
            del state.lanes[key]
        else:
            state.lanes[key] = None
            yield behind
