"""Records of one key run one at a time and in their order, whatever runs the handlers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict

import pytest

from streams import App, Context, Record, RetryPolicy
from streams.errors import StreamsError
from tests.brokers import Topics
from tests.path.members import Bench, numbered

Lane = tuple[int, bytes | None]

KEYS = [b"", *(b"key-%d" % number for number in range(20))]
COUNT = 840
QUICK = RetryPolicy(delays=("20ms",), jitter=0)


class Floor:
    """Sees who runs at the same time, and in which order."""

    def __init__(self) -> None:
        self.ended: dict[Lane, list[int]] = defaultdict(list)
        self.together: list[Lane] = []
        self.failed: set[int] = set()
        self._on_it: set[Lane] = set()
        self._lock = threading.Lock()

    def enter(self, record: Record) -> int:
        with self._lock:
            if _lane(record) in self._on_it:
                self.together.append(_lane(record))
            self._on_it.add(_lane(record))
        return int(record.value or b"")

    def leave(self, record: Record, number: int) -> None:
        with self._lock:
            self._on_it.discard(_lane(record))
            if number % 9 == 0 and number not in self.failed:
                self.failed.add(number)
                raise StreamsError(f"{number} fails once")
            self.ended[_lane(record)].append(number)

    @property
    def count(self) -> int:
        return sum(map(len, self.ended.values()))


def _lane(record: Record) -> Lane:
    return record.partition, record.key


def in_threads(app: App, topic: str, floor: Floor) -> None:
    """Handlers in threads, with a context."""

    @app.on(topic, retry=QUICK)
    def handle(record: Record, _: Context) -> None:
        number = floor.enter(record)
        time.sleep(0.0005 * (number % 3))
        floor.leave(record, number)


def inline(app: App, topic: str, floor: Floor) -> None:
    """Handlers on the poll thread."""

    @app.on(topic, retry=QUICK, run="inline")
    def handle(record: Record) -> None:
        floor.leave(record, floor.enter(record))


def on_the_loop(app: App, topic: str, floor: Floor) -> None:
    """Handlers on the event loop."""

    @app.on(topic, retry=QUICK)
    async def handle(record: Record) -> None:
        number = floor.enter(record)
        await asyncio.sleep(0.0005 * (number % 3))
        floor.leave(record, number)


@pytest.mark.parametrize("declare", [in_threads, inline, on_the_loop])
def test_a_key_runs_in_order(declare: object, bench: Bench, topic: Topics, app: App) -> None:
    """With failures on the way, each key's records end in the order in which they were written."""
    orders, floor = topic(partitions=3), Floor()
    bench.write(orders, numbered(COUNT, KEYS))
    declare(app, orders, floor)  # type: ignore[operator]
    member = bench.run(app)
    member.until(lambda: floor.count == COUNT)
    member.settled()

    assert floor.together == []
    assert {key: sorted(numbers) for key, numbers in floor.ended.items()} == floor.ended
    assert len(floor.failed) == len(range(0, COUNT, 9))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_key_runs_in_order_in_batches(is_async: bool, bench: Bench, topic: Topics, app: App) -> None:  # noqa: FBT001
    """A batch holds the records of a key in their order, and no other batch holds more of it meanwhile."""
    orders, floor = topic(partitions=3), Floor()
    bench.write(orders, numbered(COUNT, KEYS))

    def work(records: list[Record]) -> None:
        for record in {_lane(record): record for record in reversed(records)}.values():
            floor.enter(record)
        for record in records:
            floor.leave(record, int(record.value or b""))

    if is_async:

        @app.on(orders, retry=QUICK, batch=50)
        async def handle_async(records: list[Record]) -> None:
            work(records)

    else:

        @app.on(orders, retry=QUICK, batch=50)
        def handle(records: list[Record]) -> None:
            work(records)

    member = bench.run(app)
    member.until(lambda: len({number for numbers in floor.ended.values() for number in numbers}) == COUNT)
    member.settled()
    firsts = {key: list(dict.fromkeys(numbers)) for key, numbers in floor.ended.items()}

    assert {key: sorted(numbers) for key, numbers in firsts.items()} == firsts


def test_records_without_a_key_do_not_wait_for_each_other(bench: Bench, topic: Topics, app: App) -> None:
    """Each has a lane of its own: one that hangs holds up none."""
    orders, release, ended = topic(), threading.Event(), []

    @app.on(orders, concurrency=4)
    def handle(record: Record) -> None:
        if record.offset == 0:
            release.wait(30)
        ended.append(record.offset)

    bench.write(orders, numbered(20, [None]))
    member = bench.run(app)
    member.until(lambda: len(ended) == 19)
    release.set()
    member.settled()

    assert ended[-1] == 0
    assert sorted(ended) == list(range(20))
