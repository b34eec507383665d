"""Planning a replay of a group, and carrying it out while that is stopped."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from streams.engine.command import Answer
from streams.engine.desk import Who, prepare, write_down
from streams.engine.replay import Before, Rewound
from streams.engine.snapshot import Replay, Snapshot, decode, encode_within
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


def carry_out(admin: Admin, planned: Plan, who: Who) -> None:
    """Write what *planned* says; of a group of streams, what had settled before goes into its audit first.

    Args:
        admin: The connection.
        planned: What is to be done.
        who: For whom; it stands in the audit.

    Raises:
        BrokerError: The group has members, or the audit does not take what was.
        CommitError: The group's offsets changed since the plan was made; nothing was written.
        TopicError: There is no audit, and this user may not make one.
    """
    require_stopped(describe_group(admin, planned.group))
    present = committed(admin, planned.group)
    for move in planned.moves:
        now = present.get(move.partition)
        if (None if now is None else now.offset) != move.progress.committed:
            raise CommitError(f"the offsets of group {planned.group!r} changed since the plan was made; plan it anew")
    replay_id = uuid4().hex[:12] if planned.has_ledger else ""
    deeds = [_Deed(move, present.get(move.partition), replay_id) for move in planned.changes]
    if replay_id:
        prepare(admin, planned.group)
        write_down(admin, planned.group, [deed.told(planned.group, who) for deed in deeds])
    commit_for_stopped(admin, planned.group, {deed.move.partition: deed.commit for deed in deeds})


class _Deed:
    """The move of one partition, with a ledger that belongs to no assignment there ever was."""

    def __init__(self, move: Move, present: Committed | None, replay_id: str) -> None:
        """Begin *move*; without *replay_id* as one that nobody can undo."""
        self.move = move
        self._present = present
        self._id = os.urandom(_ASSIGNMENT_ID_BYTES)
        progress = move.progress
        self._before = Before(progress.start, tuple(one for one in progress.settled if one.start > progress.start))
        until = max((one.stop for one in self._before.settled), default=progress.start)
        self._replay = Replay(replay_id, self._id, move.target, until) if replay_id else None

    @property
    def commit(self) -> Committed:
        """The new offset and its ledger; how far commands are carried out stays, none is to come again."""
        try:
            former = None if self._present is None else decode(self._present.metadata)
        except LedgerError:
            former = None
        control = -1 if former is None else former.control
        snapshot = Snapshot(self._id, runs=self.move.runs, control=control, replay=self._replay)
        return Committed(self.move.target, encode_within(snapshot)[0])

    def told(self, group: str, who: Who) -> Answer:
        """What the audit keeps of it."""
        assert self._replay is not None, "what is kept has a name"  # noqa: S101  # the caller looked
        now_ms, before = int(time.time() * 1000), self._before
        return Answer(
            id=uuid4().hex,
            verb="replay",
            group=group,
            topic=self.move.partition.topic,
            partition=self.move.partition.number,
            fates=(),
            who=who.name,
            why=who.reason,
            asked_ms=now_ms,
            time_ms=now_ms,
            rewound=Rewound(
                id=self._replay.id,
                turn="begun",
                begun_by=self._id.hex(),
                start=self._replay.start,
                until=self._replay.until,
                offset=before.offset,
                ledger=before.pack(),
            ),
        )


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
