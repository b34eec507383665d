"""The client settings that are not a matter of taste, each with its reason."""

from __future__ import annotations

from typing import Any, Final

from streams.config import Settings

_OF_MEMBERS: Final = frozenset(
    {
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "session.timeout.ms",
    }
)
"""Client settings that mean nothing outside a group, and can be at odds with each other there."""


def connection(settings: Settings) -> dict[str, Any]:
    """Give what every client of this cluster needs: addresses and security."""
    return {
        "socket.timeout.ms": 10_000,  # a hung broker must not hold the poll thread for the default minute
        "reconnect.backoff.max.ms": 2_000,
        "client.id": f"streams-{settings.group}" if settings.group else "streams",
        **settings.kafka,
        "bootstrap.servers": settings.bootstrap,
    }


def reader(settings: Settings) -> dict[str, Any]:
    """Give the settings of a consumer that joins no group: what a member's own say of that does not concern it."""
    return {
        **{name: value for name, value in connection(settings).items() if name not in _OF_MEMBERS},
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
    }


def consumer(settings: Settings, *, protocol: str) -> dict[str, Any]:
    """Give the settings of a member's consumer.

    Args:
        settings: The member's.
        protocol: ``classic``, ``classic-range`` or ``consumer``, resolved.
    """
    chosen: dict[str, Any] = {
        "fetch.queue.backoff.ms": 5,  # the default of a second costs up to fourfold when catching up
        "queued.max.messages.kbytes": settings.fetch_buffer_bytes // 1024,
        "fetch.wait.max.ms": 100,
        **connection(settings),
        "group.id": settings.group,
        "group.protocol": "consumer" if protocol == "consumer" else "classic",
        "enable.auto.commit": False,  # the ledger says what is done
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",  # any other value jumps silently over what retention removed
        "enable.partition.eof": True,  # tells the end without arithmetic over gaps
        "fetch.error.backoff.ms": 100,
    }
    if settings.instance_id:
        chosen["group.instance.id"] = settings.instance_id
    if protocol != "consumer":
        chosen["partition.assignment.strategy"] = "range" if protocol == "classic-range" else "cooperative-sticky"
        chosen["session.timeout.ms"] = int(settings.session_timeout_s * 1000)
        chosen["heartbeat.interval.ms"] = int(heartbeat_s(settings) * 1000)
    return chosen


def producer(settings: Settings) -> dict[str, Any]:
    """Give the settings of a producer whose acknowledgement means: on all in-sync replicas, once, in order."""
    return {
        "linger.ms": 5,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",  # that of Java's producers: a key goes to one partition, whoever writes it
        "topic.metadata.propagation.max.ms": 5_000,  # a send to a topic that is not there must not hold up a stop
        "message.max.bytes": 128 * 1024 * 1024,  # the topic's own limit decides, not the client's
        "queue.buffering.max.kbytes": 65_536,
        **connection(settings),
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 300_000,  # at least the outage to survive: past it the outcome is unknown
    }


def heartbeat_s(settings: Settings) -> float:
    """Give the classic protocol's heartbeat interval: a tenth of the session, at most three seconds."""
    return min(3.0, settings.session_timeout_s / 10)
