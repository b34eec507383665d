"""The checker sees what it is there to see: a build that is broken on purpose turns it red."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.verify.verdict import judge
from tests.chaos.conftest import Scenes
from tests.waiting import eventually

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("policy", ["block", "park"])
def test_work_that_settles_too_early_is_found(policy: str, scenes: Scenes, tell: Callable[[str], None]) -> None:
    """With offsets committed before the work is done, a kill loses records, and the checker says which."""
    scene = scenes(seed=1, policy=policy, STREAMS_BREAK="settle-before-ack")
    scene.start()
    survivor, victim = scene.start(), scene.crew.workers[0]
    scene.busy(victim, after=100)
    scene.kill(victim)
    scene.heal()
    eventually(lambda: not survivor.in_flight)
    verdict = judge(scene.end())
    tell(verdict.line)

    assert verdict.count("lost") > 0
    assert verdict.count("unsafe_commits") > 0


def test_keys_that_run_backwards_are_found(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """With what was read together turned round, no fault is needed for keys to be out of order."""
    scene = scenes(seed=2, STREAMS_BREAK="reverse-order")
    scene.start()
    verdict = scene.verdict()
    tell(verdict.line)

    assert verdict.count("out_of_order") > 0
    assert verdict.count("lost") == 0


def test_records_that_overtake_the_chain_are_found(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """With an index that holds up nobody, no fault is needed for records to run before older ones that wait."""
    scene = scenes(seed=3, policy="park", STREAMS_BREAK="no-index")
    worker = scene.start()
    scene.busy(worker, after=1_000)
    worker.kill()
    verdict = judge(scene.history())
    tell(verdict.line)

    assert verdict.count("out_of_order") > 0
