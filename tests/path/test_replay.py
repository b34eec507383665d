"""`streams replay` of a group that runs: it goes back and forth in the order of its keys, and what was is known."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams import App, Context, DeadLetter, Record, Retry, RetryPolicy
from streams.engine import control
from streams.engine.command import control_topic
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import Bench, Running, numbered
from tests.waiting import eventually

KEYS = (b"a", b"b", b"c")
QUICK = RetryPolicy(delays=("50ms",), max_attempts=1)


class Runs:
    """What a handler ran, in order, and whether it was told that it may have before."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, bytes | None], int, bool]] = []
        self.holds = threading.Event()
        self.holds.set()
        self.holds_at = -1
        self.fails: Callable[[Record], bool] = lambda _: False
        self.outcome: Callable[[], Outcome] = lambda: DeadLetter(ValueError("no"))
        self._lock = threading.Lock()

    def run(self, record: Record, ctx: Context) -> Outcome | None:
        """Note *record*; fail it where the test says so, and wait while it says so."""
        with self._lock:
            self.seen.append(((record.partition, record.key), record.offset, ctx.is_replay))
        if record.offset == self.holds_at:
            self.holds.clear()
        assert self.holds.wait(30)
        return self.outcome() if self.fails(record) else None

    def offsets(self, start: int = 0) -> list[int]:
        """What ran, from the *start*-th run on."""
        return [offset for _, offset, _ in self.seen[start:]]

    def by_key(self, start: int = 0) -> dict[tuple[int, bytes | None], list[int]]:
        """The same, of each key of each partition."""
        ran = self.seen[start:]
        return {key: [offset for one, offset, _ in ran if one == key] for key in {key for key, *_ in ran}}


@pytest.fixture
def runs() -> Runs:
    """Nothing has run."""
    return Runs()


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


def declare(app: App, orders: str, runs: Runs, **options: object) -> None:
    """Have records of *orders* run."""
    chosen = {"policy": "park", "retry": QUICK, "run": "threads"} | options

    @app.on(orders, **chosen)  # type: ignore[arg-type]  # as they are named there
    def handle(record: Record, ctx: Context) -> Outcome | None:
        return runs.run(record, ctx)


def through(member: Running, streams: Shell, app: App) -> None:
    """Wait until the replay is through."""

    def left() -> bool:
        told = streams(f"replay status {app.group} --json").json["partitions"]
        return bool(told) and all(one["left"] == 0 for one in told)

    member.until(left)
    member.settled()


def test_a_running_group_goes_back_and_says_so(
    bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell
) -> None:
    """All from there on runs again, in key order, knowing it; what comes then does not; the audit has who and why."""
    orders = topic(partitions=2)
    declare(app, orders, runs)
    for number in range(2):
        bench.write(orders, numbered(30, KEYS), partition=number)
    member = bench.run(app)
    member.settled()
    count = len(runs.seen)
    shown = streams(f"replay start {app.group} --to-beginning")
    told = streams(f"replay start {app.group} --to-beginning --why prices --who ann --yes --wait 8 --json").json
    through(member, streams, app)
    again = len(runs.seen)
    bench.write(orders, numbered(6, KEYS))
    member.settled()
    answers = streams(f"audit {app.group} --json").json["answers"]

    assert count == 60
    assert "Nothing was changed: 60 record(s) would run again." in shown.out
    assert (told["applied"], told["answers"], told["unanswered"], told["pending"]) == (True, {"begun": 2}, 0, [])
    assert again == 120
    assert all(offsets == sorted(offsets) for offsets in runs.by_key(count).values())
    assert [is_replay for *_, is_replay in runs.seen] == [False] * 60 + [True] * 60 + [False] * 6
    assert {(one["who"], one["why"], one["verb"]) for one in answers} == {("ann", "prices", "replay")}
    assert member.ear.heard("revoked") == []


def commands(bench: Bench, app: App) -> int:
    """How many commands operators have given."""
    return len(bench.read(control_topic(app.group)))


def waiting(member: Running) -> dict[object, list[int]]:
    """What stands in the chain, by key: the origins."""
    (state,) = member.member.assignment.all()
    return {key: [origin for origin, _ in backlog.entries()] for key, backlog in state.chain.index.items()}


def test_what_is_undone_leaves_what_was_as_it_was(
    bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell
) -> None:
    """What failed in the replay and waits is dropped where it was settled before; what waited before waits on."""
    orders = topic()
    declare(app, orders, runs, retry=RetryPolicy(delays=("1h",), max_attempts=3))
    bench.write(orders, numbered(30, KEYS))
    runs.outcome, runs.fails = (lambda: Retry(ValueError("not now"))), (lambda record: record.offset == 21)
    member = bench.run(app)
    member.passed()
    before, count = waiting(member), len(runs.seen)
    runs.fails = lambda record: record.offset in (10, 21)
    streams(f"replay start {app.group} --to-offset 4 --yes")
    member.until(lambda: len(runs.seen) >= count + 4)
    member.passed()
    during, at = waiting(member), len(runs.seen)
    shown = streams(f"replay undo {app.group}")
    streams(f"replay undo {app.group} --yes")
    again = streams(f"replay undo {app.group} --yes")
    after = waiting(member)
    runs.fails = lambda _: False
    bench.write(orders, [(b"b", b"new")])
    member.until(lambda: 30 in runs.offsets(at))
    told = streams(f"audit {app.group} --json").json["answers"]

    assert before == {b"a": [21, 24, 27]}
    assert during == {b"a": [21, 24, 27], b"b": list(range(10, 30, 3))}
    assert sorted(runs.offsets(count)[: at - count]) == [4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 17, 18, 20, 23, 26, 29]
    assert "Nothing was changed" in shown.out
    assert "Nothing to undo" in again.out
    assert after == before
    assert runs.offsets(at) == [30]
    assert [one["verb"] for one in told] == ["replay", "undo"]


def test_what_is_cancelled_goes_on_where_it_was(
    bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell
) -> None:
    """In the middle of it: what is left does not run again, and what waited behind it runs, in the order of its key."""
    orders = topic()
    declare(app, orders, runs, run="inline")
    bench.write(orders, numbered(40, KEYS))
    member = bench.run(app, batch_records=5)
    member.settled()
    runs.holds_at = 12
    streams(f"replay start {app.group} --to-beginning --rate 1000 --yes")
    member.until(lambda: not runs.holds.is_set())
    bench.write(orders, numbered(5, KEYS))
    before = commands(bench, app)
    with ThreadPoolExecutor(1) as asking:
        cancelling = asking.submit(streams, f"replay cancel {app.group} --yes --json")
        eventually(lambda: commands(bench, app) > before or cancelling.done())
        runs.holds.set()
        told = cancelling.result().json
    member.settled()
    status = streams(f"replay status {app.group} --json").json["partitions"]

    assert told["answers"] == {"cancelled": 1}
    assert sorted(runs.offsets(40)[-5:]) == [40, 41, 42, 43, 44]
    assert 12 <= len(runs.offsets(40)) < 45
    assert all(offsets == sorted(offsets) for offsets in runs.by_key(40).values())
    assert [one["state"] for one in status] == ["cancelled"]


def test_a_replay_reads_as_fast_as_it_may(bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell) -> None:
    """On average, of all partitions together; what is new then runs at once again."""
    orders = topic()
    declare(app, orders, runs)
    bench.write(orders, numbered(100, KEYS))
    member = bench.run(app, batch_records=10)
    member.settled()
    streams(f"replay start {app.group} --to-beginning --rate 20 --yes")
    began = time.monotonic()
    through(member, streams, app)
    took_s = time.monotonic() - began

    assert took_s > 3  # 20 at once, and the others at 20 a second
    assert len(runs.seen) == 200
    assert ("replay",) in {arguments[1:] for arguments in member.ear.heard("paused")}


def test_the_next_owner_goes_on_with_it(bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell) -> None:
    """It knows which one it is, and does not begin it again; commands that come again change nothing."""
    orders = topic()
    declare(app, orders, runs)
    bench.write(orders, numbered(30, KEYS))
    first = bench.run(app)
    first.settled()
    streams(f"replay start {app.group} --to-beginning --yes")
    through(first, streams, app)
    status = streams(f"replay status {app.group} --json").json
    first.stop()
    for message in bench.read(control_topic(app.group)):
        bench.write(control_topic(app.group), [(message.key(), message.value())])
    bench.write(orders, numbered(3, KEYS))
    second = bench.run(app)
    second.settled()
    second.until(lambda: len(streams(f"audit {app.group} --json").json["answers"]) == 2)
    answers = streams(f"audit {app.group} --json").json["answers"]

    assert sorted(runs.offsets()) == sorted([*range(30), *range(30), 30, 31, 32])
    assert [one["result"] for one in answers] == ["begun", "gone"]
    assert streams(f"replay status {app.group} --json").json == status


def test_the_next_owner_reads_nothing_before_it_has_heard(  # noqa: PLR0917  # fixtures
    bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have ended the replay, and been told so: not one record comes with the partition."""
    orders = topic(partitions=3)
    declare(app, orders, runs)
    for number in range(3):
        bench.write(orders, numbered(200, KEYS), partition=number)
    first = bench.run(app)
    first.settled()
    streams(f"replay start {app.group} --to-beginning --rate 150 --yes --wait 8")
    first.until(lambda: len(runs.seen) > 610)
    first.stop()
    count = len(runs.seen)
    with monkeypatch.context() as deaf:
        deaf.setattr(control.Control, "_look_for_end", lambda *_: None)
        second = bench.run(app)
        second.until(lambda: len(second.ear.views) > 3 and len(second.ear.views[-1].partitions) == 3)
        held = {one.paused for one in second.ear.views[-1].partitions}
        before = len(runs.seen)
    through(second, streams, app)

    assert (held, before) == ({"replay"}, count)
    assert len(runs.seen) == 1_200


def test_a_stopped_group_that_was_moved_can_be_moved_back(
    bench: Bench, topic: Topics, app: App, runs: Runs, streams: Shell
) -> None:
    """The command waits for the next member, which does it before anything runs again."""
    orders = topic()
    declare(app, orders, runs)
    bench.write(orders, numbered(30, KEYS))
    first = bench.run(app)
    first.settled()
    first.stop()
    streams(f"replay start {app.group} --to-offset 20 --yes")
    middle = streams(f"replay status {app.group} --json").json["partitions"]
    told = streams(f"replay undo {app.group} --yes")
    second = bench.run(app)
    second.until(lambda: not streams(f"replay status {app.group} --json").json["partitions"])
    bench.write(orders, numbered(3, KEYS))
    second.settled()

    assert [(one["from"], one["until"], one["left"]) for one in middle] == [(20, 30, 10)]
    assert "No member" in told.err
    assert set(range(30, 33)) <= set(runs.offsets(30))
    assert len(runs.offsets(30)) <= 13
    assert [offset for offset in runs.offsets() if offset < 20] == sorted(range(20), key=runs.offsets().index)
