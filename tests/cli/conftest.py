"""What the tests of the commands share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.config import Settings
from streams.kafka.admin import Admin
from tests.brokers import Kafka
from tests.cli.shell import Shell


@pytest.fixture
def streams(kafka: Kafka) -> Shell:
    """The `streams` command, with the broker that all tests share."""
    return Shell(kafka.bootstrap)


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    """A connection to the same broker."""
    with Admin(Settings(bootstrap=kafka.bootstrap)) as connection:
        yield connection
