"""Which consumer groups there are, who is in them, and which protocol they speak."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from confluent_kafka import ConsumerGroupState, ConsumerGroupType, KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    ConsumerGroupDescription,
    MemberAssignment,
    MemberDescription,
)

from streams.errors import BrokerError
from streams.kafka import faults
from streams.kafka.admin import Admin
from streams.record import Partition

GroupProtocol: TypeAlias = Literal["classic", "consumer"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group, as the group's coordinator knows it."""

    member_id: str
    client_id: str
    host: str
    instance_id: str | None
    partitions: tuple[Partition, ...]
    """Those of the topics it subscribes to; what it reads beside them the coordinator does not know."""
    wanted: frozenset[Partition] | None = None
    """Those that it is to have once all have heard; None where the coordinator does not say, as of classic groups."""


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group at one moment."""

    name: str
    state: str
    """``stable``, ``empty``, ``rebalancing``, or ``absent``."""
    protocol: GroupProtocol
    assignor: str
    members: tuple[Member, ...]

    @property
    def is_running(self) -> bool:
        """Whether it has members."""
        return bool(self.members)


_STATES: Final[dict[object, str]] = {
    ConsumerGroupState.STABLE: "stable",
    ConsumerGroupState.EMPTY: "empty",
    ConsumerGroupState.DEAD: "absent",
    ConsumerGroupState.UNKNOWN: "unknown",
}


def list_groups(admin: Admin) -> list[str]:
    """Name every consumer group of the cluster that this user may see.

    Raises:
        BrokerError: A broker did not answer: its groups would be missing from the list.
    """
    doing = "listing the consumer groups"
    listing = admin.ask(lambda: admin.client.list_consumer_groups(request_timeout=admin.timeout_s), doing)
    for error in listing.errors or ():
        raise admin.fault(error, doing)
    return sorted(group.group_id for group in listing.valid or ())


def describe_groups(admin: Admin, names: Sequence[str]) -> dict[str, Group]:
    """Describe the groups of *names*; one that does not exist is ``absent`` and has no members."""
    return {name: describe_group(admin, name) for name in names}


def describe_group(admin: Admin, name: str) -> Group:
    """Describe one group; one that does not exist is ``absent`` and has no members."""

    def question(within_s: float) -> Future[ConsumerGroupDescription]:
        return admin.client.describe_consumer_groups([name], request_timeout=within_s)[name]

    return _group(admin.ask_coordinator(question, f"describing group {name!r}"))


def require_stopped(group: Group) -> None:
    """Hold that *group* has no members.

    Raises:
        BrokerError: It has; names them.
    """
    if group.is_running:
        hosts = ", ".join(sorted(f"{member.client_id} at {member.host}" for member in group.members))
        raise BrokerError(
            f"group {group.name!r} is running: {len(group.members)} member(s), {hosts}. Stop them first;"
            " offsets that change under a running member would be overwritten by its next commit.",
        )


def delete_group(admin: Admin, name: str) -> None:
    """Remove group *name* with all its offsets; one that is not there is no error.

    Raises:
        BrokerError: It has members, or the broker refuses.
    """
    doing = f"removing group {name!r}"

    def question(within_s: float) -> Future[None]:
        return admin.client.delete_consumer_groups([name], request_timeout=within_s)[name]

    try:
        admin.ask_coordinator(question, doing)
    except BrokerError as error:
        cause = None if error.__cause__ is None else faults.client_error(error.__cause__)
        if cause is None or cause.code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise


def _group(description: ConsumerGroupDescription) -> Group:
    return Group(
        name=description.group_id,
        state=_STATES.get(description.state, "rebalancing"),
        protocol="consumer" if description.type == ConsumerGroupType.CONSUMER else "classic",
        assignor=description.partition_assignor or "",
        members=tuple(_member(member) for member in description.members or ()),
    )


def _member(member: MemberDescription) -> Member:
    return Member(
        member_id=member.member_id,
        client_id=member.client_id,
        host=member.host.removeprefix("/"),
        instance_id=member.group_instance_id or None,
        partitions=tuple(sorted(_places(member.assignment))),
        wanted=None if member.target_assignment is None else frozenset(_places(member.target_assignment)),
    )


def _places(assignment: MemberAssignment) -> list[Partition]:
    return [Partition(place.topic, place.partition) for place in assignment.topic_partitions]
