"""Policy `block`: a key that is stuck holds itself up, and nothing else."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from streams import App, Record, RetryPolicy
from streams.config import Settings
from streams.engine.snapshot import decode
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed
from streams.record import Partition
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, Written

OTHERS = 1_000
BEHIND = 5
STUCK = b"stuck"
TEN_MINUTES = RetryPolicy(delays=("10m",), jitter=0)


class DownError(Exception):
    """What the stuck key needs does not answer."""


def records() -> list[Written]:
    """The stuck key first, a thousand others, and more of the stuck key on the way."""
    every = OTHERS // BEHIND
    others: list[Written] = [(b"key-%d" % number, b"%d" % number) for number in range(OTHERS)]
    for number in range(BEHIND):
        others.insert(number * (every + 1), (STUCK, b"%d" % number))
    return others


def stored(bench: Bench, group: str, topic: str) -> tuple[int | None, list[int]]:
    """The offset that *group* has committed of a topic's only partition, and what its ledger holds above it."""
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        found = committed(admin, group)[Partition(topic, 0)]
    snapshot = decode(found.metadata)
    assert snapshot is not None
    assert snapshot.complete
    return found.offset, [offset for settled in snapshot.settled(found.offset) for offset in settled]


@pytest.mark.parametrize("run", ["threads", "inline", "async"])
def test_one_key_stuck_for_ten_minutes_holds_up_nothing_else(
    run: str, bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """1,000 other keys of its partition finish, the ledger holds them, and a restart does not run them again."""
    orders, runs, lock = topic(), Counter[int](), threading.Lock()

    def handle(record: Record) -> None:
        with lock:
            runs[record.offset] += 1
        if record.key == STUCK:
            raise DownError

    async def handle_async(record: Record) -> None:
        handle(record)

    app.on(orders, run=run, policy="block", retry=TEN_MINUTES)(handle_async if run == "async" else handle)  # type: ignore[arg-type]
    bench.write(orders, records())
    others = [offset for offset, (key, *_) in enumerate(records()) if key != STUCK]
    member = bench.run(app)
    member.until(lambda: len(runs) == OTHERS + 1)
    member.until(lambda: member.ear.views and member.ear.views[-1].outstanding == BEHIND)
    report = member.stop()
    injected(29, times=runs[0], members=1, in_flight=report.left)

    assert (report.left, report.retrying, report.drained, report.committed) == (BEHIND, 1, True, True)
    assert stored(bench, app.group, orders) == (0, others)

    again = bench.run(app)
    again.until(lambda: runs[0] == 2)
    again.until(lambda: again.ear.views and again.ear.views[-1].outstanding == BEHIND)

    assert runs == Counter(dict.fromkeys(others, 1) | {0: 2})


@pytest.mark.chaos
@pytest.mark.slow
def test_key_that_is_stuck_for_ten_real_minutes(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """Others come and end all the while, commits hold them while it is stuck, and a restart runs none of them again."""
    orders, mended, runs, ended = topic(), threading.Event(), Counter[int](), list[int]()

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("5s",), max_attempts=1_000, jitter=0))
    def handle(record: Record) -> None:
        runs[record.offset] += 1
        if record.key == STUCK and not mended.is_set():
            raise DownError
        ended.append(record.offset)

    every = records()
    others = [offset for offset, (key, *_) in enumerate(every) if key != STUCK]
    member = bench.run(app)
    begun = time.monotonic()
    for number, record in enumerate(every, 1):
        bench.write(orders, [record])
        pause_ends = begun + number * 600 / len(every)
        member.until(lambda at=pause_ends: time.monotonic() > at)  # type: ignore[misc]
    member.until(lambda: len(ended) == OTHERS)
    member.until(lambda: stored(bench, app.group, orders) == (0, others))
    tried = runs[0]
    injected(29, times=tried, members=1, in_flight=member.stop().left)
    again = bench.run(app)
    again.until(lambda: runs[0] > tried)
    mended.set()
    again.settled()

    assert tried > 50
    assert ended == others + [offset for offset in range(len(every)) if offset not in others]
    assert {runs[offset] for offset in others} == {1}


def test_key_goes_on_in_its_order_once_it_is_free(bench: Bench, topic: Topics, app: App) -> None:
    """What waited behind the stuck record runs in its order, and the commit reaches the end."""
    orders, mended, ended = topic(), threading.Event(), []

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("100ms",), max_attempts=1_000, jitter=0))
    def handle(record: Record) -> None:
        if record.key == STUCK and not mended.is_set():
            raise DownError
        if record.key == STUCK:
            ended.append(record.offset)

    bench.write(orders, records())
    member = bench.run(app)
    member.until(lambda: member.ear.views and member.ear.views[-1].outstanding == BEHIND)
    mended.set()
    member.settled()

    assert ended == [offset for offset, (key, *_) in enumerate(records()) if key == STUCK]


def test_records_that_wait_behind_a_key_are_bounded(bench: Bench, topic: Topics, app: App) -> None:
    """Past the bound the partition reads nothing further and says so; other partitions go on; nothing is lost."""
    orders, mended, ended = topic(partitions=2), threading.Event(), Counter[tuple[int, int]]()

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("100ms",), max_attempts=10_000, jitter=0))
    def handle(record: Record) -> None:
        if record.partition == 0 and not mended.is_set():
            raise DownError
        ended[record.partition, record.offset] += 1

    bench.write(orders, [(STUCK, b"%d" % number) for number in range(400)], partition=0)
    bench.write(orders, [(b"other", b"%d" % number) for number in range(400)], partition=1)
    member = bench.run(app, waiting_records=50, batch_records=20)
    member.until(lambda: (Partition(orders, 0), "lane") in member.ear.heard("paused"))
    member.until(lambda: len(ended) == 400)
    waiting = max(one.retrying + one.behind for view in member.ear.views for one in view.partitions)
    mended.set()
    member.settled()

    assert waiting <= 50 + 2 * 20
    assert set(ended.values()) == {1}
    assert len(ended) == 800


def test_ledger_that_fills_up_stops_its_partition(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """Records that settled far apart fill the commit's metadata; before it overflows the partition stands still."""
    orders, mended, runs = topic(), threading.Event(), Counter[int]()
    failing = set(random.Random(1).sample(range(3_000), 1_000))

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("200ms",), max_attempts=10_000, jitter=0), run="inline")
    def handle(record: Record) -> None:
        if record.offset in failing and not mended.is_set():
            raise DownError
        runs[record.offset] += 1

    bench.write(orders, [(b"%d" % number, b"") for number in range(3_000)])
    member = bench.run(app, ledger_limit=200, batch_records=10, waiting_records=2_000)
    member.until(lambda: (Partition(orders, 0), "ledger") in member.ear.heard("paused"))
    member.until(lambda: any(view.outstanding for view in member.ear.views))
    used = max(one.ledger_used for view in member.ear.views for one in view.partitions)
    mended.set()
    member.settled(within_s=60)
    stops = member.ear.heard("paused").count((Partition(orders, 0), "ledger"))
    injected(31, times=stops, members=1, in_flight=max(view.outstanding for view in member.ear.views))

    assert used < 1
    assert member.ear.heard("ledger_cut") == []
    assert len(runs) == 3_000
    assert set(runs.values()) == {1}
