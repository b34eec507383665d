"""`streams dev`: what a person types, and what a script reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli.dev import dev
from streams.dev import DevCluster
from tests.brokers import Kafka, Topics

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("dev")]  # they share a cluster


def run(*words: str | Path) -> Result:
    """Type `streams dev` and *words*; it must end well."""
    return CliRunner().invoke(dev, [str(word) for word in words], catch_exceptions=False)


def told(*words: str | Path) -> dict[str, Any]:
    """What `streams dev` and *words* tell a machine."""
    answer: dict[str, Any] = json.loads(run(*words, "--json").stdout)
    return answer


def test_a_second_up_finds_the_first(cluster: DevCluster) -> None:
    """The same process at the same address, and it says that nothing was started."""
    pid = cluster.brokers[0].pid
    answer = told("up", "--data", cluster.folder.path)

    assert answer["started"] is False
    assert answer["bootstrap"] == cluster.bootstrap
    assert [broker["pid"] for broker in answer["brokers"]] == [pid]


def test_up_tells_what_to_type_next(cluster: DevCluster) -> None:
    """A person can copy the line that every other command understands."""
    words = run("up", "--data", cluster.folder.path).stdout

    assert f"export STREAMS_BOOTSTRAP={cluster.bootstrap}\n" in words
    assert f"streams dev down --data {cluster.folder.path}" in words


def test_status_tells_who_runs(cluster: DevCluster) -> None:
    """Each broker with its address and pid, for people and for machines."""
    broker = cluster.brokers[0]
    words = run("status", "--data", cluster.folder.path).stdout
    answer = told("status", "--data", cluster.folder.path)

    assert f"{broker.address}  runs, pid {broker.pid}" in words
    assert answer["running"] is True
    assert answer["brokers"] == [{"node": 1, "address": broker.address, "pid": broker.pid}]


def test_status_of_nothing_says_how_to_start_it(tmp_path: Path) -> None:
    """Nothing runs: no error, and the command that changes it."""
    answer = told("status", "--data", tmp_path / "dev")

    assert "streams dev up" in run("status", "--data", tmp_path / "dev").stdout
    assert (answer["running"], answer["bootstrap"], answer["brokers"]) == (False, None, [])


def test_down_ends_its_own_and_keeps_the_records(cluster: DevCluster, data: Path) -> None:
    """Another cluster goes on; the records are there, at the same address, when this one is back."""
    up = told("up", "--data", data)
    kafka = Kafka(up["bootstrap"])
    topic = Topics(kafka)()
    kafka.write(topic)
    down = told("down", "--data", data)
    runs_after_down = DevCluster(data).is_running
    progress = run("up", "--data", data).stderr

    assert (up["started"], down["ended"]) == (True, 1)
    assert not runs_after_down
    assert cluster.is_whole
    assert f"starting {up['bootstrap']}" in progress
    assert kafka.write(topic) == 1


def test_fresh_throws_the_records_away(cluster: DevCluster) -> None:
    """A new, empty cluster in the same folder."""
    topic = Topics(Kafka(cluster.bootstrap))()
    answer = told("up", "--fresh", "--data", cluster.folder.path)

    assert answer["started"] is True
    assert topic not in Kafka(cluster.bootstrap).admin.list_topics(timeout=30).topics
