"""Fixtures that every test may ask for: a real Kafka, names of its own, and no error unseen."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from streams.dev import DevCluster, this_process
from tests.brokers import Kafka, TestRun, Topics, require_native, unique
from tests.faults.figures import Injected, Note, noting
from tests.waiting import eventually as wait_for

settings.register_profile("streams", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("streams")

RUN = pytest.StashKey[TestRun]()
_LONG = {"chaos", "examples", "verify", "test_docs.py"}
"""Where the long tests are, each of them one piece of work."""


def pytest_configure(config: pytest.Config) -> None:
    """Open the run, or join it when the test runner spread it over several processes."""
    handed_over = getattr(config, "workerinput", {}).get("streams_run")
    config.stash[RUN] = TestRun.joined(handed_over) if handed_over else TestRun.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the run started."""
    config.stash[RUN].end()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Hand the run over to a process that will take part in it."""
    node.workerinput["streams_run"] = node.config.stash[RUN].handover  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs a broker; three brokers are started in one process only; what lasts long comes first."""
    for item in items:
        wanted = getattr(item, "fixturenames", ())
        if "kafka" in wanted or "three_brokers" in wanted:
            item.add_marker("kafka")
        if "three_brokers" in wanted and config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group("three_brokers"))
    items.sort(key=_rank)  # at the end every process still has something to do


def _rank(item: pytest.Item) -> int:
    return 0 if item.get_closest_marker("slow") else 1 if _LONG & set(item.path.parts) else 2


@pytest.fixture
def injected(record_property: Note) -> Injected:
    """Note that fault *number* struck so often, whom, and what was in flight; one that hit nothing fails the test."""
    return noting(record_property)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """One real broker, shared by all tests; don't break it."""
    return request.config.stash[RUN].kafka()


@pytest.fixture(scope="session")
def three_brokers(request: pytest.FixtureRequest) -> Iterator[DevCluster]:
    """Three real brokers of this process, for fixtures that last; a test takes `cluster3`."""
    require_native()
    folder = request.config.stash[RUN].folder / f"three-{os.getpid()}"
    cluster = DevCluster.start(folder, brokers=3, lives_with=this_process())
    yield cluster
    cluster.down()


@pytest.fixture
def cluster3(three_brokers: DevCluster) -> Iterator[DevCluster]:
    """Three real brokers that a test may stop, kill and suspend; they are brought back after it."""
    yield three_brokers
    three_brokers.heal()


@pytest.fixture
def topic(kafka: Kafka) -> Iterator[Topics]:
    """Make topics: `topic(partitions=6, config={...})` gives a name that no other test has."""
    topics = Topics(kafka)
    yield topics
    topics.remove()


@pytest.fixture
def group() -> Callable[..., str]:
    """Name groups: `group()` gives a name that no other test has."""
    return lambda name="billing": unique(name)


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Wait: `eventually(condition, within_s=30)` gives the first true answer, or fails."""
    return wait_for


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test finds the broker of the person who runs it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("STREAMS_BOOTSTRAP", raising=False)
        environment.setenv("XDG_STATE_HOME", str(request.config.stash[RUN].folder / "state"))
        yield


@pytest.fixture(autouse=True)
def internal_errors() -> Iterator[list[str]]:
    """Fail a test in which an internal error was swallowed.

    One that provokes it on purpose takes the list, looks, and clears it.
    """
    seen: list[str] = []
    listener = _Listener(seen)
    logger = logging.getLogger("streams.internal")
    logger.addHandler(listener)
    before, threading.excepthook = threading.excepthook, lambda died: seen.append(_death(died))
    yield seen
    threading.excepthook = before
    logger.removeHandler(listener)
    if seen:
        pytest.fail("an internal error was swallowed:\n" + "\n".join(seen), pytrace=False)


class _Listener(logging.Handler):
    """Notes every ERROR of a logger."""

    def __init__(self, seen: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self._seen.append(logging.Formatter().format(record))


def _death(died: threading.ExceptHookArgs) -> str:
    name = died.thread.name if died.thread else "a thread"
    return f"{name} ended with {died.exc_type.__name__}: {died.exc_value}"
