"""A dead letter is its record, whole, with where it came from and why it is dead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, TopicCollection

from streams import App, Context, DeadLetter, Record, RetryPolicy, Skip, Stop
from streams.engine.chain import ErrorHeader, unpack, unpack_error
from streams.record import Headers, Origin
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, headers_of

AT_ONCE = RetryPolicy(delays=(), max_attempts=1)
VALUE = b"\x00\xff not JSON \xfe"
HEADERS: Headers = [("trace", b"1"), ("trace", b"2"), ("empty", b""), ("none", None), ("streams", b"not ours")]


class RefusedError(Exception):
    """Nothing can be done."""


def error_of(letter: Message) -> ErrorHeader:
    """Why *letter* is dead."""
    error = unpack_error(headers_of(letter))
    assert error is not None
    return error


def test_dead_letter_is_its_record(bench: Bench, topic: Topics, app: App) -> None:
    """Key, value and headers are the same bytes, in the same partition number; the origin names the record."""
    orders = topic(partitions=3)

    @app.on(orders, retry=AT_ONCE)
    def charge(_: Record) -> None:
        raise RefusedError("card expired")

    bench.write(orders, [(b"k", b"first")], partition=2)
    ((number, offset),) = bench.write(orders, [(b"\xff key", VALUE, HEADERS)], partition=2)
    bench.run(app).settled()
    letter = bench.dead(orders, app.group)[1]
    headers = headers_of(letter)
    header, error = unpack(headers), error_of(letter)
    stamp = next(one.timestamp()[1] for one in bench.read(orders) if one.offset() == offset)
    described = bench.kafka.admin.describe_topics(TopicCollection([orders]))[orders].result()

    assert (letter.key(), letter.value(), letter.partition()) == (b"\xff key", VALUE, 2)
    assert headers[:-2] == [*HEADERS[:-1], ("streams-was-streams", b"not ours")]
    assert header.origin == Origin(orders, number, offset, stamp)
    assert (header.group, header.hop, header.attempts) == (app.group, 1, 1)
    assert header.topic_id == str(described.topic_id)
    assert (error.error, error.message, error.handler) == (f"{__name__}.RefusedError", "card expired", "charge")
    assert "raise RefusedError" in error.stack


def test_dead_letters_of_a_key_keep_their_order(bench: Bench, topic: Topics, app: App) -> None:
    """Whoever reads them finds the older one first."""
    orders = topic()

    @app.on(orders, retry=AT_ONCE, guard=None)
    async def charge(_: Record) -> None:
        raise RefusedError

    bench.write(orders, [(b"%d" % (number % 7), b"%d" % number) for number in range(200)])
    bench.run(app).settled()
    letters = [int(letter.value() or b"") for letter in bench.dead(orders, app.group)]
    by_key = [[number for number in letters if number % 7 == key] for key in range(7)]

    assert sorted(letters) == list(range(200))
    assert by_key == [sorted(one) for one in by_key]


def test_handler_gives_a_record_up(bench: Bench, topic: Topics, app: App) -> None:
    """By what it returns, or from deep inside; either way no further attempt is made."""
    orders = topic()

    def deep() -> DeadLetter:
        raise Stop(DeadLetter(RefusedError("deep")))

    @app.on(orders)
    def charge(record: Record) -> DeadLetter | None:
        if record.offset == 0:
            return DeadLetter(RefusedError("returned"))
        return deep()

    bench.write(orders, [(b"a", b"0"), (b"b", b"1")])
    bench.run(app).settled()
    told = {error_of(letter).message for letter in bench.dead(orders, app.group)}

    assert told == {"returned", "deep"}


def test_last_word_of_the_handler_counts_as_an_attempt(bench: Bench, topic: Topics, app: App) -> None:
    """A record that failed twice and was then given up ran three times."""
    orders = topic()

    @app.on(orders, retry=RetryPolicy(delays=("10ms",), max_attempts=9))
    def charge(_: Record, ctx: Context) -> DeadLetter:
        if ctx.attempt < 3:
            raise RefusedError("not yet")
        return DeadLetter(RefusedError("enough"))

    bench.write(orders, [(b"a", b"0")])
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)
    header = unpack(headers_of(letter))

    assert header.attempts == 3
    assert len(header.history) == 3


@pytest.mark.parametrize("run", ["threads", "inline", "async"])
def test_bytes_that_cannot_be_read_are_a_dead_letter(
    run: str, bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """At once, with the reason; records before and behind them are handled."""
    orders, seen = topic(), []

    def charge(order: dict[str, Any]) -> None:
        seen.append(order["id"])

    async def charge_async(order: dict[str, Any]) -> None:
        seen.append(order["id"])

    app.on(orders, run=run)(charge_async if run == "async" else charge)  # type: ignore[arg-type]
    bench.write(orders, [(b"a", b'{"id": 1}'), (b"a", VALUE), (b"b", b"{"), (b"a", b'{"id": 2}')])
    bench.run(app).settled()
    letters = bench.dead(orders, app.group)
    injected(25, times=2, members=1, in_flight=len(letters))

    assert seen == [1, 2]
    assert sorted(letter.value() or b"" for letter in letters) == [VALUE, b"{"]
    assert {error_of(letter).error for letter in letters} == {"streams.errors.DecodeError"}
    assert all(error_of(letter).message for letter in letters)


def test_value_that_breaks_its_contract_is_a_dead_letter(bench: Bench, topic: Topics, app: App, tmp_path: Path) -> None:
    """It never reaches the handler, and the reason names the place in the value."""
    folder = tmp_path / "order-placed"
    folder.mkdir()
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"id": {"type": "integer"}, "amount": {"type": "number", "minimum": 0}},
        "required": ["id", "amount"],
    }
    (folder / "v1.json").write_text(json.dumps(schema))
    (folder / "example.json").write_text(json.dumps({"id": 1, "amount": 2}))
    orders, seen = topic(), []
    app = App(app.group, schemas=tmp_path)

    @app.on(orders, subject="order-placed")
    def charge(order: dict[str, Any]) -> None:
        seen.append(order["id"])

    bench.write(orders, [(b"a", b'{"id": 1, "amount": 5}'), (b"a", b'{"id": 2, "amount": -5}'), (b"a", b'{"id": 3}')])
    bench.run(app).settled()
    told = [error_of(letter).message for letter in bench.dead(orders, app.group)]

    assert seen == [1]
    assert ["amount" in words and "order-placed" in words for words in told] == [True, True]


def test_strange_result_is_a_dead_letter(bench: Bench, topic: Topics, app: App) -> None:
    """A handler that gives back something that is no outcome is told so; the record is kept."""
    orders = topic()

    @app.on(orders)
    def charge(_: Record) -> Any:
        return {"ok": True}

    bench.write(orders, [(b"a", b"0")])
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)

    assert "handler charge returned a dict" in error_of(letter).message


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_handler_that_tries_to_end_the_process_fails(
    error: BaseException, bench: Bench, topic: Topics, app: App
) -> None:
    """The record is tried again and kept; the member goes on."""
    orders, seen = topic(), []

    @app.on(orders, retry=RetryPolicy(delays=("10ms",), max_attempts=2))
    def charge(record: Record) -> None:
        if record.offset == 0:
            raise error
        seen.append(record.offset)

    bench.write(orders, [(b"a", b"0"), (b"a", b"1")])
    member = bench.run(app)
    member.settled()
    (letter,) = bench.dead(orders, app.group)

    assert type(error).__name__ in error_of(letter).message
    assert seen == [1]


def test_skipped_records_leave_no_trace(bench: Bench, topic: Topics, app: App) -> None:
    """A skip is done: committed, and nobody's dead letter."""
    orders = topic()

    @app.on(orders)
    def charge(_: Record) -> Skip:
        return Skip("not ours")

    bench.write(orders, [(b"a", b"0"), (b"b", b"1")])
    member = bench.run(app)
    member.settled()

    assert bench.dead(orders, app.group) == []
    assert member.ear.heard("dead_lettered") == []
