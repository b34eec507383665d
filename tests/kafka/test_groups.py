"""Groups are told as their coordinator knows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from streams.kafka.admin import Admin
from streams.kafka.groups import Group, describe_group, list_groups, require_stopped
from streams.record import Partition
from tests.brokers import Kafka, Topics
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
