"""Planning a replay of a group, and carrying it out while that is stopped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import Final

from streams.engine.snapshot import Snapshot, decode, encode_within
from streams.engine.standing import Progress, Standing, standing
from streams.errors import BrokerError, CommitError, LedgerError, TopicError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group, require_stopped
from streams.kafka.offsets import Committed, commit_for_stopped, committed
from streams.observer import ChainKind
from streams.replay.plan import Move, Plan, plan
from streams.replay.target import Target

_ASSIGNMENT_ID_BYTES: Final = 8


def plan_replay(admin: Admin, group: str, target: Target, *, topic: str | None, partitions: Sequence[int]) -> Plan:
    """Say what moving *group* to *target* would do; changes nothing.

    Args:
        admin: The connection.
        group: Whose offsets.
        target: Where to.
        topic: Only this source topic; None: all of the group.
        partitions: Only these; empty: all.

    Raises:
        BrokerError: The group is not known.
        UsageError: The choice of partitions is not clear.
    """
    found = standing(admin, group)
    if not found.is_known:
        raise BrokerError(f"group {group!r} is not known here: it never committed, so there is nothing to move")
    if partitions and target.offsets:
        raise UsageError("each offset names its partition: leave out --partition")
    concerned = _concerned(found, topic, partitions or sorted(target.offsets))
    if target.kind == "offset" and len(concerned) > 1:
        raise UsageError(
            f"one offset for {len(concerned)} partitions means nothing: name one with --topic and --partition,"
            " or say --to-offset PARTITION=OFFSET for each"
        )
    chains = Counter[ChainKind]()
    for name in {one.partition.topic for one in concerned}:
        chains.update(found.chains.get(name, {}))
    return plan(
        group,
        concerned,
        target.wishes(admin, concerned),
        in_chain=chains,
        is_running=bool(found.group.members),
        has_ledger=found.has_ledger,
    )


def carry_out(admin: Admin, planned: Plan) -> None:
    """Write what *planned* says.

    Raises:
        BrokerError: The group has members.
        CommitError: The group's offsets changed since the plan was made; nothing was written.
    """
    require_stopped(describe_group(admin, planned.group))
    present = committed(admin, planned.group)
    for move in planned.moves:
        now = present.get(move.partition)
        if (None if now is None else now.offset) != move.progress.committed:
            raise CommitError(f"the offsets of group {planned.group!r} changed since the plan was made; plan it anew")
    commit_for_stopped(
        admin, planned.group, {move.partition: _commit(move, present.get(move.partition)) for move in planned.changes}
    )


def _commit(move: Move, present: Committed | None) -> Committed:
    """Give the new offset with a ledger that belongs to no assignment there ever was.

    How far operators' commands are carried out stays: none is to come again.
    """
    try:
        former = None if present is None else decode(present.metadata)
    except LedgerError:
        former = None
    control = -1 if former is None else former.control
    snapshot = Snapshot(assignment_id=os.urandom(_ASSIGNMENT_ID_BYTES), runs=move.runs, control=control)
    return Committed(move.target, encode_within(snapshot)[0])


def _concerned(found: Standing, topic: str | None, partitions: Sequence[int]) -> list[Progress]:
    name, reads = found.group.name, ", ".join(found.topics)
    if topic is not None and topic not in found.topics:
        raise TopicError(topic, f"group {name!r} does not read topic {topic!r}; it reads {reads}")
    topics = found.topics if topic is None else [topic]
    if partitions and len(topics) > 1:
        raise UsageError(f"group {name!r} reads {reads}: name the topic of --partition with --topic")
    all_of_them = [one for each in topics for one in found.of_topic(each)]
    concerned = [one for one in all_of_them if not partitions or one.partition.number in partitions]
    absent = sorted(set(partitions) - {one.partition.number for one in concerned})
    if absent:
        raise TopicError(topics[0], f"topic {topics[0]!r} has no partition {', '.join(map(str, absent))}")
    return concerned
