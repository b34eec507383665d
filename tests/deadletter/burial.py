"""Writing dead letters in a test, as the engine writes them."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Producer

from streams.engine.chain import Attempt, copy_headers, describe_error, dlq_topic, new_header
from streams.record import Headers, Origin
from tests.brokers import Kafka


class Burial:
    """Buries records of one group; each `bury` writes one copy to the dead-letter topic of its origin."""

    def __init__(self, kafka: Kafka, group: str) -> None:
        self.group = group
        self._producer = Producer(kafka.client(message_max_bytes=20_000_000, enable_idempotence=True))

    def bury(  # noqa: PLR0913  # what a test may want to choose
        self,
        origin: Origin,
        value: bytes | None = b'{"total": 7}',
        *,
        key: bytes | None = b"o-1",
        error: Exception | None = None,
        headers: Headers | None = None,
        topic_id: str = "first",
        hop: int = 1,
        died_ms: int | None = None,
        group: str | None = None,
    ) -> None:
        """Write a copy of the record at *origin*, and wait for the acknowledgement."""
        died = int(time.time() * 1000) if died_ms is None else died_ms
        header = new_header(
            origin,
            topic_id=topic_id,
            group=group or self.group,
            assignment_id=b"12345678",
            attempts=2,
            history=(Attempt(died - 1_000, "TimeoutError"), Attempt(died, "ValueError")),
        )
        why = describe_error(
            error or ValueError("no total"), reason="attempt 2 of 2 failed", handler="charge", time_ms=died
        )
        moved = type(header)(**{name: getattr(header, name) for name in header.__struct_fields__} | {"hop": hop})
        ours: Any = copy_headers(headers, moved, why)
        self._producer.produce(
            dlq_topic(origin.topic, self.group), value, key, partition=origin.partition, headers=ours
        )
        assert self._producer.flush(30) == 0
