"""What a handler's end stands for: every return value, every exception, every record that can't be read."""

# ruff: noqa: ARG001 - what a handler takes is its declaration, whether or not it looks at it
from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streams.app import App
from streams.engine.context import Context, Sends
from streams.engine.partition import Item, Run
from streams.engine.route import Ended, HandlerExitError, Route
from streams.errors import DecodeError, ResultError
from streams.outcome import Ack, DeadLetter, Outcome, Retry, Skip, Stop
from streams.record import Record
from tests.engine.stage import message, route, state

BAD = ValueError("bad")


def run_of(*values: bytes | None) -> Run:
    """One lane's records with *values*."""
    partition = state()
    chunk = partition.admit([message(offset, value=value) for offset, value in enumerate(values)])
    assert chunk is not None
    return partition.enlane(chunk)[0]


def item_of(value: bytes | None = b"{}") -> Item:
    """One record that runs."""
    return run_of(value)[0]


def ended(chosen: Route, value: bytes | None = b"{}") -> Ended:
    """What one run on a record of *value* ends in, exceptions included."""
    item = item_of(value)
    try:
        if chosen.run == "async":
            return asyncio.run(chosen.invoke_async(item))
        return chosen.invoke(item)
    except BaseException as error:  # noqa: BLE001  # as executors do
        return chosen.failure(error, item[0])


def returning(result: object) -> list[Route]:
    """Handlers of every kind that give back *result*."""

    def plain(order: dict[str, Any]) -> Any:
        return result

    def with_context(order: dict[str, Any], ctx: Context) -> Any:
        return result

    async def waiting(order: dict[str, Any]) -> Any:
        return result

    async def waiting_with_context(order: dict[str, Any], ctx: Context) -> Any:
        return result

    return [route(one) for one in (plain, with_context, waiting, waiting_with_context)]


def raising(error: BaseException) -> list[Route]:
    """Handlers of every kind that raise *error*."""

    def plain(order: dict[str, Any]) -> None:
        raise error

    def with_context(order: dict[str, Any], ctx: Context) -> None:
        raise error

    async def waiting(order: dict[str, Any]) -> None:
        raise error

    async def waiting_with_context(order: dict[str, Any], ctx: Context) -> None:
        raise error

    return [route(one) for one in (plain, with_context, waiting, waiting_with_context)]


# -- return values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, None),
        (Ack(), None),
        (Skip("seen before"), Skip("seen before")),
        (Retry(BAD), Retry(BAD)),
        (Retry(BAD, after=timedelta(seconds=5)), Retry(BAD, after=timedelta(seconds=5))),
        (DeadLetter(BAD), DeadLetter(BAD)),
    ],
    ids=str,
)
def test_outcomes_are_taken_as_they_are(result: object, expected: Outcome | None) -> None:
    """None and `Ack` say the same, and other outcomes mean themselves, in handlers of every kind."""
    assert [ended(one) for one in returning(result)] == [expected] * 4


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (7, "returned a int"),
        (False, "returned a bool"),
        ("done", "returned a str"),
        ({}, "returned a dict"),
        ([None, None], "returned a list of 2"),
        (Ack, "returned a type"),
        (DeadLetter("bad order"), "a DeadLetter whose cause is a str"),  # type: ignore[arg-type]
        (Retry(ValueError), "a Retry whose cause is a type"),  # type: ignore[arg-type]
        (Retry(BAD, after=5), "a Retry whose after is a int"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_rubbish_is_a_dead_letter(result: object, says: str) -> None:
    """A handler that gives back something that is no outcome, or one that is not whole, ends in words, no crash."""
    for one in returning(result):
        outcome = ended(one)

        assert isinstance(outcome, DeadLetter)
        assert isinstance(outcome.cause, ResultError)
        assert says in str(outcome.cause)
        assert one.name in str(outcome.cause)


# -- exceptions -----------------------------------------------------------------------------------


def test_an_exception_is_a_retry() -> None:
    """A handler that raises asks for another attempt."""
    assert [ended(one) for one in raising(BAD)] == [Retry(BAD)] * 4


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("base")],
    ids=lambda one: type(one).__name__,
)
def test_a_handler_can_end_neither_process_nor_task(error: BaseException) -> None:
    """What is no `Exception` is a failed run like another, and its words name it."""
    one, other = raising(error)[:2]
    for outcome in (ended(one), ended(other)):
        assert isinstance(outcome, Retry)
        assert isinstance(outcome.cause, HandlerExitError)
        assert type(error).__name__ in str(outcome.cause)


@pytest.mark.parametrize(
    ("outcome", "expected"), [(Ack(), None), (Skip("enough"), Skip("enough")), (DeadLetter(BAD), DeadLetter(BAD))]
)
def test_stop_ends_a_handler_with_its_outcome(outcome: Outcome, expected: Outcome | None) -> None:
    """`raise Stop(outcome)`, from however deep, is the same as returning it."""
    assert [ended(one) for one in raising(Stop(outcome))] == [expected] * 4


def test_stop_with_rubbish_is_a_dead_letter() -> None:
    """What is no outcome is none in a `Stop` either."""
    for one in raising(Stop("enough")):  # type: ignore[arg-type]
        outcome = ended(one)

        assert isinstance(outcome, DeadLetter)
        assert isinstance(outcome.cause, ResultError)


def test_what_was_sent_before_a_stop_is_sent() -> None:
    """A run that ends well by `Stop` keeps what it sent: it is part of the outcome."""

    def deep(ctx: Context) -> None:
        ctx.send("invoices", {"total": 1})
        raise Stop(Ack())

    def plain(order: dict[str, Any], ctx: Context) -> None:
        deep(ctx)

    async def waiting(order: dict[str, Any], ctx: Context) -> None:
        deep(ctx)

    for handler in (plain, waiting):
        outcome = ended(route(handler))

        assert isinstance(outcome, Sends)
        assert [one.topic for one in outcome.records] == ["invoices"]


@pytest.mark.parametrize("result", [Retry(BAD), DeadLetter(BAD), BAD], ids=lambda one: type(one).__name__)
def test_a_run_that_fails_sends_nothing(result: Any) -> None:
    """What a handler sent before it failed is not sent."""

    def charge(order: dict[str, Any], ctx: Context) -> Any:
        ctx.send("invoices", {})
        if isinstance(result, Exception):
            raise result
        return result

    assert ended(route(charge)) == (Retry(BAD) if result is BAD else result)


# -- records that can't be read ---------------------------------------------------------------------


def test_unreadable_bytes_are_a_dead_letter() -> None:
    """Bytes that are not what the handler declared never reach it and are never retried."""
    for one in returning(None):
        outcome = ended(one, b"{broken")

        assert isinstance(outcome, DeadLetter)
        assert isinstance(outcome.cause, DecodeError)


class Panics:
    """A codec out of another world."""

    content_type = "application/x-panic"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def decode(self, data: bytes) -> str:
        raise self._error

    def encode(self, value: str) -> bytes:
        return value.encode()


class MuteError(Exception):
    """An error without words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error", [BaseException("panic"), SystemExit(1), MuteError(), KeyError("x")], ids=lambda one: type(one).__name__
)
def test_whatever_a_codec_raises_is_a_dead_letter(error: BaseException) -> None:
    """A codec of the user's may raise anything, even what is no `Exception`: its record is unreadable."""

    def charge(order: str) -> None: ...

    outcome = ended(route(charge, codec=Panics(error)))

    assert isinstance(outcome, DeadLetter)
    assert isinstance(outcome.cause, DecodeError)


# -- tombstones -------------------------------------------------------------------------------------


class Tolerant:
    """A codec that would make something even of nothing."""

    content_type = "text/plain"

    def decode(self, data: bytes | None) -> str:
        return "nothing" if data is None else data.decode()

    def encode(self, value: str) -> bytes:
        return value.encode()


def handlers_of_all_kinds() -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    """Handlers that must not see a null value unless they ask for it; each fails when it runs."""

    def takes_dict(order: dict[str, Any]) -> None:
        raise AssertionError("it ran")

    def takes_bytes(order: bytes) -> None:
        raise AssertionError("it ran")

    def takes_text(order: str, ctx: Context) -> None:
        raise AssertionError("it ran")

    def takes_record(order: Record) -> None:
        raise AssertionError("it ran")

    async def waits(order: Record) -> None:
        raise AssertionError("it ran")

    def takes_anything(order: str) -> None:
        raise AssertionError("it ran")

    return [
        (takes_dict, {}),
        (takes_bytes, {}),
        (takes_text, {}),
        (takes_record, {}),
        (waits, {}),
        (takes_anything, {"codec": Tolerant()}),
    ]


@pytest.mark.parametrize(("handler", "options"), handlers_of_all_kinds(), ids=lambda one: getattr(one, "__name__", ""))
def test_a_tombstone_is_skipped_unread(handler: Callable[..., Any], options: dict[str, Any]) -> None:
    """A null value reaches no handler that did not ask for it, whatever it takes."""
    ran: list[object] = []
    chosen = route(handler, **options)
    object.__setattr__(chosen, "handler", lambda *args: ran.append(args))
    outcome = ended(chosen, None)

    assert isinstance(outcome, Skip)
    assert ran == []


@pytest.mark.parametrize(("handler", "options"), handlers_of_all_kinds(), ids=lambda one: getattr(one, "__name__", ""))
def test_many_in_one_go_stop_at_a_tombstone(handler: Callable[..., Any], options: dict[str, Any]) -> None:
    """Decoding many raises where decoding one does: the null value is taken, and nothing behind it."""
    source = iter([message(0), message(1, value=None), message(2)])
    values = route(handler, **options).values(source)

    next(values)
    with pytest.raises((DecodeError, TypeError)):
        next(values)
    assert [left.offset() for left in source] == [2]


@pytest.mark.parametrize("annotation", [dict, bytes, str])
def test_a_tombstone_that_is_asked_for_is_none(annotation: type) -> None:
    """With ``tombstones=True`` a null value reaches the handler as None."""
    seen: list[object] = []

    def charge(order: Any) -> None:
        seen.append(order)

    charge.__annotations__["order"] = annotation

    assert ended(route(charge, tombstones=True), None) is None
    assert seen == [None]


def test_a_record_handler_may_ask_for_tombstones() -> None:
    """A handler that takes the record sees its null value when it asks for tombstones, and its errors are retried."""
    seen: list[bytes | None] = []

    def charge(order: Record) -> None:
        seen.append(order.value)
        raise BAD

    assert ended(route(charge, tombstones=True), None) == Retry(BAD)
    assert seen == [None]


# -- batches ------------------------------------------------------------------------------------------


def outcomes_of(result: object, count: int) -> list[Outcome | None]:
    """What a batch handler that gives back *result* ends in, plain and async."""

    def plain(orders: list[dict[str, Any]]) -> Any:
        return result

    async def waiting(orders: list[dict[str, Any]]) -> Any:
        return result

    run = run_of(*[b"{}"] * count)
    first = route(plain, batch=10).invoke_batch(run)
    assert asyncio.run(route(waiting, batch=10).invoke_batch_async(run)) == first or first[0] is not None
    return first


def test_a_batch_that_returns_nothing_is_done() -> None:
    """None stands for the whole batch."""
    assert outcomes_of(None, 3) == [None, None, None]


def test_a_batch_may_end_record_by_record() -> None:
    """A list gives each record its own outcome, in order."""
    assert outcomes_of([None, Skip("seen"), Retry(BAD), Ack()], 4) == [None, Skip("seen"), Retry(BAD), None]


@pytest.mark.parametrize("result", [[], [None], [None] * 4, 7, "abc", {}], ids=str)
def test_a_batch_of_the_wrong_length_is_dead(result: object) -> None:
    """What does not say one outcome a record says nothing about any: all are dead letters with the reason."""
    outcomes = outcomes_of(result, 3)

    assert len(outcomes) == 3
    for outcome in outcomes:
        assert isinstance(outcome, DeadLetter)
        assert isinstance(outcome.cause, ResultError)
        assert "got 3 records" in str(outcome.cause)


def test_one_record_of_a_batch_runs_alone() -> None:
    """A batch handler that is called for one record gets a list of one."""
    seen: list[list[dict[str, Any]]] = []

    def charge(orders: list[dict[str, Any]]) -> None:
        seen.append(orders)

    assert ended(route(charge, batch=10), b'{"id": 1}') is None
    assert seen == [[{"id": 1}]]


def test_bytes_reach_a_handler_as_they_stand() -> None:
    """A handler that takes bytes gets the value itself."""
    seen: list[bytes] = []
    app = App("billing")

    @app.on("orders")
    def charge(order: bytes) -> None:
        seen.append(order)

    ended(app.routes["orders"], b"\x00raw")

    assert seen == [b"\x00raw"]
