"""What the tests of the promises share: a broker with members at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streams import App
from tests.brokers import Kafka, Topics
from tests.path.members import Bench


@pytest.fixture
def bench(kafka: Kafka, topic: Topics) -> Iterator[Bench]:
    """A broker on which members run; they end with the test, before its topics go."""
    bench = Bench(kafka, topic)
    yield bench
    bench.end()


@pytest.fixture
def app(group: Callable[..., str]) -> App:
    """An app whose group no other test has."""
    return App(group())
