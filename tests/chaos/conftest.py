"""Scenes: a topic, a group, a load and a crew for each test, and their figures at the end of the run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.dev import DevCluster
from tests.brokers import Kafka, Topics
from tests.chaos.crew import Crew
from tests.chaos.scene import Load, Scene

Scenes = Callable[..., Scene]

_FIGURES = "figures"


@pytest.fixture
def scenes(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Scenes]:
    """Set scenes: `scenes(seed=7, run="threads", protocol="consumer")`; their processes end with the test."""
    with _stage(kafka, topic, group, tmp_path) as set_scene:
        yield set_scene


@pytest.fixture
def scenes3(cluster3: DevCluster, group: Callable[..., str], tmp_path: Path) -> Iterator[Scenes]:
    """The same on three brokers, which may be broken."""
    kafka = Kafka(cluster3.bootstrap, is_borrowed=True)
    with _stage(kafka, Topics(kafka), group, tmp_path) as set_scene:
        yield set_scene


@contextmanager
def _stage(kafka: Kafka, topic: Topics, group: Callable[..., str], folder: Path) -> Iterator[Scenes]:
    crews: list[Crew] = []

    def set_scene(
        *, seed: int, run: str = "threads", protocol: str = "consumer", partitions: int = 6, **environment: str
    ) -> Scene:
        name, team = topic(partitions=partitions), group("chaos")
        said = {"CHAOS_TOPIC": name, "CHAOS_GROUP": team, "CHAOS_RUN": run, "STREAMS_SESSION_TIMEOUT_S": "6"}
        said |= {"STREAMS_BOOTSTRAP": kafka.bootstrap} | environment
        place = folder / f"scene-{len(crews)}"
        place.mkdir()
        crews.append(Crew(place, said, ("--protocol", protocol)))
        return Scene(kafka, name, team, Load(kafka, name, random.Random(seed)), crews[-1])

    try:
        yield set_scene
    finally:
        for crew in crews:
            crew.end()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have a line of figures shown at the end of the run, passed or failed."""
    return lambda line: record_property(_FIGURES, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of every scene."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    told = [(one.nodeid, value) for one in reports for name, value in one.user_properties if name == _FIGURES]
    if told:
        terminalreporter.section("what became of the records")
    for name, line in told:
        terminalreporter.line(f"{name.rpartition('::')[2]}: {line}")
