"""What every way of running handlers holds: order, ends, the lease, slots; inline, in threads, on the loop."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from streams.engine.context import Context
from streams.engine.executors.eventloop import EventLoop
from streams.engine.executors.executor import NOT_STARTED
from streams.engine.partition import NEVER
from streams.engine.route import HandlerExitError, Route
from streams.engine.slot import current_message
from streams.errors import DecodeError, ResultError
from streams.outcome import Ack, DeadLetter, Retry, Skip, Stop
from streams.record import Record
from tests.engine.stage import OTHER, message, messages, route, state
from tests.engine.workshop import MODES, Mode, Workshop, batch_route_for, go_whole, route_for

BAD = ValueError("bad")


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Mode:
    """One way of running handlers."""
    chosen: Mode = request.param
    return chosen


@pytest.fixture(params=["lanes", "whole"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records go lane by lane, or chunk by chunk as long as nothing holds them up."""
    if request.param == "whole":
        go_whole(monkeypatch)


@pytest.fixture
def workshops() -> Iterator[Any]:
    """Open workshops for routes; all are closed at the end."""
    loop = EventLoop()
    opened: list[Workshop] = []

    def open_for(chosen: Route) -> Workshop:
        opened.append(Workshop(chosen, loop))
        return opened[-1]

    yield open_for
    for one in opened:
        one.executor.close()
    loop.close()


@pytest.fixture
def workshop(mode: Mode, workshops: Any) -> Any:
    """Open a workshop in which a handler does the given work."""
    return lambda work, **options: workshops(route_for(mode, work, **options))


class Journal:
    """Who began and ended when, by key; fails at once where two of a key overlap or change places."""

    def __init__(self, pace: random.Random) -> None:
        self._pace = pace
        self._lock = threading.Lock()
        self._running: set[bytes | None] = set()
        self._latest: dict[bytes | None, int] = {}
        self.faults: list[str] = []

    def work(self, record: Record) -> Any:
        """Work for as long as it takes: no time at all, or a few turns of other threads or tasks."""
        self._begin(record)
        turns = self._pace.choice((0, 0, 0, 1, 5))
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            for _ in range(turns):
                time.sleep(0)  # lets another thread go first
            self._end(record)
            return None
        return self._work_on_loop(record, turns)

    async def _work_on_loop(self, record: Record, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        self._end(record)

    def _begin(self, record: Record) -> None:
        with self._lock:
            if record.key in self._running:
                self.faults.append(f"{record} began while another of its key ran")
            if self._latest.get(record.key, -1) >= record.offset:
                self.faults.append(f"{record} began after a younger one")
            self._running.add(record.key)
            self._latest[record.key] = record.offset

    def _end(self, record: Record) -> None:
        with self._lock:
            self._running.discard(record.key)


def test_a_long_run_hands_back_what_it_has_done(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a long run has done is settled while its rest goes on, in order: a crash repeats little of it."""
    for room in ("executor", "eventloop"):
        monkeypatch.setattr(f"streams.engine.executors.{room}.LONG_RUN_S", 0.0)
    shop, orders = workshop(lambda _: None, batch=None), state()
    orders.lanes[b"a"] = None
    shop.give(orders, *messages(*((offset, b"a") for offset in range(5))))
    shop.executor.submit([orders.release(b"a")])
    shop.settle_all(orders)

    assert shop.settled == [0, 1, 2, 3, 4]
    assert shop.handed_back > 0
    assert orders.lanes == {}


@pytest.mark.parametrize("size", [None, 2])
def test_inline_runs_leave_off_after_a_moment(
    size: int | None, workshops: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many become free to run at once, the group is heard in between; none is left, none is run twice."""
    monkeypatch.setattr("streams.engine.executors.inline._TURN_S", 0.0)
    shop = workshops(
        route_for("inline", lambda _: None) if size is None else batch_route_for("inline", lambda _: None, size)
    )
    orders = state()
    orders.lanes.update(dict.fromkeys([b"%d" % key for key in range(10)]))  # all are busy
    shop.give(orders, *messages(*((offset, b"%d" % offset) for offset in range(10))))
    shop.executor.submit([run for key in list(orders.lanes) if (run := orders.release(key))])
    turns = []
    while orders.outstanding:
        shop.turn()
        turns.append(len(shop.settled))

    assert turns == list(range(size or 1, 11, size or 1))
    assert shop.settled == list(range(10))


@pytest.mark.parametrize("seed", range(3))
def test_each_key_runs_in_order(seed: int, workshop: Any) -> None:
    """However long handlers take, records of a key run one after the other, oldest first, and all of them run."""
    rng = random.Random(seed)
    journal = Journal(random.Random(seed))
    shop = workshop(journal.work, **({} if seed else {"concurrency": None}))
    orders = state()
    offset = 0
    while offset < 400:
        batch = [(offset + one, b"%d" % rng.randrange(12)) for one in range(rng.randrange(1, 40))]
        offset += len(batch)
        shop.give(orders, *messages(*batch))
        for _ in range(rng.randrange(3)):
            shop.turn()
    shop.settle_all(orders)

    assert journal.faults == []
    assert sorted(shop.settled) == list(range(offset))
    assert orders.ledger.committable == offset
    assert not orders.lanes


def test_no_run_is_left_lying(workshop: Any) -> None:
    """Thousands of records handed over one by one, with the workers now asleep and now busy, all run."""
    shop = workshop(lambda _: None)
    orders = state()
    for offset in range(3_000):
        shop.give(orders, message(offset, None))
        if offset % 7 == 0:
            shop.turn()
        if offset % 500 == 0:
            shop.settle_all(orders)
    shop.settle_all(orders)

    assert sorted(shop.settled) == list(range(3_000))
    assert shop.counted() == 3_000


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (BAD, Retry),
        (SystemExit(1), Retry),
        (KeyboardInterrupt(), Retry),
        (GeneratorExit(), Retry),
        (asyncio.CancelledError(), Retry),
        (BaseException("panic"), Retry),
        (Stop(DeadLetter(BAD)), DeadLetter),
        (Stop(Retry(BAD)), Retry),
        (Stop(Skip("enough")), None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_whatever_ends_a_handler_ends_its_record(end: BaseException, outcome: type | None, workshop: Any) -> None:
    """No exception stops the executor: the record gets its outcome and the next ones run."""

    def work(record: Record) -> None:
        if record.offset == 1:
            raise end

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"a"), (2, b"a"), (3, b"b")))
    if outcome is None:
        shop.settle_all(orders)
        assert sorted(shop.settled) == [0, 1, 2, 3]
        return
    (stopped,) = shop.stop_at()
    shop.give(orders, *messages((4, b"c")))
    shop.until(lambda: {3, 4} <= set(shop.settled))

    assert orders.interrupt(stopped.run, stopped.done)[0].offset() == 1
    assert [item[0].offset() for item in orders.lanes[b"a"] or []] == [2]
    assert isinstance(stopped.outcome, outcome)
    cause = getattr(stopped.outcome, "cause", None)
    assert cause is BAD or isinstance(cause, HandlerExitError)
    assert sorted(shop.settled) == [0, 3, 4]


def test_a_raised_ack_settles_its_record_and_no_other(workshop: Any) -> None:
    """`raise Stop(Ack())` is a success of one record: the later ones of its key run, each once, in order."""
    seen: list[int] = []

    def work(record: Record) -> None:
        seen.append(record.offset)
        if record.offset in {0, 2, 3}:
            raise Stop(Ack())

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"a"), (2, b"a"), (3, b"a"), (4, b"a")))
    shop.settle_all(orders)

    assert seen == [0, 1, 2, 3, 4]
    assert sorted(shop.settled) == [0, 1, 2, 3, 4]
    shop.until(lambda: shop.counted() == 5)


@pytest.mark.parametrize("result", [7, "done", [None], {"a": 1}], ids=str)
def test_rubbish_is_a_dead_letter(result: object, workshop: Any) -> None:
    """A handler that gives back something else is told so in its record's dead letter."""
    shop = workshop(lambda _: result)
    orders = state()
    shop.give(orders, message(0))
    (stopped,) = shop.stop_at()

    assert isinstance(stopped.outcome, DeadLetter)
    assert isinstance(stopped.outcome.cause, ResultError)


def test_what_can_not_be_read_is_dead_and_a_null_is_skipped(mode: Mode, workshops: Any) -> None:
    """Unreadable bytes and tombstones never reach the handler; their neighbours do."""
    seen: list[int] = []

    def handle(order: dict[str, int]) -> None:
        seen.append(order["id"])

    async def handle_async(order: dict[str, int]) -> None:
        handle(order)

    shop = workshops(
        route(handle, run="inline") if mode == "inline" else route(handle_async if mode == "async" else handle)
    )
    orders = state()
    values = [b'{"id": 0}', b"{broken", b'{"id": 2}', None, b'{"id": 4}']
    shop.give(orders, *(message(offset, None, value) for offset, value in enumerate(values)))
    (stopped,) = shop.stop_at()
    shop.until(lambda: len(shop.settled) >= 4)

    assert sorted(seen) == [0, 2, 4]
    assert sorted(shop.settled) == [0, 2, 3, 4]
    assert stopped.run[0][0].offset() == 1
    assert isinstance(stopped.outcome, DeadLetter)
    assert isinstance(stopped.outcome.cause, DecodeError)


class Fussy:
    """A codec that does not only read: for one value it raises what it was given."""

    content_type = "text/plain"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def decode(self, data: bytes) -> str:
        if data == b"2":
            raise self._error
        return data.decode()

    def encode(self, value: str) -> bytes:
        return value.encode()


@pytest.mark.parametrize("batch", [None, 10])
@pytest.mark.parametrize(
    "error",
    [StopIteration(), KeyError("x"), BaseException("panic"), Stop(Ack()), Stop(Skip())],
    ids=lambda one: f"{type(one).__name__} {one}",
)
def test_what_a_codec_raises_costs_its_record_and_no_other(
    error: BaseException, batch: int | None, mode: Mode, workshops: Any
) -> None:
    """Not even `StopIteration` ends more than one record, which is dead; an outcome that it raises counts."""
    seen: list[str] = []

    def handle(value: str) -> None:
        seen.append(value)

    def handle_all(values: list[str]) -> None:
        seen.extend(values)

    async def handle_async(value: str) -> None:
        seen.append(value)

    async def handle_all_async(values: list[str]) -> None:
        seen.extend(values)

    plain, waiting = (handle_all, handle_all_async) if batch else (handle, handle_async)
    how: dict[str, Any] = {"run": "inline"} if mode == "inline" else {}
    shop = workshops(route(waiting if mode == "async" else plain, codec=Fussy(error), batch=batch, **how))
    orders = state()
    shop.give(orders, *(message(offset, None, str(offset).encode()) for offset in range(5)))
    shop.until(lambda: len(shop.settled) >= 4)

    if isinstance(error, Stop):
        shop.settle_all(orders)
    else:
        (stopped,) = shop.stop_at()
        assert stopped.run[stopped.done][0].offset() == 2
        assert isinstance(stopped.outcome, DeadLetter)
    assert sorted(seen) == ["0", "1", "3", "4"]
    assert {0, 1, 3, 4} <= set(shop.settled)


def test_without_a_lease_nothing_starts(workshop: Any) -> None:
    """Records of a partition whose lease has ended come back unstarted."""
    ran: list[Record] = []
    shop = workshop(ran.append)
    orders = state(lease_until=NEVER)
    shop.give(orders, *messages((0, b"a"), (1, b"b"), (2, b"a")))
    stopped = shop.stop_at(2)

    assert ran == []
    assert {one.outcome for one in stopped} == {NOT_STARTED}
    assert [one.done for one in stopped] == [0, 0]
    assert shop.counted() == 0


def test_a_lease_that_ends_in_mid_run_stops_it(workshop: Any) -> None:
    """What runs goes on to its end; the records behind it in the same run are not started."""
    orders = state()
    ran: list[int] = []

    def work(record: Record) -> None:
        ran.append(record.offset)
        if record.offset == 1:
            orders.close()

    shop = workshop(work)
    orders.lanes[b"a"] = None  # a busy lane: inline handlers then go lane by lane too
    shop.give(orders, *messages((0, b"a"), (1, b"a"), (2, b"a"), (3, b"a")))
    shop.executor.submit([orders.release(b"a")])
    (stopped,) = shop.stop_at()

    assert ran == [0, 1]
    assert (stopped.done, stopped.outcome) == (2, NOT_STARTED)
    assert [item[0].offset() for item in stopped.run] == [0, 1, 2, 3]


def offset_in_hand() -> int | None:
    """Where the record stands that the current code works on."""
    found = current_message()
    return None if found is None else found.offset()


def test_handlers_know_their_record_and_attempt(mode: Mode, workshops: Any) -> None:
    """Inside a handler the record in hand is known, to its context and to log lines; outside there is none."""
    seen: list[tuple[int, int, int | None]] = []

    def handle(_: bytes, ctx: Context) -> None:
        seen.append((ctx.record.offset, ctx.attempt, offset_in_hand()))

    async def handle_async(value: bytes, ctx: Context) -> None:
        await asyncio.sleep(0)
        handle(value, ctx)

    shop = workshops(
        route(handle, run="inline") if mode == "inline" else route(handle_async if mode == "async" else handle)
    )
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b")))
    shop.settle_all(orders)

    assert sorted(seen) == [(0, 1, 0), (1, 1, 1)]
    assert current_message() is None


def test_plain_handlers_know_their_record_too(workshop: Any) -> None:
    """The shortest way to a handler, without a context, tells log lines of the record in hand as well."""
    seen: list[int | None] = []

    def work(_: Record) -> None:
        seen.append(offset_in_hand())

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b"), (2, b"c")))
    shop.settle_all(orders)

    assert sorted(seen, key=str) == [0, 1, 2]
    assert current_message() is None


def test_slots_tell_the_truth(workshop: Any) -> None:
    """Once all has settled no slot holds a record, and each handler run was counted once, whatever its end."""
    calls: list[int] = []

    def work(record: Record) -> None:
        calls.append(record.offset)
        if record.offset % 10 == 0:
            raise Stop(Skip())
        if record.offset % 25 == 1:
            raise BAD

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages(*((offset, None) for offset in range(100))))
    shop.stop_at(4)
    shop.until(lambda: len(shop.settled) >= 96)

    assert len(calls) == 100
    assert shop.started == 100
    shop.until(lambda: shop.counted() == 100)
    assert all(slot.spent_s >= 0 for slot in shop.executor.slots())


# -- batches --------------------------------------------------------------------------------------------


@pytest.fixture
def batches(mode: Mode, workshops: Any) -> Any:
    """Open a workshop in which a batch handler does the given work."""
    return lambda work, size=10, **options: workshops(batch_route_for(mode, work, size, **options))


def offsets(records: list[Record]) -> list[int]:
    """Where *records* stand."""
    return [record.offset for record in records]


def test_a_batch_is_one_call(batches: Any) -> None:
    """A batch handler gets several records in one call, no more than it asked for unless one lane holds more."""
    calls: list[list[int]] = []
    shop = batches(lambda records: calls.append(offsets(records)), concurrency=None)
    orders = state()
    shop.give(orders, *messages(*((offset, b"%d" % (offset % 50)) for offset in range(200))))
    shop.settle_all(orders)

    assert sorted(shop.settled) == list(range(200))
    assert sorted(offset for call in calls for offset in call) == list(range(200))
    assert max(map(len, calls)) <= 10 + 3
    assert len(calls) < 100
    assert shop.counted() == 200


def test_a_batch_may_end_record_by_record(batches: Any) -> None:
    """Each record of a batch ends in its own outcome; behind one that is to run again its key waits."""

    def work(records: list[Record]) -> list[object]:
        return [Retry(BAD) if record.offset == 2 else Skip() if record.offset == 1 else None for record in records]

    shop = batches(work)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b"), (2, b"a"), (3, b"c"), (4, b"a")))
    (stopped,) = shop.stop_at()
    shop.until(lambda: len(shop.settled) >= 3)

    assert stopped.outcome == Retry(BAD)
    assert orders.interrupt(stopped.run, stopped.done)[0].offset() == 2
    assert [item[0].offset() for item in orders.lanes[b"a"] or []] == [4]
    assert sorted(shop.settled) == [0, 1, 3]


def test_a_batch_that_raises_runs_one_by_one(batches: Any) -> None:
    """One bad record spoils nobody's work but its own."""
    calls: list[list[int]] = []

    def work(records: list[Record]) -> None:
        calls.append(offsets(records))
        if 2 in offsets(records):
            raise BAD

    shop = batches(work)
    orders = state()
    shop.give(orders, *messages(*((offset, None) for offset in range(5))))
    (stopped,) = shop.stop_at()
    shop.until(lambda: len(shop.settled) >= 4)

    assert stopped.outcome == Retry(BAD)
    assert stopped.run[stopped.done][0].offset() == 2
    assert sorted(shop.settled) == [0, 1, 3, 4]
    assert [2] in calls


def test_a_batch_of_the_wrong_length_is_dead(batches: Any) -> None:
    """A list that does not fit its batch says nothing about any record: each is a dead letter with the reason."""
    shop = batches(lambda records: [None] * (len(records) + 1))
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b")))
    stopped = shop.stop_at(2)

    assert shop.settled == []
    for one in stopped:
        assert isinstance(one.outcome, DeadLetter)
        assert isinstance(one.outcome.cause, ResultError)


def test_a_batch_shows_all_its_partitions(batches: Any) -> None:
    """While one call works on records of two partitions, neither counts as idle."""
    seen: list[tuple[bool, bool]] = []
    orders, others = state(), state(OTHER)

    def work(records: list[Record]) -> None:
        if len({record.partition for record in records}) > 1:
            seen.append((shop.works_on(orders), shop.works_on(others)))

    shop: Workshop = batches(work, 100)
    for partition in (orders, others):  # all lanes are busy, so that both batches wait and go on together
        partition.lanes.update(dict.fromkeys([b"%d" % key for key in range(20)]))
        shop.give(partition, *messages(*((at, b"%d" % at) for at in range(20)), partition=partition.partition))
    shop.executor.submit([run for key in list(orders.lanes) for one in (orders, others) if (run := one.release(key))])
    shop.settle_all(orders, others)

    assert seen
    assert set(seen) == {(True, True)}


def test_a_batch_without_a_lease_is_not_started(batches: Any) -> None:
    """Nothing of a batch starts when a partition in it has lost its lease; what may start does so on its own."""
    ran: list[list[int]] = []
    shop = batches(lambda records: ran.append(offsets(records)))
    orders = state(lease_until=NEVER)
    shop.give(orders, *messages((0, b"a"), (1, b"b")))
    stopped = shop.stop_at(2)

    assert ran == []
    assert {one.outcome for one in stopped} == {NOT_STARTED}


def test_failures_leave_nothing_to_the_collector(workshop: Any) -> None:
    """An error goes with its record: it and what caught it don't hold each other until a collection."""
    errors: list[weakref.ref[Exception]] = []

    class DownError(Exception):
        def __init__(self) -> None:
            errors.append(weakref.ref(self))

    def work(_record: Record) -> None:
        raise DownError

    shop, orders = workshop(work), state()
    gc.disable()
    try:
        for start in (0, 20, 40):
            shop.give(orders, *messages(*((start + at, b"%d" % (start + at)) for at in range(20))))
            shop.stop_at(20).clear()
        alive = sum(error() is not None for error in errors)
    finally:
        gc.enable()

    assert len(errors) == 60
    assert alive < 10  # the last ones: this test's own frames, and threads that have nothing new to do, know them yet
