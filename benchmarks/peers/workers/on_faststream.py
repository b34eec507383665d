"""FastStream on its confluent client: one subscriber, acknowledged by hand of the framework after the handler.

Its default acknowledges a record before it is handled (`ACK_FIRST`), which is
at most once; `NACK_ON_ERROR` acknowledges it afterwards, and has it come again
if its handler failed.  Its two log lines a record are off.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faststream import FastStream  # type: ignore[import-not-found]  # stands in this worker's own environment
from faststream.confluent import KafkaBroker  # type: ignore[import-not-found]  # (the same)
from faststream.middlewares import AckPolicy  # type: ignore[import-not-found]  # (the same)

from benchmarks.peers.workers.meter import Errand, Meter, read_errand


def application(errand: Errand, meter: Meter) -> Any:
    """Give the application with its one subscriber."""

    async def handle(value: Any) -> None:
        await meter.handle_async(value)

    broker = KafkaBroker(errand.bootstrap, apply_types=False, logger=None)
    subscriber = broker.subscriber(
        errand.topic,
        group_id=errand.group,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        ack_policy=AckPolicy.ACK_FIRST if errand.mode == "ack-first" else AckPolicy.NACK_ON_ERROR,
        **({"decoder": as_it_came} if errand.takes_bytes else {}),
    )
    subscriber(handle)
    return FastStream(broker)


async def as_it_came(message: Any) -> bytes:
    """Give the body undecoded."""
    body: bytes = message.body
    return body


if __name__ == "__main__":
    told = read_errand()
    asyncio.run(application(told, Meter(told)).run())
