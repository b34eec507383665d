"""One partition in the hands of its owner: what was read, what may run, what has settled.

`PartitionState` is sans I/O: messages, outcomes and acknowledgements go in;
runs, decisions and the offset to commit come out; time is an argument.  On a
record's way it stands between poll and executor (`admit`, `enlane`) and again
between executor and commit (`finish`, `fail`, `settle`, `snapshot`).

Records of one key form a *lane* and run one at a time, in the order of their
offsets.  A key stands in the lane table only while one of its records is
running, waits for another attempt, or stands in the chain; with no key in
trouble the lane table is all there is.  With the key in the chain's index
too, `advance` decides what of it runs next: its oldest outstanding record,
wherever that one is (protocol, rules 1 to 3).

What has rooms of its own: which offsets have settled (`ledger.py`), what
stands in the chain (`chainstate.py`), what is to run again (`retries.py`),
and how this owner stands to those before it (`tenure.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice, repeat, takewhile
from typing import Final, TypeAlias, cast

import msgspec

from streams.engine.backlog import Backlog, LaneKey, first_places
from streams.engine.chain import Attempt, CopyHeader, original, read
from streams.engine.chainstate import ChainState
from streams.engine.ledger import Chunk, Ledger
from streams.engine.retries import Hold, Retries, Trouble
from streams.engine.snapshot import encode_within, runs_of
from streams.engine.tenure import Tenure
from streams.kafka.commits import Entry, Request
from streams.kafka.message import KEY, Message
from streams.outcome import Retry
from streams.record import Partition, Record
from streams.retry import GiveUp, RetryAfter

Item: TypeAlias = "tuple[Message, bytearray, int, LaneKey, PartitionState]"
"""One record on its way: the message, its byte in a chunk (array, index), its lane, its partition.

A plain tuple, made by `zip` at a third of an object's cost."""

Run: TypeAlias = Sequence[Item]
"""Records of one lane that one executor slot runs one after the other."""

LOADED: Final = bytearray(1)
"""In an item, instead of a chunk's bytes: the record was read from the chain, whose ledger knows it."""

Refuses: TypeAlias = Callable[[str, BaseException], bool]
"""Says of a topic whether one more dead letter, of that error, is one too many."""

NEVER: Final = float("-inf")
_FAR: Final = 1 << 62
NO_LIMIT: Final = 1 << 62


def _never(_topic: str, _error: BaseException) -> bool:
    return False


class Move(msgspec.Struct, eq=False, gc=False):
    """The record belongs in another topic of the chain; where it was it settles once that is acknowledged."""

    item: Item
    number: int
    """Which topic."""
    left: int | None
    """The place in the chain that it leaves, packed; None: the source."""
    attempts: int
    """Runs so far, in all."""
    packed: bytes
    """The header of the copy."""
    offset: int = -1
    """Where the copy stands, and since when, once the broker has it."""
    appended_ms: int = -1

    @property
    def header(self) -> CopyHeader:
        """What the copy says of itself."""
        return read(self.packed)


class Bury(Move, eq=False, gc=False, kw_only=True):
    """The record belongs in the dead-letter topic; it settles once that is acknowledged."""

    cause: BaseException
    reason: str

    @classmethod
    def by(cls, move: Move, cause: BaseException, reason: str) -> Bury:
        """Give *move*, which goes to the dead-letter topic, with why."""
        return cls(move.item, move.number, move.left, move.attempts, move.packed, cause=cause, reason=reason)


class Withheld(msgspec.Struct, frozen=True):
    """The record would be a dead letter, and the guard before them is open: it is held, and runs again."""


Decision: TypeAlias = "Hold | Move | Bury | Withheld"
"""What follows a run that failed."""


@dataclass(slots=True, eq=False)
class PartitionState:
    """What this member knows of one partition during one assignment.

    Owned by the poll thread.  Executor slots read `lease_until` and `partition` and ask `lets_probe`, and nothing else.

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
    retries: Retries[Item]
    """What is to run again."""
    chain: ChainState[Item] = field(default_factory=ChainState)
    """What is outstanding beside the source topic."""
    park_after_s: float = 10.0
    """How long records wait in memory behind one that stands in the chain."""
    key_limit: int = NO_LIMIT
    """Records of one key in the chain from which on its further ones become dead letters."""
    tenure: Tenure = field(default_factory=Tenure)
    """How this owner stands to those before it and after."""
    lease_until: float = NEVER
    """No record starts after this monotonic time."""
    granted_until: float = NEVER
    """Until when the lease holds; the same as `lease_until`, unless the route stands still."""
    is_suspended: bool = False
    """The route stands still: nothing starts but probes, whatever the lease says."""
    permits: dict[LaneKey, float] = field(default_factory=dict)
    """Lanes whose next record may start as a probe all the same, and until when."""
    has_caught_up: bool = False
    """The end of the log was reached after the last record."""
    is_closed: bool = False
    """Nothing starts any more; what runs may end and settle."""
    lacks: str = ""
    """What is missing of its chain, where something is: until that is made nothing of it starts."""
    is_whole: bool = False
    """Records of it are running that stand in no lane."""
    is_dropped: bool = False
    """Not ours any more: whatever still comes in is ignored."""
    admitted: int = 0
    """Records admitted, ever."""
    told: int = 0
    """Records of those settled that the observer has heard of."""
    latest: Message | None = None
    """One of the records that settled last."""
    outstanding: int = 0
    """Records in memory: admitted, or read from the chain, and not settled."""
    outstanding_bytes: int = 0
    withdrawn: int = 0
    """Records that left memory for the chain, ever: neither settled nor outstanding here."""
    lanes: dict[LaneKey, list[Item] | None] = field(default_factory=dict)
    """Busy lanes: None, or what waits behind the record that holds the lane."""
    trouble: dict[LaneKey, Trouble[Item]] = field(init=False)
    """Lanes whose first record failed and has not settled: the very table of `retries`, for the path of every run."""
    crowd: dict[LaneKey, float | None] = field(default_factory=dict)
    """Lanes in which records of the source wait behind the chain, and since when, once that was looked at."""

    def __post_init__(self) -> None:
        """Note where this owner starts."""
        self.trouble = self.retries.trouble
        self.tenure.began_at = self.ledger.committable

    def begin_chain(self) -> None:
        """Take up what the scan of the chain found: its keys are busy, and their oldest records are looked for."""
        self.ledger.restore(self.chain.scanned(self.ledger.was_settled))
        self.tenure.chain_began = self.chain.marks()
        self.lanes.update(dict.fromkeys(self.chain.index))
        for key, backlog in self.chain.index.items():
            self.chain.want(key, backlog, self.ledger.position)

    # -- in: what was read ----------------------------------------------------------------

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read; give those that are to run, None where there is nothing new."""
        chunk = self.ledger.admit(messages)
        self.has_caught_up = False
        if chunk is not None:
            if chunk.base <= self.chain.seen_until:
                chunk.leave_out(self._is_known)
            self.admitted += len(chunk.messages)
            self.outstanding += len(chunk.messages)
            self.outstanding_bytes += chunk.size_bytes
        return chunk

    def reach(self, end: int) -> None:
        """Note that the log holds nothing further below *end*."""
        self.ledger.reach(end)
        self.has_caught_up = True

    def settle_chunk(self, chunk: Chunk) -> None:
        """Note that every record of *chunk* that stands in no lane has run well."""
        self.outstanding -= len(chunk.messages)
        self.outstanding_bytes -= chunk.size_bytes
        if chunk.messages:  # an earlier owner may have settled them all
            self.latest = chunk.messages[-1]
        chunk.settle_all()

    def settle_first(self, chunk: Chunk, count: int) -> None:
        """Note that the first *count* records of *chunk* have run well, and take them out of it."""
        if count:
            self._settle_taken(chunk.settled, *chunk.take(count))

    def settle_picked(self, chunk: Chunk, ended: Sequence[bool]) -> None:
        """Note that those of the first records of *chunk* that have *ended* well have, and take them out of it."""
        self._settle_taken(chunk.settled, *chunk.pick(ended))

    def _settle_taken(self, settled: bytearray, messages: Sequence[Message], indexes: Sequence[int]) -> None:
        for index in indexes:
            settled[index] = 1
        self.outstanding_bytes -= sum(map(len, messages))
        self.outstanding -= len(messages)
        if messages:
            self.latest = messages[-1]

    def enlane(self, chunk: Chunk, count: int | None = None) -> Sequence[Run]:
        """Put the first *count* records of *chunk*, or all, into their lanes; give the runs of free lanes."""
        keys = self.keys_of(chunk)
        messages, indexes = chunk.take(count)
        return self._line_up(chunk.settled, messages, indexes, keys)

    def enlane_busy(self, chunk: Chunk) -> None:
        """Put the records of *chunk* whose lanes are busy into these; the others may run without one."""
        if not self.lanes.keys().isdisjoint(keys := self.keys_of(chunk)):
            is_busy = list(map(self.lanes.__contains__, keys))
            messages, indexes = chunk.pick(is_busy)
            self._line_up(chunk.settled, messages, indexes, list(compress(keys, is_busy)))

    def _line_up(
        self, settled: bytearray, messages: Sequence[Message], indexes: Sequence[int], keys: Sequence[LaneKey]
    ) -> Sequence[Run]:
        lanes = self.lanes
        runs: list[list[Item]] = []
        for item in zip(messages, repeat(settled), indexes, keys, repeat(self)):
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
        if self.chain.index:
            index, crowd = self.chain.index, self.crowd
            crowd.update((key, crowd.get(key)) for key in islice(keys, len(messages)) if key in index)
        return runs

    def _is_known(self, message: Message) -> bool:
        """Say whether the chain holds the record of *message*, or it has ended there (rule 5)."""
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        key = KEY(message) if self.chain.is_ordered else None
        backlog = self.chain.index.get(offset if key is None else key)
        return backlog is not None and backlog.place(offset) is not None

    def keys_of(self, chunk: Chunk) -> list[LaneKey]:
        """Give the lane of each record of *chunk* that stands in none yet."""
        if chunk.keys is None:
            chunk.keys = self._keys(chunk)
        return chunk.keys

    def _keys(self, chunk: Chunk) -> list[LaneKey]:
        if not self.chain.is_ordered:
            return [chunk.offset_at(index) for index in chunk.indexes]
        keys: list[bytes | None] = list(map(KEY, chunk.messages))
        if None in keys:
            return [
                chunk.offset_at(index) if key is None else key for key, index in zip(keys, chunk.indexes, strict=True)
            ]
        return cast("list[LaneKey]", keys)

    # -- in: what became of it ------------------------------------------------------------

    def interrupt(self, run: Run, done: int) -> Item:
        """Note that *run* stopped after *done* records ended well; give the one it stopped at.

        That one holds the lane; what the run did not reach waits behind it again.
        """
        self._mark(run[:done])
        self.hold_back(run, done + 1)
        return run[done]

    def hold_back(self, run: Run, count: int) -> None:
        """Let all but the first *count* records of *run* wait in its lane again, behind those."""
        rest, (_, settled, _, key, _) = list(run[count:]), run[0]
        if rest and settled is LOADED:
            self.loaded(self.chain.index[key]).extendleft(reversed(rest))
        elif rest:
            self.lanes[key] = rest + (self.lanes[key] or [])

    def postpone(self, item: Item) -> None:
        """Put back *item*, which was not started: the lease had ended, or its run had taken long enough."""
        if not self.is_closed:
            self.retries.put_back.append(item)

    def fail(self, item: Item, outcome: Retry, now_s: float, wall_ms: int, refuses: Refuses = _never) -> Decision:
        """Decide what follows a run that failed: the lane holds, or the record moves to a tier, or it is given up.

        Where it is given up, *refuses* is asked whether dead letters of its topic are too many: then it is held.
        """
        return self.fail_all(((item, outcome),), now_s, wall_ms, refuses)[0]

    def fail_all(
        self, failures: Iterable[tuple[Item, Retry]], now_s: float, wall_ms: int, refuses: Refuses
    ) -> list[Decision]:
        """Decide what follows each of *failures*, as `fail` does."""
        chain, index, trouble, lanes, decisions = (
            self.chain,
            self.chain.index,
            self.trouble,
            self.lanes,
            list[Decision](),
        )
        firsts: dict[type[BaseException], tuple[int, Callable[[int, int], bytes]] | None] = {}
        for item, outcome in failures:
            message, settled, _, key, _ = item
            cls = type(outcome.cause)
            if cls not in firsts:
                firsts[cls] = self._first(outcome.cause, wall_ms)
            first = firsts[cls]
            if first is None or settled is LOADED or outcome.after is not None or key in trouble:
                decisions.append(self._decide(item, outcome, now_s, wall_ms, refuses))
                continue
            # The first failure of a record, and it leaves: what most outages are made of.  Nothing of it stays here.
            offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
            if key not in index and lanes[key] is None:
                index[key] = Backlog(offset)
                chain.moving += 1
            else:
                left = chain.depart(key, offset)
                assert left is None, f"{self.partition}/{offset} stands in the chain, and ran from the source"  # noqa: S101  # rule 5
                self._give_way(key, offset)
            tier, pack = first
            decisions.append(Move(item, tier, None, 1, pack(offset, message.timestamp()[1])))
        return decisions

    def _first(self, error: Exception, wall_ms: int) -> tuple[int, Callable[[int, int], bytes]] | None:
        """Say to which topic a first failure with *error* moves a record, and what packs its header; None: to none."""
        tier = self.retries.first_tier(error, self.chain)
        if tier is None:
            return None
        return tier, self.chain.first_headers((Attempt(wall_ms, type(error).__name__),), wall_ms).pack

    def _decide(self, item: Item, outcome: Retry, now_s: float, wall_ms: int, refuses: Refuses) -> Decision:
        error, key, retries = outcome.cause, item[3], self.retries
        trouble = retries.count(key, item, error, wall_ms, now_s, self._carried(item))
        decision = retries.decide(trouble, outcome, now_s)
        if not isinstance(decision, RetryAfter):
            return self._give_up(item, error, decision, refuses)
        tier = retries.tier(decision, self.chain)
        return retries.hold(key, error, decision, now_s) if tier is None else self.depart(item, tier)

    def bury(  # noqa: PLR0917  # as in `fail`
        self,
        item: Item,
        error: BaseException,
        why: GiveUp,
        now_s: float,
        wall_ms: int,
        refuses: Refuses = _never,
    ) -> Bury | Withheld:
        """Give up *item* after a run that allows no other: say what its dead letter tells."""
        self.retries.count(item[3], item, error, wall_ms, now_s, self._carried(item))
        return self._give_up(item, error, why, refuses)

    def _give_up(self, item: Item, error: BaseException, why: GiveUp, refuses: Refuses) -> Bury | Withheld:
        if refuses(self.partition.topic, error):
            self.postpone(item)
            return Withheld()
        assert self.chain.dlq is not None, "every chain has a dead-letter topic"  # noqa: S101  # so it is declared
        return Bury.by(self.depart(item, self.chain.dlq), error, why.reason)

    def settle(self, item: Item) -> Run | None:
        """Note that *item*, which held its lane, needs no more work; give the lane's next run."""
        self.trouble.pop(item[3], None)
        self._mark((item,))
        return self.end_run(item[3])

    def end_run(self, key: LaneKey) -> Run | None:
        """Note that nothing of *key* runs any more; give the lane's next run."""
        backlog = self.chain.index.get(key) if self.chain.index else None
        if backlog is None:
            return self.release(key)
        backlog.is_running = False
        return self.advance(key)

    def release(self, key: LaneKey) -> Run | None:
        """Give what waits in the lane of *key* as its next run, or free the lane."""
        behind = self.lanes[key]
        if behind is None:
            del self.lanes[key]
        else:
            self.lanes[key] = None
        return behind

    def _mark(self, items: Run) -> None:
        for message, settled, index, key, _ in items:
            if settled is LOADED:
                self.chain.finish(key, message.offset() or 0)
            else:
                settled[index] = 1
            self.outstanding_bytes -= len(message)
            self.latest = message
        self.outstanding -= len(items)

    def finish_copies(self, run: Run, key: LaneKey) -> Iterator[Run]:
        """Note that *run*, of a key in the index, ended well; give the next one."""
        if run[0][1] is LOADED:
            for item in run:
                self.chain.finish(key, offset_of(item))
        follower = self.end_run(key)
        if follower is not None:
            yield follower

    # -- the chain: records leave memory, and come back --------------------------------------

    def advance(self, key: LaneKey) -> Run | None:
        """Give what of *key*, which is in the index, may run now: its oldest outstanding record and what follows it."""
        backlog = self.chain.index.get(key)
        if backlog is None or backlog.is_running or backlog.is_suspect:
            return None
        first, waiting = backlog.first, self.lanes[key] or []
        if first is None:
            del self.chain.index[key]
            self.chain.reopened.discard(key)
            self.crowd.pop(key, None)
            return self.release(key)
        if key in self.chain.reopened and backlog.loaded:
            self._unload(backlog, first)
        run: list[Item] = []
        if waiting:  # rule 2: the smallest origin
            run = list(takewhile(lambda item: offset_of(item) < first, waiting))
        if run:
            self.lanes[key] = waiting[len(run) :] or None
        elif backlog.loaded:
            until = offset_of(waiting[0]) if waiting else _FAR
            while backlog.loaded and offset_of(backlog.loaded[0]) < until:
                run.append(backlog.loaded.popleft())
        if run:
            backlog.is_running = True
            return run
        if not backlog.in_memory:
            self.chain.want(key, backlog, self.ledger.position)
        return None

    def moved(self, moves: Sequence[Move]) -> list[tuple[Item, Run]]:
        """Note that the broker has the copies of *moves*; give the next runs of their lanes, each with its record."""
        chain, lanes, followers, dead, size_bytes = self.chain, self.lanes, list[tuple[Item, Run]](), 0, 0
        keys, reopened = chain.index, chain.reopened
        for number, part in _by_number(moves):
            offsets = [move.offset for move in part]
            is_tier, first_place = chain.parts[number].is_tier, first_places(number, offsets[-1])
            chain.parts[number].sent(offsets, [move.appended_ms for move in part])
            for move in part:
                message, settled, index, key, _ = item = move.item
                settled[index] = 1
                size_bytes += len(message)
                origin: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
                if move.left is None and number != chain.dlq:
                    chain.moving -= 1
                    backlog = keys[key]
                    is_alone = backlog.land(origin, first_place | move.offset)
                else:
                    backlog = chain.arrive(key, origin, move.left, number, move.offset)
                    is_alone = backlog.is_alone
                if is_alone and is_tier and lanes[key] is None:
                    continue  # it is all there is of its key, and is read when it is due
                if isinstance(move, Bury):
                    dead += 1
                    self.latest = message
                elif backlog.first not in (None, origin) and not chain.is_followed(backlog) and key not in reopened:
                    continue
                follower = self.advance(key)
                if follower is not None:
                    followers.append((item, follower))
        self.outstanding -= len(moves)
        self.outstanding_bytes -= size_bytes
        self.withdrawn += len(moves) - dead
        return followers

    def take_in(self, message: Message, header: CopyHeader, key: LaneKey) -> Item:
        """Give the record that a copy holds as an item; it counts as being in memory."""
        self.chain.carried[header.offset] = header
        self.admitted += 1
        self.outstanding += 1
        self.outstanding_bytes += len(message)
        return original(message, header), LOADED, 0, key, self

    def depart(self, item: Item, number: int) -> Move:
        """Let *item* leave for another topic of the chain; nothing younger of its key starts before it is there."""
        message, key, chain = item[0], item[3], self.chain
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        trouble = self.retries.of(key, item) if key in self.trouble else None
        left = chain.depart(key, offset)
        if trouble is not None:
            del self.trouble[key]
            self._give_way(key, offset)
        elif (backlog := chain.index[key]).loaded:
            self._unload(backlog, offset)
        if left is None and trouble is None:
            return Move(item, number, None, 0, chain.unrun_headers.pack(offset, message.timestamp()[1]))
        header = self._header(item, left, trouble)
        return Move(item, number, left, header.attempts, header.pack())

    def _give_way(self, key: LaneKey, origin: int) -> None:
        """Let the lane of *key* go: its record, which had run, is on its way into the chain."""
        backlog = self.chain.index[key]
        if backlog.loaded:
            self._unload(backlog, origin)
        backlog.is_running = False
        backlog.in_memory = len(backlog.loaded or ())  # an older one may have been read meanwhile: it was tried again
        if self.lanes.get(key):
            self.crowd.setdefault(key, None)

    def _header(self, item: Item, left: int | None, trouble: Trouble[Item] | None) -> CopyHeader:
        told = trouble or self._carried(item) or Trouble(item)
        return self.chain.header(
            Record(item[0]).origin,
            left,
            attempts=told.attempts,
            history=told.history,
            first_failed_ms=told.first_failed_ms,
        )

    def _carried(self, item: Item) -> CopyHeader | None:
        """Give what the copy says that *item* was read from; None where it was read from the source."""
        return self.chain.carried.get(offset_of(item)) if item[1] is LOADED else None

    def loaded(self, backlog: Backlog[Item]) -> deque[Item]:
        """Give what was read of a key and may run next."""
        if backlog.loaded is None:
            backlog.loaded = deque()
        return backlog.loaded

    def _unload(self, backlog: Backlog[Item], origin: int) -> None:
        """Take what was read and is younger than *origin* out of memory: it is not next, and will be read again."""
        while backlog.loaded and offset_of(backlog.loaded[-1]) > origin:
            item = backlog.loaded.pop()
            backlog.in_memory -= 1
            self.outstanding -= 1
            self.outstanding_bytes -= len(item[0])
            self.withdrawn += 1
            self.chain.carried.pop(offset_of(item), None)

    # -- in: time and the group -----------------------------------------------------------

    def due(self, now_s: float) -> list[Run]:
        """Give the runs whose wait has ended, and those that wait for the lease, once it holds."""
        if now_s > self.lease_until:
            return []
        runs: list[Run] = [(item,) for item in self.retries.due(now_s)]
        if self.chain.is_held_up:
            freed = map(self.advance, self.chain.passed(self.ledger.position))
            runs += [run for run in freed if run is not None]
        return runs

    @property
    def has_waiting(self) -> bool:
        """Something waits for its time or for the lease."""
        return not self.retries.is_empty or self.chain.is_held_up

    @property
    def next_due_s(self) -> float:
        """Monotonic time of the next attempt; infinity with none."""
        return self.retries.next_due_s

    def renew(self, until_s: float) -> None:
        """Allow records to start until *until_s*."""
        if not self.is_closed:
            self.granted_until = until_s
            self.lease_until = NEVER if self.is_suspended else until_s

    def suspend(self) -> None:
        """Start nothing from now on, whatever the lease says; a second call changes nothing."""
        self.is_suspended = True
        self.lease_until = NEVER

    def resume(self) -> None:
        """Start again what the lease allows; a call without `suspend` changes nothing."""
        if self.is_suspended:
            self.is_suspended = False
            self.lease_until = self.granted_until
            self.permits.clear()

    def can_probe(self, now_s: float) -> bool:
        """Say whether a record is held that could start now, were the route not standing still."""
        return self.retries.has_due(now_s)

    def probe(self, now_s: float) -> Run | None:
        """Give such a record as a run of its own that may start all the same, the one held longest first."""
        if now_s > self.granted_until or not self.can_probe(now_s):
            return None
        item = self.retries.next_due()
        self.permits[item[3]] = self.granted_until
        return (item,)

    def lets_probe(self, key: LaneKey, now_s: float) -> bool:
        """Say whether the next record of *key* may start as a probe, once; from any thread."""
        return self.permits.pop(key, NEVER) >= now_s

    def close(self) -> None:
        """Let nothing start any more; what runs may end."""
        self.is_closed = True
        self.lease_until = self.granted_until = NEVER
        self.permits.clear()
        self.retries.put_back.clear()

    def drop(self) -> None:
        """Ignore whatever still comes in: another owner reads these records."""
        self.close()
        self.is_dropped = True

    # -- out: what stands in the ledger -----------------------------------------------------

    def snapshot(self) -> tuple[int, str, bool]:
        """Give the offset to commit, its metadata, and whether all settled ranges fitted in."""
        committable = self.ledger.committable
        runs = runs_of(self.ledger.ranges(), committable)
        snapshot = self.tenure.snapshot(self.assignment_id, runs, committable, self.chain.marks())
        text, kept = encode_within(snapshot)
        return committable, text, kept.complete

    def snapshots(self) -> tuple[Request, bool]:
        """Give what one commit says (rule 13): the source, then its chain; and whether all of it fitted."""
        offset, text, is_complete = self.snapshot()
        number = self.partition.number
        chain = [Entry(Partition(topic, number), at, words) for topic, at, words in self.chain.snapshots()]
        return (Entry(self.partition, offset, text), *chain), is_complete

    @property
    def turnover(self) -> tuple[int, ...]:
        """Give numbers that are others once `snapshots` gives something new: looking at them costs next to nothing."""
        ledger, tenure = self.ledger, self.tenure
        return (
            ledger.committable,
            ledger.position,
            self.admitted,
            self.settled,
            self.withdrawn,
            tenure.control,
            tenure.named,
            tenure.blamed,
            tenure.deaths,
            tenure.starts,
            tenure.is_graceful,
            *(number for part in self.chain.parts for number in (part.committable, part.outstanding, part.end)),
        )

    @property
    def settled(self) -> int:
        """Records that have settled here, ever."""
        return self.admitted - self.outstanding - self.withdrawn

    @property
    def retrying(self) -> int:
        """Records that wait in memory for another attempt."""
        return len(self.retries.held)

    @property
    def longest(self) -> int:
        """Records in memory of the key that has most there, the one that holds its lane included."""
        return max((1 + len(lane or ()) for lane in self.lanes.values()), default=0)

    @property
    def behind(self) -> int:
        """Records in memory that wait behind one of their key that failed."""
        behind = sum(len(self.lanes.get(key) or ()) for key in self.trouble)
        return behind + sum(len(self.lanes.get(key) or ()) for key in self.crowd if key not in self.trouble)

    @property
    def waiting(self) -> int:
        """Records that can't run before another attempt: the failed ones and what waits behind them."""
        return len(self.trouble) + self.behind

    def is_replayed(self, item: Item) -> bool:
        """Say whether the record in *item* may have run before the replay that gave it again."""
        replay = self.tenure.replay
        if replay is None or offset_of(item) >= replay.until:
            return False
        told = self._carried(item)
        return not replay.is_ended if told is None else told.replay_id == replay.id

    def attempts_of(self, item: Item) -> int:
        """Count the failed runs of the record in *item*, in whichever process they were."""
        told = self.retries.of(item[3], item) or self._carried(item)
        return 0 if told is None else told.attempts


def _by_number(moves: Sequence[Move]) -> Iterable[tuple[int, Sequence[Move]]]:
    """Part *moves* by the topic they go to."""
    if len({move.number for move in moves}) == 1:
        return ((moves[0].number, moves),)
    parts: dict[int, list[Move]] = {}
    for move in moves:
        parts.setdefault(move.number, []).append(move)
    return parts.items()


def offset_of(item: Item) -> int:
    """Give the offset at which the record of *item* was first consumed."""
    return item[0].offset()  # type: ignore[return-value]  # a delivered record has one


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
        if state.chain.index and key in state.chain.index:
            yield from state.finish_copies(run, key)
            continue
        behind = state.lanes[key]
        if behind is None:
            del state.lanes[key]
        else:
            state.lanes[key] = None
            yield behind
