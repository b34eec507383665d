"""Async handlers on their loop: how many wait at once, what runs past its time, and the loop's end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streams.engine.executors.eventloop import AsyncExecutor, EventLoop
from streams.engine.executors.executor import Interruption
from streams.engine.route import HandlerExitError
from streams.errors import HandlerTimeoutError
from streams.outcome import Retry
from streams.record import Record
from tests.engine.stage import messages, route, state
from tests.engine.workshop import Workshop, batch_route_for, route_for
from tests.waiting import eventually


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    """A loop in a thread of its own."""
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture
def workshop(loop: EventLoop) -> Iterator[Any]:
    """Open workshops whose handlers run on the loop."""
    opened: list[Workshop] = []

    def open_for(work: Any, **options: Any) -> Workshop:
        opened.append(Workshop(route_for("async", work, **options), loop))
        return opened[-1]

    yield open_for
    for one in opened:
        one.executor.close()


def cause_of(stopped: Interruption) -> BaseException:
    """Why the record runs again at which a run stopped."""
    assert isinstance(stopped.outcome, Retry)
    return stopped.outcome.cause


class Crowd:
    """Handlers that wait for each other."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._full = asyncio.Event()
        self.inside = 0
        self.most = 0

    async def enter(self, _: Record) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self._size:
            self._full.set()
        await self._full.wait()
        self.inside -= 1


def test_handlers_that_never_wait_leave_the_loop_to_others(workshop: Any) -> None:
    """While records are ready all the time, whatever else stands in line on the loop has its turn."""
    seen: list[bool] = []
    others_ran: list[bool] = []

    def work(_: Record) -> None:
        if not seen:
            asyncio.get_running_loop().call_soon(others_ran.append, True)  # noqa: FBT003  # an element
        began = time.monotonic()
        while time.monotonic() - began < 0.001:
            """Compute."""
        seen.append(bool(others_ran))

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages(*((offset, None) for offset in range(200))))
    shop.settle_all(orders)

    assert not seen[0]
    assert seen[-1]


def test_as_many_handlers_wait_at_once_as_are_allowed(workshop: Any) -> None:
    """Handlers that wait give way to others, up to the route's concurrency and no further."""
    crowd = Crowd(40)
    shop = workshop(crowd.enter, concurrency=40)
    orders = state()
    shop.give(orders, *messages(*((offset, None) for offset in range(100))))
    shop.settle_all(orders)

    assert crowd.most == 40
    assert len(shop.settled) == 100


def test_a_handler_past_its_time_is_cancelled_and_retried(workshop: Any) -> None:
    """A run that waits too long ends as a failed one, in words; the next records of the runner are not touched."""

    async def work(record: Record) -> None:
        if record.offset == 0:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    shop = workshop(work, timeout=0.05, concurrency=1)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b"), (2, b"c")))
    (stopped,) = shop.stop_at()
    shop.until(lambda: len(shop.settled) == 2)
    cause = cause_of(stopped)

    assert isinstance(cause, HandlerTimeoutError)
    assert "ran past its 0.05 s" in str(cause)
    assert stopped.run[stopped.done][0].offset() == 0


def test_a_handler_may_finish_although_it_was_cancelled(workshop: Any) -> None:
    """A handler that ends its work when it is cancelled has done it; the next one is watched as before."""

    async def work(record: Record) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if record.offset == 1:
                raise

    shop = workshop(work, timeout=0.05, concurrency=1)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"a")))
    (stopped,) = shop.stop_at()

    assert shop.settled == [0]
    assert isinstance(cause_of(stopped), HandlerTimeoutError)
    assert stopped.run[stopped.done][0].offset() == 1  # in the same run, or in its rest when the first took long


def test_a_handler_that_cancels_itself_fails(workshop: Any) -> None:
    """A cancellation that the handler brought about is a failed run, no timeout, and the runner goes on."""

    async def work(record: Record) -> None:
        if record.offset == 0:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

    shop = workshop(work)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b")))
    (stopped,) = shop.stop_at()
    shop.until(lambda: shop.settled == [1])

    assert isinstance(cause_of(stopped), HandlerExitError)


def test_a_batch_past_its_time_runs_one_by_one(loop: EventLoop) -> None:
    """A batch that takes too long is tried record by record, each with the time of one run."""
    alone: list[int] = []

    async def work(records: list[Record]) -> None:
        if len(records) > 1:
            await asyncio.Event().wait()
        alone.append(records[0].offset)

    shop = Workshop(batch_route_for("async", work, 10, timeout=0.05), loop)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"b"), (2, b"c")))
    shop.settle_all(orders)
    shop.executor.close()

    assert sorted(alone) == [0, 1, 2]


def test_the_loop_ends_though_handlers_wait() -> None:
    """Closing cancels what still waits; its records have no result, and no thread is left."""
    loop = EventLoop()
    begun = threading.Event()

    async def charge(_: bytes) -> None:
        begun.set()
        await asyncio.Event().wait()

    executor = AsyncExecutor(route(charge), loop)
    orders = state()
    chunk = orders.admit(messages((0, b"a"), (1, b"a")))
    assert chunk is not None
    executor.take(orders, chunk)
    begun.wait(30)
    executor.close()
    loop.close()

    assert not any(one.name == "streams-event-loop" for one in threading.enumerate())
    assert executor.finished() == []
    assert executor.interrupted() == []
    assert orders.outstanding == 2


def test_the_loop_ends_at_once_when_nothing_waits() -> None:
    """An idle loop closes, twice if need be."""
    loop = EventLoop()
    loop.close()
    loop.close()

    assert not any(one.name == "streams-event-loop" for one in threading.enumerate())


def test_what_runs_on_the_loop_can_be_asked_from_outside(loop: EventLoop) -> None:
    """`call` runs a coroutine on the loop and gives its result to the calling thread."""

    async def name() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert loop.call(name()).result(30) == "streams-event-loop"


def test_slots_come_and_go_and_the_counts_stay(workshop: Any) -> None:
    """Runners end when nothing is left to run; what they counted stays."""
    shop = workshop(lambda _: asyncio.sleep(0), concurrency=10)
    orders = state()
    for offset in range(30):
        shop.give(orders, *messages((offset, None)))
    shop.settle_all(orders)
    eventually(lambda: len(shop.executor.slots()) == 1)

    assert shop.counted() == 30
