"""A replay of a running group: putting it to the members, seeing how far it is, and ending it.

See `engine/replay.py` for what the members do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias
from uuid import uuid4

from streams.engine.command import Answer, Command, Verb
from streams.engine.desk import Desk, Who, answers
from streams.engine.replay import Rewind, Rewound
from streams.engine.snapshot import Replay, decode
from streams.engine.standing import Progress, progress
from streams.errors import BrokerError, LedgerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, committed, watermarks
from streams.kafka.topics import find_topics
from streams.record import Partition
from streams.replay.plan import Plan

Ending: TypeAlias = Literal["cancel", "undo"]
"""``cancel``: what is left does not run again.  ``undo``: neither does what has failed of it and waits."""

_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Course:
    """How far the last replay of one partition is, as its commit says."""

    replay: Replay
    progress: Progress

    @property
    def partition(self) -> Partition:
        """Which one."""
        return self.progress.partition

    @property
    def count(self) -> int:
        """Offsets that were to run again."""
        return max(0, self.replay.until - self.replay.start)

    @property
    def left(self) -> int:
        """Those of them that have not settled."""
        at, until = max(self.progress.start, self.replay.start), self.replay.until
        done = sum(len(range(max(part.start, at), min(part.stop, until))) for part in self.progress.settled)
        return max(0, until - at - done)

    @property
    def state(self) -> Literal["cancelled", "through", "on its way"]:
        """Where it is; what failed of it may wait in the chain still."""
        if self.replay.is_ended:
            return "cancelled"
        return "on its way" if self.left else "through"


class Put(NamedTuple):
    """What came of commands."""

    answers: Sequence[Answer]
    silent: int
    """Commands that nobody has answered."""
    pending: Sequence[Partition] = ()
    """Partitions whose commit does not say yet what was answered."""


def courses(admin: Admin, group: str) -> list[Course]:
    """Give the last replay of each partition of *group* that has one, in their order."""
    commits = committed(admin, group)
    found = {place: replay for place, commit in commits.items() if (replay := _replay_in(commit)) is not None}
    there = find_topics(admin, {place.topic for place in found})
    places = sorted(place for place in found if place.topic in there)
    marks = watermarks(admin, places) if places else {}
    return [Course(found[place], progress(place, commits[place], marks[place])) for place in places]


def beginnings(admin: Admin, planned: Plan, who: Who, rate: float = 0.0) -> list[Command]:
    """Give what is put to a running group so that it does what *planned* says.

    Args:
        admin: The connection.
        planned: What is to be done.
        who: For whom.
        rate: Records a second at most, on average, of all partitions together; 0: as fast as it goes.
    """
    changes, replay_id = planned.changes, uuid4().hex[:12]
    ids = _topic_ids(admin, (move.partition for move in changes))
    return [
        _command(
            "replay",
            move.partition,
            ids,
            who,
            Rewind(id=replay_id, start=move.target, rate=rate / len(changes)),
        )
        for move in changes
    ]


def endings(admin: Admin, group: str, verb: Ending, found: Iterable[Course], who: Who) -> list[Command]:
    """Give what is put to *group* so that the replays *found* end.

    Raises:
        UsageError: The audit does not have what had settled before one of them.
    """
    wanted = [_Name(one.partition, one.replay.id, one.replay.begun_by.hex()) for one in found]
    ids = _topic_ids(admin, (name.partition for name in wanted))
    kept = _kept(admin, group)
    missing = sorted(str(name.partition) for name in wanted if name not in kept)
    if missing:
        raise UsageError(
            f"the audit of group {group!r} does not have what had settled in {', '.join(missing)} before the replay"
            " any more, so it can't be ended; it ends by itself"
        )
    return [_command(verb, name.partition, ids, who, kept[name].rewind()) for name in wanted]


def put(
    admin: Admin, group: str, asked: Sequence[Command], wait_s: float, tell: Callable[[int], None] = lambda _: None
) -> Put:
    """Put *asked* to *group*, and wait until its commits say that it was done.

    Args:
        admin: The connection.
        group: Which group; `prepare` was called for it.
        asked: The commands.
        wait_s: How long to wait with nothing heard.
        tell: Called now and then with how many have been answered.

    Raises:
        BrokerError: Commands could not be sent; those before them were.
    """
    desk, heard = Desk(admin, group), list[Answer]()
    try:
        for command in asked:
            desk.send(command)
        end = time.monotonic() + wait_s
        while desk.unanswered and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_S)
            news = desk.hear()
            heard += news
            tell(len(heard))
            end = time.monotonic() + wait_s if news else end
        silent = desk.unanswered
    finally:
        desk.close()
    return Put(heard, silent, _await(admin, group, heard, wait_s))


def _await(admin: Admin, group: str, heard: Iterable[Answer], wait_s: float) -> Sequence[Partition]:
    """Wait until the commits of *group* say what was answered; give the partitions of which they don't."""
    open_ = {Partition(one.topic, one.partition): one.rewound for one in heard if one.rewound is not None}
    end = time.monotonic() + wait_s
    while True:
        found = committed(admin, group)
        open_ = {
            place: told
            for place, told in open_.items()
            if place not in found or not _says(_replay_in(found[place]), told)
        }
        if not open_ or time.monotonic() > end:
            return sorted(open_)
        time.sleep(_LOOK_EVERY_S)


def _says(replay: Replay | None, told: Rewound) -> bool:
    """Say whether a commit with *replay* is one after what was *told*."""
    match told.turn:
        case "begun":
            return replay is not None and replay.id == told.id
        case "cancelled":
            return replay is None or replay.id != told.id or replay.is_ended
        case "undone":
            return replay is None or replay.id != told.id
        case "gone" | "late":
            return True


class _Name(NamedTuple):
    """A replay of one partition, as exactly one answer in the audit tells of it."""

    partition: Partition
    id: str
    begun_by: str
    """The assignment that ended for it: one that died before its successor's first commit may have answered too."""


def _kept(admin: Admin, group: str) -> Mapping[_Name, Rewound]:
    """Give what had settled before each replay."""
    found = (one for one in answers(admin, group) if isinstance(one, Answer))
    return {
        _Name(Partition(one.topic, one.partition), one.rewound.id, one.rewound.begun_by): one.rewound
        for one in found
        if one.rewound is not None and one.rewound.turn == "begun"
    }


def _replay_in(commit: Committed) -> Replay | None:
    try:
        snapshot = decode(commit.metadata)
    except LedgerError:
        return None
    return None if snapshot is None else snapshot.replay


def _topic_ids(admin: Admin, places: Iterable[Partition]) -> Mapping[str, str]:
    names = {place.topic for place in places}
    topics = find_topics(admin, names)
    gone = sorted(names - topics.keys())
    if gone:
        raise BrokerError(f"there is no topic {', '.join(gone)} any more")
    return {name: topic.topic_id for name, topic in topics.items()}


def _command(verb: Verb, place: Partition, ids: Mapping[str, str], who: Who, rewind: Rewind) -> Command:
    return Command(
        id=uuid4().hex,
        verb=verb,
        topic=place.topic,
        topic_id=ids[place.topic],
        partition=place.number,
        who=who.name,
        why=who.reason,
        time_ms=int(time.time() * 1000),
        rewind=rewind,
    )
