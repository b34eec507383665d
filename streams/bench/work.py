"""Handlers that do something: they wait, compute, do what a service does, or fail now and then."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from streams.bench.task import Mode
from streams.engine.context import Context
from streams.outcome import Retry

Handlers: TypeAlias = Mapping[Mode, Callable[..., Any]]
"""One handler, as each mode wants it."""

_TRIES: Final = 7
_TURNS: Final = 50_000
_ALL: Final = 10_000


class Order(msgspec.Struct, frozen=True):
    """What a service would want of a value; one that differs is a dead letter."""

    key: Annotated[str, msgspec.Meta(min_length=1)]
    number: Annotated[int, msgspec.Meta(ge=0)]
    order_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    amount: Annotated[float, msgspec.Meta(ge=0)]
    is_express: bool
    note: str = ""


class Till:
    """The total of each key: what ``real`` keeps, in the engine and in the control alike."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._totals: dict[str, float] = defaultdict(float)

    def event(self, order: Order) -> dict[str, Any]:
        """Add *order* to the total of its key; give the event that tells of it."""
        self._totals[order.key] = total = self._totals[order.key] + order.amount
        return {"order_id": order.order_id, "key": order.key, "total": total}


def spin(turns: int) -> int:
    """Compute for a while."""
    total = 0
    for number in range(turns):
        total += number
    return total


def turns_for(cpu_s: float) -> int:
    """Give the turns of `spin` that take *cpu_s*, by the CPU's clock; the quickest of several tries counts."""
    spent = []
    for _ in range(_TRIES):
        begin = time.thread_time()
        spin(_TURNS)
        spent.append(time.thread_time() - begin)
    return max(1, round(_TURNS * cpu_s / min(spent)))


def waiting(wait_s: float) -> Handlers:
    """Give handlers that wait *wait_s*, as for an answer."""

    def wait(_value: bytes) -> None:
        time.sleep(wait_s)

    async def wait_async(_value: bytes) -> None:
        await asyncio.sleep(wait_s)

    return {"threads": wait, "asyncio": wait_async}


def computing(turns: int) -> Handlers:
    """Give handlers that compute."""

    def compute(_value: bytes) -> None:
        spin(turns)

    async def compute_async(_value: bytes) -> None:
        spin(turns)

    def compute_batch(values: list[bytes]) -> None:
        for _ in values:
            spin(turns)

    return {"inline": compute, "threads": compute, "asyncio": compute_async, "batch": compute_batch}


def serving(events: str) -> Handlers:
    """Give handlers that validate an order, add it to its key's total, and send an event to topic *events*."""
    till = Till()

    def serve(order: Order, context: Context) -> None:
        context.send(events, till.event(order))

    async def serve_async(order: Order, context: Context) -> None:
        await context.send(events, till.event(order))

    return {"inline": serve, "threads": serve, "asyncio": serve_async}


class Failures:
    """Says of which records the first run fails.

    Handlers of several threads ask at once, of different records.
    """

    def __init__(self, percent: float) -> None:
        """Have *percent* of the records fail, the same ones in every run."""
        self._below = round(percent * _ALL / 100)
        self._failed: set[str] = set()

    def check(self, value: dict[str, Any]) -> None:
        """Let a record pass that is sound, or has failed before.

        Raises:
            ConnectionError: It fails now.
        """
        name = value["order_id"]
        if int(name[-8:], 16) % _ALL < self._below and name not in self._failed:
            self._failed.add(name)
            raise ConnectionError("the service that this handler calls is not there")


def failing(handlers: Handlers, percent: float) -> Handlers:
    """Give *handlers*, which take decoded values, such that *percent* of the records fail once."""
    failures = Failures(percent)

    def run(value: dict[str, Any]) -> None:
        failures.check(value)
        handlers["threads"](value)

    async def run_async(value: dict[str, Any]) -> None:
        failures.check(value)
        await handlers["asyncio"](value)

    def run_batch(values: list[dict[str, Any]]) -> list[Retry | None]:
        outcomes = _outcomes(failures, values)
        handlers["batch"]([value for value, outcome in zip(values, outcomes, strict=True) if outcome is True])
        return [outcome if isinstance(outcome, Retry) else None for outcome in outcomes]

    return {"inline": run, "threads": run, "asyncio": run_async, "batch": run_batch}


def _outcomes(failures: Failures, values: list[dict[str, Any]]) -> list[Retry | bool]:
    """Say of each of *values* that it fails, passes (True), or stands behind one of its key that failed (False)."""
    failed: set[str] = set()
    outcomes: list[Retry | bool] = []
    for value in values:
        if value["key"] in failed:
            outcomes.append(False)
            continue
        try:
            failures.check(value)
            outcomes.append(True)
        except ConnectionError as error:
            failed.add(value["key"])
            outcomes.append(Retry(error))
    return outcomes
