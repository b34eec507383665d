"""aiokafka: a client and no framework, with the loop of its documentation for at-least-once.

Automatic commits are off, and each batch of `getmany` is committed after the
last of its records was handled.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer  # type: ignore[import-not-found]  # stands in this worker's own environment

from benchmarks.peers.workers.meter import Errand, Meter, read_errand


async def consume(errand: Errand, meter: Meter) -> None:
    """Read, handle, commit, for ever."""
    consumer = AIOKafkaConsumer(
        errand.topic,
        bootstrap_servers=errand.bootstrap,
        group_id=errand.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=1_000,
        value_deserializer=None if errand.takes_bytes else orjson.loads,
    )
    await consumer.start()
    while True:
        batches: dict[Any, list[Any]] = await consumer.getmany(timeout_ms=1_000, max_records=500)
        for records in batches.values():
            for record in records:
                await meter.handle_async(record.value)
        if batches:
            await consumer.commit()


if __name__ == "__main__":
    told = read_errand()
    asyncio.run(consume(told, Meter(told)))
