"""What the tests of faults share: a broker with members at hand, and the count of what was hit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streams import App
from tests.brokers import Kafka, Topics
from tests.faults.figures import Injected, Note, noting
from tests.path.members import Bench

__all__ = ["Injected"]

_FIGURES = "faults"


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
def injected(record_property: Note) -> Injected:
    """Note that fault *number* struck so often, whom, and what was in flight; one that hit nothing fails the test."""
    return noting(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was hit."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    told = [(one.nodeid, value) for one in reports for name, value in one.user_properties if name == _FIGURES]
    if told:
        terminalreporter.section("what the faults hit")
    for name, line in told:
        terminalreporter.line(f"{name.rpartition('::')[2]}: {line}")
