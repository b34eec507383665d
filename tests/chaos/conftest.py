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
from tests.chaos.seeds import BASE, seeded
from tests.faults.figures import RUN, Note, run_of

Scenes = Callable[..., Scene]

_FIGURES = "figures"
_PARTITIONS = 6
_BROKEN = "STREAMS_BREAK"
"""Engines that are broken on purpose are no measure of the sound one."""
_SETTINGS = {
    "block": {"CHAOS_DELAYS": "50ms,100ms", "CHAOS_MEMORY": "10s"},
    "park": {"CHAOS_DELAYS": "50ms,1s,3s", "CHAOS_MEMORY": "100ms"},
}
"""Under either policy the first retry is waited for in memory; parking has a tier for each of the others."""


@pytest.fixture
def scenes(
    kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path, record_property: Note
) -> Iterator[Scenes]:
    """Set scenes: `scenes(seed=7, run="threads", policy="park")`; their processes end with the test."""
    with _stage(kafka, topic, group, tmp_path, record_property) as set_scene:
        yield set_scene


@pytest.fixture
def scenes3(cluster3: DevCluster, group: Callable[..., str], tmp_path: Path, record_property: Note) -> Iterator[Scenes]:
    """The same on three brokers, which may be broken."""
    kafka = Kafka(cluster3.bootstrap, is_borrowed=True)
    with _stage(kafka, Topics(kafka), group, tmp_path, record_property) as set_scene:
        yield set_scene


@contextmanager
def _stage(kafka: Kafka, topic: Topics, group: Callable[..., str], folder: Path, note: Note) -> Iterator[Scenes]:
    made: list[Scene] = []

    def set_scene(
        *, seed: int, run: str = "threads", protocol: str = "consumer", policy: str = "block", **environment: str
    ) -> Scene:
        name, team = topic(partitions=_PARTITIONS), group("chaos")
        said = {"CHAOS_TOPIC": name, "CHAOS_GROUP": team, "CHAOS_RUN": run, "CHAOS_POLICY": policy}
        said |= {"STREAMS_BOOTSTRAP": kafka.bootstrap, "STREAMS_SESSION_TIMEOUT_S": "6"}
        said |= {"STREAMS_MAX_DEATHS": "1000"}  # it is no record that kills processes here
        said |= _SETTINGS[policy] | environment
        place = folder / f"scene-{len(made)}"
        place.mkdir()
        crew = Crew(place, said, ("--protocol", protocol))
        attempts = len(said["CHAOS_DELAYS"].split(",")) + 1
        load = Load(kafka, name, random.Random(seeded(seed)), max_attempts=attempts)
        made.append(Scene(kafka, name, team, load, crew, is_parking=policy == "park"))
        return made[-1]

    try:
        yield set_scene
    finally:
        for scene in made:
            scene.crew.end()
    for scene in made:
        if scene.judged is not None and _BROKEN not in scene.crew.environment:
            note(RUN, run_of(scene.judged))


@pytest.fixture
def tell(record_property: Note) -> Callable[[str], None]:
    """Have a line of figures shown at the end of the run, passed or failed."""
    return lambda line: record_property(_FIGURES, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures of every scene."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    told = [(one.nodeid, value) for one in reports for name, value in one.user_properties if name == _FIGURES]
    if told:
        terminalreporter.section(f"what became of the records (STREAMS_CHAOS_SEED={BASE})")
    for name, line in told:
        terminalreporter.line(f"{name.rpartition('::')[2]}: {line}")
