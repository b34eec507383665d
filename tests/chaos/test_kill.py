"""A worker that is killed loses nothing, and nothing overtakes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from streams.kafka.witness import messages_of
from streams.verify.history import Place
from tests.brokers import Topics
from tests.chaos.conftest import Scenes
from tests.chaos.scene import IN_FLIGHT, Scene
from tests.chaos.seeds import MANY, seeded

_LATEST = 400
"""Runs that end in a worker before it is killed, at most."""
WAYS = [(run, protocol) for run in ("threads", "async", "batch") for protocol in ("consumer", "classic")]


def kill_one(scene: Scene, seed: int, *, in_flight: int = IN_FLIGHT) -> None:
    """Kill one of the members with work in flight; which one, and when, *seed* tells."""
    rng = random.Random(seeded(seed))
    victim = rng.choice(scene.crew.present)
    scene.busy(victim, in_flight=in_flight, after=rng.randrange(_LATEST))
    fault = scene.kill(victim, in_flight=in_flight)

    assert fault.in_flight >= in_flight, f"seed {seed}: only {fault.in_flight} records were in flight"
    assert not scene.is_parking or min(fault.in_tiers, fault.parked) > 0, f"seed {seed}: {fault} were in the chain"


@pytest.mark.chaos
def test_three_killed_workers_lose_nothing(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """Three members are killed with work in flight, one after the other: 0 lost, 0 out of order, duplicates bounded."""
    seeds = (1, 2, 3)
    scene = scenes(seed=seeds[0])
    scene.start()
    for seed in seeds:
        scene.start()
        kill_one(scene, seed)
    verdict = scene.verdict()
    tell(f"seeds {seeds}: {verdict.line}")

    assert verdict.is_clean, f"seeds {seeds}: {verdict}"


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(1, MANY + 1))
def test_a_killed_worker_loses_nothing(seed: int, scenes: Scenes, tell: Callable[[str], None]) -> None:
    """One of two members is killed, whatever runs its handlers and in either kind of group."""
    run, protocol = WAYS[seed % len(WAYS)]
    scene = scenes(seed=seed, run=run, protocol=protocol)
    scene.start()
    scene.start()
    kill_one(scene, seed)
    verdict = scene.verdict()
    tell(f"seed {seed}, {run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, f"seed {seed}: {verdict}"


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [61, 62, 63])
def test_what_was_done_was_sent(seed: int, scenes: Scenes, topic: Topics, tell: Callable[[str], None]) -> None:
    """A kill between a run's end and the acknowledgement of its sends has it run again: no send is missing."""
    invoices = topic("invoices", partitions=3)
    scene = scenes(seed=seed, run="sends", CHAOS_SENDS=invoices)
    scene.start()
    for turn in range(2):
        scene.start()
        kill_one(scene, seed + turn)
    verdict = scene.verdict()
    values = [message.value() or b"" for message in messages_of(scene.kafka.client(), invoices)]
    arrived = {Place(*map(int, value.split())) for value in values}
    done = {place for place in verdict.history.sent if verdict.history.is_done(place)}
    tell(f"seed {seed}: {verdict.line}, sends {len(values)}")

    assert verdict.is_clean, f"seed {seed}: {verdict}"
    assert arrived == done


@pytest.mark.chaos
def test_kills_at_random(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """Five in a row, in whichever way the seed says."""
    seed = 81
    run, protocol = WAYS[seeded(seed) % len(WAYS)]
    scene = scenes(seed=seed, run=run, protocol=protocol)
    scene.start()
    for turn in range(5):
        scene.start()
        kill_one(scene, seed + turn)
    verdict = scene.verdict()
    tell(f"seed {seed}, {run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, f"seed {seed}: {verdict}"


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("run", "protocol"),
    [("inline", "consumer"), ("inline", "classic"), *((f"whole{way}", "consumer") for way in ("", " async", " batch"))],
)
def test_a_killed_worker_with_quick_handlers_loses_nothing(
    run: str, protocol: str, scenes: Scenes, tell: Callable[[str], None]
) -> None:
    """One record of a chunk runs at a time; what was read and not committed runs again, and nothing else."""
    scene = scenes(seed=31, run=run, protocol=protocol)
    scene.start()
    scene.start()
    kill_one(scene, 31, in_flight=1)
    verdict = scene.verdict()
    tell(f"seed 31, {run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)
