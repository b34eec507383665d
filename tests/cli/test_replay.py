"""A replay is shown before it is done, and done only when it is meant."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from streams.engine.chain import parked_topic
from streams.engine.snapshot import Snapshot, encode
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped, committed
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.cli.shell import Shell
from tests.kafka.logs import write
from tests.waiting import eventually


@pytest.fixture
def stood(admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]) -> tuple[str, str]:
    """A topic of one partition with ten records, and a stopped group that has done seven of them."""
    name, team = topic(), group()
    write(kafka, name, [b"x"] * 10)
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(4, encode(Snapshot(b"12345678", runs=(2, 3))))})
    return name, team


def offset(admin: Admin, stood: tuple[str, str]) -> int:
    """Give the group's committed offset."""
    return committed(admin, stood[1])[Partition(stood[0], 0)].offset


@pytest.mark.parametrize("verb", ["plan", "start"])
def test_a_plan_changes_nothing(streams: Shell, admin: Admin, stood: tuple[str, str], verb: str) -> None:
    """Asked for, or for want of --yes, the plan is all there is."""
    document = streams(f"replay {verb} {stood[1]} --to-beginning --json").json
    said = streams(f"replay {verb} {stood[1]} --to-beginning")

    assert (document["applied"], document["again"], document["skipped"]) == (False, 7, 0)
    (only,) = document["partitions"]
    assert (only["from"], only["to"], only["again"], only["settled_above"], only["behind"]) == (4, 0, 7, 3, 3)
    assert "7 record(s) would run again" in said.out
    assert offset(admin, stood) == 4


def test_a_plan_tells_what_stays_in_the_chain(
    streams: Shell, admin: Admin, kafka: Kafka, stood: tuple[str, str]
) -> None:
    """What waits there is counted by kind."""
    name, team = stood
    parked = parked_topic(name, team)
    create_topics(admin, [NewTopic(parked, 1, 1)])
    write(kafka, parked, [b"x"] * 2)
    document = streams(f"replay plan {team} --to-beginning --json").json
    said = streams(f"replay plan {team} --to-beginning")

    assert document["chain"] == {"parked": 2}
    assert "In the chain, where it stays: 2 in parked." in said.out


def test_a_replay_is_done(streams: Shell, admin: Admin, stood: tuple[str, str]) -> None:
    """With --yes the offset moves, and nothing above it counts as done."""
    said = streams(f"replay start {stood[1]} --to-offset 2 --yes")

    assert "5 record(s) run again" in said.out
    assert offset(admin, stood) == 2
    assert streams(f"lag {stood[1]} --json").json["outstanding"] == 8


def test_a_skip_must_be_meant(streams: Shell, admin: Admin, stood: tuple[str, str]) -> None:
    """Records that never ran are not dropped by --yes alone; the words say how many they are."""
    assert "3 record(s) that never ran would be dropped" in streams(f"replay start {stood[1]} --to-end").out
    assert "3 record(s) that never ran" in streams(f"replay start {stood[1]} --to-end --yes", code=1).err
    assert offset(admin, stood) == 4

    document = streams(f"replay start {stood[1]} --to-end --yes --allow-skip --json").json
    assert (document["applied"], document["skipped"]) == (True, 3)
    assert offset(admin, stood) == 10


def test_a_time_may_be_how_long_ago(streams: Shell, stood: tuple[str, str]) -> None:
    """An hour ago lies before every record, a time to come at the end."""
    assert streams(f"replay start {stood[1]} --to-time -1h --json").json["partitions"][0]["to"] == 0
    assert streams(f"replay start {stood[1]} --to-time 2999-01-01 --json").json["partitions"][0]["to"] == 10


def test_offsets_of_partitions_and_steps_are_understood(streams: Shell, stood: tuple[str, str]) -> None:
    """A partition may be named with its offset, and a step counts from where it stands."""
    assert streams(f"replay plan {stood[1]} --to-offset 0=3 --json").json["partitions"][0]["to"] == 3
    assert streams(f"replay plan {stood[1]} --by -1 --json").json["partitions"][0]["to"] == 3
    assert streams(f"replay plan {stood[1]} --by 2 --json").json["skipped"] == 2


def test_a_wish_past_the_end_is_told(streams: Shell, stood: tuple[str, str]) -> None:
    """The plan goes to the end and says that it is not what was asked for."""
    assert "99 is not there yet; the end is 10" in streams(f"replay start {stood[1]} --to-offset 99").out


def test_nothing_to_change_is_said(streams: Shell, admin: Admin, stood: tuple[str, str]) -> None:
    """A replay to where the group stands does nothing."""
    commit_for_stopped(admin, stood[1], {Partition(stood[0], 0): Committed(4)})

    assert "Nothing to change." in streams(f"replay start {stood[1]} --to-offset 4 --yes").out


def test_a_running_group_of_another_client_is_refused(
    streams: Shell, admin: Admin, kafka: Kafka, stood: tuple[str, str]
) -> None:
    """What it would do is told; its members are named, and nothing happens."""
    commit_for_stopped(admin, stood[1], {Partition(stood[0], 0): Committed(4)})
    settings = kafka.client(group_id=stood[1], group_protocol="classic", client_id="till-1", enable_auto_commit=False)
    with closing(Consumer(settings)) as member:
        member.subscribe([stood[0]])
        eventually(lambda: member.poll(0.1) or member.assignment())
        plan = streams(f"replay plan {stood[1]} --to-beginning")
        said = streams(f"replay start {stood[1]} --to-beginning --yes", code=1)

    assert "members that are not of streams: they have to be stopped before" in plan.out
    assert "is running: 1 member(s), till-1 at" in said.err
    assert "Stop them first" in said.err
    assert offset(admin, stood) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "say where to, once"),
        ("--to-end --to-beginning", "say where to, once"),
        ("--to-time tomorrow", "is no time"),
        ("--to-offset -1", "an offset is a number of 0 or more"),
        ("--to-offset 0=x", "an offset is a number of 0 or more"),
        ("--to-offset 1 --to-offset 2", "each names a partition of its own"),
        ("--to-offset 0=1 --to-offset 0=2", "each names a partition of its own"),
        ("--to-offset 0=1 --partition 0", "leave out --partition"),
    ],
)
def test_a_misuse_is_said(streams: Shell, stood: tuple[str, str], options: str, words: str) -> None:
    """What can't be meant ends with 2."""
    assert words in streams(f"replay start {stood[1]} {options}", code=2).err


def test_an_unknown_group_is_said(streams: Shell, group: Callable[..., str]) -> None:
    """There is nothing to move."""
    assert "is not known here" in streams(f"replay start {group()} --to-end", code=1).err
