"""A cluster that has just come up keeps no offsets yet.

An administrator's client that asks for a group's offsets then, as a member does
at its start, crashes the process: https://github.com/confluentinc/librdkafka/issues/5040
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.brokers import Kafka, unique
from tests.waiting import eventually


def await_coordinators(kafka: Kafka) -> None:
    """Wait until groups have coordinators; the first who asks has their topic made."""
    consumer = Consumer(kafka.client(group_id=unique("first")))

    def answers() -> bool:
        try:
            consumer.committed([TopicPartition("none", 0)], timeout=5)
        except KafkaException:
            return False
        return True

    eventually(answers, within_s=60)
    consumer.close()
