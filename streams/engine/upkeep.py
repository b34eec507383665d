"""Keeps the topics of the chain in shape, off the records' way.

What settled in the chain is removed from its logs once it is old enough;
partitions that wait for a topic of their chain are looked at again; a source
that was made anew is noticed, and so is a word of the group that this member
has missed.  All of it asks the cluster, so a thread of its own does it, over a
connection of its own: the poll thread hands it a job now and then, and takes
what came of the last one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

from streams.clock import Clock
from streams.config import Settings
from streams.engine.assignment import Assignment
from streams.engine.claims import Claims
from streams.engine.commit import Committer
from streams.engine.growth import Growth
from streams.engine.partition import PartitionState
from streams.engine.plan import ChainPlan
from streams.engine.recovery import places_of
from streams.engine.topics import kept_s
from streams.errors import BrokerError, ChainError
from streams.kafka.admin import Admin
from streams.kafka.consumer import GroupConsumer
from streams.kafka.groups import Group, describe_group
from streams.kafka.offsets import delete_before, offsets_at
from streams.observer import Observer
from streams.record import Partition

_LOOK_EVERY_S: Final = 1.0
_COMPARE_EVERY_S: Final = 10.0
"""How often sources are compared with what they were."""
_TRY_EVERY_S: Final = 5.0
"""How often a partition that waits for its chain is tried."""
_NOTES: Final = 24
"""Committed offsets are noted so many times in the time for which history is kept: it is that much longer, at most."""
_SOONEST_S: Final = 60.0
_AGED_AT: Final = 3
"""Share of a topic's retention, one in so many, at which what waits there is old: it is moved before half of it."""
_AGES_EVERY: Final = 48
"""How often, in the time of the retention, it is asked what has become old; at least once a minute."""
_INHERITED: Final = 2
"""What settled under earlier owners is removed once it was written this many times the history ago."""


class History:
    """Which offsets of the chain were committed, and since when.

    Always true: offsets ascend, and so do their times.
    """

    def __init__(self, history_s: float) -> None:
        """Call an offset old that was committed *history_s* ago."""
        self._history_s = history_s
        self._notes: dict[Partition, deque[tuple[float, int]]] = {}

    def note(self, committed: Mapping[Partition, int], now_s: float, ours: Collection[Partition]) -> None:
        """Note what is committed now, where that is known; forget what is none of *ours*."""
        self._notes = {place: notes for place, notes in self._notes.items() if place in ours}
        for place, offset in committed.items():
            notes = self._notes.setdefault(place, deque())
            if notes and offset < notes[-1][1]:  # the topic was made anew
                notes.clear()
            if not notes or offset > notes[-1][1]:
                notes.append((now_s, offset))

    def old(self, now_s: float) -> dict[Partition, int]:
        """Give the highest offset of each place that is old."""
        found = {}
        for place, notes in self._notes.items():
            while len(notes) > 1 and now_s - notes[1][0] >= self._history_s:
                notes.popleft()
            if now_s - notes[0][0] >= self._history_s:
                found[place] = notes[0][1]
        return found

    def inherited(self, now_s: float) -> dict[Partition, int]:
        """Give the offset that was committed when each place came, where it is not old yet."""
        return {place: notes[0][1] for place, notes in self._notes.items() if now_s - notes[0][0] < self._history_s}


@dataclass(frozen=True, slots=True)
class Job:
    """What the thread is to do."""

    compare: Sequence[Partition] = ()
    """Source partitions to be compared with their chains."""
    settled: Mapping[Partition, int] = field(default_factory=dict)
    """Up to where the chain's logs may go."""
    inherited: Mapping[Partition, int] = field(default_factory=dict)
    """Up to where they may go of what was written before `written_before_ms`."""
    written_before_ms: int = 0
    aging: Mapping[Partition, int] = field(default_factory=dict)
    """Partitions whose retention is finite, and the time, ms since 1970, from before which what waits there is old."""
    group: str = ""
    """The group to be asked what it wants of whom; "": none is."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job."""

    lacking: Mapping[Partition, str] | None = None
    """What the chains of the partitions lack that were compared; None where that is not known."""
    deleted: Mapping[Partition, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    """Topics from which this user may not delete, or nobody may, with the error's code."""
    aged: Mapping[Partition, int] = field(default_factory=dict)
    """Up to where what waits in a partition is old."""
    group: Group | None = None
    """What the group wants of whom, where it was asked and has answered."""
    trouble: BrokerError | None = None


class Upkeep:
    """Owned by the poll thread; `_work` alone runs in the other one.

    Always true: there is at most one job under way.
    """

    def __init__(
        self,
        settings: Settings,
        plans: Mapping[str, ChainPlan],
        committer: Committer,
        clock: Clock,
        observer: Observer,
        *,
        consumer: GroupConsumer | None = None,
        admin: Admin | None = None,
    ) -> None:
        """Look after the chains of *plans*; nothing is connected before there is something to do.

        *consumer* is a member of a group that tells each word once (KIP-848).
        """
        self._plans = plans
        self._committer = committer
        self._clock = clock
        self._observer = observer
        self._admin = admin or Admin(settings)
        self._consumer = consumer
        self._group = settings.group
        self._claims = Claims()
        self._history_s = settings.chain_history_s
        self._history = History(settings.chain_history_s)
        self._retention_s = settings.chain_retention_s
        self._deleted: dict[Partition, int] = {}
        self._told: set[tuple[str, str]] = set()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._done: SimpleQueue[Done] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_busy = False
        self._look_at = self._try_at = self._age_at = float("-inf")
        self._compare_at = clock.monotonic() + _COMPARE_EVERY_S
        self._delete_at = clock.monotonic() + _SOONEST_S
        self._ask_at = clock.monotonic() + self._claims.ask_every_s

    def look(self, assignment: Assignment) -> None:
        """Take what the thread has done, and hand it what is due; costs one clock reading when nothing is.

        Raises:
            ChainError: A source is another topic than it was when this member started.
        """
        now_s = self._clock.monotonic()
        if now_s < self._look_at:
            return
        self._look_at = now_s + _LOOK_EVERY_S
        while not self._done.empty():
            self._is_busy = False
            self._take(self._done.get(), assignment)
        if not self._is_busy and (job := self._due(assignment, now_s)) is not None:
            self._hand_over(job)

    def close(self) -> None:
        """Let the thread end after what it is doing; it is not waited for: it holds nothing that could be lost."""
        self._jobs.put(None)

    # -- on the poll thread ---------------------------------------------------------------------

    def _due(self, assignment: Assignment, now_s: float) -> Job | None:
        states = assignment.all()
        compare = [state.partition for state in states if state.lacks] if now_s >= self._try_at else []
        if compare:
            self._try_at = now_s + _TRY_EVERY_S
        if now_s >= self._compare_at:
            self._compare_at = now_s + _COMPARE_EVERY_S
            compare = [state.partition for state in states]
        settled, inherited = dict[Partition, int](), dict[Partition, int]()
        if now_s >= self._delete_at:
            self._delete_at = now_s + max(_SOONEST_S, self._history_s / _NOTES)
            ours = {place for state in states for place in places_of(state)}
            self._history.note(self._committed(states), now_s, ours)
            settled, inherited = self._undeleted(self._history.old(now_s)), self._history.inherited(now_s)
        aging = self._aging(states, now_s)
        group = ""
        if self._consumer is not None and states and now_s >= self._ask_at:
            self._ask_at, group = now_s + self._claims.ask_every_s, self._group
        if not (compare or settled or inherited or aging or group):
            return None
        before_ms = int((self._clock.now() - _INHERITED * self._history_s) * 1000)
        return Job(compare, settled, self._undeleted(inherited), before_ms, aging, group)

    def _aging(self, states: Sequence[PartitionState], now_s: float) -> dict[Partition, int]:
        """Give where something waits that retention would take, and what is old there, once it is time to ask."""
        if not self._retention_s or now_s < self._age_at:
            return {}
        self._age_at = now_s + min(_SOONEST_S, self._retention_s / _AGES_EVERY)
        return {
            place: int((self._clock.now() - kept_s(self._retention_s, part.stage.delay_s) / _AGED_AT) * 1000)
            for state in states
            for place, part in zip(places_of(state), state.chain.parts, strict=True)
            if part.outstanding
        }

    def _committed(self, states: Sequence[PartitionState]) -> dict[Partition, int]:
        """Give what the broker has acknowledged of the chains of *states*."""
        return {
            entry.partition: entry.offset
            for state in states
            for entry in self._committer.acknowledged(state.partition)[1:]
        }

    def _undeleted(self, offsets: Mapping[Partition, int]) -> dict[Partition, int]:
        return {place: offset for place, offset in offsets.items() if offset > self._deleted.get(place, 0)}

    def _hand_over(self, job: Job) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="streams-upkeep", daemon=True)
            self._thread.start()
        self._is_busy = True
        self._jobs.put(job)

    def _take(self, done: Done, assignment: Assignment) -> None:
        if isinstance(done.trouble, ChainError):
            raise done.trouble
        if done.trouble is not None:
            self._observer.broker_error(str(done.trouble), fatal=False)
        self._deleted |= done.deleted
        self._note_aged(done.aged, assignment)
        self._heed(done.group, assignment)
        for refusal in done.refused.items():
            if refusal not in self._told:
                self._told.add(refusal)
                self._observer.not_deleted(*refusal)
        if done.lacking is not None:
            for state in assignment.all():
                if state.lacks and state.partition not in done.lacking:
                    assignment.complete(state.partition)

    def _heed(self, group: Group | None, assignment: Assignment) -> None:
        """Join anew where the group has wanted back for a while what is owned here."""
        if self._consumer is None or group is None:
            return
        owned = [state.partition for state in assignment.all()]
        unwanted = self._claims.unwanted(self._consumer.member_id, owned, group)
        if unwanted:
            self._observer.unheard(sorted(unwanted))
            self._consumer.rejoin()

    def _note_aged(self, aged: Mapping[Partition, int], assignment: Assignment) -> None:
        for state in assignment.all() if aged else ():
            for place, part in zip(places_of(state), state.chain.parts, strict=True):
                part.aged_until = min(aged.get(place, 0), part.end)

    # -- on its own thread ----------------------------------------------------------------------

    def _work(self) -> None:
        growth = Growth(self._plans, self._admin)
        while (job := self._jobs.get()) is not None:
            self._done.put(do(job, growth, self._admin))
        self._admin.close()


def do(job: Job, growth: Growth, admin: Admin) -> Done:
    """Do *job*, and say what came of it."""
    lacking = None
    try:
        if job.compare:
            lacking = growth.lacking(job.compare)
        offsets = {**_written_before(admin, job), **job.settled}
        answers = delete_before(admin, offsets)
        aged = _aged(admin, job.aging)
        group = _group(admin, job.group) if job.group else None
    except BrokerError as error:
        return Done(lacking, trouble=error)
    return Done(
        lacking,
        deleted={place: offsets[place] for place, error in answers.items() if error is None},
        refused={place.topic: error.name() for place, error in answers.items() if error is not None},
        aged=aged,
        group=group,
    )


def _group(admin: Admin, name: str) -> Group | None:
    """Ask the group who is to own what; whether it answers is no matter of the chain's."""
    try:
        return describe_group(admin, name)
    except BrokerError:
        return None


def _aged(admin: Admin, aging: Mapping[Partition, int]) -> dict[Partition, int]:
    """Ask, topic by topic where they differ, up to where logs were written before the given times."""
    found: dict[Partition, int] = {}
    for before_ms in set(aging.values()):
        places = [place for place, asked_ms in aging.items() if asked_ms == before_ms]
        found |= offsets_at(admin, places, before_ms)
    return found


def _written_before(admin: Admin, job: Job) -> dict[Partition, int]:
    """Give up to where logs may go of what earlier owners settled: when that was they knew, so its writing counts."""
    if not job.inherited:
        return {}
    written = offsets_at(admin, job.inherited, job.written_before_ms)
    return {place: offset for place in written if (offset := min(written[place], job.inherited[place])) > 0}
