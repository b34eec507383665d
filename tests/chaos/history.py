"""What happened to every record of a run, and whether the promise held.

Imports nothing of `streams`: it judges by what the producer was told, what
the handlers wrote down and what the broker holds.  `tests.chaos.evidence`
collects these; the checks here are plain functions on them, each with
synthetic histories that must turn it red (`test_history.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

Headers: TypeAlias = list[tuple[str, bytes | None]]
Ending: TypeAlias = Literal["done", "failed", "cut"]
Kind: TypeAlias = Literal["tier", "parked", "dlq"]

_WAKING_NS: Final = 250_000_000
_MIDWAY: Final = 5


class Place(NamedTuple):
    """Where a record stands in the source topic."""

    partition: int
    offset: int


@dataclass(frozen=True)
class Sent:
    """A record as the producer got it acknowledged."""

    key: str
    seq: int
    """The how-manieth record of its key."""
    value: bytes = b""
    headers: Headers = field(default_factory=list)


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
    """Settled offsets above it."""
    owner: bytes = b""
    """The assignment that committed it."""
    scan_end: int | None = None
    """Of a topic of the chain: from here on only copies of that assignment count."""

    def covers(self, offset: int) -> bool:
        """Say whether *offset* counts as settled."""
        return offset < self.offset or any(offset in settled for settled in self.above)

    def fences(self, copy: Copy) -> bool:
        """Say whether *copy* came too late: its owner had been followed by another one."""
        return self.scan_end is not None and copy.offset >= self.scan_end and copy.owner != self.owner


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

    def __str__(self) -> str:
        """Give how many records ran, and how many waited in the chain."""
        return f"{self.in_flight}+{self.in_tiers}+{self.parked}"


class Pause(NamedTuple):
    """A stretch of time in which a process stood still."""

    pid: int
    from_ns: int
    to_ns: int


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
    max_attempts: int = 3

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
    def may_repeat(self) -> frozenset[Place]:
        """The records that a fault may have run again."""
        return frozenset(run.place for run in self.slept).union(*(fault.may_repeat for fault in self.faults))

    def is_done(self, place: Place) -> bool:
        """Say whether a run of the record at *place* ended well."""
        return any(run.ended == "done" for run in self.runs_of.get(place, ()))


def lost(history: History) -> Iterator[str]:
    """No loss: every acknowledged record was done, or stands in the dead-letter topic."""
    for place in sorted(history.sent):
        if not history.is_done(place) and place not in history.dead_at:
            yield f"{_name(place)} is neither done nor dead"


def double_ends(history: History) -> Iterator[str]:
    """One end: no record is both done and dead, and nothing is dead that was not sent."""
    for place in sorted(history.dead_at):
        if place not in history.sent:
            yield f"{_name(place)} is dead and was never sent"
        elif history.is_done(place):
            yield f"{_name(place)} is both done and dead"


def out_of_order(history: History) -> Iterator[str]:
    """Order: a record of a key first starts after the one before it came to its end, whoever ran them."""
    for lane in history.lanes:
        for before, after in pairwise(lane):
            starts = [run.start_ns for run in history.runs_of.get(after, ())]
            if starts and not _had_ended(history, before, starts[0]):
                yield f"{_name(after)} of {history.sent[after].key} started before {_name(before)} had ended"
    yield from _rewinds(history)


def _had_ended(history: History, place: Place, time_ns: int) -> bool:
    ended = [run.ended for run in history.runs_of.get(place, ()) if run.end_ns <= time_ns]
    if "done" in ended:
        return True
    return any(ended.count("failed") >= letter.attempts for letter in history.dead_at.get(place, ()))


def _rewinds(history: History) -> Iterator[str]:
    """A process goes back in a key only where another one ran records of that partition in between."""
    by_partition: dict[int, list[Run]] = defaultdict(list)
    for run in sorted(history.runs, key=lambda run: run.start_ns):
        by_partition[run.place.partition].append(run)
    for runs in by_partition.values():
        highest: dict[str, Place] = {}
        owner = 0
        for run in runs:
            if run.pid != owner:
                owner, highest = run.pid, {}
            if run.key != "-" and run.place < highest.get(run.key, run.place) and run.place not in history.may_repeat:
                yield f"{_name(run.place)} of {run.key} ran after {_name(highest[run.key])} in one process"
            highest[run.key] = max(run.place, highest.get(run.key, run.place))


def overlaps(history: History) -> Iterator[str]:
    """Mutual exclusion: of one key never two runs at a time.

    A run that began before its process was suspended goes on when that wakes:
    no protocol can prevent it.
    """
    by_lane: dict[tuple[int, str], list[Run]] = defaultdict(list)
    for run in history.runs:
        if run.key != "-" and run not in history.slept:
            by_lane[run.place.partition, run.key].append(run)
    for runs in by_lane.values():
        runs.sort(key=lambda run: run.start_ns)
        for one, next_one in pairwise(runs):
            if next_one.start_ns < one.end_ns:
                yield f"{_name(one.place)} and {_name(next_one.place)} of {one.key} ran at the same time"


def too_many_attempts(history: History) -> Iterator[str]:
    """Attempts: in one stay no record runs more often than the policy says, and no dead letter tells of more.

    Attempts are counted in memory and in copies: where a partition went away
    they may begin again at an earlier one, and never at one that no failed run explains.
    """
    for place, runs in sorted(history.runs_of.items()):
        for run in runs:
            failed = {one.attempt for one in runs if one.ended == "failed" and one.end_ns <= run.start_ns}
            if run.attempt > history.max_attempts or (run.attempt > 1 and run.attempt - 1 not in failed):
                yield f"{_name(place)} came to attempt {run.attempt} after {sorted(failed)} in process {run.pid}"
    for letter in history.dead:
        if not 1 <= letter.attempts <= history.max_attempts:
            yield f"the dead letter of {_name(letter.origin)} tells of {letter.attempts} attempts"


def changed(history: History) -> Iterator[str]:
    """Payload: a dead letter has the key, value, headers and partition number of its record, byte for byte."""
    for letter in history.dead:
        sent = history.sent.get(letter.origin)
        if sent is None:
            continue
        was = sent.key, sent.value, sent.headers, letter.origin.partition
        if was != (letter.key, letter.value, letter.headers, letter.partition):
            yield f"the dead letter of {_name(letter.origin)} is not its record"


def unsafe_commits(history: History) -> Iterator[str]:
    """Commit safety: what was committed as settled had come to its end by then, or stands in the chain."""
    for reading in history.readings:
        for place in sorted(history.sent):
            if not reading.has_finished(place):
                continue
            done = any(run.ended == "done" and run.end_ns <= reading.time_ns for run in history.runs_of.get(place, ()))
            if not done and not any(letter.time_ms <= reading.time_ms for letter in history.dead_at.get(place, ())):
                yield f"{_name(place)} was committed before its end"


def risen(history: History) -> Iterator[str]:
    """Finality: what was committed as finished never runs again, whoever owns it later."""
    for place, runs in sorted(history.runs_of.items()):
        since = next((reading.time_ns for reading in history.readings if reading.has_finished(place)), None)
        if since is not None and any(run.start_ns > since and run not in history.slept for run in runs):
            yield f"{_name(place)} of {runs[-1].key} ran again after it was committed as finished"


def impossible_commits(history: History) -> Iterator[str]:
    """Commits never move back, and never pass the end of the log."""
    for one, next_one in pairwise(history.readings):
        yield from _moved_back("partition", one.committed, next_one.committed)
        for topic, ledgers in one.chain.items():
            yield from _moved_back(topic, ledgers, next_one.chain.get(topic, {}))
    for reading in history.readings[-1:]:
        for number, committed in reading.committed.items():
            if committed.offset > history.ends.get(number, committed.offset):
                yield f"partition {number} is committed past its end, at {committed.offset}"


def _moved_back(what: str, before: Mapping[int, Committed], after: Mapping[int, Committed]) -> Iterator[str]:
    for number, committed in before.items():
        later = after.get(number)
        if later is None or later.offset < committed.offset:
            yield f"the commit of {what} {number} moved back from {committed.offset} to {later}"


def unfinished(history: History) -> Iterator[str]:
    """Progress: after healing everything is committed as settled, and nothing waits in the chain."""
    for place, kind in sorted(history.readings[-1].waiting.items() if history.readings else ()):
        yield f"{_name(place)} still stands in the chain, as {kind}"
    last = history.readings[-1].committed if history.readings else {}
    for number, end in sorted(history.ends.items()):
        committed = last.get(number, Committed(0))
        if end and committed.offset != end:
            yield f"partition {number} is committed up to {committed.offset} of {end}"


def repeated(history: History) -> set[Place]:
    """The records of which more ran than retries ask for."""
    found = set()
    for place, runs in history.runs_of.items():
        done = sum(run.ended == "done" for run in runs)
        cut = any(run.ended == "cut" for run in runs[:-1])
        if done > 1 or cut or len(history.dead_at.get(place, ())) > 1:
            found.add(place)
    return found


def beyond_bound(history: History) -> Iterator[str]:
    """Duplicates: only what was running or not yet committed at a fault runs again."""
    for place in sorted(repeated(history) - history.may_repeat):
        yield f"{_name(place)} ran again, though no fault explains it"


CHECKS = (
    lost,
    double_ends,
    out_of_order,
    overlaps,
    too_many_attempts,
    changed,
    unsafe_commits,
    risen,
    impossible_commits,
    unfinished,
    beyond_bound,
)
"""Every invariant; each gives one sentence a violation."""


@dataclass(frozen=True)
class Verdict:
    """What all checks say of a history."""

    history: History
    violations: Mapping[str, list[str]]
    """Name of a check to its sentences; only those that found something."""

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong."""
        return not self.violations

    def count(self, check: str) -> int:
        """Count the violations of one check."""
        return len(self.violations.get(check, ()))

    @property
    def line(self) -> str:
        """The figures, on one line."""
        history = self.history
        bound = len(history.may_repeat)
        return (
            f"sent {len(history.sent)}, dead {len(history.dead_at)}, runs {len(history.runs)},"
            f" in flight + in tiers + parked at faults [{', '.join(map(str, history.faults))}],"
            f" lost {self.count('lost')},"
            f" out of order {self.count('out_of_order') + self.count('overlaps')},"
            f" duplicates {len(repeated(history))} of at most {bound}"
        )

    def __str__(self) -> str:
        """Give the figures, and the first sentences of each check."""
        told = [f"  {check} ({len(found)}): {'; '.join(found[:3])}" for check, found in self.violations.items()]
        return "\n".join([self.line, *told])


def judge(history: History, *, but: Iterable[str] = ()) -> Verdict:
    """Give the verdict of every check, except those named in *but*."""
    found = {check.__name__: list(check(history)) for check in CHECKS if check.__name__ not in set(but)}
    return Verdict(history, {name: sentences for name, sentences in found.items() if sentences})


def _name(place: Place) -> str:
    return f"{place.partition}/{place.offset}"
