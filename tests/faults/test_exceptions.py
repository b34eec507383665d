"""Handlers that raise what no handler should: it is the record's failure, never the member's end."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

import pytest

from streams import App, Record, RetryPolicy
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench


class OddError(BaseException):
    """Not an `Exception`."""


RAISED: Final[dict[bytes, type[BaseException]]] = {
    one.__name__.encode(): one
    for one in (
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        asyncio.CancelledError,
        OddError,
        MemoryError,
        RecursionError,
    )
}
_PATIENT = RetryPolicy(delays=("10ms",) * 12, jitter=0, memory_up_to="1s")
_PER_KEY = 5
_chaos = pytest.mark.chaos


class Raiser:
    """Runs records, and raises what each one names at its first run."""

    def __init__(self) -> None:
        self.raised, self.done = Counter[bytes](), list[tuple[bytes | None, int]]()

    def run(self, record: Record) -> None:
        error = RAISED.get(record.value or b"")
        if error is not None and not self.raised[error.__name__.encode()]:
            self.raised[error.__name__.encode()] += 1
            raise error
        self.done.append((record.key, record.offset))

    async def run_async(self, record: Record) -> None:
        await asyncio.sleep(0)
        self.run(record)

    def run_batch(self, records: list[Record]) -> None:
        for record in records:
            self.run(record)


@pytest.mark.parametrize(
    "run", ["threads", "async", pytest.param("inline", marks=_chaos), pytest.param("batch", marks=_chaos)]
)
def test_whatever_a_handler_raises_is_its_record_s_failure(
    run: str, bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """Each is tried again, in its order; the member goes on, and nothing is lost."""
    orders, raiser = topic(partitions=2), Raiser()
    ways: dict[str, tuple[Any, dict[str, Any]]] = {
        "threads": (raiser.run, {}),
        "async": (raiser.run_async, {}),
        "inline": (raiser.run, {"run": "inline"}),
        "batch": (raiser.run_batch, {"batch": 10}),
    }
    handler, options = ways[run]
    app.on(orders, retry=_PATIENT, **options)(handler)
    records = [(name, name if number == 1 else b"fine") for number in range(_PER_KEY) for name in RAISED]
    bench.write(orders, records)
    member = bench.run(app)
    member.settled()
    report = member.stop()
    injected(39, times=sum(raiser.raised.values()), members=1, in_flight=len(raiser.raised))

    assert set(raiser.raised) == set(RAISED)
    assert bench.dead(orders, app.group) == []
    assert set(Counter(raiser.done).values()) == {1} or run == "batch"
    assert len(set(raiser.done)) == len(records)
    assert (report.left, report.drained, report.committed) == (0, True, True)
    for name in RAISED:
        first_ends = list(dict.fromkeys(offset for key, offset in raiser.done if key == name))
        assert first_ends == sorted(first_ends)


def test_generators_that_are_left_early_cost_nothing(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """A handler that leaves an asynchronous generator in its middle, or closes it while it waits, ends as it likes."""
    orders, done = topic(), list[int]()
    closed = list[int]()

    async def steps(offset: int) -> Any:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                yield number
        finally:
            closed.append(offset)

    @app.on(orders, retry=_PATIENT)
    async def handle(record: Record) -> None:
        walk = steps(record.offset)
        async for number in walk:
            if number == 1:
                break
        await walk.aclose()
        done.append(record.offset)

    bench.write(orders, [(b"a", b"")] * 20)
    member = bench.run(app)
    member.settled()
    injected(39, times=len(closed), members=1, in_flight=1)

    assert done == closed == list(range(20))
