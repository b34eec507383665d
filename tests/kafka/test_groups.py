"""Groups are told as their coordinator knows them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from streams.dev import DevCluster, this_process
from streams.kafka.admin import Admin
from streams.kafka.groups import Group, describe_group, list_groups, require_stopped
from streams.record import Partition
from streams.verify.proxy import Proxy, Where
from tests.brokers import Kafka, Topics, require_native
from tests.waiting import eventually


def test_a_group_that_never_was_is_absent(admin: Admin, group: Callable[..., str]) -> None:
    """It has no members, and may be changed."""
    found = describe_group(admin, group())

    assert (found.state, found.members, found.is_running) == ("absent", (), False)
    require_stopped(found)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_member_is_told_with_its_partitions(
    admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str], protocol: str
) -> None:
    """Who is in the group, from where, and what it was given."""
    name, team = topic(partitions=2), group()
    with closing(Consumer(kafka.client(group_id=team, group_protocol=protocol, client_id="till-1"))) as member:
        member.subscribe([name])
        eventually(lambda: member.poll(0.1) or member.assignment())
        found = eventually(lambda: _settled(admin, team))
        assert found is not None

    assert (found.protocol, found.state, found.is_running) == (protocol, "stable", True)
    assert [(one.client_id, one.instance_id) for one in found.members] == [("till-1", None)]
    assert found.members[0].partitions == (Partition(name, 0), Partition(name, 1))
    assert team in list_groups(admin)
    assert eventually(lambda: not describe_group(admin, team).is_running)


def _settled(admin: Admin, team: str) -> Group | None:
    found = describe_group(admin, team)
    return found if found.state == "stable" and found.members and found.members[0].partitions else None


def test_a_coordinator_that_is_found_when_nobody_waits_any_more_ends_no_process(tmp_path: Path) -> None:
    """The client (2.16) would: it is given up with its question, and the next one has a client of its own."""
    require_native()
    program = (
        "import sys; from streams.config import Settings; from streams.errors import BrokerError\n"
        "from streams.kafka.admin import Admin; from streams.kafka.groups import describe_group\n"
        "admin = Admin(Settings(group='billing', bootstrap=sys.argv[1]), timeout_s=6)\n"
        "def ask():\n"
        "    try: return describe_group(admin, 'billing').state\n"
        "    except BrokerError as error: return str(error)\n"
        "admin.client.list_topics(timeout=30)\n"
        "for step in ('reached', ask, ask, 'over'):\n"
        "    print(step() if callable(step) else step, flush=True); input()\n"
    )
    with closing(Proxy(1)) as network:
        cluster = DevCluster.start(tmp_path / "kafka", brokers=1, lives_with=this_process(), proxies=network.ports)
        network.lead_to([broker.proxied_port for broker in cluster.brokers])
        command = [sys.executable, "-c", program, network.bootstrap]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            reached = _next(asking)
            network.silence(Where())
            in_vain = _next(asking, "go on")
            network.calm()
            time.sleep(3)  # within these it would find the coordinator, and end
            found = _next(asking, "go on")
            over = _next(asking, "go on")
            asking.communicate("go on\n")
        cluster.down()

    assert (reached, found, over, asking.returncode) == ("reached", "absent", "over", 0)
    assert "no answer within 6 s" in in_vain


def _next(asking: subprocess.Popen[str], word: str = "") -> str:
    """Give the next line that *asking* says, after *word*."""
    assert asking.stdin is not None
    assert asking.stdout is not None
    if word:
        asking.stdin.write(f"{word}\n")
        asking.stdin.flush()
    return asking.stdout.readline().strip()
