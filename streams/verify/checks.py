"""The invariants, each a plain function on a history that gives one sentence a violation.

Each has synthetic histories that must turn it red (`tests/verify/test_checks.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from streams.verify.history import Committed, History, Place, Run, print_of

_CLOCKS_NS: Final = 10_000_000
"""Waits in retry topics pass by the wall clock, in whole milliseconds; runs are noted by the monotonic one."""


def lost(history: History) -> Iterator[str]:
    """No loss: every acknowledged record was done, or stands in the dead-letter topic."""
    for place in sorted(history.sent):
        if not history.is_done(place) and place not in history.dead_at:
            yield f"{_name(place)} is neither done nor dead"
    for number in history.missing:
        yield f"record {number} of the load was acknowledged, and does not stand in the topic"


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
    if place not in history.runs_of:  # given up unread or unrun
        return place in history.dead_at
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
        if not 0 <= letter.attempts <= history.max_attempts:
            yield f"the dead letter of {_name(letter.origin)} tells of {letter.attempts} attempts"


def too_early(history: History) -> Iterator[str]:
    """Delays: an attempt starts only after a failure of the one before it, and no sooner than the wait that follows it.

    It may be any process's failure: where a partition went away, two may have failed at the same attempt.
    """
    for place, runs in sorted(history.runs_of.items()):
        ends: dict[int, int] = {}
        for run in sorted((run for run in runs if run.ended == "failed"), key=lambda run: run.end_ns + run.wait_ns):
            ends.setdefault(run.attempt, run.end_ns + run.wait_ns)
        for run in runs:
            due_ns = ends.get(run.attempt - 1, run.start_ns)
            if run.start_ns + _CLOCKS_NS < due_ns:
                early_ms = (due_ns - run.start_ns) // 1_000_000
                yield f"{_name(place)} came to attempt {run.attempt} {early_ms:,} ms sooner than its wait"


def altered(history: History) -> Iterator[str]:
    """Origin: what was moved to a retry or parked topic is the record that it names as its origin, byte for byte."""
    for copy in history.moved:
        sent = history.sent.get(copy.origin)
        if sent is None:
            yield f"{copy.where} names {_name(copy.origin)} as its origin, which was never sent"
        elif print_of(sent.key, sent.value, sent.headers) != copy.print or sent.time_ms != copy.time_ms:
            yield f"{copy.where} is not {_name(copy.origin)}, which it names as its origin"


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
    for place, reading in sorted(history.finished_at.items()):
        done = any(run.ended == "done" and run.end_ns <= reading.time_ns for run in history.runs_of.get(place, ()))
        if not done and not any(letter.time_ms <= reading.time_ms for letter in history.dead_at.get(place, ())):
            yield f"{_name(place)} was committed before its end"


def risen(history: History) -> Iterator[str]:
    """Finality: what was committed as finished never runs again, whoever owns it later."""
    for place, runs in sorted(history.runs_of.items()):
        reading = history.finished_at.get(place)
        if reading and any(run.start_ns > reading.time_ns and run not in history.slept for run in runs):
            yield f"{_name(place)} of {runs[-1].key} ran again after it was committed as finished"


def impossible_commits(history: History) -> Iterator[str]:
    """Commits never move back, and never pass the end of the log."""
    for one, next_one in pairwise(history.commits):
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
            now = later.offset if later else "none"
            yield f"the commit of {what} {number} moved back from {committed.offset} to {now}"


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
    too_early,
    altered,
    changed,
    unsafe_commits,
    risen,
    impossible_commits,
    unfinished,
    beyond_bound,
)
"""Every invariant; each gives one sentence a violation."""


def _name(place: Place) -> str:
    return f"{place.partition}/{place.offset}"
