"""A partition played against a model of itself: batches, outcomes, time, the lease, and changes of owner.

The model keeps a place for each record and nothing clever.  Whatever the
partition hands out is held against the rule of order; after every step all
that it counts is counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.engine.backlog import LaneKey
from streams.engine.ledger import Chunk
from streams.engine.partition import NEVER, Bury, Item, PartitionState, Run, finish
from streams.engine.retries import Hold
from streams.engine.snapshot import decode
from streams.errors import DecodeError
from streams.outcome import Retry
from streams.retry import GiveUp
from tests.engine.stage import message, state

LEASE_S = 30.0
DELAYS_S = (1.0, 10.0)  # of the policy that `state` gives
KEYS = st.sampled_from([b"a", b"a", b"b", b"", None])
PICK = st.integers(0, 1_000)
RARELY = st.sampled_from([False] * 7 + [True])
MOSTLY = st.sampled_from([True] * 7 + [False])
RECORD = st.tuples(st.sampled_from([0, 0, 0, 2]), KEYS, st.integers(0, 9))
RECORDS = st.lists(RECORD, min_size=1, max_size=9)
ENDS = st.sampled_from(
    ["well", "well", "well", "retry", "retry", "later", "poison", "skip", "dead letter", "sends", "not started"]
)


class PartitionAgainstModel(RuleBasedStateMachine):
    """One partition, one owner after the other."""

    state_class: ClassVar[type[PartitionState]] = PartitionState

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.keys: dict[int, bytes | None] = {}
        self.sizes: dict[int, int] = {}
        self.end = 0
        self.stored = (0, "")
        self.ghosts: list[Run] = []
        self.begin()

    @staticmethod
    def finish(runs: Iterable[Run]) -> Iterator[Run]:
        """Settle whole runs."""
        return finish(runs)

    def begin(self) -> None:
        """A new owner starts from what is stored."""
        committed, text = self.stored
        snapshot = decode(text)
        restored = [] if snapshot is None else list(snapshot.settled(committed))
        self.state = state(committed=committed, restored=restored, lease_until=self.now + LEASE_S, cls=self.state_class)
        self.is_closed = False
        self.position = committed
        self.settled = {offset for offset in self.keys if offset < committed or any(offset in one for one in restored)}
        self.place: dict[int, str] = {}  # lane, run, postponed, held, way
        self.runs: list[Run] = []
        self.due_at: dict[int, float] = {}
        self.way: list[tuple[Item, Bury | None]] = []
        self.letters = 0
        self.items: dict[int, Item] = {}
        self.tries: dict[LaneKey, int] = {}

    # -- the world ------------------------------------------------------------------------------

    @initialize(records=st.lists(RECORD, min_size=9, max_size=18))
    def begin_with_work(self, records: list[tuple[int, bytes | None, int]]) -> None:
        """Something has been read."""
        self.deliver(records, 12, 0, None)

    def append(self, records: list[tuple[int, bytes | None, int]]) -> None:
        """Records come to the log, with gaps."""
        for gap, key, size in records:
            offset = self.end + gap
            self.keys[offset], self.sizes[offset], self.end = key, size, offset + 1

    @rule(
        records=RECORDS,
        count=st.integers(1, 12),
        again=st.integers(0, 2),
        well=st.none() | st.integers(0, 9),
        width=st.integers(1, 4),
    )
    def deliver(
        self, records: list[tuple[int, bytes | None, int]], count: int, again: int, well: int | None, width: int = 1
    ) -> None:
        """A batch is read, and goes into lanes; with *well* it runs whole, and each so many records one fails."""
        self.append(records)
        if self.position > max(self.keys):
            self.reach()
            return
        offsets = sorted(self.keys)
        start = sum(offset < self.position for offset in offsets)
        part = offsets[max(0, start - again) : start + count]
        chunk = self.state.admit([message(one, self.keys[one], b"x" * self.sizes[one]) for one in part])
        self.position = part[-1] + 1
        new = [one for one in part[min(again, start) :] if one not in self.settled]
        assert chunk is not None
        assert [one.offset() for one in chunk.messages] == new
        if well is None or not self.has_lease:
            self.place.update(dict.fromkeys(new, "lane"))
            self.hand_out(self.state.enlane(chunk))
        else:
            self.run_whole(chunk, new, well, width)

    def run_whole(self, chunk: Chunk, rest: list[int], well: int, width: int) -> None:
        """What is busy waits; *well* records run, and of the *width* after them the first stops its key."""
        while True:
            busy = {self.lane(one) for one in self.place}
            waiting = [one for one in rest if self.lane(one) in busy]
            self.place.update(dict.fromkeys(waiting, "lane"))
            self.state.enlane_busy(chunk)
            rest = [one for one in rest if one not in waiting]
            assert [one.offset() for one in chunk.messages] == rest
            if well >= len(rest):
                self.state.settle_chunk(chunk)
                self.settled.update(rest)
                return
            self.state.settle_first(chunk, well)
            call = rest[well : well + width]
            has_ended = [self.lane(one) != self.lane(call[0]) for one in call]
            self.state.settle_picked(chunk, has_ended)
            stopped = [one for one, ended in zip(call, has_ended, strict=True) if not ended]
            self.settled.update(rest[:well], set(call).difference(stopped))
            self.place.update(dict.fromkeys(stopped, "lane"))
            self.hand_out(self.state.enlane(chunk, len(stopped)))
            rest = rest[well + len(call) :]

    def lane(self, offset: int) -> LaneKey:
        """Name the lane of a record."""
        key = self.keys[offset]
        return offset if key is None else key

    def reach(self) -> None:
        """The end of the log is told."""
        self.state.reach(self.end)
        self.position = max(self.position, self.end)

        assert self.state.has_caught_up

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 10.0, 20.0]), is_renewed=MOSTLY)
    def pass_time(self, seconds: float, *, is_renewed: bool) -> None:
        """Time passes, a commit may be acknowledged meanwhile, and what is due runs again while the lease holds."""
        self.now += seconds
        if is_renewed:
            self.state.renew(self.now + LEASE_S)
        may = self.has_lease
        due = [one for one, at in self.due_at.items() if at <= self.now]
        expected = [*due, *(one for one, place in self.place.items() if place == "postponed")] if may else []
        runs = self.state.due(self.now)

        assert sorted(run[0][0].offset() or 0 for run in runs) == sorted(expected)
        assert all(len(run) == 1 for run in runs)
        for one in expected:
            self.due_at.pop(one, None)
            self.place[one] = "lane"
        self.hand_out(runs)

    @rule()
    def commit(self) -> None:
        """What the ledger says is stored by the broker; all of it is true."""
        offset, text, is_complete = self.state.snapshot()
        snapshot = decode(text)
        assert snapshot is not None
        said = {one for one in self.keys if one < offset or any(one in done for done in snapshot.settled(offset))}
        self.stored = (offset, text)

        assert is_complete
        assert said == self.settled

    @rule(happens=RARELY, is_asked=st.booleans())
    def change_owner(self, *, happens: bool, is_asked: bool) -> None:
        """The partition goes: asked back, with a last commit, or lost without one."""
        if not happens and not self.is_closed:
            return
        if is_asked:
            self.close(happens=True)
            self.commit()
        self.state.drop()
        self.ghosts += self.runs
        self.begin()

    @rule(happens=RARELY)
    def close(self, *, happens: bool) -> None:
        """Nothing may start any more."""
        if not happens:
            return
        self.state.close()
        self.is_closed = True
        for offset, place in self.place.items():
            if place == "postponed":
                self.place[offset] = "stopped"

    # -- what became of runs --------------------------------------------------------------------

    @precondition(lambda self: self.runs)
    @rule(ends=st.lists(st.tuples(PICK, PICK, ENDS), min_size=2, max_size=8))
    def work(self, ends: list[tuple[int, int, str]]) -> None:
        """Some runs end, each well as a whole or stopped at one of its records."""
        well = []
        for pick, done, how in ends:
            if not self.runs:
                break
            if how == "well":
                well.append(self.runs.pop(pick % len(self.runs)))
            else:
                self.stop(pick, done, how)
        self.end_well(well)

    def end_well(self, done: list[Run]) -> None:
        """The runs in *done* ended well."""
        for run in done:
            for item in run:
                self.settle(item)
        self.hand_out(list(self.finish(done)))

    def stop(self, pick: int, done: int, outcome: str) -> None:
        """A run stopped at one of its records."""
        run = self.runs.pop(pick % len(self.runs))
        done %= len(run)
        for item in run[:done]:
            self.settle(item)
        for item in run[done + 1 :]:
            self.place[offset_of(item)] = "lane"
        item = self.state.interrupt(run, done)
        assert item is run[done]
        match outcome:
            case "retry" | "later" | "poison":
                self.fail(item, outcome)
            case "dead letter":
                self.tries[item[3]] = self.tries.get(item[3], 0) + 1
                bury = self.state.bury(item, ValueError("bad"), GiveUp("its own word"), 0.0, 5)
                assert isinstance(bury, Bury)
                self.buried(item, bury)
            case "skip":
                self.settle(item)
                self.hand_out_one(self.state.settle(item))
            case "sends":
                self.send(item)
            case _:
                self.state.postpone(item)
                self.place[offset_of(item)] = "stopped" if self.is_closed else "postponed"

    @precondition(lambda self: self.way)
    @rule(pick=PICK, is_refused=st.booleans())
    def acknowledge(self, pick: int, *, is_refused: bool) -> None:
        """The broker has what a record led to, or refuses what its handler sent."""
        item, bury = self.way.pop(pick % len(self.way))
        if bury is not None:
            self.settle(item)
            self.letters += 1
            bury.offset, bury.appended_ms = self.letters, 0
            self.hand_out_one(next((run for _, run in self.state.moved([bury])), None))
        elif is_refused:
            self.fail(item, "retry")
        else:
            self.settle(item)
            self.hand_out_one(self.state.settle(item))

    @precondition(lambda self: self.ghosts)
    @rule(pick=PICK, ends_well=st.booleans())
    def end_late(self, pick: int, *, ends_well: bool) -> None:
        """A run of a former stay ends: the invariants see that nothing of this stay moves."""
        run = self.ghosts.pop(pick % len(self.ghosts))
        if ends_well:
            self.ghosts += self.finish([run])
        else:
            run[0][4].interrupt(run, 0)

    # -- the model ------------------------------------------------------------------------------

    @property
    def has_lease(self) -> bool:
        """Records may start."""
        return not self.is_closed and self.now <= self.state.lease_until

    def fail(self, item: Item, how: str) -> None:
        """One run of *item* failed."""
        key, offset = item[3], offset_of(item)
        self.tries[key] = self.tries.get(key, 0) + 1
        error = DecodeError("poison") if how == "poison" else OSError("down")
        outcome = Retry(error, after=timedelta(seconds=3) if how == "later" else None)
        decision = self.state.fail(item, outcome, self.now, 5)
        if how == "poison" or self.tries[key] > len(DELAYS_S):
            assert isinstance(decision, Bury)
            self.buried(item, decision)
            return
        delay_s = 3.0 if how == "later" else DELAYS_S[self.tries[key] - 1]

        assert decision == Hold(self.now + delay_s, self.tries[key], error)
        self.place[offset], self.due_at[offset] = "held", self.now + delay_s

    def buried(self, item: Item, bury: Bury) -> None:
        """*item* is on its way to the dead-letter topic."""
        self.send(item, bury)
        tries = self.tries.pop(item[3])

        assert bury.item is item
        assert bury.attempts == len(bury.header.history) == tries

    def send(self, item: Item, bury: Bury | None = None) -> None:
        """*item* led to something that the broker has not acknowledged."""
        self.place[offset_of(item)] = "way"
        self.way.append((item, bury))

    def settle(self, item: Item) -> None:
        """*item* ends, once."""
        offset = offset_of(item)
        assert offset not in self.settled, f"{offset} settles twice"
        self.settled.add(offset)
        del self.place[offset]
        self.tries.pop(item[3], None)

    def hand_out_one(self, run: Run | None) -> None:
        """What follows in a lane, if anything."""
        self.hand_out([] if run is None else [run])

    def hand_out(self, runs: Sequence[Run]) -> None:
        """*runs* may run now: each is the whole front of its lane, and nobody else has any of it."""
        for run in runs:
            offsets = list(map(offset_of, run))
            lane = [one for one in sorted(self.place) if self.lane_of(one) == run[0][3]]

            assert offsets
            assert offsets == lane[: len(offsets)], f"{offsets} runs, {lane} is open"
            assert all(self.place[one] == "lane" for one in lane), f"{lane} has {self.place}"
            assert all(item[4] is self.state for item in run)
            self.place.update(dict.fromkeys(offsets, "run"))
            self.runs.append(run)

    def lane_of(self, offset: int) -> LaneKey:
        """The key of a record, or its offset where it has none."""
        key = self.keys[offset]
        return offset if key is None else key

    # -- always true ----------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_exact(self) -> None:
        """Committable is the lowest open record, and the ranges above it hold what settled, no more."""
        ledger = self.state.ledger
        committable = ledger.committable
        named = {one for done in ledger.ranges() for one in done}

        assert ledger.position == self.position
        assert committable == min(self.place, default=self.position)
        assert named & set(self.keys) == {one for one in self.settled if one >= committable}

    @invariant()
    def the_counts_are_exact(self) -> None:
        """Each counter tells what counting tells."""
        stopped = {*self.tries, *(item[3] for item, bury in self.way if bury is not None)}
        behind = [one for one, place in self.place.items() if place == "lane" and self.lane_of(one) in stopped]

        assert self.state.outstanding == len(self.place)
        assert self.state.outstanding_bytes == sum(self.sizes[one] for one in self.place)
        assert self.state.retrying == len(self.due_at)
        assert self.state.behind == len(behind)
        assert self.state.waiting == len(self.tries) + len(behind)
        assert self.state.next_due_s == min(self.due_at.values(), default=float("inf"))
        assert self.state.has_waiting == bool(set(self.place.values()) & {"held", "postponed"})
        assert {key: one.attempts for key, one in self.state.trouble.items() if key in self.tries} == self.tries

    @invariant()
    def a_lane_is_busy_exactly_while_it_holds_a_record(self) -> None:
        """The lane table has the lanes of open records and no others; of each lane only the front is out of it."""
        lanes = {self.lane_of(one) for one in self.place}

        assert set(self.state.lanes) == lanes
        assert set(self.state.trouble) == set(self.tries)

    @invariant()
    def what_is_closed_stays_closed(self) -> None:
        """After the close no lease is given."""
        assert self.state.is_closed == self.is_closed
        assert not self.is_closed or self.state.lease_until == NEVER

    @precondition(lambda self: not self.is_closed)
    @rule(happens=RARELY)
    def come_to_rest(self, *, happens: bool) -> None:
        """Once everything is acknowledged and time has passed, all has ended and the tables are empty."""
        if not happens:
            return
        for _ in range(len(self.place) * (len(DELAYS_S) + 2) + 2):
            self.pass_time(LEASE_S, is_renewed=True)
            while self.way:
                self.acknowledge(0, is_refused=False)
            while self.runs:
                self.end_well([self.runs.pop()])
            if not self.place:
                break

        assert not self.place
        assert not self.state.lanes
        assert not self.state.trouble
        assert self.state.ledger.committable == self.position


def offset_of(item: Item) -> int:
    """Where *item* stands in its partition."""
    return item[0].offset() or 0
