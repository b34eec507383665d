"""Records that retention removed before they were read are counted, and what follows is as declared."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from confluent_kafka.cimpl import TopicPartition

from streams import App, Record
from streams.errors import BrokerError
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered


def delete_below(bench: Bench, topic: str, offset: int) -> None:
    """Do what retention does: remove the records of partition 0 below *offset*."""
    place = TopicPartition(topic, 0, offset)
    for answer in bench.kafka.admin.delete_records([place]).values():
        answer.result(30)


def declare(app: App, topic: str) -> list[int]:
    """Declare a handler that notes which records it got."""
    seen: list[int] = []

    @app.on(topic)
    def handle(record: Record) -> None:
        seen.append(record.offset)

    return seen


def commit_ten(bench: Bench, app: App) -> None:
    """Have the group commit what is there, and stop."""
    bench.run(app).settled()
    assert bench.running[-1].stop().left == 0


@pytest.mark.parametrize(("policy", "next_offset", "expired"), [("earliest", 60, 50), ("latest", 100, 90)])
def test_group_goes_on_where_it_declared(  # noqa: PLR0917  # what is declared, and what follows
    policy: str, next_offset: int, expired: int, bench: Bench, app: App, injected: Injected
) -> None:
    """At the oldest record that is left or at the newest; either way the number of those never read is told."""
    orders = bench.topics()
    seen = declare(app, orders)
    bench.write(orders, numbered(10))
    commit_ten(bench, app)
    bench.write(orders, numbered(90))
    delete_below(bench, orders, 60)
    member = bench.run(app, on_expired=policy)
    member.until(lambda: member.ear.heard("expired"))
    member.settled()
    bench.write(orders, numbered(1))
    member.until(lambda: 100 in seen)
    member.settled()

    told = sum(count for _, count in member.ear.heard("expired"))
    injected(16, times=1, members=1, in_flight=told)

    assert seen == [*range(10), *range(next_offset, 101)]
    assert told == expired


def test_group_stops_where_it_declared(bench: Bench, topic: Topics, app: App) -> None:
    """Nothing is skipped, and the error says what to do."""
    orders = topic()
    seen = declare(app, orders)
    bench.write(orders, numbered(10))
    commit_ten(bench, app)
    bench.write(orders, numbered(90))
    delete_below(bench, orders, 60)
    member = bench.run(app, on_expired="stop")
    member.await_end()

    assert seen == list(range(10))
    assert isinstance(member.error, BrokerError)
    assert f"{orders}/0/10: the log now holds 60 to 100" in str(member.error)
    assert "on_expired=earliest" in str(member.error)


def test_records_in_memory_outlive_their_log(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """What was read before retention took it still runs, and is committed; only what was not read is expired."""
    orders, release, seen = topic(), threading.Event(), list[Any]()

    @app.on(orders, concurrency=4)
    def handle(record: Record) -> None:
        release.wait(30)
        seen.append(record.offset)

    bench.write(orders, numbered(20, [None]))
    member = bench.run(app, batch_records=20, max_in_flight=20)
    member.until(lambda: any(view.outstanding == 20 for view in member.ear.views))
    bench.write(orders, numbered(480, [None]))
    member.until(lambda: member.ear.heard("paused"))
    delete_below(bench, orders, 400)
    injected(16, times=1, members=1, in_flight=member.ear.views[-1].outstanding)
    release.set()
    member.until(lambda: len(seen) == 120)
    member.settled()

    assert sorted(seen) == [*range(20), *range(400, 500)]
    assert sum(count for _, count in member.ear.heard("expired")) == 380
