"""What a development broker is told: its server properties and its logging.

Kafka's own defaults hold wherever they can, so that what works here works
elsewhere; the lines below say where and why not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.dev.folder import Member
from streams.dev.ports import HOST

LOGGING = """\
status = error
appender.file.type = RollingFile
appender.file.name = FILE
appender.file.fileName = ${sys:streams.log}
appender.file.filePattern = ${sys:streams.log}.1
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %m (%c{1})%n%throwable
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 1
rootLogger.level = warn
rootLogger.appenderRef.file.ref = FILE
"""
"""Warnings and errors, in a file that does not grow past twice 10 MB."""

_EVERY_BROKER = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A topic that nobody created is a mistake to be seen.
    "auto.create.topics.enable": "false",
    # Internal topics of 8 partitions: enough here, and quick to create.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "share.coordinator.state.topic.num.partitions": "8",
    # A group starts at once, and short sessions are allowed: faults show within seconds.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
}


def server_properties(member: Member, members: Sequence[Member], data: Path) -> str:
    """The `server.properties` of *member*, one of *members*, with its records in *data*."""
    copies = len(members)
    in_sync = min(2, copies)
    settings = _EVERY_BROKER | {
        "node.id": f"{member.node}",
        "log.dirs": f"{data}",
        "listeners": f"PLAINTEXT://{HOST}:{member.port},CONTROLLER://{HOST}:{member.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{member.port}",
        "controller.quorum.voters": ",".join(f"{one.node}@{HOST}:{one.controller_port}" for one in members),
        "default.replication.factor": f"{copies}",
        "min.insync.replicas": f"{in_sync}",
        "offsets.topic.replication.factor": f"{copies}",
        "transaction.state.log.replication.factor": f"{copies}",
        "transaction.state.log.min.isr": f"{in_sync}",
        "share.coordinator.state.topic.replication.factor": f"{copies}",
        "share.coordinator.state.topic.min.isr": f"{in_sync}",
    }
    if member.proxy_port:
        settings |= _proxied(member, settings)
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _proxied(member: Member, settings: Mapping[str, str]) -> dict[str, str]:
    """Give what a second listener needs, whose clients are told the address of the proxy; brokers don't use it."""
    protocols = "listener.security.protocol.map"
    return {
        "listeners": f"{settings['listeners']},PROXIED://{HOST}:{member.proxied_port}",
        "advertised.listeners": f"{settings['advertised.listeners']},PROXIED://{HOST}:{member.proxy_port}",
        protocols: f"{settings[protocols]},PROXIED:PLAINTEXT",
        # The client gives a heartbeat the interval to be answered: a proxy that is slow on purpose needs more of it.
        "group.consumer.heartbeat.interval.ms": "1500",
    }


def _escaped(value: str) -> str:
    """*value* as Java's properties files have it: ASCII, a backslash before what is special."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < ord("\x7f") else f"\\u{code:04x}" for code in codes)
