"""arroyo: one task in the processor's own thread, then the commit of what passed it.

Its defaults: an offset is stored once its record has passed the last step, and
the client commits what is stored, which is at-least-once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from arroyo.backends.kafka import KafkaConsumer  # type: ignore[import-not-found]  # in this worker's own environment
from arroyo.backends.kafka.configuration import (  # type: ignore[import-not-found]  # (the same)
    build_kafka_consumer_configuration,
)
from arroyo.commit import ONCE_PER_SECOND  # type: ignore[import-not-found]  # (the same)
from arroyo.processing.processor import StreamProcessor  # type: ignore[import-not-found]  # (the same)
from arroyo.processing.strategies.commit import CommitOffsets  # type: ignore[import-not-found]  # (the same)
from arroyo.processing.strategies.run_task import RunTask  # type: ignore[import-not-found]  # (the same)
from arroyo.types import Topic  # type: ignore[import-not-found]  # (the same)

from benchmarks.peers.workers.meter import Errand, Meter, read_errand


class Steps:
    """Builds what a record goes through, anew for each assignment."""

    def __init__(self, errand: Errand, meter: Meter) -> None:
        self._errand = errand
        self._meter = meter

    def create_with_partitions(self, commit: Any, partitions: Mapping[Any, int]) -> Any:
        """Give the task, and the commit behind it."""
        handle = self._handle if self._errand.takes_bytes else self._handle_decoded
        return RunTask(handle, CommitOffsets(commit))

    def shutdown(self) -> None:
        """Have nothing to close."""

    def _handle(self, message: Any) -> None:
        self._meter.handle(message.payload.value)

    def _handle_decoded(self, message: Any) -> None:
        self._meter.handle(orjson.loads(message.payload.value))


def processor(errand: Errand, meter: Meter) -> Any:
    """Give the processor of one topic."""
    settings = build_kafka_consumer_configuration(
        {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 1_000},
        bootstrap_servers=[errand.bootstrap],
        group_id=errand.group,
        auto_offset_reset="earliest",
    )
    return StreamProcessor(KafkaConsumer(settings), Topic(errand.topic), Steps(errand, meter), ONCE_PER_SECOND)


if __name__ == "__main__":
    told = read_errand()
    processor(told, Meter(told)).run()
