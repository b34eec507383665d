"""The client with nothing around it: what the engine's speed is compared with.

The same settings as a member's consumer, but for two things that a bare loop
has no use for: it joins no group, and is not told where a log ends.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.clientlog import client_log
from streams.kafka.settings import consumer as consumer_settings
from streams.record import Partition


class BareReader:
    """Reads partitions from their beginning; owned by one thread."""

    def __init__(self, settings: Settings, partitions: Iterable[Partition]) -> None:
        """Begin to read *partitions*."""
        config = consumer_settings(settings, protocol="consumer") | {"enable.partition.eof": False}
        try:
            self._consumer = Consumer(config, logger=client_log)
            self._consumer.assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in partitions])
        except KafkaException as error:
            raise BrokerError(f"{settings.bootstrap} can't be read: {error.args[0].str()}") from None

    def consume(self, limit: int, timeout_s: float) -> list[Message]:
        """Give up to *limit* records, waiting for them at most *timeout_s*."""
        return self._consumer.consume(limit, timeout_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
