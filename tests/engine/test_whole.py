"""Chunks that run whole: when they do, what waits behind them, and what becomes of them where they are split.

One thread plays both parts: the slot's, in `perform_whole`, and the poll
thread's, in `collect`, which handlers call in mid-run.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any

import pytest

from streams.engine.context import Context
from streams.engine.executors.executor import NOT_STARTED, Interruption, perform
from streams.engine.executors.whole import (
    Alone,
    Cost,
    Whole,
    Wholes,
    begin,
    perform_chunk,
    runs_in,
)
from streams.engine.partition import NEVER, PartitionState, Run, finish
from streams.engine.route import Route
from streams.engine.slot import CURRENT, Slot, current_message
from streams.outcome import Retry, Skip, Stop
from streams.record import Record
from tests.engine.stage import FOREVER, OTHER, messages, route, state
from tests.engine.workshop import batch_route_for, route_for

BAD = ValueError("bad")
RECORDS = 280


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are taken for quick, and a look splits whatever is under way."""
    monkeypatch.setattr("streams.engine.executors.whole._UNKNOWN_COST_S", 0.0)
    monkeypatch.setattr("streams.engine.executors.whole._PATIENCE_S", NEVER)
    monkeypatch.setattr("streams.engine.executors.whole.LONG_RUN_S", FOREVER)
    monkeypatch.setattr("streams.engine.executors.executor.LONG_RUN_S", FOREVER)


@pytest.fixture
def patient(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # it comes after that one
    """A look splits nothing."""
    monkeypatch.setattr("streams.engine.executors.whole._PATIENCE_S", 1e9)


class Floor:
    """Wholes and lanes of one route, worked off by hand."""

    def __init__(self, work: Callable[[Any], Any], *, batch: int | None = None, handler: Any = None) -> None:
        self.route: Route = batch_route_for("threads", work, batch) if batch else route_for("threads", work)
        if handler is not None:
            self.route = route(handler)
        self.started: deque[Whole | Alone] = deque()
        self.ready: deque[Run] = deque()
        self.stopped: list[tuple[int, object]] = []
        """Where records stand that did not end, and why not; they hold their lanes."""
        self.slot = Slot()
        self.wholes = Wholes(self.route, Cost(), self.started.append)

    def give(self, orders: PartitionState, *places: tuple[int, bytes | None]) -> None:
        """Hand over what was read together."""
        chunk = orders.admit(messages(*places, partition=orders.partition))
        assert chunk is not None
        self.ready.extend(self.wholes.take(orders, chunk))

    def look(self) -> None:
        """Do what the poll thread does in a turn."""
        self.ready.extend(self.wholes.collect())
        self.ready.extend(finish(self.wholes.take_finished()))
        self._sort(self.wholes.take_interrupted())

    def _sort(self, stopped: list[Interruption]) -> None:
        for one in stopped:
            orders = one.run[0][4]
            item = orders.interrupt(one.run, one.done)
            if isinstance(one.outcome, Skip):
                follower = orders.settle(item)
                self.ready.extend([] if follower is None else [follower])
            else:
                self.stopped.append((item[0].offset() or 0, one.outcome))

    def work_whole(self) -> None:
        """Do what a slot does with the next whole chunk, or with what was left alone."""
        one = self.started.popleft()
        if isinstance(one, Alone):
            self._end(one.run, one.done, one.run[one.done :])
            return
        perform_chunk(self.wholes, one, self.slot)

    def work_lane(self) -> None:
        """Run the next run of a lane."""
        run = self.ready.popleft()
        self._end(run, 0, run)

    def _end(self, run: Run, before: int, part: Run) -> None:
        done, ended = perform(self.route, part, self.slot)
        self.slot.item = None
        if ended is None:
            self.ready.extend(finish([run]))
        else:
            self._sort([Interruption(run, before + done, ended)])

    def work_off(self) -> None:
        """Go on until nothing is left to do."""
        while self.started or self.ready or self.wholes.ended:
            if self.started:
                self.work_whole()
            elif self.ready:
                self.work_lane()
            self.look()


def keyed(*keys: bytes) -> Iterator[tuple[int, bytes]]:
    """Places of records, one for each of *keys*."""
    return enumerate(keys)


# -- when they run whole ------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
def test_a_quick_chunk_runs_without_lanes() -> None:
    """All of it settles at once, and nothing is left of it."""
    ran: list[int] = []
    floor, orders = Floor(lambda record: ran.append(record.offset)), state()
    floor.give(orders, *keyed(b"a", b"b", b"a"))
    lanes = dict(orders.lanes)
    floor.work_off()

    assert lanes == orders.lanes == {}
    assert ran == [0, 1, 2]
    assert floor.wholes.take_settled() == 3
    assert (orders.ledger.committable, orders.outstanding, orders.outstanding_bytes) == (3, 0, 0)


@pytest.mark.usefixtures("patient")
def test_the_next_chunk_waits_for_the_one_before_it() -> None:
    """Of one partition one chunk runs at a time; other partitions don't wait."""
    floor, orders, others = Floor(lambda _: None), state(), state(OTHER)
    floor.give(orders, (0, b"a"))
    floor.give(orders, (1, b"a"))
    floor.give(others, (0, b"a"))
    at_first = [one.state for one in floor.started if isinstance(one, Whole)]
    floor.work_whole()
    floor.look()

    assert at_first == [orders, others]
    assert [one.state for one in floor.started if isinstance(one, Whole)] == [others, orders]


def charge(_: object) -> None:
    """Do nothing."""


def test_slow_handlers_get_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a run costs more than a lane, or its cost is unknown."""
    monkeypatch.setattr("streams.engine.executors.whole._UNKNOWN_COST_S", 0.001)
    floor, orders = Floor(charge), state()
    floor.give(orders, (0, b"a"))

    assert not floor.started
    assert len(floor.ready) == 1


def test_cost_is_the_lowest_of_the_latest() -> None:
    """A machine that stands still now and then makes no handler slow; one that is slow is known after a few looks."""
    cost = Cost(0.001)
    for seconds in (0.005, 0.000001, 0.3, 0.005):
        cost.learn(seconds)
    quick = cost.seconds
    for _ in range(8):
        cost.learn(0.005)

    assert quick == 0.000001
    assert cost.seconds == 0.005


def test_without_a_lease_there_are_lanes() -> None:
    """What may not start now waits in them."""
    floor, orders = Floor(charge), state(lease_until=NEVER)
    floor.give(orders, *keyed(b"a", b"b"))

    assert not floor.started
    assert len(floor.ready) == 2


@pytest.mark.usefixtures("patient")
def test_what_waits_behind_a_busy_lane_stays_behind_and_the_rest_runs_whole() -> None:
    """A key in trouble costs its own records a lane, and no others; with nothing but such records nothing starts."""
    ran: list[int] = []
    floor, orders = Floor(lambda record: ran.append(record.offset)), state()
    orders.lanes[b"x"] = None
    floor.give(orders, *keyed(b"a", b"x", b"b", b"x"))
    floor.give(orders, (4, b"x"))
    floor.give(orders, (5, b"a"))
    floor.work_off()
    before, behind = list(ran), orders.release(b"x")

    assert before == [0, 2, 5]
    assert floor.wholes.take_settled() == 3
    assert behind is not None
    assert [item[0].offset() for item in behind] == [1, 3, 4]
    assert (orders.ledger.committable, orders.outstanding) == (1, 3)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("fail", [1, 16, 17])
def test_a_chunk_goes_on_whole_behind_failures_unless_there_are_many(fail: int) -> None:
    """Sixteen records of other keys fail, and the rest still runs whole; with the next one it goes into lanes."""
    floor, orders = Floor(lambda record: Retry(BAD) if record.offset < fail else None), state()
    floor.give(orders, *((offset, b"%d" % (offset % 50)) for offset in range(100)))
    wholes = 0
    while floor.started:
        wholes += 1
        floor.work_whole()
        floor.look()
    lanes = len(floor.ready)
    floor.work_off()

    assert wholes == min(fail + 1, 17)
    assert lanes == (0 if fail <= 16 else 33)
    assert [offset for offset, _ in floor.stopped] == list(range(fail))
    assert [item[0].offset() for item in orders.lanes[b"0"] or []] == [50]
    assert orders.outstanding == 2 * fail
    assert floor.wholes.take_settled() == (100 - 2 * fail if fail <= 16 else 0)


@pytest.mark.usefixtures("patient")
def test_of_a_call_that_says_which_records_failed_the_others_settle_as_a_part_of_the_chunk() -> None:
    """They need no lanes; a key with a failure gets one, with all its records of that call in it."""
    floor = Floor(lambda part: [Retry(BAD) if record.offset == 2 else None for record in part], batch=4)
    orders = state()
    floor.give(orders, *((offset, b"b" if offset in {2, 3, 39} else b"%d" % offset) for offset in range(40)))
    floor.work_off()

    assert floor.stopped == [(2, Retry(BAD))]
    assert floor.wholes.take_settled() == 37
    assert orders.lanes.keys() == {b"b"}
    assert [item[0].offset() for item in orders.lanes[b"b"] or []] == [3, 39]
    assert (orders.ledger.committable, orders.outstanding) == (2, 3)


# -- how they end -------------------------------------------------------------------------------------


def test_one_that_takes_long_holds_up_its_key_alone() -> None:
    """What was not begun goes into lanes: those of other keys run, the record's own waits behind it."""
    ran: list[int] = []

    def work(record: Record) -> None:
        ran.append(record.offset)
        if record.offset == 1:
            floor.look()
            at_split.append(
                ([item[0].offset() for run in floor.ready for item in run], [*orders.lanes], orders.outstanding)
            )

    at_split: list[Any] = []
    floor, orders = Floor(work), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"b", b"c"))
    floor.give(orders, (5, b"b"), (6, b"d"))
    floor.work_off()

    assert at_split == [([2, 4, 6], [b"b", b"c", b"d"], 6)]
    assert ran == [0, 1, 2, 4, 6, 3, 5]
    assert orders.ledger.committable == 7
    assert orders.lanes == {}


@pytest.mark.parametrize("splits", [False, True])
def test_one_that_fails_stops_its_key_alone(*, splits: bool) -> None:
    """Those before it have settled, those of other keys run, split or not."""

    def work(record: Record) -> None:
        if record.offset == 1:
            if splits:
                floor.look()
            raise BAD

    floor, orders = Floor(work), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"b"))
    floor.work_off()

    assert floor.stopped == [(1, Retry(BAD))]
    assert orders.ledger.committable == 1
    assert orders.outstanding == 2
    assert orders.lanes.keys() == {b"b"}
    assert [item[0].offset() for item in orders.lanes[b"b"] or []] == [3]


def test_an_outcome_ends_its_record_alone() -> None:
    """Returned or raised, with a context or without."""

    def work(record: Record, _: Context) -> Skip | None:
        if record.offset == 1:
            raise Stop(Skip())
        return Skip() if record.offset == 2 else None

    floor, orders = Floor(charge, handler=work), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"b"))
    floor.work_off()

    assert floor.stopped == []
    assert orders.ledger.committable == 4


def test_without_a_lease_nothing_further_starts() -> None:
    """The lease ends in mid-run: what has begun ends and settles, the rest comes back unstarted."""
    ran: list[int] = []

    def work(record: Record) -> None:
        ran.append(record.offset)
        if record.offset == 1:
            orders.close()

    floor, orders = Floor(work), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"d"))
    floor.work_off()

    assert ran == [0, 1]
    assert floor.stopped == [(2, NOT_STARTED), (3, NOT_STARTED)]
    assert orders.ledger.committable == 2


def test_a_long_chunk_hands_back_what_it_has_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has done can be committed, while the rest goes on in lanes."""
    monkeypatch.setattr("streams.engine.executors.whole.LONG_RUN_S", NEVER)
    floor, orders = Floor(charge), state()
    floor.give(orders, *keyed(b"a", b"b"))
    floor.work_whole()
    floor.look()

    assert floor.stopped == [(0, NOT_STARTED)]
    assert len(floor.ready) == 1


@pytest.mark.usefixtures("patient")
def test_what_waits_behind_a_chunk_goes_with_its_partition() -> None:
    """Nothing of a partition that was lost begins."""
    ran: list[int] = []
    floor, orders = Floor(lambda record: ran.append(record.offset)), state()
    floor.give(orders, (0, b"a"))
    floor.give(orders, (1, b"a"))
    floor.work_whole()
    orders.drop()
    floor.work_off()

    assert ran == [0]


def test_before_it_begins_a_chunk_can_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that has not taken a record yet gets none any more."""
    ran: list[int] = []
    floor, orders = Floor(lambda record: ran.append(record.offset)), state()
    floor.give(orders, *keyed(b"a", b"b"))
    whole = floor.started[0]
    assert isinstance(whole, Whole)
    begin(whole, floor.slot)
    floor.look()
    monkeypatch.setattr("streams.engine.executors.whole._PATIENCE_S", 1e9)
    floor.work_whole()
    floor.look()
    before = list(ran)
    floor.work_off()

    assert before == []
    assert ran == [0, 1]
    assert orders.ledger.committable == 2


@pytest.mark.usefixtures("patient")
def test_the_slot_shows_what_is_in_hand() -> None:
    """To the poll thread, with its partition, and to log lines."""
    seen: list[tuple[list[int | None], bool, int | None]] = []

    def work(_: Record) -> None:
        running, own = floor.slot.running(), current_message()
        seen.append(
            ([one[0].offset() for one in running], running[0][4] is orders, None if own is None else own.offset())
        )

    floor, orders = Floor(work), state()
    token = CURRENT.set(floor.slot)
    floor.give(orders, *keyed(b"a", b"b"))
    floor.work_off()
    CURRENT.reset(token)

    assert seen == [([0], True, 0), ([1], True, 1)]
    assert list(floor.slot.running()) == []


# -- batches ------------------------------------------------------------------------------------------


def offsets(records: list[Record]) -> list[int]:
    """Where *records* stand."""
    return [record.offset for record in records]


@pytest.mark.usefixtures("patient")
def test_calls_get_what_they_asked_for() -> None:
    """A chunk is called for in parts; the last one is smaller."""
    calls: list[list[int]] = []
    floor, orders = Floor(lambda records: calls.append(offsets(records)), batch=2), state()
    floor.give(orders, *keyed(b"a", b"b", b"a", b"b", b"a"))
    floor.work_off()

    assert calls == [[0, 1], [2, 3], [4]]
    assert orders.ledger.committable == 5


@pytest.mark.parametrize("is_late", [False, True])
def test_a_call_that_takes_long_holds_up_its_keys_alone(*, is_late: bool) -> None:
    """Also where the poll thread sees the call before it: what that one did stays done."""
    calls: list[list[int]] = []

    def work(records: list[Record]) -> None:
        calls.append(offsets(records))
        if calls == [[0, 1], [2, 3]]:
            whole = floor.slot.whole
            assert isinstance(whole, Whole)
            whole.at = 0 if is_late else whole.at
            floor.look()
            waiting.append(sorted(orders.lanes))

    waiting: list[Any] = []
    floor, orders = Floor(work, batch=2), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"d", b"c", b"e"))
    floor.work_off()

    assert waiting == [[b"a", b"b", b"c", b"d", b"e"] if is_late else [b"c", b"d", b"e"]]
    assert calls == [[0, 1], [2, 3], [5], [4]]
    assert orders.ledger.committable == 6
    assert orders.lanes == {}


@pytest.mark.parametrize("splits", [False, True])
def test_a_call_may_end_record_by_record(*, splits: bool) -> None:
    """Behind a record that is to run again its key waits, and no other."""

    def work(records: list[Record]) -> list[object]:
        if splits:
            floor.look()
        return [Retry(BAD) if record.offset == 2 else Skip() if record.offset == 1 else None for record in records]

    floor, orders = Floor(work, batch=4), state()
    floor.give(orders, *keyed(b"a", b"b", b"a", b"c", b"a"))
    floor.work_off()

    assert floor.stopped == [(2, Retry(BAD))]
    assert [item[0].offset() for item in orders.lanes[b"a"] or []] == [4]
    assert orders.ledger.committable == 2
    assert orders.outstanding == 2


@pytest.mark.parametrize("splits", [False, True])
def test_a_call_that_raises_is_repeated_one_by_one(*, splits: bool) -> None:
    """Each of its records once; what the calls before it did stays done."""
    calls: list[list[int]] = []

    def work(records: list[Record]) -> None:
        calls.append(offsets(records))
        if splits and 3 in offsets(records):
            floor.look()
        if 3 in offsets(records):
            raise BAD

    floor, orders = Floor(work, batch=2), state()
    floor.give(orders, *keyed(b"a", b"b", b"c", b"d", b"c"))
    floor.work_off()

    assert sorted(calls) == [[0, 1], [2], [2, 3], [3], [4]]
    assert floor.stopped == [(3, Retry(BAD))]
    assert orders.outstanding == 1


def test_runs_are_counted_once() -> None:
    """Those that ended, whatever their end; a call that raised is counted record by record later."""
    floor, orders = Floor(lambda _: [None, Skip()], batch=2), state()
    floor.give(orders, *keyed(b"a", b"b", b"c"))
    floor.work_whole()
    _, done, verdict = floor.wholes.ended[0]

    assert runs_in(done, verdict) == 2
    assert runs_in(3, None) == 3
    assert runs_in(3, Retry(BAD)) == 4
    assert runs_in(3, NOT_STARTED) == 3


# -- all of it ----------------------------------------------------------------------------------------


class Play:
    """Records of six keys, a few of which fail, on a floor where anything comes at any moment."""

    def __init__(self, seed: int, size: int | None) -> None:
        self._rng = random.Random(seed)
        self.failing = set(self._rng.sample(range(RECORDS), 3))
        self.orders = state()
        self.ran: list[tuple[bytes | None, int]] = []
        """What handlers got, in calls that did not raise."""
        self.written = 0
        self._size = size
        self.floor = Floor(self.work if size is None else self.work_many, batch=size)

    def play(self) -> None:
        """Write all, and work all off that can be."""
        while self.written < RECORDS:
            self._write()
            if self._rng.random() < 0.5:
                self.floor.work_off()
        self.floor.work_off()

    def work(self, record: Record) -> Any:
        """One record's handler."""
        return self.work_many([record])[0]

    def work_many(self, records: list[Record]) -> list[Any]:
        """A batch's: looks, writes, raises and ends as chance has it."""
        chance = self._rng.random
        if chance() < 0.3:
            self.floor.look()
        if chance() < 0.2 and self.written < RECORDS:
            self._write()
        if len(records) > 1 and self.failing & set(offsets(records)) and chance() < 0.5:
            raise BAD
        self.ran += [(record.key, record.offset) for record in records]
        outcomes = [
            Retry(BAD) if record.offset in self.failing else Skip() if chance() < 0.05 else None for record in records
        ]
        if chance() < 0.3:
            self.floor.look()
        return outcomes

    def _write(self) -> None:
        count = self._rng.randrange(1, 12)
        self.floor.give(self.orders, *((self.written + one, b"%d" % self._rng.randrange(6)) for one in range(count)))
        self.written += count

    @property
    def held(self) -> list[int]:
        """Where the records stand that failed, and those that wait behind them."""
        waiting = [item[0].offset() or 0 for lane in self.orders.lanes.values() for item in lane or ()]
        return sorted([*(offset for offset, _ in self.floor.stopped), *waiting])


def check(seed: int, size: int | None) -> None:
    """Play, and see that every key ran in order, that nothing failed that should not, and that nothing is forgotten."""
    play = Play(seed, size)
    play.play()
    by_key = {key: [offset for one, offset in play.ran if one == key] for key, _ in play.ran}
    failed = {offset for offset, _ in play.floor.stopped}

    assert failed <= play.failing
    assert play.orders.outstanding == len(play.held)
    assert play.orders.ledger.committable == min(play.held, default=play.written)
    for order in by_key.values():
        assert order == sorted(order)
        if size is None:  # of a call, what came behind a failed record of its key runs again
            assert len(order) == len(set(order))
            assert not failed & set(order[:-1])
    settled = set(range(play.written)) - set(play.held)
    assert settled <= {offset for _, offset in play.ran}


@pytest.mark.parametrize("size", [None, 3])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_split_runs_once_and_in_order(seed: int, size: int | None) -> None:
    """Splits at any moment, skips and failures, chunks that come in between."""
    check(seed, size)


@pytest.mark.parametrize("forgets", ["what waits in a lane", "to take back what has not begun"])
def test_a_split_that_forgets_something_is_seen(forgets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: records that are not held back, or left to the slot too."""
    if forgets == "what waits in a lane":
        monkeypatch.setattr(PartitionState, "hold_back", lambda *_: None)
    else:
        monkeypatch.setattr(Whole, "take_back", look_only)

    def check_all() -> None:
        for seed in range(40):
            check(seed, None)

    with pytest.raises(AssertionError):
        check_all()


def look_only(whole: Whole) -> int:
    """Look how much the slot has got, and take nothing back."""
    whole.stop = whole.count - length_hint(whole.source)
    return whole.stop
