"""Charge a shop's orders: everything a first handler needs, on one page.

streams dev up
streams topics create orders --partitions 6
streams produce orders --file examples/orders.jsonl --key order_id
streams run examples.orders:app --stop-when-empty
streams dlq list
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streams import App, Context, DeadLetter, RetryPolicy, Skip

app = App("billing")  # the consumer group


@dataclass(frozen=True)
class Line:
    """One article of an order."""

    sku: str
    quantity: int
    cents: int


@dataclass(frozen=True)
class Order:
    """An order, each time something happened to it.  What does not read as one is a dead letter."""

    order_id: str
    status: Literal["placed", "shipped", "cancelled", "returned"]
    total_cents: int
    lines: list[Line]


@app.on("orders", key="order_id", retry=RetryPolicy(delays=("200ms", "1s", "5s")))
def charge(order: Order, ctx: Context) -> Skip | DeadLetter | None:
    """Charge what was placed, and pay back what was cancelled or returned."""
    if order.status == "shipped":
        return Skip("nothing to charge")

    due = sum(line.quantity * line.cents for line in order.lines)
    if due != order.total_cents:
        return DeadLetter(ValueError(f"the total is {order.total_cents}, but the lines come to {due}"))

    cents = order.total_cents if order.status == "placed" else -order.total_cents
    pay(order.order_id, cents, ctx)  # what it raises is tried again; later events of this order wait for it
    return None


class PaymentTimeoutError(Exception):
    """The bank did not answer in time."""


def pay(order_id: str, cents: int, ctx: Context) -> None:
    """Move money: a stand-in for a bank that misses the first call for every 20th order."""
    if int(order_id.removeprefix("o-")) % 20 == 0 and ctx.attempt == 1:
        raise PaymentTimeoutError(f"no answer for order {order_id}")
    ctx.log.debug("paid", order_id=order_id, cents=cents)
