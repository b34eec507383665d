"""What the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streams import App
from tests.brokers import QUIET, Kafka, Topics
from tests.conftest import RUN
from tests.monitor.dashboard.board import Desk, Serve, Served
from tests.path.members import Bench


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """A broker with few groups: a dashboard looks at all that there are."""
    return request.config.stash[RUN].kafka(QUIET)


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


@pytest.fixture
def desk() -> Desk:
    """One that is down."""
    return Desk()


@pytest.fixture
def serve(kafka: Kafka) -> Iterator[Serve]:
    """Serve dashboards; they end with the test."""
    served: list[Served] = []

    def start(**chosen: object) -> Served:
        served.append(Served(kafka.bootstrap, **chosen))  # type: ignore[arg-type]  # named at each call
        return served[-1]

    yield start
    for one in served:
        one.stop()
