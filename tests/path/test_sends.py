"""What a handler sends is part of its outcome."""

from __future__ import annotations

import os
from typing import Any

from streams import App, Context, DeadLetter, RetryPolicy, Skip
from streams.engine.chain import unpack_error
from streams.envelope import Envelope
from streams.errors import SendError
from tests.brokers import Topics, unique
from tests.path.members import Bench, headers_of

QUICK = RetryPolicy(delays=("10ms", "10ms"), jitter=0)


def test_sends_arrive_with_cause_and_key(bench: Bench, topic: Topics, app: App) -> None:
    """The envelope names the record they came from; the key is the record's own, a field's, or the one given."""
    orders, invoices, mails = topic(), topic("invoices"), topic("mails")

    @app.on(orders, key="id")
    def charge(order: dict[str, Any], ctx: Context) -> None:
        if order["id"] == 77:
            return
        ctx.send(invoices, {"total": 5})
        ctx.send(invoices, {"total": 6}, key="other")
        ctx.send(mails, b"\x00raw", type="mail.sent", headers=[("x", b"1")])
        ctx.send(orders, {"id": 77})

    source = Envelope.new("order.placed", "/shop")
    bench.write(orders, [(b"k", b'{"id": 1}', source.to_headers())])
    bench.run(app).settled()
    first, second = sorted(bench.read(invoices), key=lambda message: message.value() or b"")
    (mail,) = bench.read(mails)
    envelope = Envelope.from_headers(headers_of(first))

    assert (first.key(), second.key(), mail.key()) == (b"k", b"other", b"k")
    assert bench.read(orders)[1].key() == b"77"
    assert (first.value(), mail.value()) == (b'{"total":5}', b"\x00raw")
    assert (envelope.causationid, envelope.correlationid) == (source.id, source.correlationid or source.id)
    assert dict(headers_of(mail))["x"] == b"1"
    assert Envelope.from_headers(mail.headers()).type == "mail.sent"  # type: ignore[arg-type]


def test_run_that_fails_sends_nothing(bench: Bench, topic: Topics, app: App) -> None:
    """Neither does one that gives the record up; only the run that ends well sends."""
    orders, invoices = topic(), topic("invoices")

    @app.on(orders, retry=QUICK)
    async def charge(order: bytes, ctx: Context) -> DeadLetter | Skip | None:
        await ctx.send(invoices, b"%s by attempt %d" % (order, ctx.attempt))
        if order == b"given up":
            return DeadLetter(ValueError("no"))
        if order == b"flaky" and ctx.attempt == 1:
            raise ValueError("again")
        return Skip() if order == b"skipped" else None

    bench.write(orders, [(b"a", b"flaky"), (b"b", b"given up"), (b"c", b"skipped")])
    bench.run(app).settled()

    assert sorted(message.value() or b"" for message in bench.read(invoices)) == [
        b"flaky by attempt 2",
        b"skipped by attempt 1",
    ]


def test_refused_send_is_a_failure(bench: Bench, topic: Topics, app: App) -> None:
    """The run counts as failed, with the broker's word; after the last attempt the record is a dead letter."""
    orders, nowhere, runs = topic(), unique("nowhere"), []

    @app.on(orders, retry=QUICK)
    def charge(_: bytes, ctx: Context) -> None:
        runs.append(ctx.attempt)
        ctx.send(nowhere, b"lost?")

    bench.write(orders, [(b"a", b"0")])
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)
    error = unpack_error(headers_of(letter))

    assert runs == [1, 2, 3]
    assert error is not None
    assert error.error.endswith(SendError.__name__)
    assert "UNKNOWN" in error.message


def test_send_that_is_too_large_is_a_failure(bench: Bench, topic: Topics, app: App) -> None:
    """The topic's own limit decides; what else the handler sends meanwhile is not part of it."""
    orders, small = topic(), topic("small", config={"max.message.bytes": "2000"})

    @app.on(orders, retry=RetryPolicy(delays=(), max_attempts=1))
    def charge(order: bytes, ctx: Context) -> None:
        ctx.send(small, order)

    values = [bytes([number]) * 500 + b"%d" % number for number in range(200)]
    bench.write(orders, [(b"%d" % number, value) for number, value in enumerate(values)])
    bench.write(orders, [(b"big", os.urandom(5_000))])
    bench.run(app).settled()
    dead = [letter.key() for letter in bench.dead(orders, app.group)]

    assert dead == [b"big"]
    assert sorted(message.value() or b"" for message in bench.read(small)) == sorted(values)


def test_records_of_a_key_are_sent_in_their_order(bench: Bench, topic: Topics, app: App) -> None:
    """The next record of a key starts after the sends of the one before are acknowledged."""
    orders, invoices = topic(), topic("invoices")

    @app.on(orders)
    def charge(order: bytes, ctx: Context) -> None:
        ctx.send(invoices, order)

    bench.write(orders, [(b"%d" % (number % 5), b"%d" % number) for number in range(300)])
    bench.run(app).settled()
    sent = [int(message.value() or b"") for message in bench.read(invoices)]

    assert sorted(sent) == list(range(300))
    assert all(sorted(mine) == mine for mine in ([n for n in sent if n % 5 == key] for key in range(5)))
