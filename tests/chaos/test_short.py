"""The most dangerous faults of members, one after the other in one run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

from tests.chaos.conftest import Scenes
from tests.chaos.crew import Worker
from tests.chaos.scene import IN_FLIGHT, Scene
from tests.chaos.test_kill import kill_one
from tests.faults.figures import Injected

_OTHERS = [pytest.param(one, marks=pytest.mark.chaos) for one in ("classic", "classic-range")]


def wake_a_zombie(scene: Scene, sleeper: Worker) -> int:
    """Suspend *sleeper* until others have taken over, and wake it; give how many records were in flight there."""
    scene.busy(sleeper)
    since_ns = scene.crew.suspend(sleeper)
    fault = scene.note_end(sleeper, "SIGSTOP")
    others = [worker for worker in scene.crew.present if worker is not sleeper]
    scene.under_load(lambda: fault.may_repeat & set().union(*(worker.touched for worker in others)))
    scene.crew.resume(sleeper, since_ns)
    before = sleeper.ended
    scene.under_load(lambda: sleeper.ended > before + len(fault.may_repeat))
    return fault.in_flight


def rebalance_twice(scene: Scene) -> tuple[int, int]:
    """Have two members join and two leave with work in flight; give how much of it, and how many were revoked."""
    before, in_flight = sum(worker.revokes for worker in scene.crew.present), 0
    members = list(scene.crew.present)
    for leaver in members:
        scene.busy(leaver)
        in_flight += sum(len(worker.in_flight) for worker in members)
        scene.start()
        leaver.tell(signal.SIGTERM)
        scene.under_load(partial(scene.is_gone, leaver))
    return in_flight, sum(worker.revokes for worker in scene.crew.workers) - before


@pytest.mark.parametrize(
    "protocol", ["consumer", *(pytest.param(one, marks=pytest.mark.chaos) for one in ("classic", "classic-range"))]
)
def test_a_kill_a_zombie_and_a_storm_cost_nothing(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """A SIGKILL, a SIGSTOP past the session, joins and leaves, revokes: each hits members at work, nothing is lost."""
    scene = scenes(seed=1, protocol=protocol)
    scene.start()
    scene.start()
    kill_one(scene, 1)
    sleeper = scene.start()
    slept = wake_a_zombie(scene, sleeper)
    moved, revokes = rebalance_twice(scene)
    verdict = scene.verdict()
    injected(1, times=1, members=1, in_flight=scene.faults[0].in_flight)
    injected(9, times=1, members=1, in_flight=slept)
    injected(11, times=4, members=2, in_flight=moved)
    injected(12, times=revokes, members=2, in_flight=moved)
    injected(23, times=len(verdict.history.dead_at), members=3, in_flight=slept)
    tell(f"{protocol}: {verdict.line}")

    assert min(scene.faults[0].in_flight, slept, moved) >= IN_FLIGHT
    assert revokes >= 2
    assert verdict.is_clean, str(verdict)
