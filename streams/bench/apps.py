"""The apps that are measured: one handler each, by what it does and where it runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, cast

from streams.app import App
from streams.bench.order import OrderCheck
from streams.bench.task import WAIT_S, Mode, Task, modes_of
from streams.bench.work import Handlers, computing, failing, serving, waiting
from streams.engine.context import Context
from streams.errors import UsageError
from streams.retry import RetryPolicy

BATCH: Final = 500

_OPTIONS: Final[dict[Mode, dict[str, Any]]] = {
    "inline": {"run": "inline"},
    "threads": {"run": "threads"},
    "asyncio": {"run": "async"},
    "batch": {"batch": BATCH},
}
_LETS_GO_EVERY: Final = 61
"""Of the records of a key every so many-th lets others run in the middle of its handler."""

_WAIT: Final = RetryPolicy(delays=("50ms",))
_MOVE: Final = RetryPolicy(delays=("100ms",), memory_up_to=0)
"""What fails waits in a retry topic: that is the path whose cost failures are here to show."""

Function = Callable[..., Any]


def app_for(task: Task, check: OrderCheck, ages_ms: list[float]) -> App:
    """Give the app of *task*; *check* and *ages_ms* take what its handler sees.

    Raises:
        UsageError: No such handler runs in this mode, or fails.
    """
    app = App(task.group)
    mode = cast("Mode", task.mode)
    app.on(
        task.topic,
        policy=task.order,
        retry=_MOVE if task.failures else _WAIT,
        concurrency=None if mode == "inline" else task.concurrency,
        **_OPTIONS[mode],
    )(_handler(task, mode, check, ages_ms))
    return app


def concurrency_of(task: Task) -> int:
    """Give how many handlers of *task* are under way at most."""
    return app_for(task, OrderCheck(), []).routes[task.topic].concurrency


def _handler(task: Task, mode: Mode, check: OrderCheck, ages_ms: list[float]) -> Function:
    if mode not in modes_of(task.handler):
        raise UsageError(f"no {task.handler} handler runs in mode {mode}")
    handlers = _handlers(task, check, ages_ms)
    if task.failures and task.handler not in ("json", "checked"):
        raise UsageError(f"a share of failures needs a handler that has its values decoded, not {task.handler}")
    return (failing(handlers, task.failures) if task.failures else handlers)[mode]


def _handlers(task: Task, check: OrderCheck, ages_ms: list[float]) -> Handlers:
    makers: dict[str, Callable[[], Handlers]] = {
        "noop": lambda: _NOOP,
        "json": lambda: _JSON,
        "wait1": lambda: waiting(WAIT_S["wait1"]),
        "wait5": lambda: waiting(WAIT_S["wait5"]),
        "cpu50": lambda: computing(task.turns),
        "real": lambda: serving(task.events),
        "checked": lambda: _checked(check),
        "stamped": lambda: _stamped(ages_ms),
        "flaky": lambda: {"threads": flaky},
    }
    return makers[task.handler]()


def noop(value: bytes) -> None:
    """Do nothing."""


async def noop_async(value: bytes) -> None:
    """Do nothing, on the event loop."""


def noop_batch(values: list[bytes]) -> None:
    """Do nothing with many."""


def decoded(value: dict[str, Any]) -> None:
    """Have the value decoded."""


async def decoded_async(value: dict[str, Any]) -> None:
    """Have the value decoded, on the event loop."""


def decoded_batch(values: list[dict[str, Any]]) -> None:
    """Have many decoded."""


_NOOP: Final[Handlers] = {
    "inline": noop,
    "threads": noop,
    "asyncio": noop_async,
    "batch": noop_batch,
}
_JSON: Final[Handlers] = {
    "inline": decoded,
    "threads": decoded,
    "asyncio": decoded_async,
    "batch": decoded_batch,
}


def flaky(value: dict[str, Any], context: Context) -> None:
    """Fail now and then: once for some records, for good for a few."""
    number = int(value["order_id"], 16) % 10_000
    if number == 0 or (number <= 10 and context.attempt == 1):  # noqa: PLR2004  # shares of 10,000
        raise ConnectionError("the service that this handler calls is not there")


def _checked(check: OrderCheck) -> Handlers:
    def checked(value: dict[str, Any]) -> None:
        check.begin(value)
        if value["number"] % _LETS_GO_EVERY == 0:
            time.sleep(0)
        check.end(value)

    async def checked_async(value: dict[str, Any]) -> None:
        check.begin(value)
        if value["number"] % _LETS_GO_EVERY == 0:
            await asyncio.sleep(0)
        check.end(value)

    def checked_batch(values: list[dict[str, Any]]) -> None:
        for value in values:
            checked(value)

    return {"inline": checked, "threads": checked, "asyncio": checked_async, "batch": checked_batch}


def note_age(value: dict[str, Any], ages_ms: list[float]) -> None:
    """Note how long ago *value* was sent, if it says so."""
    if value["at_ns"]:
        ages_ms.append((time.time_ns() - value["at_ns"]) / 1e6)


def _stamped(ages_ms: list[float]) -> Handlers:
    def stamped(value: dict[str, Any]) -> None:
        note_age(value, ages_ms)

    async def stamped_async(value: dict[str, Any]) -> None:
        note_age(value, ages_ms)

    return {"inline": stamped, "threads": stamped, "asyncio": stamped_async}
