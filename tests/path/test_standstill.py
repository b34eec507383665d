"""A dependency that is down costs its routes time and nothing else; a bad topic does not move into the dead letters."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Literal

import pytest

from streams import NO_RETRY, App, Guard, Record, RetryPolicy
from streams.engine.ending import Until
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered

KEYS = [b"a", b"b", b"c", b"d", b"e"]
QUICK = RetryPolicy(delays=("50ms",), max_attempts=2, jitter=0)
MODES: tuple[Literal["inline", "threads", "async"], ...] = ("inline", "threads", "async")


class DownError(Exception):
    """The service does not answer."""


class Service:
    """Something that handlers call, and that can be down."""

    def __init__(self) -> None:
        self.is_down = False
        self.refused = 0
        self.served: list[tuple[bytes | None, int]] = []

    def call(self, record: Record) -> None:
        """Serve one record."""
        if self.is_down:
            self.refused += 1
            raise DownError
        self.served.append((record.key, record.offset))

    @property
    def is_in_order(self) -> bool:
        """Each record of a key was served once, after those before it."""
        return all(
            first < second
            for key in {key for key, _ in self.served}
            for first, second in pairwise(offset for served, offset in self.served if served == key)
        )


@pytest.fixture
def service() -> Service:
    """One that is well."""
    return Service()


def serve(app: App, topic: str, service: Service, mode: str, **options: object) -> None:
    """Have *service* called for each record of *topic*."""

    def handle(record: Record) -> None:
        service.call(record)

    async def handle_async(record: Record) -> None:
        service.call(record)

    def handle_batch(records: list[Record]) -> None:
        for record in records:
            service.call(record)

    if mode == "async":
        app.on(topic, **options)(handle_async)  # type: ignore[arg-type]  # options of all kinds
    elif mode == "batch":
        app.on(topic, batch=50, **options)(handle_batch)  # type: ignore[arg-type]
    else:
        app.on(topic, run=mode, **options)(handle)  # type: ignore[arg-type]


@pytest.mark.kafka
@pytest.mark.parametrize("mode", [*MODES, "batch"])
def test_a_dependency_that_is_down_costs_no_record_an_attempt(  # noqa: PLR0917  # what it is about
    bench: Bench, topic: Topics, app: App, service: Service, mode: str, injected: Injected
) -> None:
    """With two runs a record and a long outage: nothing is dead, all is done once, in order, and others go on."""
    orders, audit = topic(partitions=2), topic()
    done = Counter[str]()
    payments = app.dependency("payments", errors=(DownError,), failures=3, probe_after="300ms")
    serve(app, orders, service, mode, needs=[payments], retry=QUICK)

    @app.on(audit, run="inline")
    def look(_: Record) -> None:
        done["audit"] += 1

    service.is_down = True
    bench.write(orders, numbered(500, KEYS))
    running = bench.run(app)
    running.until(lambda: len(running.ear.heard("breaker_turned")) > 8)
    bench.write(audit, numbered(500, KEYS))
    running.until(lambda: done["audit"] == 500)
    still = running.ear.views[-1].partitions
    bench.write(orders, numbered(500, KEYS))
    while_down, left = service.refused, 1_000 - len(service.served)
    service.is_down = False
    running.settled()
    injected(28, times=1, members=1, in_flight=left)
    turns = [state for _, state, why in running.ear.heard("breaker_turned") if why]

    assert bench.dead(orders, app.group) == []
    assert len(service.served) == len(set(service.served)) == 1_000
    assert service.is_in_order
    assert while_down < 100
    assert {one.paused for one in still if one.partition.topic == audit} == {None}
    assert turns[:4] == ["open", "half_open", "open", "half_open"]
    assert turns[-1] == "closed"


@pytest.mark.kafka
def test_an_outage_moves_nothing_into_the_chain(
    bench: Bench, topic: Topics, app: App, service: Service, injected: Injected
) -> None:
    """But for the failures that told of it, records wait where they are, though a retry topic is declared."""
    orders = topic(partitions=2)
    payments = app.dependency("payments", errors=(DownError,), failures=3, probe_after="300ms")
    again = RetryPolicy(delays=("1s", "1s", "1s"), memory_up_to="100ms", jitter=0)
    serve(app, orders, service, "threads", needs=[payments], retry=again, policy="park")
    service.is_down = True
    bench.write(orders, numbered(500, KEYS))
    running = bench.run(app)
    running.until(lambda: len(running.ear.heard("breaker_turned")) > 8)
    moved = sum(records for _, kind, records in running.ear.heard("relocated") if kind == "tier")
    injected(28, times=1, members=1, in_flight=500 - len(service.served))
    service.is_down = False
    running.until(lambda: len(service.served) == 500)
    running.settled()

    assert moved <= 2
    assert bench.dead(orders, app.group) == []
    assert len(set(service.served)) == 500
    assert service.is_in_order


@pytest.mark.kafka
@pytest.mark.parametrize("mode", MODES)
def test_a_bad_topic_does_not_move_into_the_dead_letters(
    bench: Bench, topic: Topics, app: App, service: Service, mode: str
) -> None:
    """Its first bad records are dead letters, then it stands still; the rest is done after a restart."""
    orders = topic(partitions=2)
    serve(app, orders, service, mode, retry=NO_RETRY, guard=Guard(in_a_row=20))
    service.is_down = True
    bench.write(orders, numbered(2_000, KEYS))
    running = bench.run(app)
    running.until(lambda: running.ear.heard("guard_turned")[-1][1] == "open")
    running.until(lambda: {one.paused for one in running.ear.views[-1].partitions} == {"guard"})
    running.stop()
    dead = len(bench.dead(orders, app.group))
    service.is_down = False
    bench.run(app).settled()

    assert dead == 19
    assert len(service.served) == len(set(service.served)) == 2_000 - 19
    assert service.is_in_order


@pytest.mark.kafka
def test_a_guard_with_a_wait_lets_go_on_by_itself(bench: Bench, topic: Topics, app: App, service: Service) -> None:
    """Once what tries ends well; what was withheld runs then."""
    orders = topic()
    serve(app, orders, service, "threads", retry=NO_RETRY, guard=Guard(in_a_row=20, probe_after="300ms"))
    service.is_down = True
    bench.write(orders, numbered(500, KEYS))
    running = bench.run(app)
    running.until(lambda: len(running.ear.heard("guard_turned")) > 5)
    service.is_down = False
    running.settled()

    assert len(bench.dead(orders, app.group)) == 19
    assert len(service.served) == 500 - 19


@pytest.mark.kafka
def test_an_operator_lets_go_on_what_a_guard_stopped(bench: Bench, topic: Topics, app: App, service: Service) -> None:
    """Without a restart, and not before it is asked for; while the cause is there its guard stops the topic again."""
    orders, streams = topic(), Shell(bench.bootstrap)
    serve(app, orders, service, "threads", retry=NO_RETRY, guard=Guard(in_a_row=20))
    refused = streams(f"groups resume {app.group}", code=2).err
    service.is_down = True
    bench.write(orders, numbered(500, KEYS))
    running = bench.run(app)
    turns = running.ear.heard
    running.until(lambda: turns("guard_turned")[-1][1] == "open")
    running.member.resume([orders])
    running.until(lambda: [turn[1] for turn in turns("guard_turned")][-2:] == ["closed", "open"])
    again = len(bench.dead(orders, app.group))
    service.is_down = False
    running.member.resume([orders])
    running.settled()

    assert "paused is nothing" in refused
    assert again == 2 * 19
    assert len(service.served) == 500 - 2 * 19
    assert service.is_in_order


@pytest.mark.kafka
def test_a_member_that_stops_when_empty_does_not_wait_for_an_outage(
    bench: Bench, topic: Topics, app: App, service: Service
) -> None:
    """What stands still waits; it runs at the next start."""
    orders = topic()
    payments = app.dependency("payments", errors=(DownError,), failures=3, probe_after="1h")
    serve(app, orders, service, "threads", needs=[payments], retry=QUICK)
    service.is_down = True
    bench.write(orders, numbered(500, KEYS))
    running = bench.run(app, Until(empty=True))
    running.await_end()
    service.is_down = False
    bench.run(app).settled()

    assert len(service.served) == 500
    assert bench.dead(orders, app.group) == []
