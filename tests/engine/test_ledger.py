"""Which offsets are settled: the ledger against a set of offsets that forgets nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from streams.engine.ledger import Chunk, Ledger
from streams.engine.snapshot import Snapshot, decode, encode, runs_of
from tests.engine.stage import message


def chunk_of(*offsets: int) -> Chunk:
    """Records at *offsets*, read together."""
    return Chunk([message(offset) for offset in offsets])


def settle(chunk: Chunk, *offsets: int) -> None:
    """Settle those of *chunk* that stand at *offsets*."""
    for index in range(len(chunk.settled)):
        if chunk.offset_at(index) in offsets:
            chunk.settled[index] = 1


def covered(ranges: Iterable[range]) -> set[int]:
    """Every offset that lies in *ranges*."""
    return {offset for one in ranges for offset in one}


class QuickLedger(Ledger):
    """A ledger that looks for settled chunks as soon as it has two."""

    crowded = 2


class LedgerAgainstSets(RuleBasedStateMachine):
    """One partition read by one owner after the other, each record settled whenever it likes.

    The reference is the log and three sets of offsets.
    """

    reads = Bundle("reads")

    def __init__(self) -> None:
        super().__init__()
        self.end = 0
        self.log: list[int] = []
        self.settled: set[int] = set()
        self.ledger: Ledger = QuickLedger(0)
        self.read: set[int] = set()
        self.position = 0
        self.owner = 0

    @rule(gaps=st.lists(st.sampled_from([0, 0, 0, 1, 7]), min_size=1, max_size=12))
    def append(self, gaps: list[int]) -> None:
        """Records come to the log; some offsets never hold one."""
        for gap in gaps:
            self.log.append(self.end + gap)
            self.end += gap + 1

    @rule(gap=st.integers(1, 3))
    def end_with_a_marker(self, gap: int) -> None:
        """The log's end moves on by offsets that hold no record."""
        self.end += gap

    @rule(target=reads, count=st.integers(1, 12), again=st.integers(0, 3))
    def admit(self, count: int, again: int) -> object:
        """Read on, perhaps with records that were read before."""
        start = sum(offset < self.position for offset in self.log)
        part = self.log[max(0, start - again) : start + count]
        if not part:
            return multiple()
        chunk = self.ledger.admit([message(offset) for offset in part])
        new = [offset for offset in part if offset >= self.position]
        if not new:
            assert chunk is None
            return multiple()
        assert chunk is not None
        to_run = [chunk.offset_at(index) for index in chunk.indexes]
        assert to_run == [offset for offset in new if offset not in self.settled]
        assert [one.offset() for one in chunk.messages] == to_run
        self.read.update(new)
        self.position = new[-1] + 1
        return multiple(
            *((self.owner, chunk, index, offset) for index, offset in zip(chunk.indexes, to_run, strict=True))
        )

    @rule(read=consumes(reads))
    def settle(self, read: tuple[int, Chunk, int, int]) -> None:
        """A record of this owner needs no more work."""
        owner, chunk, index, offset = read
        if owner == self.owner:
            chunk.settled[index] = 1
            self.settled.add(offset)

    @rule(read=consumes(reads))
    def settle_chunk(self, read: tuple[int, Chunk, int, int]) -> None:
        """All records of a chunk ended well together."""
        owner, chunk, _, _ = read
        if owner == self.owner and chunk.messages and not any(chunk.settled):
            self.settled.update(chunk.offset_at(index) for index in range(len(chunk.settled)))
            chunk.settle_all()

    @precondition(lambda self: self.log and self.position > self.log[-1])
    @rule()
    def reach(self) -> None:
        """The end of the log was told, all records before it having been read."""
        self.ledger.reach(self.end)
        self.position = max(self.position, self.end)

    @rule()
    def change_owner(self) -> None:
        """Another owner goes on from what the commit says."""
        committed = self.ledger.committable
        text = encode(Snapshot(b"owner", runs=runs_of(self.ledger.ranges(), committed)))
        snapshot = decode(text)
        assert snapshot is not None
        self.ledger = QuickLedger(committed, snapshot.settled(committed))
        self.position = committed
        self.read = {offset for offset in self.read if offset < committed}
        self.owner += 1

    @invariant()
    def the_lowest_open_offset_is_committable(self) -> None:
        """What may be committed is the lowest record that is read and open, else the position."""
        open_offsets = [offset for offset in self.read if offset not in self.settled]

        assert self.ledger.position == self.position
        assert self.ledger.committable == min(open_offsets, default=self.position)

    @invariant()
    def nothing_open_lies_below(self) -> None:
        """Every record of the log below the committable offset has settled: a commit loses nothing."""
        assert all(offset in self.settled for offset in self.log if offset < self.ledger.committable)

    @invariant()
    def ranges_hold_what_settled_above(self) -> None:
        """The ranges name every settled record above, none that is open, ascending and apart."""
        ranges = list(self.ledger.ranges())
        committable = self.ledger.committable
        named = covered(ranges) & set(self.log)

        assert named == {offset for offset in self.settled if offset >= committable}
        assert all(one.start >= committable and one for one in ranges)
        assert all(before.stop <= after.start for before, after in pairwise(ranges))


LedgerAgainstSets.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerAgainstSets = LedgerAgainstSets.TestCase


def test_gaps_are_not_waited_for() -> None:
    """Offsets that the broker never delivered hold nothing back."""
    ledger = Ledger(10)
    first = ledger.admit([message(10), message(14)])
    second = ledger.admit([message(20)])
    assert first is not None
    assert second is not None
    settle(first, 10)
    settle(second, 20)

    assert ledger.committable == 14
    settle(first, 14)
    assert ledger.committable == 21


def test_the_end_moves_an_idle_ledger_on() -> None:
    """Markers at the end of the log are passed once the end was told."""
    ledger = Ledger(10)
    ledger.reach(13)

    assert (ledger.position, ledger.committable) == (13, 13)


def test_an_end_that_was_told_late_moves_nothing_back() -> None:
    """An end below the position is old news."""
    ledger = Ledger(10)
    ledger.admit([message(10), message(11)])
    ledger.reach(11)

    assert (ledger.position, ledger.committable) == (12, 10)


def test_what_was_read_before_is_left_out() -> None:
    """A record that comes again is not a second piece of work."""
    ledger = Ledger(0)
    ledger.admit([message(0), message(1)])
    again = ledger.admit([message(0), message(1)])
    overlapping = ledger.admit([message(1), message(2)])

    assert again is None
    assert overlapping is not None
    assert [one.offset() for one in overlapping.messages] == [2]


def test_what_an_earlier_owner_settled_does_not_run() -> None:
    """Restored ranges settle their records as they are read, and what is not read yet stays in the ranges."""
    ledger = Ledger(5, [range(6, 8), range(9, 20)])
    chunk = ledger.admit([message(offset) for offset in range(5, 11)])
    assert chunk is not None

    assert [one.offset() for one in chunk.messages] == [5, 8]
    assert list(ledger.ranges()) == [range(6, 8), range(9, 11), range(11, 20)]


def test_the_oldest_time_is_that_of_the_oldest_open_chunk() -> None:
    """Age counts from records that are still open, and there is none without them."""
    ledger = Ledger(0)
    ages = [ledger.oldest_ms]
    first = ledger.admit([message(0, timestamp_ms=100)])
    second = ledger.admit([message(1, timestamp_ms=200)])
    assert first is not None
    assert second is not None
    ages.append(ledger.oldest_ms)
    settle(first, 0)
    ages.append(ledger.oldest_ms)
    settle(second, 1)
    ages.append(ledger.oldest_ms)

    assert ages == [-1, 100, 200, -1]


def chunks_there() -> int:
    """The chunks in this process."""
    return sum(isinstance(one, Chunk) for one in gc.get_objects())


@pytest.mark.parametrize("gap", [1, 3])
def test_one_stuck_record_costs_nothing_for_those_that_pass_it(gap: int) -> None:
    """However many records settle behind an open one, little is kept of them, and they are one range."""
    gc.collect()  # of what other tests have left nothing may count
    others = chunks_there()
    ledger = Ledger(0)
    stuck = ledger.admit([message(0)])
    offset = 1
    for _ in range(2_000):
        chunk = ledger.admit([message(offset + at * gap) for at in range(5)])
        assert chunk is not None
        chunk.settle_all()
        offset = chunk.last + gap
    kept = chunks_there() - others
    last = offset - gap

    assert stuck is not None
    assert kept < 200
    assert ledger.committable == 0
    assert runs_of(ledger.ranges(), 0)[:1] == (1,)
    assert covered(ledger.ranges()) >= set(range(1, last + 1, gap))
    assert len(list(ledger.ranges())) < 150
    settle(stuck, 0)
    assert ledger.committable == last + 1


@pytest.mark.parametrize("offsets", [(3,), (3, 4, 5), (3, 5, 9)])
def test_a_settled_chunk_is_one_range(offsets: tuple[int, ...]) -> None:
    """Gaps between two settled records count as settled: the broker has nothing there."""
    chunk = chunk_of(*offsets)
    chunk.settle_all()

    assert list(chunk.ranges()) == [range(3, offsets[-1] + 1)]


@given(settled=st.sets(st.integers(0, 40)), committed=st.integers(0, 20))
def test_runs_say_what_ranges_say(settled: set[int], committed: int) -> None:
    """Alternating lengths and ranges are two spellings of one set, and neighbours are joined."""
    above = sorted(offset for offset in settled if offset >= committed)
    runs = runs_of([range(offset, offset + 1) for offset in above], committed)

    assert covered(Snapshot(b"", runs=runs).settled(committed)) == set(above)
    assert all(runs[1:])
