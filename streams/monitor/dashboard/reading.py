"""What pages about one record, one key or one plan read from the broker, each within a bound."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from streams.config import Settings
from streams.deadletter.letter import Letter
from streams.deadletter.read import find
from streams.engine.chain import CopyHeader
from streams.engine.command import audit_topic
from streams.engine.directive import Directive, directive_topic, standing_directives
from streams.engine.standing import Progress, Standing, progress
from streams.engine.topics import chain_names, kind_of
from streams.errors import BrokerError, StreamsError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.groups import Group
from streams.kafka.message import Message, place_of
from streams.kafka.offsets import committed, watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import find_topics, list_topics
from streams.monitor.conditions import Condition, conditions
from streams.monitor.dashboard.audit import Entry
from streams.monitor.dashboard.jobs import letters_at
from streams.monitor.dashboard.letters import Row
from streams.monitor.direct import Following, following
from streams.monitor.journey import Journey, journey
from streams.monitor.report import reports
from streams.monitor.trail import Copy, chain_topics_of, copies
from streams.record import Partition
from streams.replay.plan import Plan, plan
from streams.replay.target import Target

CONNECTIONS: Final = 4
"""Pages that read from the broker at the same time; others wait."""
WAIT_S: Final = 5.0
"""How long."""
COPIES: Final = 20_000
"""Copies of a chain that are looked through for keys in trouble, and for one key."""
KEYS: Final = 200
"""Keys in trouble that are shown."""
ANSWERS: Final = 20
"""Of each group, its last entries in the page that shows those of all groups."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One key of which something waits in retry or parked topics."""

    place: Partition
    """Of the source."""
    key: bytes | None
    copies: int
    head: Copy
    """Its oldest record there."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """The keys in trouble, those whose oldest record is oldest first."""

    keys: Sequence[Trouble]
    is_whole: bool
    """Every copy was looked at."""


class _EnoughError(StreamsError):
    """So much was looked through that nothing more is."""


class Reading:
    """Any thread may read; the connections are lent to one at a time."""

    def __init__(self, settings: Settings) -> None:
        """Read from the cluster of *settings*."""
        self._settings = settings
        self._free: queue.LifoQueue[Admin] = queue.LifoQueue()  # the one that is connected is lent first
        for _ in range(CONNECTIONS):
            self._free.put(Admin(settings))

    def journey(self, standing: Standing, place: Partition, offset: int, *, is_fresh: bool = False) -> Journey:
        """Look up what became of one record; what is known of its partition too, unless that *is_fresh*.

        Raises:
            BrokerError: There is no such partition, or no answer.
        """
        with self._lent() as admin:
            return journey(admin, standing if is_fresh else _anew(admin, standing, place), place, offset)

    def connect(self) -> None:
        """Connect one of them before it is needed; what is wrong is told by who needs it."""
        with suppress(BrokerError), self._lent() as admin:
            list_topics(admin)

    def letter(self, group: str, row: Row | None, place: Partition, offset: int) -> Letter:
        """Give a dead letter whole; *row* says where it stands, where that is known.

        Raises:
            BrokerError: There is none, or no answer.
        """
        with self._lent() as admin:
            if row is not None and (found := next(letters_at(admin, group, [row]), None)) is not None:
                return found
            return find(admin, group, place, offset)

    def letters(self, group: str, rows: Sequence[Row]) -> Iterator[Letter]:
        """Give letters whole, through a connection of their own, however long that takes."""
        with Admin(self._settings) as admin:
            yield from letters_at(admin, group, rows)

    def troubles(self, standing: Standing) -> Troubles:
        """Find the keys of which something waits in retry and parked topics."""
        with self._lent() as admin:
            found, is_whole = _copies(admin, standing, None)
        by_key: dict[tuple[Partition, bytes | None], list[Copy]] = {}
        for copy in found:
            place = Partition(copy.header.topic, copy.header.partition)
            by_key.setdefault((place, copy.key), []).append(copy)
        keys = [
            Trouble(place, key, len({one.header.offset for one in these}), min(these, key=_age))
            for (place, key), these in by_key.items()
        ]
        keys.sort(key=lambda one: one.head.header.first_failed_ms or one.head.appended_ms)
        return Troubles(keys[:KEYS], is_whole and len(keys) <= KEYS)

    def of_key(self, standing: Standing, key: bytes) -> tuple[list[Copy], bool]:
        """Find what waits of *key* in the chain, oldest first; say whether all of the chain was looked at."""
        with self._lent() as admin:
            found, is_whole = _copies(admin, standing, key)
        return sorted(found, key=lambda one: (one.header.topic, one.header.offset, one.header.hop)), is_whole

    def replay(self, standing: Standing, topic: str, target: Target) -> Plan:
        """Say what a replay would do; changes nothing."""
        with self._lent() as admin:
            concerned: list[Progress] = [one for place, one in standing.progress.items() if topic in ("", place.topic)]
            return plan(standing.group.name, concerned, target.wishes(admin, concerned))

    def conditions(self, group: Group, now_ms: int, *, is_masked: bool) -> tuple[list[Condition], list[Directive]]:
        """Say what is wrong with *group*, by what its members report, and what operators want of it."""
        with self._lent() as admin:
            standing = list(standing_directives(admin, group.name).values())
            return conditions(group, reports(admin, group.name), now_ms, standing, tells_text=not is_masked), standing

    def following(self, group: str) -> Following | None:
        """See who follows all that *group* was told; None where it never was told anything."""
        with self._lent() as admin:
            place = Partition(directive_topic(group), 0)
            if place.topic not in find_topics(admin, [place.topic]):
                return None
            return following(admin, group, watermarks(admin, [place])[place].high - 1)

    def audit(self, groups: Sequence[str], limit: int) -> list[Entry]:
        """Give the last entries in the audits of *groups*, newest first; of each at most *limit*."""
        with self._lent() as admin:
            names = {audit_topic(group): group for group in groups}
            there = find_topics(admin, names)
            marks = watermarks(admin, [Partition(name, 0) for name in names if name in there])
            stretches = {place: Stretch(max(mark.low, mark.high - limit), mark.high) for place, mark in marks.items()}
            messages = read(admin.settings, stretches)
            found = [Entry.read(names[place_of(message).topic], message.value()) for message in messages]
        return sorted((one for one in found if one is not None), key=lambda one: -one.time_ms)

    @contextmanager
    def _lent(self) -> Iterator[Admin]:
        try:
            admin = self._free.get(timeout=WAIT_S)
        except queue.Empty:
            raise BrokerError(f"{CONNECTIONS} pages are reading already: try again in a moment") from None
        try:
            yield admin
        finally:
            self._free.put(admin)


def _anew(admin: Admin, standing: Standing, place: Partition) -> Standing:
    """Give *standing* with what is known of one partition looked up now."""
    topic = find_topics(admin, [place.topic]).get(place.topic)
    if topic is None or place.number >= topic.partitions:
        raise TopicError(place.topic, f"there is no partition {place}")
    if place.topic not in standing.topics:
        own = ", ".join(standing.topics) or "none"
        name = standing.group.name
        raise TopicError(place.topic, f"group {name!r} does not read topic {place.topic!r}; it reads: {own}")
    commit = committed(admin, standing.group.name, [place]).get(place)
    mark = watermarks(admin, [place])[place]
    return replace(standing, progress={**standing.progress, place: progress(place, commit, mark)})


def _copies(admin: Admin, standing: Standing, key: bytes | None) -> tuple[list[Copy], bool]:
    """Look through retry and parked topics, and for one *key* through the dead letters too; up to a bound."""
    seen = 0

    def takes(message: Message, _: CopyHeader) -> bool:
        nonlocal seen
        seen += 1
        if seen > COPIES:
            raise _EnoughError
        return key is None or message.key() == key

    found: list[Copy] = []
    names = chain_names(list_topics(admin), standing.group.name)
    sources = sorted({source for source, _ in names.values()})
    topics = [one for source in sources for one in chain_topics_of(admin, standing.group.name, source)]
    wanted = [one for one in topics if key is not None or kind_of(one.name) != "dlq"]
    try:
        found.extend(copy for copy in copies(admin, wanted, takes=takes) if copy.is_live)
    except _EnoughError:
        return found, False
    return found, True


def _age(copy: Copy) -> int:
    return copy.header.offset
