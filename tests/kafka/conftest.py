"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.config import Settings
from streams.dev.ports import HOST, free_ports
from streams.kafka.admin import Admin
from tests.brokers import Kafka, require_native
from tests.kafka.oddity import OddBroker, odd_broker


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OddBroker]:
    """One broker unlike the others; tests that take it are marked with `odd_one`."""
    require_native()
    with odd_broker(tmp_path_factory.mktemp("odd")) as broker:
        yield broker


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    """A connection to the broker that all tests share."""
    with Admin(Settings(bootstrap=kafka.bootstrap)) as connection:
        yield connection


@pytest.fixture
def nobody() -> Settings:
    """Settings that name a place where nothing listens."""
    return Settings(bootstrap=f"{HOST}:{free_ports(1)[0]}", group="billing")
