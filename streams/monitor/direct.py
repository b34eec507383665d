"""Giving a group directives: into its topic, into its audit, and seeing that its members follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from streams.engine.command import audit_topic
from streams.engine.desk import Who, prepare
from streams.engine.directive import Directive, Kind, directive_topic
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.producer import EngineProducer, Parcel
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics
from streams.monitor.report import reports

_TOPIC: Final = {
    "cleanup.policy": "compact",
    "segment.ms": str(86_400_000),
    "min.cleanable.dirty.ratio": "0.1",
}
_SENT_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Following:
    """Who follows."""

    offset: int
    """Where the last directive stands."""
    members: int
    """Members that the group has."""
    followers: int
    """Those of them that have said that they follow."""


def make(
    kind: Kind, who: Who, *, topic: str = "", value: str = "", is_lifted: bool = False, at_s: float | None = None
) -> Directive:
    """Make a directive."""
    return Directive(
        id=uuid4().hex,
        kind=kind,
        topic=topic,
        value=value,
        is_lifted=is_lifted,
        who=who.name,
        why=who.reason,
        time_ms=int((time.time() if at_s is None else at_s) * 1000),
    )


def direct(admin: Admin, group: str, directives: Sequence[Directive]) -> Following:
    """Write *directives* for *group*, the audit first; those that are lifted take away what stands.

    Raises:
        BrokerError: One was not taken: those before it stand.
    """
    prepare(admin, group)
    name = directive_topic(group)
    if name not in find_topics(admin, [name]):
        create_topics(admin, [NewTopic(name, 1, -1, _TOPIC)], may_exist=True)
    producer = EngineProducer[None](admin.settings)
    offset = -1
    for one in directives:
        _send(producer, Parcel(audit_topic(group), 0, one.key, one.pack(), [], None))
        offset = _send(producer, Parcel(name, 0, one.key, None if one.is_lifted else one.pack(), [], None))
    return Following(offset, len(describe_group(admin, group).members), 0)


def following(admin: Admin, group: str, offset: int) -> Following:
    """See which members of *group* have reported that they follow the directive at *offset*."""
    told = reports(admin, group)
    present = {member.member_id for member in describe_group(admin, group).members}
    followers = sum(told[name].directives > offset for name in present if name in told)
    return Following(offset, len(present), followers)


def open_guards(admin: Admin, group: str) -> tuple[str, ...]:
    """Name the topics of *group* that a member, by its last report, has stopped as their dead letters were too many.

    Raises:
        BrokerError: The broker does not answer.
    """
    told = reports(admin, group).values()
    return tuple(sorted({one.name for report in told for one in report.circuits if one.kind == "guard"}))


def await_followers(
    admin: Admin, group: str, given: Following, within_s: float, tell: Callable[[Following], None] = lambda _: None
) -> Following:
    """Wait until all members of *group* have reported that they follow what was *given*, at most *within_s*."""
    end = time.monotonic() + within_s
    while True:
        given = following(admin, group, given.offset)
        tell(given)
        if given.followers >= given.members or time.monotonic() > end:
            return given
        time.sleep(_LOOK_EVERY_S)


def _send(producer: EngineProducer[None], parcel: Parcel[None]) -> int:
    """Send *parcel* and give where it stands.

    Raises:
        BrokerError: The broker did not take it.
    """
    producer.produce([parcel])
    end = time.monotonic() + _SENT_WITHIN_S
    while not producer.acknowledge(0.1):
        if time.monotonic() > end:
            break
    if parcel.fate != "stored":
        raise BrokerError(f"{parcel.topic} did not take the directive: {parcel.error or 'no answer'}")
    return parcel.offset
