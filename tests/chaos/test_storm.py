"""Members come and go; nothing is lost, nothing overtakes, and what leaves in order repeats nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import pytest

from tests.chaos.conftest import Scenes
from tests.chaos.scene import Scene
from tests.faults.figures import Injected

_ROUNDS = 6


def storm(scene: Scene, *, kills: bool) -> int:
    """Have members join and leave, some killed, while work goes on; give how many records ran in those that left."""
    rng, in_flight = scene.load.rng, 0
    scene.start()
    for _ in range(_ROUNDS):
        scene.start()
        leaver = rng.choice(scene.crew.present)
        scene.busy(leaver, in_flight=20, after=rng.randrange(100))
        in_flight += len(leaver.in_flight)
        if kills and rng.random() < 0.5:
            scene.kill(leaver)
        else:
            leaver.tell(signal.SIGTERM)
        if len(scene.crew.present) > 2:
            scene.under_load(partial(scene.is_gone, leaver))
    return in_flight


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic", "classic-range"])
@pytest.mark.parametrize("run", ["threads", "async", "batch"])
def test_members_that_come_and_go_in_order_repeat_nothing(
    run: str, protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """Each revoke waits for what runs and commits it before the partition goes: 0 duplicates."""
    scene = scenes(seed=41, run=run, protocol=protocol)
    in_flight = storm(scene, kills=False)
    verdict = scene.verdict()
    injected(11, times=_ROUNDS, members=_ROUNDS, in_flight=in_flight)
    tell(f"{run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic", "classic-range"])
def test_members_that_come_and_go_and_die_lose_nothing(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """Kills in the middle of rebalances are kills like others."""
    scene = scenes(seed=42, protocol=protocol)
    in_flight = storm(scene, kills=True)
    verdict = scene.verdict()
    injected(11, times=_ROUNDS, members=_ROUNDS, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@pytest.mark.chaos
def test_a_group_that_changes_its_protocol_repeats_nothing(
    scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """From classic to KIP-848 and back, each time once the last member has left in order: 0 duplicates."""
    scene = scenes(seed=45, protocol="classic")
    scene.start()
    in_flight = list[int]()
    for protocol in ("consumer", "classic"):
        (leaver,) = scene.crew.present
        scene.busy(leaver)
        in_flight.append(len(leaver.in_flight))
        leaver.tell(signal.SIGTERM)
        scene.under_load(partial(scene.is_gone, leaver))
        scene.start("--protocol", protocol)
    verdict = scene.verdict()
    injected(37, times=2, members=2, in_flight=sum(in_flight))
    tell(verdict.line)

    assert min(in_flight) > 0
    assert verdict.is_clean, str(verdict)


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_slow_work_is_waited_for_before_a_partition_goes(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """A newcomer gets its partitions when what ran there has ended and is committed."""
    scene = scenes(seed=43, protocol=protocol)
    scene.load.slow(2)
    first = scene.start()
    scene.busy(first)
    in_flight = len(first.in_flight)
    scene.start()
    scene.load.quick()
    verdict = scene.verdict()
    injected(12, times=1, members=1, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_work_past_the_drain_budget_runs_again_elsewhere(
    protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """A partition goes when the budget is spent; only what was still running there runs again."""
    scene = scenes(seed=44, protocol=protocol, STREAMS_DRAIN_S="0.5")
    scene.load.slow(3)
    first = scene.start()
    scene.busy(first)
    since = scene.read()
    in_flight = len(first.in_flight)
    scene.start()
    scene.note_end(first, "a revoke past the budget", since=since)
    scene.load.quick()
    scene.heal()
    verdict = scene.verdict(but=("overlaps",))
    injected(12, times=1, members=1, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)
