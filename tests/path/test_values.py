"""Values, keys and headers of every shape go through."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from streams import App, DeadLetter, Record
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, headers_of

Declare = Callable[[App, str, list[Any]], None]


def as_bytes(app: App, topic: str, seen: list[Any]) -> None:
    """A handler that takes bytes, in threads."""

    @app.on(topic)
    def handle(value: bytes) -> None:
        seen.append(value)


def as_dict(app: App, topic: str, seen: list[Any]) -> None:
    """A handler that takes a dict, on the event loop."""

    @app.on(topic)
    async def handle(value: dict[str, Any]) -> None:
        seen.append(value)


def as_record(app: App, topic: str, seen: list[Any]) -> None:
    """A handler that takes the record, on the poll thread."""

    @app.on(topic, run="inline")
    def handle(record: Record) -> None:
        seen.append(record.value)


@pytest.mark.parametrize("declare", [as_bytes, as_dict, as_record])
def test_null_values_are_skipped(declare: Declare, bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """A handler that did not ask for tombstones never sees one, and none becomes a dead letter."""
    orders, seen = topic(), list[Any]()
    declare(app, orders, seen)
    bench.write(orders, [(b"a", None), (b"b", b'{"id":1}'), (None, None)])
    member = bench.run(app)
    member.settled()
    skipped = sum(count for _, outcome, count in member.ear.heard("finished") if outcome == "skipped")
    injected(25, times=2, members=1, in_flight=skipped)

    assert seen in ([b'{"id":1}'], [{"id": 1}])
    assert bench.dead(orders, app.group) == []


def test_tombstones_reach_who_asks_for_them(bench: Bench, topic: Topics, app: App) -> None:
    """As None, in their place among the key's records."""
    orders, seen = topic(), []

    @app.on(orders, tombstones=True)
    def handle(value: dict[str, Any] | None) -> None:
        seen.append(value)

    bench.write(orders, [(b"a", b'{"id":1}'), (b"a", None), (b"a", b'{"id":2}')])
    bench.run(app).settled()

    assert seen == [{"id": 1}, None, {"id": 2}]


def test_failure_on_a_tombstone_is_a_failure(bench: Bench, topic: Topics, app: App) -> None:
    """A tombstone that a handler asked for and gave up is a dead letter with a null value."""
    orders = topic()

    @app.on(orders, tombstones=True)
    def handle(_: bytes | None) -> DeadLetter:
        return DeadLetter(ValueError("can't delete"))

    bench.write(orders, [(b"a", None)])
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)

    assert (letter.key(), letter.value()) == (b"a", None)


def test_null_and_empty_keys_are_told_apart(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """An empty key is a key; a null one is none."""
    orders, seen = topic(), []

    @app.on(orders)
    def handle(record: Record) -> None:
        seen.append((record.key, record.value))

    bench.write(orders, [(None, b"0"), (b"", b"1"), (b"", b"2"), (None, b"3")], partition=0)
    bench.run(app).settled()
    injected(25, times=4, members=1, in_flight=len(seen))

    assert sorted(seen, key=lambda one: one[1] or b"") == [(None, b"0"), (b"", b"1"), (b"", b"2"), (None, b"3")]


def test_ten_megabytes_and_a_thousand_headers_go_through(
    bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """To the handler, and whole into the dead-letter topic."""
    orders, seen = topic(config={"max.message.bytes": "20000000"}), []
    large, headers = os.urandom(10_000_000), [(f"name-{number}", b"%d" % number) for number in range(1_000)]

    @app.on(orders)
    def handle(record: Record) -> DeadLetter:
        seen.append((record.value == large, record.headers == headers))
        return DeadLetter(ValueError("too much"))

    bench.write(orders, [(b"a", large, headers)])
    bench.run(app).settled(within_s=60)
    (letter,) = bench.dead(orders, app.group)
    injected(25, times=1, members=1, in_flight=len(seen))

    assert seen == [(True, True)]
    assert letter.value() == large
    assert headers_of(letter)[:-2] == headers
