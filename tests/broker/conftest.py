"""What the facts share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.broker.clients import Member
from tests.brokers import Kafka

Members = Callable[..., Member]


@pytest.fixture
def members(kafka: Kafka, group: Callable[..., str]) -> Iterator[Members]:
    """Make members of one group of this test; they are closed with it."""
    name, made = group("facts"), list[Member]()

    def make(**settings: object) -> Member:
        made.append(Member(kafka, name, **settings))
        return made[-1]

    yield make
    for member in made:
        member.consumer.close()
