"""How long the group waits for a silent member before it gives its partitions away.

Under the classic protocol the member says so; under KIP-848 the broker does,
and the client does not know.  The lease rests on this number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    ConfigResource,
    ResourceType,
)

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import START_WITHIN_S, Admin
from streams.kafka.protocol import MemberProtocol
from streams.kafka.settings import heartbeat_s

_MARGIN: Final = 0.1
"""Share of the session that is left for clocks that do not run alike and for a thread that wakes late."""
_SILENCE: Final = 1 / 3
"""The same where a commit proves that the member is in the group, but does not begin its session anew: so long may
heartbeats be missing while commits pass."""


@dataclass(frozen=True, slots=True)
class Session:
    """The group's patience with a member."""

    timeout_s: float
    heartbeat_s: float
    begins_with_commits: bool = True
    """A commit counts like a heartbeat: under the classic protocol, not under KIP-848."""

    @property
    def lease_s(self) -> float:
        """How long after sending a commit that was acknowledged records may still start."""
        return self.timeout_s * (1 - (_MARGIN if self.begins_with_commits else _SILENCE)) - self.heartbeat_s


def session_of(settings: Settings, protocol: MemberProtocol) -> Session:
    """Give the session of a member of ``settings.group``.

    Under KIP-848 the broker's setting for the group counts; where this user may
    not read it, the shorter of it and `Settings.session_timeout_s` is unknown
    and the setting is taken at its word.

    Raises:
        BrokerError: The session is too short to hold a lease.
    """
    session = Session(settings.session_timeout_s, heartbeat_s(settings))
    if protocol == "consumer":
        session = replace(_broker_session(settings) or session, begins_with_commits=False)
    if session.lease_s <= 0:
        raise BrokerError(
            f"the session of group {settings.group!r} is {session.timeout_s:g} s with a heartbeat each"
            f" {session.heartbeat_s:g} s: too short for work to start safely. Raise consumer.session.timeout.ms of the"
            f" group, or lower its consumer.heartbeat.interval.ms"
        )
    return session


def _broker_session(settings: Settings) -> Session | None:
    asked = ConfigResource(ResourceType.GROUP, settings.group)
    doing = f"reading the settings of group {settings.group!r}"
    with Admin(settings, timeout_s=START_WITHIN_S) as admin:
        answers = admin.ask_each(lambda: admin.client.describe_configs([asked], request_timeout=10), doing)
    found = next(iter(answers.values()))
    if isinstance(found, KafkaException):
        return None
    try:
        timeout_ms = found["consumer.session.timeout.ms"].value
        heartbeat_ms = found["consumer.heartbeat.interval.ms"].value
    except KeyError:
        return None
    return Session(int(timeout_ms) / 1000, int(heartbeat_ms) / 1000)
