"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.config import Settings
from streams.kafka.admin import Admin
from tests.brokers import Kafka


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    """A connection to the broker that all tests share."""
    with Admin(Settings(bootstrap=kafka.bootstrap)) as connection:
        yield connection
