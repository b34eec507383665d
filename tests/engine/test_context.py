"""What a handler gets beside its value, and what it sends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from streams.engine.context import Context, Send, Sends
from streams.engine.partition import PartitionState
from streams.envelope import Envelope
from streams.errors import UsageError
from streams.kafka.message import Message
from streams.outcome import Ack, DeadLetter, Retry, Skip
from tests.engine.stage import message, state

BAD = ValueError("bad")


def context(
    one: Message | None = None, keys: dict[str, str] | None = None, partition: PartitionState | None = None
) -> Context:
    """The context of a run on *one*, whose key is ``a``."""
    partition = partition or state()
    chunk = partition.admit([one or message(0)])
    assert chunk is not None
    return Context(partition.enlane(chunk)[0][0], keys)


def sent(ctx: Context) -> list[Send]:
    """What the run sends if it ends well now."""
    ended = ctx.ended(None)
    assert isinstance(ended, Sends)
    return ended.records


class Invoice(msgspec.Struct):
    order_id: int
    digest: bytes = b""


@dataclass
class Refund:
    order_id: str


def test_a_context_tells_of_its_record() -> None:
    """Record, attempt and the app's own state are at hand."""
    partition = state()
    resources = SimpleNamespace(pool=1)
    chunk = partition.admit([message(7, b"a", b"payload")])
    assert chunk is not None
    ctx = Context(partition.enlane(chunk)[0][0], state=resources)

    assert (ctx.record.offset, ctx.record.value, ctx.attempt) == (7, b"payload", 1)
    assert ctx.state is resources


@pytest.mark.parametrize("outcome", [None, Ack(), Skip("seen")], ids=str)
def test_what_is_sent_belongs_to_a_run_that_ends_well(outcome: Ack | Skip | None) -> None:
    """The run's outcome carries its sends, in order."""
    ctx = context()
    ctx.send("invoices", {"n": 1})
    ctx.send("emails", {"n": 2})
    ended = ctx.ended(outcome)

    assert isinstance(ended, Sends)
    assert [one.topic for one in ended.records] == ["invoices", "emails"]
    assert ended.outcome == (outcome or Ack())


@pytest.mark.parametrize("outcome", [Retry(BAD), DeadLetter(BAD)], ids=lambda one: type(one).__name__)
def test_a_run_that_fails_sends_nothing(outcome: Retry | DeadLetter) -> None:
    """A failed run leaves no trace in other topics."""
    ctx = context()
    ctx.send("invoices", {})

    assert ctx.ended(outcome) is outcome


def test_a_run_that_sends_nothing_is_its_outcome() -> None:
    """Without sends the outcome stays what it is."""
    assert context().ended(None) is None
    assert context().ended(Skip()) == Skip()


def test_sending_may_be_awaited_or_not() -> None:
    """`await ctx.send(...)` and `ctx.send(...)` are the same."""
    ctx = context()

    async def handler() -> None:
        await ctx.send("invoices", {"n": 1})
        ctx.send("invoices", {"n": 2})

    asyncio.run(handler())

    assert [one.value for one in sent(ctx)] == [b'{"n":1}', b'{"n":2}']


@pytest.mark.parametrize(
    ("value", "data", "content_type"),
    [
        ({"n": 1}, b'{"n":1}', b"application/json"),
        (Invoice(7), b'{"order_id":7,"digest":""}', b"application/json"),
        (Refund("r7"), b'{"order_id":"r7"}', b"application/json"),
        (b"\x00raw", b"\x00raw", b"application/octet-stream"),
        ("text", b"text", b"text/plain; charset=utf-8"),
        (None, None, None),
    ],
    ids=lambda one: type(one).__name__,
)
def test_values_are_written_as_they_are(value: object, data: bytes | None, content_type: bytes | None) -> None:
    """Bytes and text go as they are, None is a tombstone, all else is JSON; the headers say which."""
    ctx = context()
    ctx.send("invoices", value)
    (one,) = sent(ctx)

    assert one.value == data
    assert dict(one.headers).get("content-type") == content_type


@pytest.mark.parametrize(
    ("key", "keys", "value", "expected"),
    [
        (None, {}, {"order_id": 7}, b"a"),
        ("b", {"invoices": "order_id"}, {"order_id": 7}, b"b"),
        (b"\xff", {}, {}, b"\xff"),
        ("", {}, {}, b""),
        (None, {"invoices": "order_id"}, {"order_id": 7}, b"7"),
        (None, {"invoices": "order_id"}, Invoice(7), b"7"),
        (None, {"invoices": "order_id"}, Refund("r7"), b"r7"),
        (None, {"invoices": "digest"}, Invoice(7, b"\x01\x02"), b"\x01\x02"),
        (None, {"invoices": "order_id"}, {"other": 7}, None),
        (None, {"emails": "order_id"}, {"order_id": 7}, b"a"),
    ],
    ids=["own", "given", "bytes", "empty", "field", "struct", "dataclass", "bytes field", "no field", "other topic"],
)
def test_the_key_of_what_is_sent(
    key: str | bytes | None, keys: dict[str, str], value: object, expected: bytes | None
) -> None:
    """The key given counts, else the field that the topic's route declares, else that of the record in hand."""
    ctx = context(keys=keys)
    ctx.send("invoices", value, key=key)

    assert sent(ctx)[0].key == expected


def test_what_is_sent_continues_the_flow() -> None:
    """An event that is sent names the record that led to it, and stays in its flow and trace."""
    parent = Envelope.new("order.placed", "/shop")
    ctx = context(message(0, headers=[*parent.to_headers()]))
    ctx.send("invoices", {}, type="invoice.made", headers=[("tenant", b"7")])
    (one,) = sent(ctx)
    envelope = Envelope.from_headers(one.headers)

    assert (envelope.type, envelope.source) == ("invoice.made", "/orders")
    assert (envelope.causationid, envelope.correlation) == (parent.id, parent.id)
    assert one.headers[-1] == ("tenant", b"7")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"topic": ""}, "topic"),
        ({"topic": "in voices"}, "topic"),
        ({"topic": "t" * 250}, "topic"),
        ({"topic": None}, "topic"),
        ({"key": 7}, "key"),
        ({"key": "\ud800"}, "key"),
        ({"headers": [("tenant", 7)]}, "header"),
        ({"headers": [(7, b"x")]}, "header"),
        ({"headers": [("\ud800", b"x")]}, "header"),
        ({"headers": [("tenant",)]}, "header"),
        ({"value": {print}}, "can't send"),
        ({"value": "\ud800"}, "can't send"),
        ({"type": "\ud800"}, "type"),
        ({"type": b"invoice.made"}, "type b'invoice.made': give text"),
    ],
    ids=str,
)
def test_what_can_not_be_sent_is_told_where_it_is_sent(arguments: dict[str, Any], says: str) -> None:
    """A send that no broker could take raises inside the handler, in words, and is not queued."""
    ctx = context()
    chosen = {"topic": "invoices", "value": {}, **arguments}
    with pytest.raises(UsageError, match=says):
        ctx.send(chosen.pop("topic"), chosen.pop("value"), **chosen)

    assert ctx.ended(None) is None


def test_text_headers_are_taken() -> None:
    """A header's value may be text, as the client takes it too."""
    ctx = context()
    ctx.send("invoices", {}, headers=[("tenant", "seven"), ("empty", None)])  # type: ignore[list-item]

    assert sent(ctx)[0].headers[-2:] == [("tenant", b"seven"), ("empty", None)]
