"""A stopped group is moved as planned, and a running one is left alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from streams.engine.command import Answer
from streams.engine.desk import Who, answers
from streams.engine.replay import Before
from streams.engine.snapshot import Snapshot, decode, encode
from streams.errors import BrokerError, CommitError, TopicError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped, committed
from streams.record import Partition
from streams.replay.plan import Plan
from streams.replay.run import carry_out, plan_replay
from streams.replay.target import Target
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write_at
from tests.waiting import eventually

WHO = Who("test")


@pytest.fixture
def stood(admin: Admin, kafka: Kafka, topic: Topics, group: Callable[..., str]) -> tuple[str, str]:
    """A topic of two partitions with ten records each, and a stopped group that has done some of them."""
    name, team = topic(partitions=2), group()
    for number in range(2):
        write_at(kafka, name, range(1_000, 11_000, 1_000), partition=number)
    ledger = encode(Snapshot(b"12345678", runs=(2, 3)))
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(4, ledger), Partition(name, 1): Committed(8)})
    return name, team


def planned(admin: Admin, team: str, target: Target, topic: str | None = None, *partitions: int) -> Plan:
    """Plan with what a test leaves out left out."""
    return plan_replay(admin, team, target, topic=topic, partitions=partitions)


@pytest.mark.parametrize(
    ("target", "offsets"),
    [
        (Target("beginning"), [0, 0]),
        (Target("end"), [10, 10]),
        (Target("time", 3_500), [3, 3]),
        (Target("time", 99_000), [10, 10]),
        (Target("offsets", offsets={0: 2, 1: 9}), [2, 9]),
        (Target("by", -3), [1, 5]),
        (Target("by", -1_000), [0, 0]),
        (Target("by", 1_000), [10, 10]),
    ],
)
def test_a_group_goes_where_it_is_told(
    admin: Admin, stood: tuple[str, str], target: Target, offsets: list[int]
) -> None:
    """Offsets are what was planned, and nothing is marked done above them."""
    name, team = stood
    carry_out(admin, planned(admin, team, target), WHO)
    found = committed(admin, team)

    assert [found[Partition(name, number)].offset for number in range(2)] == offsets
    for commit in found.values():
        snapshot = decode(commit.metadata)
        assert snapshot is not None
        assert list(snapshot.settled(commit.offset)) == []


def test_each_replay_is_an_assignment_of_its_own(admin: Admin, stood: tuple[str, str]) -> None:
    """What is written belongs to no assignment there ever was."""
    name, team = stood
    seen = set()
    for number in (1, 2, 3):
        carry_out(admin, planned(admin, team, Target("offset", number), name, 0), WHO)
        snapshot = decode(committed(admin, team)[Partition(name, 0)].metadata)
        assert snapshot is not None
        seen.add(snapshot.assignment_id)

    assert len(seen) == 3
    assert b"12345678" not in seen


def test_going_forward_keeps_what_is_done_above(admin: Admin, stood: tuple[str, str]) -> None:
    """A skip to the middle of the done ones leaves the rest of them done."""
    name, team = stood
    plan = planned(admin, team, Target("offset", 7), name, 0)
    carry_out(admin, plan, WHO)
    commit = committed(admin, team)[Partition(name, 0)]
    snapshot = decode(commit.metadata)

    assert plan.skipped == 2
    assert snapshot is not None
    assert (commit.offset, list(snapshot.settled(7))) == (7, [range(7, 9)])


def test_only_what_is_named_moves(admin: Admin, stood: tuple[str, str]) -> None:
    """The other partition keeps its offset."""
    name, team = stood
    carry_out(admin, planned(admin, team, Target("beginning"), name, 1), WHO)
    found = committed(admin, team)

    assert (found[Partition(name, 0)].offset, found[Partition(name, 1)].offset) == (4, 0)


def test_a_running_group_is_left_alone(admin: Admin, kafka: Kafka, stood: tuple[str, str]) -> None:
    """What a replay would do is told, that it has members too, and nothing is moved while it has."""
    name, team = stood
    with closing(Consumer(kafka.client(group_id=team, group_protocol="consumer", enable_auto_commit=False))) as member:
        member.subscribe([name])
        eventually(lambda: member.poll(0.1) or member.assignment())
        plan = planned(admin, team, Target("beginning"))
        with pytest.raises(BrokerError, match="is running"):
            carry_out(admin, plan, WHO)

    assert (plan.is_running, plan.again) == (True, 15)
    assert committed(admin, team)[Partition(name, 0)].offset == 4


def test_a_plan_that_is_out_of_date_is_not_carried_out(admin: Admin, stood: tuple[str, str]) -> None:
    """Offsets that changed since are not overwritten."""
    name, team = stood
    plan = planned(admin, team, Target("beginning"))
    commit_for_stopped(admin, team, {Partition(name, 1): Committed(9)})
    with pytest.raises(CommitError, match="changed since the plan was made"):
        carry_out(admin, plan, WHO)

    assert committed(admin, team)[Partition(name, 0)].offset == 4


def test_what_is_not_clear_is_asked_for(admin: Admin, stood: tuple[str, str], topic: Topics) -> None:
    """One offset for several partitions, a partition of several topics, and what does not exist."""
    name, team = stood
    other = topic()
    commit_for_stopped(admin, team, {Partition(other, 0): Committed(0)})

    with pytest.raises(UsageError, match="one offset for 3 partitions"):
        planned(admin, team, Target("offset", 1))
    with pytest.raises(UsageError, match="name the topic of --partition"):
        planned(admin, team, Target("end"), None, 0)
    with pytest.raises(TopicError, match="has no partition 7"):
        planned(admin, team, Target("end"), name, 7)
    with pytest.raises(TopicError, match="does not read topic 'absent-topic'"):
        planned(admin, team, Target("end"), "absent-topic")
    with pytest.raises(BrokerError, match="is not known here"):
        planned(admin, f"{team}-unknown", Target("end"))


def test_what_had_settled_is_kept_before_anything_moves(admin: Admin, stood: tuple[str, str]) -> None:
    """So it can be had back; commands that were carried out stay so."""
    name, team = stood
    ledger = encode(Snapshot(b"12345678", runs=(2, 3), control=7))
    commit_for_stopped(admin, team, {Partition(name, 0): Committed(4, ledger)})
    carry_out(admin, planned(admin, team, Target("offset", 1), name, 0), Who("ann", "wrong prices"))
    (told,) = [one for one in answers(admin, team) if isinstance(one, Answer)]
    snapshot = decode(committed(admin, team)[Partition(name, 0)].metadata)

    assert snapshot is not None
    assert told.rewound is not None
    assert (told.who, told.why, told.verb) == ("ann", "wrong prices", "replay")
    assert Before.read(told.rewound.offset, told.rewound.ledger) == Before(4, (range(6, 9),))
    assert told.rewound.rewind().is_of(snapshot.replay)
    assert snapshot.control == 7
    assert snapshot.replay is not None
    assert (snapshot.replay.start, snapshot.replay.until) == (1, 9)
