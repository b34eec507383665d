"""A failing record waits in the chain, the later ones of its key behind it; every other key goes on."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any, Literal, NamedTuple, cast

import pytest
from confluent_kafka import TopicPartition

from streams import App, Context, DeadLetter, Record, RetryPolicy
from streams.engine.chain import parked_topic, retry_topic, unpack, unpack_error
from streams.outcome import Outcome
from streams.record import Headers, Partition
from tests.brokers import Topics
from tests.path.clocks import LateClock
from tests.path.members import Bench, Running, Written, headers_of
from tests.waiting import eventually

HOUR_S = 3_600
AN_HOUR = RetryPolicy(delays=("1h",), memory_up_to="50ms")
SHORT = RetryPolicy(delays=("20ms", "250ms", "500ms"), memory_up_to="50ms", jitter=0)
ALWAYS = 99


class BusyError(Exception):
    """The dependency asks to wait."""


class Run(NamedTuple):
    """One run of a handler."""

    key: bytes | None
    offset: int
    attempt: int
    began_s: float
    ended_s: float
    is_done: bool


class Work:
    """A handler that fails as often as a record's value says; below zero it gives the record up."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def declare(self, app: App, topic: str, **options: Any) -> None:
        """Have it called for each record of *topic*."""

        @app.on(topic, **options)
        def handle(record: Record, ctx: Context) -> Outcome | None:
            began_s, fails = time.monotonic(), int(record.value or b"0")
            is_done = 0 <= fails < ctx.attempt
            self.runs.append(Run(record.key, record.offset, ctx.attempt, began_s, time.monotonic(), is_done))
            if fails < 0:
                return DeadLetter(BusyError("never"))
            if not is_done:
                raise BusyError(f"attempt {ctx.attempt}")
            return None

    def done(self, key: bytes | None = None) -> list[int]:
        """The offsets that were done, in this order; of one key or of all."""
        return [run.offset for run in list(self.runs) if run.is_done and key in (None, run.key)]

    def began(self, key: bytes) -> list[int]:
        """The offsets of *key* whose runs began, in this order."""
        return [run.offset for run in list(self.runs) if run.key == key]


@pytest.fixture
def work() -> Work:
    """One that has done nothing yet."""
    return Work()


@pytest.fixture
def clock() -> LateClock:
    """One that goes right."""
    return LateClock()


def let_pass(bench: Bench, member: Running, topic: str, work: Work) -> None:
    """Have one more record of a key of its own done: whatever could run meanwhile has begun."""
    ((_, offset),) = bench.write(topic, [(b"passer-by", b"0")])
    member.until(lambda: offset in work.done(b"passer-by"))
    seen = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > seen)


def moved(member: Running, kind: str) -> int:
    """How many records *member* moved to the topics of *kind*."""
    return sum(records for _, to, records in member.ear.heard("relocated") if to == kind)


def due_s(bench: Bench, app: App, topic: str) -> float:
    """When the one record in the tier of an hour may run."""
    (copy,) = bench.read(retry_topic(topic, app.group, HOUR_S))
    return copy.timestamp()[1] / 1000 + HOUR_S


def trim(bench: Bench, topic: str, end: int) -> None:
    """Have everything below *end* removed from the log of the only partition of *topic*."""
    place = TopicPartition(topic, 0, end)
    removed = bench.kafka.admin.delete_records([place])[place].result(30)
    assert removed.low_watermark == end


def test_record_that_waits_for_an_hour_holds_up_its_own_key_alone(
    bench: Bench, topic: Topics, app: App, work: Work, clock: LateClock
) -> None:
    """It and its followers outlive their owner and the source: at its time it runs, on another member, then they do."""
    orders = topic()
    work.declare(app, orders, policy="park", retry=AN_HOUR)
    others: list[Written] = [(b"other-%d" % number, b"0") for number in range(1_000)]
    bench.write(orders, [(b"slow", b"1"), *others[:500], (b"slow", b"0"), *others[500:], (b"slow", b"0")])
    first = bench.run(app, clock=clock)
    first.passed()
    first.stop()

    assert work.began(b"slow") == [0]
    assert len(work.done()) == 1_000
    assert first.ear.heard("committed")[-1][:2] == (Partition(orders, 0), 1_003)

    trim(bench, orders, 1_003)
    due = due_s(bench, app, orders)
    second = bench.run(app, clock=clock)
    let_pass(bench, second, orders, work)
    clock.put(due - 60)
    let_pass(bench, second, orders, work)

    assert work.began(b"slow") == [0]

    clock.put(due)
    second.until(lambda: len(work.done(b"slow")) == 3)
    second.stop()

    assert work.done(b"slow") == [0, 501, 1_002]
    assert [run.attempt for run in work.runs if run.key == b"slow"] == [1, 2, 1, 1]


def test_attempts_and_delays_are_those_of_the_policy(bench: Bench, topic: Topics, app: App, work: Work) -> None:
    """In memory or in a tier: no run more, none sooner, and the dead letter tells of all of them."""
    orders = topic()
    work.declare(app, orders, policy="park", retry=SHORT)
    bench.write(orders, [(b"a", b"%d" % ALWAYS), (b"b", b"2"), (b"c", b"1")])
    bench.run(app).settled()
    eventually(lambda: len(work.done()) == 2)
    letter = eventually(lambda: bench.dead(orders, app.group))[0]
    runs = {key: [run for run in work.runs if run.key == key] for key in (b"a", b"b", b"c")}
    waits = [[after.began_s - before.ended_s for before, after in pairwise(each)] for each in runs.values()]
    header = unpack(headers_of(letter))

    assert {key: [run.attempt for run in each] for key, each in runs.items()} == {
        b"a": [1, 2, 3, 4],
        b"b": [1, 2, 3],
        b"c": [1, 2],
    }
    assert all(wait >= asked for each in waits for wait, asked in zip(each, (0.02, 0.25, 0.5), strict=False))
    assert (header.offset, header.attempts, len(header.history)) == (0, 4, 4)


def test_record_is_the_same_in_every_run(bench: Bench, topic: Topics, app: App) -> None:
    """Handlers see its bytes, its headers and its place in the source, wherever in the chain it came from."""
    orders, seen = topic(partitions=3), list[tuple[Any, ...]]()
    headers: Headers = [
        ("trace", b"1"),
        ("trace", b"2"),
        ("empty", b""),
        ("none", None),
        ("streams", b"not ours"),
        ("streams-was-streams", b"not ours either"),
    ]
    value = b"\x00\xff not JSON \xfe"

    @app.on(orders, policy="park", retry=SHORT)
    def handle(record: Record) -> None:
        if record.key == b"\xff key":
            seen.append((record.origin, record.key, record.value, record.headers))
            raise BusyError

    bench.write(orders, [(b"a", b"first")], partition=2)
    ((_, offset),) = bench.write(orders, [(b"\xff key", value, headers)], partition=2)
    bench.run(app).settled()
    letter = eventually(lambda: bench.dead(orders, app.group))[0]
    (source,) = (one for one in bench.read(orders) if one.offset() == offset)

    assert len(seen) == 4
    assert seen == [((orders, 2, offset, source.timestamp()[1]), b"\xff key", value, headers)] * 4
    assert unpack(headers_of(letter)).origin == seen[0][0]
    assert (letter.partition(), letter.key(), letter.value()) == (2, b"\xff key", value)
    assert headers_of(letter)[:-2] == [
        *headers[:4],
        ("streams-was-streams", b"not ours"),
        ("streams-was-streams-was-streams", b"not ours either"),
    ]


def test_key_is_held_after_a_dead_letter(bench: Bench, topic: Topics, app: App, work: Work) -> None:
    """Under `hold` its later records wait, over a restart too, and other keys don't."""
    orders = topic()
    work.declare(app, orders, policy="park", dead_letters="hold", retry=SHORT)
    bench.write(orders, [(b"bad", b"-1"), (b"bad", b"0"), (b"good", b"0"), (b"bad", b"0")])
    first = bench.run(app)
    first.settled()
    first.stop()
    second = bench.run(app)
    bench.write(orders, [(b"bad", b"0")])
    let_pass(bench, second, orders, work)
    second.settled()

    assert work.began(b"bad") == [0]
    assert work.done(b"good") == [2]
    assert [letter.value() for letter in bench.dead(orders, app.group)] == [b"-1"]
    assert len(bench.read(parked_topic(orders, app.group))) == 3


def test_records_of_a_key_follow_its_dead_letter(bench: Bench, topic: Topics, app: App, work: Work) -> None:
    """Under `follow` they become dead letters behind it, in order and unrun, over a restart too."""
    orders = topic()
    work.declare(app, orders, policy="park", dead_letters="follow", retry=SHORT)
    bench.write(orders, [(b"bad", b"-1"), (b"bad", b"1"), (b"good", b"0"), (b"bad", b"2")])
    first = bench.run(app)
    first.settled()
    first.stop()
    second = bench.run(app)
    bench.write(orders, [(b"bad", b"3")])
    let_pass(bench, second, orders, work)
    second.settled()
    letters = bench.dead(orders, app.group)
    errors = [unpack_error(headers_of(letter)) for letter in letters]

    assert work.began(b"bad") == [0]
    assert work.done(b"good") == [2]
    assert [letter.value() for letter in letters] == [b"-1", b"1", b"2", b"3"]
    assert [unpack(headers_of(letter)).attempts for letter in letters] == [1, 0, 0, 0]
    assert [error.reason for error in errors if error] == ["the handler gave it up", *["its key is followed"] * 3]


def test_unordered_records_overtake(bench: Bench, topic: Topics, app: App, work: Work, clock: LateClock) -> None:
    """Without the order of keys a failing record waits alone."""
    orders = topic()
    work.declare(app, orders, policy="unordered", retry=AN_HOUR)
    bench.write(orders, [(b"a", b"1"), (b"a", b"0"), (b"a", b"0")])
    member = bench.run(app, clock=clock)
    member.until(lambda: sorted(work.done(b"a")) == [1, 2])
    member.passed()
    clock.put(due_s(bench, app, orders))
    member.until(lambda: 0 in work.done(b"a"))

    assert len(work.runs) == 4
    assert parked_topic(orders, app.group) not in bench.kafka.admin.list_topics(timeout=30).topics


def test_records_that_waited_long_are_parked(
    bench: Bench, topic: Topics, app: App, work: Work, clock: LateClock
) -> None:
    """Behind one in a tier they wait in memory as long as a retry would, and then in the parked topic, in order."""
    orders = topic()
    work.declare(app, orders, policy="park", retry=AN_HOUR)
    bench.write(orders, [(b"a", b"1"), *[(b"a", b"0")] * 20])
    member = bench.run(app, clock=clock)
    member.until(lambda: moved(member, "parked") == 20)
    parked = [unpack(headers_of(copy)).offset for copy in bench.read(parked_topic(orders, app.group))]
    clock.put(due_s(bench, app, orders))
    member.until(lambda: len(work.done()) == 21)

    assert parked == list(range(1, 21))
    assert work.done() == list(range(21))
    assert moved(member, "tier") == 1


def test_records_under_pressure_are_parked_at_once(bench: Bench, topic: Topics, app: App, work: Work) -> None:
    """Past the bound on what waits in memory nobody waits for their time; the partition reads on."""
    orders = topic()
    work.declare(app, orders, policy="park", retry=RetryPolicy(delays=("5s",), memory_up_to="1h"))
    bench.write(orders, [(b"a", b"1")])
    member = bench.run(app, waiting_records=20, batch_records=50)
    member.until(lambda: member.ear.heard("retrying"))
    bench.write(orders, [*[(b"a", b"0")] * 500, (b"b", b"0")])
    member.until(lambda: work.done(b"b"))
    member.until(lambda: len(work.done(b"a")) == 501)

    assert moved(member, "parked") >= 400
    assert work.done(b"a") == list(range(501))


def test_intake_stops_where_the_chain_is_full(
    bench: Bench, topic: Topics, app: App, work: Work, clock: LateClock
) -> None:
    """At the bound on what waits in the chain its partition reads nothing further, and goes on below it."""
    orders, bound = topic(), 100
    work.declare(app, orders, policy="park", retry=AN_HOUR)
    bench.write(orders, [(b"a", b"1")])
    member = bench.run(app, clock=clock, chain_records=bound, waiting_records=20, batch_records=20)
    member.until(lambda: member.ear.heard("retrying"))  # what is read before it has failed waits in memory
    bench.write(orders, [(b"a", b"0")] * 1_000)
    member.until(lambda: (Partition(orders, 0), "chain") in member.ear.heard("paused"))
    seen = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > seen + 1)
    waiting = moved(member, "parked")
    clock.put(due_s(bench, app, orders))
    member.until(lambda: len(work.done()) == 1_001, within_s=60)

    assert bound / 2 <= waiting < 1_000
    assert work.done() == list(range(1_001))


@pytest.mark.parametrize("run", ["threads", "async", "inline"])
def test_every_record_ends_once_and_in_order(bench: Bench, topic: Topics, app: App, run: str) -> None:
    """Whatever fails how often, over a restart with records in the whole chain: no run too many, none out of turn."""
    orders, rng = topic(partitions=3), random.Random(7)
    keys = [b"key-%d" % rng.randrange(40) for _ in range(1_500)]
    fails = [rng.choice((-1, 1, 2, 3)) if rng.random() < 0.05 else 0 for _ in keys]
    bench.write(orders, [(key, b"%d %d" % (number, fails[number])) for number, key in enumerate(keys)])
    ends: dict[bytes, list[int]] = defaultdict(list)
    tries: dict[int, int] = defaultdict(int)
    declare(app, orders, run, ends, tries)
    first = bench.run(app)
    first.until(lambda: moved(first, "parked") > 20 and moved(first, "tier") > 20)
    first.stop()
    second = bench.run(app)
    second.until(lambda: sum(map(len, ends.values())) >= len(keys), within_s=60)
    second.stop()
    letters = {int((letter.value() or b"").split()[0]) for letter in bench.dead(orders, app.group)}

    assert letters == {number for number, times in enumerate(fails) if times < 0}
    wrong = {key: numbers for key, numbers in ends.items() if numbers != sorted(set(numbers))}
    assert not wrong, f"{first.unusual()}, {second.unusual()}"
    assert sum(map(len, ends.values())) == len(keys)
    assert {number: tries[number] for number in range(len(keys))} == {
        number: max(times, 0) + 1 for number, times in enumerate(fails)
    }


def declare(app: App, topic: str, run: str, ends: dict[bytes, list[int]], tries: dict[int, int]) -> None:
    """Declare a handler for values of a number and how often it fails, that notes tries and ends."""

    def handle(record: Record) -> Outcome | None:
        number, times = map(int, (record.value or b"").split())
        tries[number] += 1
        if 0 <= tries[number] <= times:
            raise BusyError(f"attempt {tries[number]} of {number}")
        ends[record.key or b""].append(number)
        return DeadLetter(BusyError("never")) if times < 0 else None

    async def handle_async(record: Record) -> Outcome | None:
        return handle(record)

    if run == "async":
        app.on(topic, policy="park", retry=SHORT)(handle_async)
    else:
        app.on(topic, policy="park", retry=SHORT, run=cast("Literal['threads', 'inline']", run))(handle)
