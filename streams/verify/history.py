"""What happened to every record of a run, as values.

Shares nothing with the engine: what the producer was told, what the handlers
wrote down (`journal`) and what the broker holds (`evidence`).  `checks` judges it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import Final, Literal, NamedTuple, TypeAlias

Headers: TypeAlias = list[tuple[str, bytes | None]]
Ending: TypeAlias = Literal["done", "failed", "cut"]
Kind: TypeAlias = Literal["tier", "parked", "dlq"]

_WAKING_NS: Final = 250_000_000
_MIDWAY: Final = 5
_HEARD_NS: Final = 6_000_000_000
"""Within a session members hear that the group has given up on them."""
_START: Final = attrgetter("start")
_TIME: Final = itemgetter(0)


class Place(NamedTuple):
    """Where a record stands in the source topic."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A record as the producer got it acknowledged."""

    key: str
    seq: int
    """The how-manieth record of its key."""
    value: bytes = b""
    headers: Headers = field(default_factory=list)
    time_ms: int = 0
    """Its own timestamp; 0 where it is of no interest."""


class Run(NamedTuple):
    """One run of the handler on one record."""

    place: Place
    key: str
    pid: int
    attempt: int
    start_ns: int
    end_ns: int
    """Where it was cut off: when its process died."""
    ended: Ending
    wait_ns: int = 0
    """Where it failed: the next attempt starts no sooner than so long after its end."""


@dataclass(frozen=True)
class Dead:
    """A record as it stands in the dead-letter topic."""

    origin: Place
    partition: int
    """The one it stands in."""
    key: str
    value: bytes | None
    headers: Headers
    """Its own: without those that tell why it is dead."""
    attempts: int
    time_ms: int


@dataclass(frozen=True)
class Committed:
    """What the group had committed of one partition, of the source or of a topic of its chain."""

    offset: int
    above: tuple[range, ...] = ()
    """Settled offsets above it, ascending."""
    owner: bytes = b""
    """The assignment that committed it."""
    scan_end: int | None = None
    """Of a topic of the chain: from here on only copies of that assignment count."""

    @property
    def end(self) -> int:
        """Nothing from here on is settled."""
        return max(self.offset, self.above[-1].stop if self.above else 0)

    def covers(self, offset: int) -> bool:
        """Say whether *offset* counts as settled."""
        if offset < self.offset:
            return True
        at = bisect_right(self.above, offset, key=_START)
        return at > 0 and offset in self.above[at - 1]

    def fences(self, copy: Copy) -> bool:
        """Say whether *copy* came too late: its owner had been followed by another one."""
        return self.scan_end is not None and copy.offset >= self.scan_end and copy.owner != self.owner


class Moved(NamedTuple):
    """A copy as it was written into a retry or parked topic, whether it counts or not."""

    where: str
    origin: Place
    time_ms: int
    """The timestamp of its record, as it tells."""
    print: bytes
    """Of its key, value and headers, by `print_of`."""


class Copy(NamedTuple):
    """A record as it stands in a topic of the chain."""

    kind: Kind
    origin: Place
    hop: int
    topic: str
    offset: int
    owner: bytes
    """The assignment that wrote it."""


@dataclass(frozen=True)
class Reading:
    """The group's committed state at one moment."""

    time_ns: int
    """When the answer was there."""
    time_ms: int
    """The same moment by the wall clock, as in dead letters."""
    committed: Mapping[int, Committed]
    """Of the source, by partition."""
    chain: Mapping[str, Mapping[int, Committed]] = field(default_factory=dict)
    """Of the topics of the chain, by topic and partition."""
    waiting: Mapping[Place, Kind] = field(default_factory=dict)
    """The records that stand in the chain and need work, each with where; dead letters are none of them."""
    late: int = 0
    """Copies that came too late to count."""

    @property
    def owners(self) -> dict[int, bytes]:
        """The assignments that committed the source's partitions last."""
        return {number: committed.owner for number, committed in self.committed.items()}

    def but(self, before: Reading, numbers: Collection[int]) -> Reading:
        """Give this reading with partitions *numbers* as they were *before*."""
        topics = {*self.chain, *before.chain}
        chain = {topic: _mixed(self.chain.get(topic, {}), before.chain.get(topic, {}), numbers) for topic in topics}
        waiting = {place: kind for place, kind in self.waiting.items() if place.partition not in numbers}
        waiting |= {place: kind for place, kind in before.waiting.items() if place.partition in numbers}
        return replace(self, committed=_mixed(self.committed, before.committed, numbers), chain=chain, waiting=waiting)

    def has_finished(self, place: Place) -> bool:
        """Say whether the record at *place* needs no more work: a record that was moved on does."""
        committed = self.committed.get(place.partition)
        return committed is not None and committed.covers(place.offset) and place not in self.waiting


@dataclass(frozen=True)
class Fault:
    """Something that may have records run again: which ones, and how many were running."""

    what: str
    may_repeat: frozenset[Place] = frozenset()
    in_flight: int = 0
    in_tiers: int = 0
    parked: int = 0
    """Records that stood in the chain of its partitions."""

    @property
    def kind(self) -> str:
        """What was done, without to whom."""
        return self.what.rpartition(" of ")[0] or self.what

    def __str__(self) -> str:
        """Give how many records ran, and how many waited in the chain."""
        return f"{self.in_flight}+{self.in_tiers}+{self.parked}"


class Pause(NamedTuple):
    """A stretch of time in which a process stood still."""

    pid: int
    from_ns: int
    to_ns: int

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.to_ns - self.from_ns) / 1e9


@dataclass(frozen=True)
class History:
    """All of one run."""

    sent: Mapping[Place, Sent]
    runs: tuple[Run, ...] = ()
    dead: tuple[Dead, ...] = ()
    readings: tuple[Reading, ...] = ()
    """The group's state in the order it was read; the last one after everything ended."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """Partition to the end of its log."""
    faults: tuple[Fault, ...] = ()
    pauses: tuple[Pause, ...] = ()
    standstills: tuple[Pause, ...] = ()
    """Stretches in which the whole machine stood still, of no process."""
    moved: tuple[Moved, ...] = ()
    max_attempts: int = 3
    missing: tuple[int, ...] = ()
    """Numbers of records that were acknowledged to the producer and do not stand in the topic."""

    @cached_property
    def runs_of(self) -> Mapping[Place, list[Run]]:
        """The runs of each record, in the order of their starts."""
        found: dict[Place, list[Run]] = defaultdict(list)
        for run in sorted(self.runs, key=lambda run: run.start_ns):
            found[run.place].append(run)
        return found

    @cached_property
    def dead_at(self) -> Mapping[Place, list[Dead]]:
        """The dead letters of each record."""
        found: dict[Place, list[Dead]] = defaultdict(list)
        for letter in self.dead:
            found[letter.origin].append(letter)
        return found

    @cached_property
    def slept(self) -> frozenset[Run]:
        """The runs that were under way while their process stood still.

        What a thread was just about to start, its lease looked at, starts when
        the process wakes, and no protocol can prevent it: a few of so many threads.
        """
        found: set[Run] = set()
        for pause in self.pauses:
            own = sorted((run for run in self.runs if run.pid == pause.pid), key=lambda run: run.start_ns)
            found.update(run for run in own if run.start_ns <= pause.to_ns and pause.from_ns <= run.end_ns)
            awake = [run for run in own if pause.to_ns < run.start_ns < pause.to_ns + _WAKING_NS]
            found.update(awake if len(awake) <= _MIDWAY else ())
        return frozenset(found)

    @cached_property
    def lanes(self) -> list[list[Place]]:
        """The records of each key in each partition, in their order; one without a key has a lane of its own."""
        found: dict[tuple[int, str], list[Place]] = defaultdict(list)
        for place, record in sorted(self.sent.items()):
            if record.key != "-":
                found[place.partition, record.key].append(place)
        return list(found.values())

    @cached_property
    def commits(self) -> tuple[Reading, ...]:
        """The readings, each with what its partitions' owners had committed.

        A request that the client kept while it could not reach the broker may be
        stored after a successor's first: the broker looks whether its sender is a
        member, not what that owns.  The successor's next commit mends it; until
        then the reading before tells.
        """
        found: list[Reading] = []
        for reading in self.readings:
            late = [number for number in reading.committed if self._is_followed(reading, number)]
            found.append(reading.but(found[-1], late) if found and late else reading)
        return tuple(found)

    def _is_followed(self, reading: Reading, number: int) -> bool:
        """Say whether *reading* shows a commit by an owner of partition *number* after whom another process ran.

        The owner's process is the first that ran after its first commit was seen.
        """
        owner, starts = reading.owners[number], self._starts[number]
        first = bisect_right(starts, self._first_seen_ns[number, owner], key=_TIME)
        stop = bisect_right(starts, reading.time_ns, key=_TIME)
        return bool(owner) and first < stop and starts[first][1] != starts[stop - 1][1]

    @cached_property
    def _first_seen_ns(self) -> Mapping[tuple[int, bytes], int]:
        """When a reading first showed a commit by each owner of a partition."""
        found: dict[tuple[int, bytes], int] = {}
        for reading in self.readings:
            for place in reading.owners.items():
                found.setdefault(place, reading.time_ns)
        return found

    @cached_property
    def _starts(self) -> Mapping[int, list[tuple[int, int]]]:
        """When runs of each partition started, in their order, and in which process."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for run in self.runs:
            found[run.place.partition].append((run.start_ns, run.pid))
        return defaultdict(list, {number: sorted(starts) for number, starts in found.items()})

    @cached_property
    def finished_at(self) -> Mapping[Place, Reading]:
        """The first reading that calls each record finished; each later one was to find it so, too."""
        found: dict[Place, Reading] = {}
        open_places = sorted(self.sent, key=lambda place: place.offset)
        for reading in self.commits:
            beyond = max((committed.end for committed in reading.committed.values()), default=0)
            first = bisect_right(open_places, beyond, key=lambda place: place.offset)
            done = {place for place in open_places[:first] if reading.has_finished(place)}
            found.update(dict.fromkeys(done, reading))
            open_places = [*(place for place in open_places[:first] if place not in done), *open_places[first:]]
        return found

    @cached_property
    def held_up(self) -> frozenset[Place]:
        """What had begun, and was not committed as finished, when the whole machine stood still: sessions may end."""
        found: set[Place] = set()
        for pause in self.standstills:
            known = [reading for reading in self.readings if reading.time_ns <= pause.from_ns][-1:]
            begun = {run.place for run in self.runs if run.start_ns <= pause.to_ns + _HEARD_NS}
            found |= {place for place in begun if not any(reading.has_finished(place) for reading in known)}
        return frozenset(found)

    @cached_property
    def may_repeat(self) -> frozenset[Place]:
        """The records that a fault may have run again."""
        return self.held_up.union((run.place for run in self.slept), *(fault.may_repeat for fault in self.faults))

    def is_done(self, place: Place) -> bool:
        """Say whether a run of the record at *place* ended well."""
        return any(run.ended == "done" for run in self.runs_of.get(place, ()))


def _mixed(
    now: Mapping[int, Committed], before: Mapping[int, Committed], numbers: Collection[int]
) -> dict[int, Committed]:
    """Give what is committed *now*, of partitions *numbers* what was *before*."""
    kept = {number: committed for number, committed in now.items() if number not in numbers}
    return kept | {number: committed for number, committed in before.items() if number in numbers}


def print_of(key: str, value: bytes | None, headers: Headers) -> bytes:
    """Give a short print of a record: whatever is changed in it changes that."""
    return blake2b(repr((key, value, headers)).encode(), digest_size=12).digest()
