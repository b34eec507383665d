"""Clusters of this machine: started, found, broken, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.config import Settings
from streams.dev import DevCluster, running_bootstrap
from streams.dev.folder import DataFolder
from streams.dev.ports import HOST, free_ports
from streams.errors import BrokerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed
from tests.brokers import Kafka, Topics, unique
from tests.waiting import eventually

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.xdist_group("dev"),
]  # few at a time: each test here has a broker of its own


def test_it_answers_when_start_returns(cluster: DevCluster) -> None:
    """No waiting is left to who started it."""
    topics = Topics(Kafka(cluster.bootstrap))

    assert topics.kafka.write(topics()) == 0


def test_a_group_of_a_new_cluster_can_be_asked_about(cluster: DevCluster) -> None:
    """Nothing keeps offsets there yet: a member's first question has their topic made, and gets its answer."""
    with Admin(Settings(bootstrap=cluster.bootstrap)) as admin:
        assert committed(admin, "billing") == {}


def test_it_can_be_found_by_its_folder(cluster: DevCluster) -> None:
    """Other programs learn its address without asking Kafka."""
    assert running_bootstrap(cluster.folder.path) == cluster.bootstrap


def test_another_number_of_brokers_is_refused(cluster: DevCluster) -> None:
    """A cluster of one does not become one of three; the user is told the ways out."""
    with pytest.raises(UsageError, match="--fresh"):
        DevCluster.start(cluster.folder.path, brokers=3)

    assert cluster.is_whole


def test_down_of_nothing_ends_nothing(tmp_path: Path) -> None:
    """No cluster: no error, and no folder appears."""
    assert DevCluster(tmp_path / "dev").down() == 0
    assert not (tmp_path / "dev").exists()


def test_a_port_that_is_taken_at_the_last_moment_is_chosen_again(data: Path) -> None:
    """Between the choice of a port and its use somebody may take it: another is found."""
    takers: list[socket.socket] = []

    def take_the_port(step: str) -> None:
        if step.startswith("starting") and not takers:
            takers.append(socket.create_server((HOST, DevCluster(data).brokers[0].port)))

    cluster = DevCluster.start(data, say=take_the_port)
    (taken,) = (taker.getsockname()[1] for taker in takers)
    takers[0].close()

    assert cluster.is_whole
    assert cluster.brokers[0].port != taken


def test_a_broker_that_dies_at_its_start_is_an_error_with_its_words(data: Path) -> None:
    """What Kafka said is shown, and nothing is left running."""
    with pytest.raises(BrokerError, match=r"ended\. Its last words:\n(.|\n)*node.id"):
        DevCluster.start(data, say=lambda step: spoil(data) if step.startswith("starting") else None)

    assert not DevCluster(data).is_running


def spoil(data: Path) -> None:
    """Make the formatted storage that of another node."""
    properties = DataFolder(data).node(1) / "data" / "meta.properties"
    lines = [line for line in properties.read_text().splitlines() if not line.startswith("node.id")]
    properties.write_text("\n".join([*lines, "node.id=7"]))


def test_a_folder_that_cannot_be_made_is_an_error_with_advice(tmp_path: Path) -> None:
    """The folder is named, and what to do."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"file/dev.*--data"):
        DevCluster.start(tmp_path / "file" / "dev")


def test_a_cluster_ends_with_the_process_it_was_started_for(data: Path) -> None:
    """That process is killed without a chance to tidy up; no broker stays."""
    program = (
        "import pathlib, sys; from streams.dev import DevCluster, this_process\n"
        "DevCluster.start(pathlib.Path(sys.argv[1]), lives_with=this_process()); print('up', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        said = owner.stdout.readline()
        was_running = DevCluster(data).is_running
        os.kill(owner.pid, signal.SIGKILL)

    assert (said, was_running) == ("up\n", True)
    eventually(lambda: not DevCluster(data).is_running)


def test_clients_that_come_through_a_proxy_stay_behind_it(data: Path) -> None:
    """Whoever connects where the proxy leads to is told the proxy's address; all others are told the broker's own."""
    (port,) = free_ports(1)
    cluster = DevCluster.start(data, proxies=[port])
    broker = cluster.brokers[0]
    told = {
        entrance: Kafka(f"{HOST}:{entrance}").admin.list_topics(timeout=30).brokers[broker.node].port
        for entrance in (broker.port, broker.proxied_port)
    }

    assert told == {broker.port: broker.port, broker.proxied_port: port}


def test_three_brokers_outlive_one(cluster3: DevCluster) -> None:
    """Three replicate everything: with one killed, what two must acknowledge is accepted; then it is brought back."""
    kafka = Kafka(cluster3.bootstrap)
    topic = Topics(kafka)(partitions=3)
    replicas = [
        len(one.replicas) for one in kafka.admin.list_topics(topic, timeout=9).topics[topic].partitions.values()
    ]
    cluster3.brokers[2].kill()
    is_gone = not cluster3.brokers[2].is_running and not cluster3.is_whole
    offset = kafka.write(topic)
    found = DevCluster.start(cluster3.folder.path)

    assert replicas == [3, 3, 3]
    assert (is_gone, offset) == (True, 0)
    assert found.is_whole
    assert found.bootstrap == kafka.bootstrap


def test_a_suspended_broker_stands_still_and_goes_on(cluster3: DevCluster) -> None:
    """Suspended, its process is there and does nothing; resumed, it answers."""
    broker = cluster3.brokers[1]
    broker.suspend()
    eventually(lambda: state_of(broker.pid).startswith("T"))
    is_there = broker.is_running
    broker.resume()
    cluster3.await_answer()

    assert is_there
    assert not state_of(broker.pid).startswith("T")


def state_of(pid: int | None) -> str:
    """What the system says a process does: `T...` is stopped."""
    return subprocess.check_output(["ps", "-o", "stat=", "-p", str(pid)], text=True)


@pytest.mark.parametrize(
    "member", [{"session_timeout_ms": 2000, "heartbeat_interval_ms": 500}, {"group_protocol": "consumer"}]
)
def test_both_kinds_of_group_work(cluster: DevCluster, member: dict[str, object]) -> None:
    """Classic groups, with sessions as short as two seconds, and those of KIP-848."""
    topics = Topics(Kafka(cluster.bootstrap))
    topic = topics()
    consumer = Consumer(topics.kafka.client(group_id=unique("group"), **member))
    consumer.subscribe([topic])
    eventually(lambda: consumer.poll(0.1) is None and consumer.assignment())
    assigned = consumer.assignment()
    consumer.close()

    assert assigned == [TopicPartition(topic, 0)]
