"""A member is struck at an exact moment: between two steps of which each is safe alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.conftest import Scenes
from tests.chaos.crew import Worker
from tests.chaos.failpoints import EXIT, VARIABLE, go_on, struck, struck_ns
from tests.chaos.scene import Scene
from tests.faults.figures import Injected

_CHAOS = pytest.mark.chaos
_PROTOCOLS = pytest.mark.parametrize("protocol", ["consumer", "classic"])
_SOON = {"STREAMS_KAFKA_MAX_POLL_INTERVAL_MS": "7000", "STREAMS_DRAIN_S": "2"}
"""The group gives up a member that does not poll after so long: more than a session, as the client asks."""


def until_struck(scene: Scene, moment: str) -> Worker:
    """Start a member that is to be struck, and wait until it was."""
    worker = scene.start(**{VARIABLE: moment})
    scene.under_load(lambda: struck(scene.crew.folder, worker.pid).exists())
    return worker


@pytest.mark.parametrize(
    ("moment", "policy"),
    [
        ("before-commit", "block"),
        pytest.param("after-letter", "block", marks=_CHAOS),
        pytest.param("after-letter", "park", marks=_CHAOS),
        pytest.param("before-commit", "park", marks=_CHAOS),
        pytest.param("after-copy", "park", marks=_CHAOS),
    ],
)
def test_a_crash_between_acknowledgement_and_commit_costs_nothing(
    moment: str, policy: str, scenes: Scenes, tell: Callable[[str], None]
) -> None:
    """The copy is there and the commit is not: twice over the record is found again, and has one end."""
    scene = scenes(seed=91, policy=policy)
    faults = []
    for _ in range(2):
        worker = until_struck(scene, moment)

        assert worker.await_end() == EXIT

        faults.append(scene.note_end(worker, f"a crash {moment}"))
    scene.start()
    verdict = scene.verdict()
    tell(f"27: {moment}, {policy}, injected {len(faults)}: {verdict.line}")

    assert all(fault.in_flight > 0 for fault in faults)
    assert verdict.is_clean, str(verdict)


@_CHAOS
@_PROTOCOLS
def test_a_poll_thread_that_dies_takes_its_member_with_it(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """An error that nobody expected ends the process with words; others take over what it had."""
    scene = scenes(seed=92, protocol=protocol)
    scene.start()
    worker = until_struck(scene, "poll-dies")
    scene.under_load(lambda: scene.is_gone(worker))
    code = worker.await_end()
    running = len(worker.in_flight_at(struck_ns(scene.crew.folder, worker.pid)))
    fault = scene.note_end(worker, "an error of the poll thread")
    verdict = scene.verdict()
    injected(40, times=1, members=1, in_flight=running)
    tell(f"{protocol}, ended with {code}: {verdict.line}")

    assert code > 0
    assert "an error that nobody expected" in worker.log.read_text()
    assert fault.may_repeat
    assert verdict.is_clean, str(verdict)


@_CHAOS
@_PROTOCOLS
def test_a_poll_thread_that_hangs_loses_its_partitions(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """Its handlers start nothing past the lease; others take over; when it goes on it is a member like others."""
    scene = scenes(seed=93, protocol=protocol, **_SOON)
    scene.load.given_up = 0
    other = scene.start()
    worker = until_struck(scene, "poll-hangs")
    running = len(worker.in_flight_at(struck_ns(scene.crew.folder, worker.pid)))
    since = scene.read()
    scene.under_load(lambda: {place for place in worker.touched if not since.has_finished(place)} & other.touched)
    fault = scene.note_end(worker, "a poll thread that hangs", since=since)
    before = worker.ended
    go_on(scene.crew.folder, worker.pid).touch()
    scene.under_load(lambda: worker.ended > before + len(fault.may_repeat) + 100)
    verdict = scene.verdict()
    injected(40, times=1, members=1, in_flight=running)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@_CHAOS
@_PROTOCOLS
def test_work_that_outlasts_the_poll_interval_is_nobody_s_concern(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """Handlers run while the poll thread goes round: the group hears of the member, and nothing runs twice."""
    scene = scenes(seed=94, protocol=protocol, **_SOON)
    scene.load.given_up = 0
    first, second = scene.start(), scene.start()
    scene.busy(second)
    scene.load.slow(10)
    scene.load.at_once, scene.load.least = 80, 60
    scene.load.write(80)
    scene.wait(lambda: scene.backlog <= 80)
    in_flight = len(first.in_flight), len(second.in_flight)
    scene.heal(within_s=150)
    verdict = scene.verdict()
    injected(10, times=1, members=2, in_flight=sum(in_flight))
    tell(f"{protocol}, in flight {in_flight}: {verdict.line}")

    assert min(in_flight) > 0
    assert max(run.end_ns - run.start_ns for run in verdict.history.runs) > 7e9
    assert verdict.is_clean, str(verdict)
