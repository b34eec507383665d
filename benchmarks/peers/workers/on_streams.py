"""Our own engine, told like any other, for the order check and the kill.

Its speed is measured by the worker of `streams bench`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from benchmarks.peers.workers.meter import Errand, Meter, read_errand
from streams.app import App
from streams.config import Settings
from streams.monitor.logs import configure_logs
from streams.service import run

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "inline": {"run": "inline"},
    "threads": {"run": "threads"},
    "asyncio": {"run": "async"},
    "batch": {"batch": 500},
}


def application(errand: Errand, meter: Meter) -> App:
    """Give the app with its one handler."""
    app = App(errand.group)
    app.on(errand.topic, **_OPTIONS[errand.mode])(_handler(errand.mode, meter))
    return app


def _handler(mode: str, meter: Meter) -> Callable[..., Any]:
    def handle(value: dict[str, Any]) -> None:
        meter.handle(value)

    async def handle_async(value: dict[str, Any]) -> None:
        await meter.handle_async(value)

    def handle_batch(values: list[dict[str, Any]]) -> None:
        for value in values:
            meter.handle(value)

    by_mode: dict[str, Callable[..., Any]] = {"asyncio": handle_async, "batch": handle_batch}
    return by_mode.get(mode, handle)


if __name__ == "__main__":
    told = read_errand()
    configure_logs("text", "WARNING")
    settings = Settings(group=told.group, bootstrap=told.bootstrap).from_environment()
    run(application(told, Meter(told)), settings)
