"""What an owner writes after it was followed by another one counts for nothing, however late it is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.verify.verdict import Verdict
from tests.chaos.conftest import Scenes
from tests.chaos.scene import Scene

pytestmark = pytest.mark.chaos

SEEDS = (71, 72, 73)


def write_late(scene: Scene) -> Verdict:
    """Have a member write copies after its successor has finished their records, and yet another owner scan them.

    It sleeps beyond its session with many records in flight that are about to
    fail.  When it wakes it moves them on before it hears that it was followed;
    then it gets partitions back, as a new owner.
    """
    scene.load.failing, scene.load.at_once, scene.load.least = 0.5, 300, 300
    sleeper = scene.start()
    scene.busy(sleeper, after=100)
    since_ns = scene.crew.suspend(sleeper)
    scene.note_end(sleeper, "SIGSTOP")
    scene.crew.start()
    scene.heal()
    scene.read()
    scene.crew.resume(sleeper, since_ns)
    scene.wait(lambda: sleeper.grants > 1)
    return scene.verdict()


def late(verdict: Verdict) -> int:
    """How many copies came too late, at most at a time."""
    return max(reading.late for reading in verdict.history.readings)


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_that_come_too_late_raise_no_record(seed: int, scenes: Scenes, tell: Callable[[str], None]) -> None:
    """Found at the second change of owner they are dead: their records have long been finished."""
    scene = scenes(seed=seed, policy="park", CHAOS_DELAYS="500ms,1s")
    verdict = write_late(scene)
    tell(f"seed {seed}: {verdict.line}, {late(verdict)} copies came too late")

    assert verdict.is_clean, f"seed {seed}: {verdict}"


def test_a_chain_without_its_fence_is_found(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """Without the fence records rise that were committed as finished, with at least one seed."""

    def rose(seed: int) -> int:
        scene = scenes(seed=seed, policy="park", CHAOS_DELAYS="500ms,1s", STREAMS_BREAK="no-fence")
        verdict = write_late(scene)
        tell(f"seed {seed}: {verdict.line}, {verdict.count('risen')} records rose")
        return verdict.count("risen")

    assert any(rose(seed) for seed in SEEDS)
