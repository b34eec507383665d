"""Brokers die, stand still and come back; what was promised before holds afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from streams.dev import DevCluster
from streams.dev.broker import Broker
from streams.verify.history import Kind
from tests.chaos.conftest import Scenes
from tests.chaos.scene import Scene
from tests.chaos.test_kill import kill_one
from tests.faults.figures import Injected

_CHAOS = pytest.mark.chaos
PROTOCOLS = pytest.mark.parametrize("protocol", ["consumer", "classic"])
_QUIET_NS = 12 * 10**9
_PATIENCE_S = 30
"""Sessions that outlast a failover: a cluster gives a broker up after 9 s."""


def patient(scene: Scene) -> Scene:
    """Have its sessions outlast a failover, set by the members in a classic group, and by the brokers in any other."""
    scene.crew.environment = {**scene.crew.environment, "STREAMS_SESSION_TIMEOUT_S": str(_PATIENCE_S)}
    chosen = ConfigEntry(
        "consumer.session.timeout.ms", str(_PATIENCE_S * 1_000), incremental_operation=AlterConfigOpType.SET
    )
    asked = ConfigResource(ResourceType.GROUP, scene.group, incremental_configs=[chosen])
    scene.kafka.admin.incremental_alter_configs([asked])[asked].result(30)
    return scene


def broker(cluster: DevCluster, node: int) -> Broker:
    """The broker of that number."""
    return next(one for one in cluster.brokers if one.node == node)


def leader(scene: Scene, number: int, topic: str | None = None) -> int:
    """Who leads a partition of *topic*, by default of the scene's own."""
    name = topic or scene.topic
    described = scene.kafka.admin.describe_topics(TopicCollection([name]))[name].result(30)
    node: int = described.partitions[number].leader.id
    return node


def coordinator(scene: Scene) -> int:
    """Who coordinates the scene's group."""
    node: int = scene.kafka.admin.describe_consumer_groups([scene.group])[scene.group].result(30).coordinator.id
    return node


def is_quiet(scene: Scene) -> bool:
    """Whether no run has started for longer than the lease."""
    last = max((run.start_ns for worker in scene.crew.workers for run in worker.runs()), default=0)
    return time.monotonic_ns() - last > _QUIET_NS


@pytest.mark.parametrize(
    ("who", "protocol"),
    [
        pytest.param(leader, "consumer"),
        pytest.param(leader, "classic", marks=_CHAOS),
        pytest.param(coordinator, "consumer", marks=_CHAOS),
        pytest.param(coordinator, "classic", marks=_CHAOS),
    ],
)
def test_a_killed_broker_costs_nothing(
    who: Callable[..., int],
    protocol: str,
    scenes3: Scenes,
    cluster3: DevCluster,
    *,
    tell: Callable[[str], None],
    injected: Injected,
) -> None:
    """Leader or coordinator: others take over before sessions end, and no record runs twice."""
    scene = patient(scenes3(seed=51, protocol=protocol))
    first = scene.start()
    scene.start()
    scene.busy(first)
    node = who(scene, 0) if who is leader else who(scene)
    scene.load.write(2_000)
    in_flight = [len(worker.in_flight) for worker in scene.crew.present]
    broker(cluster3, node).kill()
    scene.heal()
    cluster3.heal()
    verdict = scene.verdict()
    injected(4 if who is leader else 5, times=1, members=2, in_flight=sum(in_flight))
    tell(f"{who.__name__}, {protocol}, in flight at members {in_flight}: {verdict.line}")

    assert min(in_flight) > 0
    assert verdict.is_clean, str(verdict)


@_CHAOS
@PROTOCOLS
@pytest.mark.parametrize("kind", ["tier", "parked"])
def test_a_leader_killed_before_its_copies_are_scanned_costs_nothing(
    kind: Kind,
    protocol: str,
    scenes3: Scenes,
    cluster3: DevCluster,
    *,
    tell: Callable[[str], None],
    injected: Injected,
) -> None:
    """What it acknowledged to an owner that is dead is found by the next owner, at the next leader."""
    scene = scenes3(seed=55, protocol=protocol, policy="park")
    scene.start()
    kill_one(scene, 55)
    waiting = len(scene.read().waiting)
    copy = next(copy for copy in scene.chain.copies() if copy.kind == kind)
    successor = scene.crew.start()
    scene.wait(lambda: successor.is_joining)
    broker(cluster3, leader(scene, copy.origin.partition, copy.topic)).kill()

    assert successor.grants == 0

    scene.wait(lambda: successor.ended)
    cluster3.heal()
    verdict = scene.verdict()
    injected(4, times=1, members=1, in_flight=waiting)
    tell(f"{kind}, {protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@_CHAOS
@PROTOCOLS
def test_a_rolling_restart_costs_nothing(
    protocol: str, scenes3: Scenes, cluster3: DevCluster, tell: Callable[[str], None], injected: Injected
) -> None:
    """One broker after the other goes and comes back, while work goes on."""
    scene = patient(scenes3(seed=52, protocol=protocol))
    first = scene.start()
    scene.start()
    in_flight = 0
    for one in cluster3.brokers:
        scene.busy(first)
        scene.load.write(1_500)
        in_flight += sum(len(worker.in_flight) for worker in scene.crew.present)
        one.stop()
        one.start()
        cluster3.await_answer()
    verdict = scene.verdict()
    injected(6, times=len(cluster3.brokers), members=2, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@_CHAOS
@PROTOCOLS
def test_a_cluster_that_stands_still_has_nothing_started(
    protocol: str, scenes3: Scenes, cluster3: DevCluster, tell: Callable[[str], None], injected: Injected
) -> None:
    """With no broker to agree, members start nothing past their lease; afterwards everything goes on."""
    scene = scenes3(seed=53, protocol=protocol)
    first = scene.start()
    scene.start()
    scene.busy(first)
    scene.load.write(3_000)
    since = scene.read()
    in_flight = sum(len(worker.in_flight) for worker in scene.crew.present)
    for one in cluster3.brokers:
        one.suspend()
    scene.wait(lambda: is_quiet(scene))
    for worker in scene.crew.present:
        scene.note_end(worker, "a cluster that stood still", since=since)
    for one in cluster3.brokers:
        one.resume()
    verdict = scene.verdict()
    injected(8, times=1, members=2, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


@_CHAOS
@PROTOCOLS
def test_a_cluster_that_was_down_loses_nothing(
    protocol: str, scenes3: Scenes, cluster3: DevCluster, tell: Callable[[str], None], injected: Injected
) -> None:
    """All brokers die at once, and come back after the members' leases have ended."""
    scene = scenes3(seed=54, protocol=protocol)
    first = scene.start()
    scene.start()
    scene.busy(first)
    scene.load.write(3_000)
    since = scene.read()
    in_flight = sum(len(worker.in_flight) for worker in scene.crew.present)
    for one in cluster3.brokers:
        one.kill()
    scene.wait(lambda: is_quiet(scene))
    for worker in scene.crew.present:
        scene.note_end(worker, "a cluster that was down", since=since)
    cluster3.heal()
    verdict = scene.verdict()
    injected(7, times=1, members=2, in_flight=in_flight)
    tell(f"{protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)
