"""Handlers in threads: stuck ones, the end, and what the poll thread may conclude from idle slots."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from streams.engine.executors.executor import NOT_STARTED, Interruption
from streams.engine.executors.threads import ThreadExecutor
from streams.outcome import Skip
from streams.record import Record
from tests.engine.stage import OTHER, messages, route, state
from tests.engine.workshop import Workshop, go_whole, route_for
from tests.waiting import eventually

FAR = 1_000_000
"""Where the offsets of the other partition begin."""


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Something to wait for; open at the end, whatever happens."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture(params=["lanes", "whole"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records go lane by lane, or chunk by chunk as long as nothing holds them up."""
    if request.param == "whole":
        go_whole(monkeypatch)


@pytest.fixture
def workshop() -> Iterator[Any]:
    """Open workshops whose handlers run in threads."""
    opened: list[Workshop] = []

    def open_for(work: Any, **options: Any) -> Workshop:
        opened.append(Workshop(route_for("threads", work, **options)))
        return opened[-1]

    yield open_for
    for one in opened:
        one.executor.close()


def test_a_stuck_handler_keeps_its_lane_alone(workshop: Any, gate: threading.Event) -> None:
    """A handler that does not return holds its key, and its slot shows it; other keys go on."""

    def work(record: Record) -> None:
        if record.offset == 0:
            gate.wait()

    shop = workshop(work, concurrency=2)
    orders = state()
    shop.give(orders, *messages((0, b"a"), (1, b"a"), (2, b"b"), (3, b"c")))
    eventually(lambda: shop.turn() or {2, 3} <= set(shop.settled), every_s=0)
    shop.give(orders, *messages((4, b"a"), (5, b"b")))
    eventually(lambda: shop.turn() or 5 in shop.settled, every_s=0)
    (stuck,) = [item for slot in shop.executor.slots() for item in slot.running()]
    held = sorted(shop.settled)
    gate.set()
    shop.settle_all(orders)

    assert stuck[0].offset() == 0
    assert held == [2, 3, 5]
    assert [one for one in shop.settled if one in (0, 1, 4)] == [0, 1, 4]


def give_up_on_the_first(executor: ThreadExecutor) -> list[Interruption]:
    """Report the record at offset 0 as given up while its handler is still at work, once."""
    stuck = [item for slot in executor.slots() for item in slot.running() if item[0].offset() == 0]
    if stuck and stuck[0][3] in stuck[0][4].lanes:
        return [Interruption(stuck, 0, Skip())]
    return []


def test_without_its_lane_a_stuck_handler_is_overtaken(
    workshop: Any, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An executor that gives a lane away before its handler has returned runs two records of a key at once."""
    monkeypatch.setattr(ThreadExecutor, "interrupted", give_up_on_the_first)
    began: list[int] = []

    def work(record: Record) -> None:
        began.append(record.offset)
        gate.wait()

    shop = workshop(work, concurrency=2)
    orders = state()
    shop.give(orders, *messages((0, b"a")))
    shop.give(orders, *messages((1, b"a")))
    eventually(lambda: shop.turn() or len(began) == 2, every_s=0)
    at_work = sorted(item[0].offset() for slot in shop.executor.slots() for item in slot.running())

    assert began == [0, 1]
    assert at_work == [0, 1]


def test_as_many_handlers_wait_at_once_as_there_are_threads(workshop: Any) -> None:
    """Handlers that wait for each other all get a thread, however few were awake."""
    together = threading.Barrier(8)

    def work(_: Record) -> None:
        together.wait(30)

    shop = workshop(work, concurrency=8)
    orders = state()
    shop.give(orders, *messages(*((offset, None) for offset in range(8))))
    shop.settle_all(orders)

    assert not together.broken


class Seesaw(ThreadExecutor):
    """What a run costs is next to nothing at the first look, and a millisecond at the next: another worker wrote it."""

    looks = 0
    lowest = float("inf")

    @property
    def _cost_s(self) -> float:
        self.looks += 1
        return 1e-6 if self.looks == 1 else 1e-3

    @_cost_s.setter
    def _cost_s(self, seconds: float) -> None:
        self.lowest, self.looks = min(self.lowest, seconds), 0


def test_workers_that_learn_side_by_side_never_take_a_run_for_less_than_free() -> None:
    """Below zero the mean would fall for ever, to what is no number, and end the member."""
    executor = Seesaw(route_for("threads", lambda _: None, concurrency=1))
    for cost_s in [0.0, 1e-9, 5e-6, 1e-3] * 10:
        executor._learn(cost_s)  # noqa: SLF001  # as sixteen threads call it
    executor.close()

    assert executor.lowest > 0


def test_closing_ends_the_threads(gate: threading.Event) -> None:
    """After the close every thread ends: a sleeping one at once, a busy one when its handler returns."""

    def charge(_: bytes) -> None:
        gate.wait()

    executor = ThreadExecutor(route(charge, concurrency=3))
    orders = state()
    chunk = orders.admit(messages((0, b"a")))
    assert chunk is not None
    executor.take(orders, chunk)
    eventually(lambda: any(slot.running() for slot in executor.slots()))
    executor.close()

    eventually(lambda: len(threads_of("charge")) == 1)
    gate.set()
    eventually(lambda: not threads_of("charge"))
    assert sum(map(len, executor.finished())) + executor.take_settled() == 1


def threads_of(name: str) -> list[threading.Thread]:
    """The living threads of a route."""
    return [one for one in threading.enumerate() if one.name.startswith(f"streams-{name}-")]


@pytest.mark.parametrize("seed", range(3))
def test_whoever_closes_and_sees_idle_slots_has_every_result(seed: int, workshop: Any) -> None:
    """After a close, once no slot holds a record of the partition, nothing of it runs and every end was reported."""
    rng = random.Random(seed)
    ran: list[int] = []
    shop = workshop(lambda record: ran.append(record.offset), concurrency=3)
    others = state(OTHER)
    for turn in range(200):
        orders = state(committed=turn * 100)
        shop.give(orders, *messages(*((turn * 100 + at, b"%d" % (at % 7)) for at in range(20))))
        shop.give(others, *messages(*((FAR + turn * 100 + at, b"a") for at in range(5)), partition=OTHER))
        for _ in range(rng.randrange(4)):
            shop.turn()
        orders.close()
        while shop.works_on(orders):
            pass
        before = sum(offset < FAR for offset in ran)
        shop.turn()

        assert sum(offset < FAR for offset in shop.settled) == before
        orders.drop()

    shop.settle_all(others)
    assert len(ran) == len(set(ran)) == len(shop.settled)
    assert all(one.outcome is NOT_STARTED for one in shop.stopped)
