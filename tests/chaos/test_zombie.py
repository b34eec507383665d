"""A member that stood still beyond its session starts nothing that is not its own any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.chaos.conftest import Scenes


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
@pytest.mark.parametrize("run", ["threads", "async", "batch"])
def test_a_zombie_starts_nothing(run: str, protocol: str, scenes: Scenes, tell: Callable[[str], None]) -> None:
    """Suspended until others have taken over, then woken: the order of every key holds across the owners."""
    scene = scenes(seed=21, run=run, protocol=protocol)
    sleeper, other = scene.start(), scene.start()
    scene.busy(sleeper, after=50)
    since_ns = scene.crew.suspend(sleeper)
    fault = scene.note_end(sleeper, "SIGSTOP")
    scene.under_load(lambda: fault.may_repeat & other.touched)
    scene.crew.resume(sleeper, since_ns)
    before = sleeper.ended
    scene.under_load(lambda: sleeper.ended > before + len(fault.may_repeat) + 100)
    verdict = scene.verdict()
    tell(f"{run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)
