"""A stop ends what runs and commits it; past its budget it lets go and says what was left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter

import pytest

from streams import App, Context, Record, RetryPolicy
from tests.brokers import Topics
from tests.path.members import Bench, numbered


@pytest.mark.parametrize("run", ["threads", "async", "inline", "batch"])
def test_graceful_stop_repeats_nothing(run: str, bench: Bench, topic: Topics, app: App) -> None:
    """Stopped in the middle and started again, a group runs every record once."""
    orders, runs, lock = topic(partitions=3), Counter[tuple[int, int]](), threading.Lock()

    def note(record: Record) -> None:
        with lock:
            runs[record.partition, record.offset] += 1

    def handle(record: Record) -> None:
        time.sleep(0.002 if run == "inline" else 0.005)
        note(record)

    async def handle_async(record: Record) -> None:
        await asyncio.sleep(0.005)
        note(record)

    def handle_batch(records: list[Record]) -> None:
        time.sleep(0.02)
        for record in records:
            note(record)

    if run == "batch":
        app.on(orders, batch=20)(handle_batch)
    elif run == "async":
        app.on(orders, concurrency=20)(handle_async)
    else:
        app.on(orders, run=run)(handle)  # type: ignore[arg-type]
    bench.write(orders, numbered(1_500, [b"%d" % number for number in range(50)]))
    member = bench.run(app, batch_records=50)
    member.until(lambda: len(runs) > 100)
    report = member.stop()
    begun = len(runs)
    again = bench.run(app)
    again.until(lambda: len(runs) == 1_500)
    again.settled()

    assert (report.drained, report.committed) == (True, True)
    assert begun < 1_500
    assert begun == report.read - report.left
    assert set(runs.values()) == {1}


def test_retries_due_together_do_not_hold_up_a_stop(bench: Bench, topic: Topics, app: App) -> None:
    """Inline handlers leave off between two records, however many became due at once; what has not begun is left."""
    orders, failed, again = topic(partitions=3), set[tuple[int, int]](), list[int]()

    @app.on(orders, run="inline", retry=RetryPolicy(delays=(1,), jitter=0))
    def handle(record: Record) -> None:
        if (record.partition, record.offset) not in failed:
            failed.add((record.partition, record.offset))
            raise ValueError("later")
        again.append(record.offset)
        time.sleep(1 if len(again) == 1 else 0.002)  # while the first one runs, all others become due

    bench.write(orders, numbered(1_500, [None]))
    member = bench.run(app, batch_records=50)
    member.until(lambda: len(again) > 100)
    report = member.stop()

    assert (report.drained, report.committed) == (True, True)
    assert len(again) < 1_000
    assert report.left == report.read - len(again)


def test_what_runs_sends_before_the_member_leaves(bench: Bench, topic: Topics, app: App) -> None:
    """A run that ends in the drain is settled with all that it sent."""
    orders, invoices, begun, release = topic(), topic("invoices"), Counter[bytes](), threading.Event()

    @app.on(orders)
    def charge(order: bytes, ctx: Context) -> None:
        begun[order] += 1
        release.wait(30)
        ctx.send(invoices, order)

    bench.write(orders, numbered(8, [None]))
    member = bench.run(app)
    member.until(lambda: len(begun) == 8)
    member.member.stop()
    member.until(lambda: member.ear.heard("stopping"))
    release.set()
    report = member.stop()

    assert (report.left, report.drained, report.committed) == (0, True, True)
    assert sorted(message.value() or b"" for message in bench.read(invoices)) == [b"%d" % n for n in range(8)]


def test_stop_past_its_budget_names_what_still_runs(bench: Bench, topic: Topics, app: App) -> None:
    """The budget is spent once; the record is not settled, and runs again at the next start."""
    orders, release, runs = topic(), threading.Event(), Counter[int]()

    @app.on(orders)
    def handle(record: Record) -> None:
        runs[record.offset] += 1
        if record.offset == 3 and runs[3] == 1:
            release.wait(60)

    bench.write(orders, numbered(10, [None]))
    member = bench.run(app, drain_s=1)
    member.until(lambda: len(runs) == 10)
    report = member.stop(within_s=15)
    release.set()
    again = bench.run(app)
    again.until(lambda: runs[3] == 2)
    again.settled()

    assert (report.drained, report.committed) == (False, True)
    assert (report.left, report.places) == (1, (f"{orders}/0/3",))
    assert runs == Counter(dict.fromkeys(range(10), 1) | {3: 2})


def test_waiting_retries_do_not_hold_up_a_stop(bench: Bench, topic: Topics, app: App) -> None:
    """They are left, unsettled, and told."""
    orders, runs = topic(), Counter[int]()

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("10m",)))
    def handle(record: Record) -> None:
        runs[record.offset] += 1
        if record.offset == 0:
            raise ValueError("later")

    bench.write(orders, numbered(20, [b"a", b"b"]))
    member = bench.run(app)
    member.until(lambda: member.ear.views and member.ear.views[-1].outstanding == 10)
    report = member.stop()

    assert (report.left, report.retrying, report.drained, report.committed) == (10, 1, True, True)
    assert set(runs) == {0, *range(1, 20, 2)}
