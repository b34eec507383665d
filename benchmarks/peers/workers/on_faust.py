"""faust-streaming: one agent over one stream, with its defaults: at-least-once, acknowledged when handled."""

from __future__ import annotations

import logging
from typing import Any

import faust  # type: ignore[import-not-found]  # stands in this worker's own environment

from benchmarks.peers.workers.meter import Errand, Meter, read_errand


def application(errand: Errand, meter: Meter) -> Any:
    """Give the application with its one agent."""
    app = faust.App(
        errand.group,
        broker=f"kafka://{errand.bootstrap}",
        processing_guarantee="at_least_once",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        topic_disable_leader=True,
        web_enabled=False,
        datadir="faust",
    )
    topic = app.topic(errand.topic, value_serializer="raw" if errand.takes_bytes else "json", value_type=None)

    async def handle(stream: Any) -> None:
        async for value in stream:
            await meter.handle_async(value)

    app.agent(topic)(handle)
    return app


if __name__ == "__main__":
    told = read_errand()
    faust.Worker(application(told, Meter(told)), loglevel=logging.WARNING).execute_from_commandline()
