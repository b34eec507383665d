"""A broker that is unlike the others: old in its ways, and careful about whom it lets in."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from streams.config import Settings
from streams.dev import Runtime
from streams.dev.ports import HOST, free_ports
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.probe import await_broker
from streams.kafka.topics import find_topics
from tests.brokers import Kafka, unique
from tests.waiting import eventually

# Ends the program when standard input ends, however whoever holds its other side ended.
_LEASH = '"$@" & echo $! > "$0"; cat; kill $! 2>/dev/null; wait'

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{control}
listeners=PLAINTEXT://{host}:{plain},SASL_PLAINTEXT://{host}:{sasl},CONTROLLER://{host}:{control}
advertised.listeners=PLAINTEXT://{host}:{plain},SASL_PLAINTEXT://{host}:{sasl}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
required user_alice="open-sesame";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class OddBroker:
    """Without KIP-848; whoever comes by SASL must be alice, and alice has no right to anything.

    By its plain listener everybody may do everything.
    """

    def __init__(self, plain: int, sasl: int, process: int) -> None:
        self.bootstrap = f"{HOST}:{plain}"
        self.guarded = f"{HOST}:{sasl}"
        self._process = process

    def settings(self, group: str = "") -> Settings:
        """By the plain listener."""
        return Settings(bootstrap=self.bootstrap, group=group)

    def settings_of_alice(self, password: str = "open-sesame", group: str = "") -> Settings:  # noqa: S107  # a test's
        """By the guarded one."""
        kafka = {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "alice",
            "sasl.password": password,
        }
        return Settings(bootstrap=self.guarded, group=group, kafka=kafka)

    def topic_that_alice_sees(self) -> str:
        """Make a topic of one record that she may describe, and neither read nor change."""
        kafka, name = Kafka(self.bootstrap), unique("orders.billing.parked")
        kafka.admin.create_topics([NewTopic(name, 1)])[name].result(30)
        kafka.write(name)
        to_all = (ResourcePatternType.LITERAL, "User:alice", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW)
        for granted in kafka.admin.create_acls([AclBinding(ResourceType.TOPIC, name, *to_all)]).values():
            granted.result(30)
        self.await_sight(name)
        return name

    def await_sight(self, topic: str) -> None:
        """Return once alice sees *topic*: a right that was granted holds a moment later."""
        with Admin(self.settings_of_alice()) as alice:
            eventually(lambda: _sees(alice, topic))

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let it stand still for a while: begins once it gives no answer, as its threads stop one after the other."""
        admin = Kafka(self.bootstrap).admin
        admin.list_topics(timeout=30)  # it is connected: from here on silence is the broker's
        os.kill(self._process, signal.SIGSTOP)
        try:
            while _answers(admin):
                pass
            yield
        finally:
            os.kill(self._process, signal.SIGCONT)


def _answers(admin: AdminClient) -> bool:
    try:
        admin.list_topics(timeout=0.2)
    except KafkaException:
        return False
    return True


def _sees(admin: Admin, topic: str) -> bool:
    try:
        return topic in find_topics(admin, [topic])
    except BrokerError:
        return False


@contextmanager
def odd_broker(folder: Path) -> Iterator[OddBroker]:
    """Run one in *folder*."""
    plain, sasl, control = free_ports(3)
    runtime = Runtime.find(lambda _step: None)
    properties = folder / "server.properties"
    text = _PROPERTIES.format(host=HOST, plain=plain, sasl=sasl, control=control, data=folder / "data")
    properties.write_text(text)
    (folder / "tmp").mkdir()
    format_it = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(properties)]
    old = ["--feature", "group.version=0"]
    subprocess.run(runtime.command(folder, [*format_it, *old], "-Xmx256m"), check=True, capture_output=True)
    command = runtime.command(folder, ["kafka.Kafka", str(properties)], "-Xmx384m")
    note = folder / "pid"
    with (folder / "output.log").open("wb") as output:
        leash = ["sh", "-c", _LEASH, str(note), *command]
        with subprocess.Popen(leash, stdin=subprocess.PIPE, stdout=output, stderr=output) as process:
            await_broker(f"{HOST}:{plain}", 60)
            yield OddBroker(plain, sasl, int(note.read_text()))
            if process.stdin is not None:
                process.stdin.close()
