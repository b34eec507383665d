"""What handlers share is opened before the first one runs and closed after the last one, once a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams import App, Context
from streams.engine.ending import Until
from streams.errors import StreamsError
from streams.service import run
from tests.brokers import Topics
from tests.path.members import Bench, numbered

UNTIL = Until(empty=True)


def declare(app: App, topic: str, events: list[str], *, is_async: bool) -> None:
    """Declare a handler that says what it finds."""

    def handle(value: bytes, ctx: Context) -> None:
        events.append(f"{value.decode()} with {ctx.state.pool}")

    async def handle_async(value: bytes, ctx: Context) -> None:
        ctx.state.loop = asyncio.get_running_loop()
        handle(value, ctx)

    app.on(topic)(handle_async if is_async else handle)


@pytest.mark.parametrize("is_async", [False, True])
def test_opened_once_and_closed_once(is_async: bool, bench: Bench, topic: Topics, app: App) -> None:  # noqa: FBT001
    """On the loop that async handlers run on; threads find the same state."""
    orders, events, loops = topic(), list[str](), set[Any]()
    declare(app, orders, events, is_async=is_async)

    @app.lifespan
    async def resources(state: Any) -> AsyncIterator[None]:
        state.pool = "a pool"
        state.loop = None
        events.append("opened")
        yield
        events.append("closed")
        loops.update({asyncio.get_running_loop(), state.loop or asyncio.get_running_loop()})

    bench.write(orders, numbered(3))
    run(app, app.settings.over(bootstrap=bench.bootstrap), UNTIL)

    assert events == ["opened", "0 with a pool", "1 with a pool", "2 with a pool", "closed"]
    assert len(loops) == 1


def test_opened_by_a_function(bench: Bench, topic: Topics, app: App) -> None:
    """What needs no closing may be opened by a plain coroutine."""
    orders, events = topic(), list[str]()
    declare(app, orders, events, is_async=False)

    @app.lifespan
    async def resources(state: Any) -> None:
        state.pool = "a pool"

    bench.write(orders, numbered(1))
    run(app, app.settings.over(bootstrap=bench.bootstrap), UNTIL)

    assert events == ["0 with a pool"]


def test_closed_after_a_failure_of_the_member(bench: Bench, topic: Topics, app: App) -> None:
    """However the member ends."""
    orders, events = topic(), list[str]()
    declare(app, orders, events, is_async=False)

    @app.lifespan
    async def resources(_: Any) -> AsyncIterator[None]:
        yield
        events.append("closed")

    bench.kafka.admin.delete_topics([orders])[orders].result(30)
    with pytest.raises(StreamsError):
        run(app, app.settings.over(bootstrap=bench.bootstrap, group=app.group + "x"), UNTIL)
    topic.made.remove(orders)

    assert events in ([], ["closed"])


@pytest.mark.parametrize("fails_at", ["open", "close"])
def test_failure_of_the_users_own_code_is_told(fails_at: str, bench: Bench, topic: Topics, app: App) -> None:
    """In its own words, as an error of the lifespan; a failure to open joins no group."""
    orders, events = topic(), list[str]()
    declare(app, orders, events, is_async=False)

    @app.lifespan
    async def resources(state: Any) -> AsyncIterator[None]:
        state.pool = "a pool"
        if fails_at == "open":
            raise ConnectionError("no database at db:5432")
        yield
        raise ConnectionError("no database at db:5432")

    bench.write(orders, numbered(1))
    with pytest.raises(StreamsError, match=rf"lifespan of app .* did not {fails_at}: ConnectionError: no database"):
        run(app, app.settings.over(bootstrap=bench.bootstrap), UNTIL)

    assert events == ([] if fails_at == "open" else ["0 with a pool"])
