"""However a handler is run, each record's run is a span, and what its code does is inside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace

from streams import App, DeadLetter, Skip, Stop
from streams.engine.route import RunMode
from tests.brokers import Topics
from tests.path.members import Written
from tests.tracing.conftest import MAKER, PARENT, Made, Traced, id_of, links_of, parent_of, told


def _inside() -> None:
    with trace.get_tracer("mine").start_as_current_span("inside"):
        pass


def _declare(app: App, topic: str, run: RunMode, batch: int | None = None) -> None:
    """Handle *topic* in one of the ways; each call makes a span of its own."""

    def handle(_values: Any) -> None:
        _inside()

    async def handle_async(_values: Any) -> None:
        await asyncio.sleep(0)
        _inside()

    handler = handle_async if run == "async" else handle
    handler.__annotations__["_values"] = list[bytes] if batch else bytes
    app.on(topic, run=run, batch=batch)(handler)


@pytest.mark.parametrize("run", ["inline", "threads", "async"])
def test_each_record_is_a_span(run: RunMode, traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """Every record has its own, with its place and its maker, and its handler's code is a child of it."""
    orders = topic()
    _declare(app, orders, run)
    records: list[Written] = [(b"%d" % at, b"x", [("traceparent", PARENT)] if at % 2 else []) for at in range(50)]
    traced.work_off(app, orders, records)
    spans = sorted(made.all(f"process {orders}"), key=lambda span: told(span, "messaging.kafka.offset"))

    assert [told(span, "messaging.kafka.offset") for span in spans] == list(range(50))
    assert [parent_of(span) for span in spans] == [MAKER if at % 2 else None for at in range(50)]
    assert {told(span, "streams.outcome") for span in spans} == {"done"}
    assert sorted(map(str, map(parent_of, made.all("inside")))) == sorted(map(id_of, spans))


@pytest.mark.parametrize("run", ["inline", "threads", "async"])
def test_a_batch_is_one_span_with_its_makers_as_links(
    run: RunMode, traced: Traced, topic: Topics, app: App, made: Made
) -> None:
    """It has no parent, as its records have several."""
    orders = topic()
    _declare(app, orders, run, batch=4)
    other = PARENT.replace(MAKER.encode(), b"1" * 16)
    traced.work_off(app, orders, [(b"a", b"1", [("traceparent", PARENT)]), (b"a", b"2", [("traceparent", other)])])
    spans = made.all(f"process {orders}")

    assert set().union(*map(links_of, spans)) == {MAKER, "1" * 16}
    assert sum(told(span, "messaging.batch.message_count") or 1 for span in spans) == 2
    assert all(parent_of(span) is None for span in spans if len(span.links) > 1)
    assert {parent_of(span) for span in made.all("inside")} == set(map(id_of, spans))


def test_records_of_a_batch_that_raised_link_to_it(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """They run one by one, each behind the span of the call that failed."""
    orders = topic()

    @app.on(orders, batch=4, run="inline")
    def handle(values: list[bytes]) -> list[DeadLetter | None] | None:
        if len(values) > 1:
            raise ValueError("one of these")
        return [DeadLetter(ValueError("this one"))] if values == [b"bad"] else None

    traced.work_off(app, orders, [(b"a", b"good"), (b"b", b"bad")])
    whole, *alone = made.all(f"process {orders}")

    assert told(whole, "messaging.batch.message_count") == 2
    assert told(whole, "error.type") == "ValueError"
    assert [links_of(span) for span in alone] == [{id_of(whole)}] * 2
    assert [told(span, "streams.outcome") for span in alone] == ["done", "dead_letter"]


@pytest.mark.parametrize("run", ["inline", "threads", "async"])
def test_how_a_run_ended_stands_in_its_span(run: RunMode, traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """Done, skipped, given up, and stopped from deep inside; a value that can't be read, and a tombstone."""
    orders = topic()

    def handle(value: dict[str, Any]) -> Any:
        match value["do"]:
            case "skip":
                return Skip()
            case "give up":
                return DeadLetter(KeyError("no such order"))
            case "stop":
                raise Stop(Skip())
        return None

    async def handle_async(value: dict[str, Any]) -> Any:
        return handle(value)

    app.on(orders, run=run, guard=None)(handle_async if run == "async" else handle)
    values = [b'{"do": "work"}', b'{"do": "skip"}', b'{"do": "give up"}', b'{"do": "stop"}', b"no json", None]
    traced.work_off(app, orders, [(b"a", value) for value in values])
    spans = made.all(f"process {orders}")

    assert [told(span, "streams.outcome") for span in spans] == [
        "done",
        "skipped",
        "dead_letter",
        "skipped",
        None,
        "skipped",
    ]
    assert [span.status.is_ok for span in spans] == [True, True, False, True, False, True]
    assert told(spans[2], "error.type") == "KeyError"
    assert told(spans[5], "messaging.kafka.message.tombstone") is True
