"""Bare clients for the facts: consumers that join, and what they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from tests.brokers import Kafka
from tests.waiting import eventually

Places = list[TopicPartition]


class Member:
    """A consumer of a group, polled by the test, that takes what it is given."""

    def __init__(self, kafka: Kafka, group: str, **settings: object) -> None:
        self.group = group
        self.assigned: Places = []
        self.answers: list[tuple[KafkaError | None, Places]] = []
        chosen: dict[str, Any] = {
            "group_protocol": "consumer",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
        }
        hear = {"on_commit": lambda error, places: self.answers.append((error, places))}
        self.consumer = Consumer(kafka.client(group_id=group, **(chosen | settings)) | hear)

    def join(self, *topics: str, on_assign: Callable[[Consumer, Places], object] | None = None) -> list[Message]:
        """Join for *topics* until partitions are given, by default taken as they are; give what came by then."""

        def given(consumer: Consumer, places: Places) -> None:
            if on_assign is not None:
                on_assign(consumer, places)
            self.assigned += places

        self.consumer.subscribe(list(topics), on_assign=given)
        return self.until(lambda: self.assigned)

    def until(self, condition: Callable[[], object], *, within_s: float = 60) -> list[Message]:
        """Poll until *condition* holds, and give what was delivered, errors included."""
        messages: list[Message] = []

        def met() -> object:
            messages.extend(self.consumer.consume(100, 0.05))
            return condition()

        eventually(met, within_s=within_s, every_s=0)
        return messages

    def read(self, count: int) -> list[Message]:
        """Poll until *count* messages came, errors included."""
        messages: list[Message] = []

        def met() -> bool:
            messages.extend(self.consumer.consume(count - len(messages), 0.05))
            return len(messages) >= count

        eventually(met, every_s=0)
        return messages


def refusal(action: Callable[[], object]) -> int:
    """The code of the error that *action* raises."""
    try:
        action()
    except KafkaException as error:
        code: int = error.args[0].code()
        return code
    raise AssertionError("nothing was refused")
