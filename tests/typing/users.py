"""What users write, in one of each kind; it has to pass a strict type checker and to be declarable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypedDict, assert_type

import msgspec

from streams import Ack, App, Context, DeadLetter, Guard, Outcome, Record, Retry, RetryPolicy, Skip, Stop

app = App("billing", commit_every_s=2.0)


class Order(msgspec.Struct):
    """A typed event."""

    id: int
    amount: float


@dataclass
class Payment:
    """Another one."""

    id: int


class Refund(TypedDict):
    """And a third."""

    id: int


class Upper:
    """A codec of one's own."""

    content_type = "text/plain"

    def decode(self, data: bytes) -> str:
        return data.decode().upper()

    def encode(self, value: str) -> bytes:
        return value.encode()


@app.lifespan
async def resources(state: SimpleNamespace) -> AsyncIterator[None]:
    """Open what handlers share."""
    state.pool = object()
    yield


@app.on(
    "orders", key="id", retry=RetryPolicy(delays=("1s", 10, timedelta(minutes=1)), overrides={OSError: RetryPolicy()})
)
def charge(order: Order, ctx: Context) -> None:
    """Send something, and look round."""
    ctx.send("invoices", {"id": order.id}, key=str(order.id), headers=[("tenant", b"7")])
    assert_type(ctx.record, Record)
    assert_type(ctx.attempt, int)
    ctx.log.info("charged", amount=order.amount)


bank = app.dependency(
    "bank", errors=(ConnectionError, TimeoutError), when=lambda error: error.errno != 2, within="1m", probes=5
)


@app.on("payments", policy="park", dead_letters="follow", needs=[bank], guard=Guard(in_a_row=10, probe_after="5m"))
async def pay(payment: Payment, ctx: Context) -> Outcome | None:
    """Wait, and choose an outcome."""
    await ctx.send("receipts", b"raw", key=b"\x00")
    if payment.id < 0:
        raise Stop(DeadLetter(ValueError("negative")))
    return Retry(TimeoutError(), after=timedelta(seconds=5)) if payment.id == 0 else None


@app.on("refunds", run="inline", timeout="5s", tombstones=True)
def refund(value: Refund | None) -> Skip | None:
    """Meet tombstones."""
    return Skip("deleted") if value is None else None


@app.on("events", batch=500, concurrency=4)
def store(events: list[dict[str, Any]]) -> list[Outcome | None]:
    """End record by record."""
    return [Ack() if event else None for event in events]


@app.on("raw", codec=Upper(), policy="unordered")
def shout(text: str) -> None:
    """Read one's own format."""


@app.on("records")
async def look(record: Record) -> None:
    """Take the record itself."""
    assert_type(record.key, bytes | None)


async def use() -> None:
    """A declared handler stays what it is: it can be called, with its own types."""
    assert_type(refund({"id": 1}), Skip | None)
    assert_type(await look(Record.__new__(Record)), None)
