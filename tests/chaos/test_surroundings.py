"""What is around a member fails: the end of its log, its memory, the group's own topic, the log of its source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from streams.config import Settings
from streams.dev import DevCluster
from streams.kafka.admin import Admin
from streams.kafka.topics import set_config
from tests.chaos.conftest import Scenes
from tests.faults.figures import Injected

pytestmark = pytest.mark.chaos

_MIB = 1024 * 1024
_OFFSETS = "__consumer_offsets"
_NO_COMMIT = re.compile(rb"commit failed|partitions lost")
"""What a member says that can't commit: where the dead broker coordinated the group, it hears that it is no member."""


@contextmanager
def closed_pipe() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    yield writes
    os.close(writes)


@contextmanager
def only_whole(cluster: DevCluster) -> Iterator[None]:
    """Offsets are stored only if all three brokers have them."""
    with Admin(Settings(bootstrap=cluster.bootstrap)) as admin:
        set_config(admin, _OFFSETS, {"min.insync.replicas": "3"})
        try:
            yield
        finally:
            set_config(admin, _OFFSETS, {"min.insync.replicas": "2"})


@contextmanager
def full_disk() -> Iterator[int]:
    """A file on a disk that is full."""
    file = os.open("/dev/full", os.O_WRONLY)
    yield file
    os.close(file)


@pytest.mark.parametrize("place", [closed_pipe, full_disk])
def test_a_log_that_can_not_be_written_is_no_reason_to_stop(
    place: Callable[[], AbstractContextManager[int]], scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """A member whose every line is refused works, drains, commits and ends as others do."""
    scene = scenes(seed=95)
    with place() as output:
        worker = scene.crew.start(output=output)
        scene.under_load(lambda: worker.ended > 500)
        in_flight = len(worker.in_flight)
        verdict = scene.verdict()
    tell(verdict.line)
    injected(34, times=1, members=1, in_flight=in_flight)

    assert verdict.is_clean, str(verdict)


def test_a_large_backlog_takes_bounded_memory(scenes: Scenes, tell: Callable[[str], None], injected: Injected) -> None:
    """Of 300 MiB that wait, a member holds what its bounds say, and everything is done."""
    bounds = {"STREAMS_MAX_IN_FLIGHT_BYTES": str(16 * _MIB), "STREAMS_FETCH_BUFFER_BYTES": str(8 * _MIB)}
    scene = scenes(seed=96, **bounds)
    scene.load.padding = 200_000
    scene.load.write(1_500)
    worker = scene.crew.start()
    scene.wait(lambda: worker.ended)
    in_flight = len(worker.in_flight)
    scene.heal(within_s=150)
    peak = worker.peak_bytes
    verdict = scene.verdict()
    tell(f"at most {peak // _MIB} MiB: {verdict.line}")
    injected(35, times=1, members=1, in_flight=in_flight)

    assert peak < 200 * _MIB
    assert verdict.is_clean, str(verdict)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_commits_that_fail_for_long_end_in_no_loss(
    protocol: str, scenes3: Scenes, cluster3: DevCluster, tell: Callable[[str], None]
) -> None:
    """The group's topic lacks a replica: nothing starts past the lease; with it back all goes on."""
    scene = scenes3(seed=97, protocol=protocol)
    first = scene.start()
    scene.start()
    scene.busy(first)
    with only_whole(cluster3):
        since = scene.read()
        cluster3.brokers[-1].kill()
        scene.under_load(lambda: any(_NO_COMMIT.search(worker.log.read_bytes()) for worker in scene.crew.present))
        scene.load.write(2_000)
        scene.wait(lambda: not any(worker.in_flight for worker in scene.crew.present), within_s=120)
        for worker in scene.crew.present:
            scene.note_end(worker, "commits that fail", since=since)
        cluster3.heal()
    verdict = scene.verdict()
    tell(f"30: {protocol}: {verdict.line}")

    assert len(scene.faults) == 2
    assert verdict.is_clean, str(verdict)
