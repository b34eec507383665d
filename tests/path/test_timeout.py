"""A handler that runs past its time is cancelled where that can be done, and reported where it can't."""

from __future__ import annotations

import asyncio
import threading

from streams import App, Context, Record, RetryPolicy
from streams.engine.chain import unpack, unpack_error
from streams.errors import HandlerTimeoutError
from streams.record import Partition
from tests.brokers import Topics
from tests.path.members import Bench, headers_of, numbered

TWICE = RetryPolicy(delays=("20ms",), jitter=0)


def test_async_handler_is_cancelled_and_tried_again(bench: Bench, topic: Topics, app: App) -> None:
    """Each run has its time; the last attempt is followed by a dead letter that says so; the key goes on."""
    orders, begun, cancelled, ended = topic(), [], [], []

    @app.on(orders, retry=TWICE, timeout="200ms")
    async def handle(record: Record, ctx: Context) -> None:
        begun.append((record.offset, ctx.attempt))
        try:
            await asyncio.sleep(30 if record.offset == 0 else 0)
        except asyncio.CancelledError:
            cancelled.append(record.offset)
            raise
        ended.append(record.offset)

    bench.write(orders, numbered(3))
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)
    error = unpack_error(headers_of(letter))

    assert begun == [(0, 1), (0, 2), (1, 1), (2, 1)]
    assert (cancelled, ended) == ([0, 0], [1, 2])
    assert error is not None
    assert error.error.endswith(HandlerTimeoutError.__name__)
    assert unpack(headers_of(letter)).attempts == 2


def test_async_handler_that_ends_well_all_the_same_is_done(bench: Bench, topic: Topics, app: App) -> None:
    """One that takes no notice of its cancellation harms no other run."""
    orders, ended = topic(), []

    @app.on(orders, retry=TWICE, timeout="200ms")
    async def handle(record: Record) -> None:
        if record.offset == 0:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                ended.append("stubborn")
                return
        await asyncio.sleep(0.1)
        ended.append(str(record.offset))

    bench.write(orders, numbered(4))
    bench.run(app).settled()

    assert ended == ["stubborn", "1", "2", "3"]
    assert bench.dead(orders, app.group) == []


def test_thread_that_is_stuck_keeps_its_lane_and_is_reported(bench: Bench, topic: Topics, app: App) -> None:
    """No second run of the record begins, its key waits, others go on; when it returns it is done."""
    orders, release, begun = topic(), threading.Event(), []

    @app.on(orders, retry=TWICE, timeout="200ms")
    def handle(record: Record) -> None:
        begun.append(record.offset)
        if record.offset == 0:
            release.wait(60)

    bench.write(orders, numbered(20, [b"a", b"b"]))
    member = bench.run(app)
    member.until(lambda: member.ear.heard("stuck"))
    member.until(lambda: member.ear.views[-1].stuck == 1)

    assert begun == [0, *range(1, 20, 2)]
    assert [arguments[:2] for arguments in member.ear.heard("stuck")] == [(Partition(orders, 0), 0)]

    release.set()
    member.settled()

    assert begun == [0, *range(1, 20, 2), *range(2, 20, 2)]
    assert bench.dead(orders, app.group) == []
