"""Workers that are killed while records wait in their chain: nothing is lost, nothing overtakes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.conftest import Scenes
from tests.chaos.seeds import MANY
from tests.chaos.test_kill import WAYS, kill_one


def test_killed_workers_with_a_chain_lose_nothing(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """An owner and its successor are killed, this one before its first commit, and later one of two members."""
    seeds = (1, 2)
    scene = scenes(seed=seeds[0], policy="park")
    scene.start()
    kill_one(scene, seeds[0])
    scene.kill_newcomer()
    scene.start()
    scene.start()
    kill_one(scene, seeds[1])
    verdict = scene.verdict()
    tell(f"seeds {seeds}: {verdict.line}")

    assert verdict.is_clean, f"seeds {seeds}: {verdict}"


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1, MANY + 1))
def test_a_killed_worker_with_a_chain_loses_nothing(seed: int, scenes: Scenes, tell: Callable[[str], None]) -> None:
    """One of two members is killed; with every fifth seed a lone one, and its successor before its first commit."""
    run, protocol = WAYS[seed % len(WAYS)]
    scene = scenes(seed=seed, run=run, protocol=protocol, policy="park")
    scene.start()
    if seed % 5:
        scene.start()
        kill_one(scene, seed)
    else:
        kill_one(scene, seed)
        scene.kill_newcomer()
        scene.start()
    verdict = scene.verdict()
    tell(f"seed {seed}, {run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, f"seed {seed}: {verdict}"
