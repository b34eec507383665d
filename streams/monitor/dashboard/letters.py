"""An index of the dead letters that count: what a list shows of each, without payloads, in bounded memory.

It is read along as letters come, and what the groups' commits say is settled
leaves it.  Filters, kinds and pages come from here, so that they cost no read
of a topic; what is acted on is read again from the broker before.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from sys import intern
from time import monotonic
from typing import Final

from streams.config import Settings
from streams.deadletter.counting import CopyLedger
from streams.deadletter.letter import Letter
from streams.errors import DecodeError, LedgerError
from streams.kafka.message import Message, place_of
from streams.kafka.reader import Stretch, read
from streams.monitor.dashboard.masking import Mask
from streams.monitor.dashboard.survey import Commit
from streams.record import Origin, Partition

MOST: Final = 150_000
"""Letters that are listed, of all groups together; beyond that the oldest leave the list, not the count."""
SLICE_S: Final = 1.0
"""Seconds of reading at a stretch, so that looks and pages come in between."""
_MESSAGE_CHARS: Final = 300
_KEY_BYTES: Final = 200
_TOLD_CHARS: Final = 200
_ANSWERS: Final = 4
_LEAVE: Final = 100
"""At the bound the fullest partition gives up every so manieth of all rows at once."""


@dataclass(frozen=True, slots=True)
class Row:
    """One dead letter, as a list shows it."""

    group: str
    place: Partition
    """Of the copy, in the dead-letter topic."""
    offset: int
    origin: Origin
    topic_id: str
    assignment_id: bytes
    hop: int
    key: bytes | None
    """Its first bytes, where it is long."""
    shown_key: bytes | None
    """The same as those see it who may not see every field."""
    died_ms: int
    attempts: int
    redrives: int
    error: str
    """The class; "-" where none is told."""
    message: str
    masked: str
    """The message as those see it who may not see every field."""
    reason: str
    handler: str
    doubt: str
    """Why nobody knows whether it counts; empty where it does."""

    @property
    def name(self) -> str:
        """How people name it."""
        return str(self.origin)

    def told(self, *, is_masked: bool) -> str:
        """Give the error in one line, which is also its kind."""
        return told(self.error, self.masked if is_masked else self.message)


@dataclass(slots=True)
class _Part:
    """One partition of a dead-letter topic."""

    group: str
    at: int
    """What is read next."""
    commit: Commit
    ledger: CopyLedger
    rows: dict[int, Row] = field(default_factory=dict)
    """By offset, ascending."""
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    """Where the copy of a record stands that counts, by topic id and origin."""
    given_up: int = 0

    @property
    def left(self) -> int:
        """Offsets that have not been read."""
        return max(0, self.commit.end - self.at)


@dataclass(frozen=True)
class Shelf:
    """The letters of one group, or of all, at one moment."""

    rows: tuple[Row, ...] = ()
    """Newest first."""
    left: int = 0
    """Offsets that have not been read yet."""
    given_up: int = 0
    """Older ones that are not listed, because too many are."""
    answers: dict[tuple[str, bool], list[Row]] = field(default_factory=dict, compare=False)
    """What filters chose of them, kept for the next page of the same list; a few."""

    def chosen(self, name: tuple[str, bool], choose: Callable[[Iterable[Row]], list[Row]]) -> list[Row]:
        """Give what *choose* takes; what it took under *name* before is not looked through again."""
        found = self.answers.get(name)
        if found is None:
            found = choose(self.rows)
            if len(self.answers) >= _ANSWERS:
                self.answers.clear()
            self.answers[name] = found
        return found

    @property
    def is_whole(self) -> bool:
        """It lists every letter."""
        return not (self.left or self.given_up)

    def kinds(self, *, is_masked: bool) -> list[tuple[str, int]]:
        """Count all of them by their error, once."""
        return self._masked_kinds if is_masked else self._kinds

    @cached_property
    def _kinds(self) -> list[tuple[str, int]]:
        return kinds(self.rows, is_masked=False)

    @cached_property
    def _masked_kinds(self) -> list[tuple[str, int]]:
        return kinds(self.rows, is_masked=True)


class LetterIndex:
    """The watch feeds it; any thread may ask for a shelf.

    Always true: at most `most` rows; each record has one, that of its highest hop.
    """

    def __init__(self, settings: Settings, mask: Mask, *, most: int = MOST) -> None:
        """Read from the cluster of *settings*."""
        self._settings = settings
        self._mask = mask
        self._most = most
        self._parts: dict[Partition, _Part] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._versions: dict[str, int] = {}
        self._shelves: dict[str, tuple[int, Shelf]] = {}
        self._ids: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return self._count

    def update(self, commits: Mapping[Partition, Commit], *, within_s: float = SLICE_S) -> bool:
        """Take in what the groups have committed, then what was written since; say whether all of that was read.

        Raises:
            BrokerError: The broker does not answer.
        """
        with self._lock:
            for place in self._parts.keys() - commits.keys():
                self._count -= len(self._parts[place].rows)
                self._touch(self._parts.pop(place).group)
            for place, commit in commits.items():
                self._judge(place, commit)
        unread = {place: Stretch(part.at, part.commit.end) for place, part in self._parts.items() if part.left}
        if not unread:
            return True
        end = monotonic() + within_s
        met = dict.fromkeys(unread, False)
        for message in read(self._settings, unread):
            with self._lock:
                self._take(message)
            met[place_of(message)] = True
            if monotonic() > end:
                return False
        with self._lock:
            for place, stretch in unread.items():  # what stands at its end may be no record
                self._parts[place].at = max(self._parts[place].at, stretch.stop)
                self._touch(self._parts[place].group)
        return True

    def shelf(self, group: str = "") -> Shelf:
        """Give the letters of *group*, or of all."""
        with self._lock:
            version = self._versions.get(group, 0)
            known = self._shelves.get(group)
            if known is not None and known[0] == version:
                return known[1]
            parts = [part for part in self._parts.values() if group in ("", part.group)]
            rows = [row for part in parts for row in part.rows.values()]
            left, given_up = sum(part.left for part in parts), sum(part.given_up for part in parts)
        rows.sort(key=_died, reverse=True)
        shelf = Shelf(tuple(rows), left, given_up)
        self._shelves[group] = version, shelf
        return shelf

    def row(self, group: str, origin: Partition, offset: int) -> Row | None:
        """Give the letter of one record."""
        with self._lock:
            for part in self._parts.values():
                if part.group == group:
                    for row in part.rows.values() if _is_of(part, origin) else ():
                        if row.origin[:3] == (*origin, offset):
                            return row
        return None

    # -- one partition --------------------------------------------------------------------------------------

    def _judge(self, place: Partition, commit: Commit) -> None:
        """Hold the partition's letters against what was committed since."""
        part = self._parts.get(place)
        if part is not None and (part.commit.topic_id, part.commit.low > commit.end) != (commit.topic_id, False):
            self._count -= len(part.rows)  # the source was made anew, or the topic itself
            part = None
        if part is None:
            ledger = CopyLedger.read(commit.committed, commit.known_until, commit.end, commit.topic_id)
            start = commit.low if ledger.doubt else max(commit.low, ledger.committed)
            self._parts[place] = _Part(commit.group, start, commit, ledger)
            self._touch(commit.group)
            return
        if commit == part.commit:
            return
        is_news = commit.committed != part.commit.committed
        part.commit = commit
        part.ledger = CopyLedger.read(commit.committed, commit.known_until, commit.end, commit.topic_id)
        if is_news or any(row.doubt for row in part.rows.values()):
            for offset, row in list(part.rows.items()):
                self._judge_row(part, offset, row)
            self._touch(part.group)

    def _judge_row(self, part: _Part, offset: int, row: Row) -> None:
        if not part.ledger.verdict(offset, row).may_count:
            del part.rows[offset]
            part.places.pop((row.topic_id, row.origin.offset), None)
            self._count -= 1

    def _take(self, message: Message) -> None:
        """Take in one copy."""
        part = self._parts.get(place_of(message))
        if part is None:
            return
        part.at = (message.offset() or 0) + 1
        try:
            letter = Letter.read(message, part.ledger)
        except (LedgerError, DecodeError):
            return  # not written by streams
        if letter.header.group != part.group or not letter.verdict.may_count:
            return
        name = letter.header.topic_id, letter.header.offset
        before = part.places.get(name)
        if before is not None:
            if part.rows[before].hop >= letter.header.hop:
                return
            del part.rows[before]
            self._count -= 1
        part.places[name] = letter.offset
        part.rows[letter.offset] = self._row(letter)
        self._count += 1
        self._touch(part.group)
        if self._count > self._most:
            self._give_up()

    def _row(self, letter: Letter) -> Row:
        header, error = letter.header, letter.error
        message = "" if error is None else error.message[:_MESSAGE_CHARS]
        key = None if letter.key is None else letter.key[:_KEY_BYTES]
        assignment_id = self._ids.setdefault(header.assignment_id, header.assignment_id)
        if len(self._ids) > self._most:
            self._ids.clear()
        return Row(
            group=intern(header.group),
            place=letter.place._replace(topic=intern(letter.place.topic)),
            offset=letter.offset,
            origin=letter.origin._replace(topic=intern(header.topic)),
            topic_id=intern(header.topic_id),
            assignment_id=assignment_id,
            hop=header.hop,
            key=key,
            shown_key=self._mask.scrub_bytes(key, letter.value),
            died_ms=letter.died_ms,
            attempts=header.attempts,
            redrives=header.redrives,
            error="-" if error is None else intern(error.error),
            message=intern(message),
            masked=intern(self._mask.scrub(message, letter.value)),
            reason="" if error is None else intern(error.reason),
            handler="" if error is None else intern(error.handler),
            doubt=intern(letter.verdict.why) if letter.verdict.counts == "unknown" else "",
        )

    def _give_up(self) -> None:
        """Leave out the oldest letters of the partition that has most."""
        part = max(self._parts.values(), key=lambda one: len(one.rows))
        for offset in list(part.rows)[: max(1, self._most // _LEAVE)]:
            row = part.rows.pop(offset)
            part.places.pop((row.topic_id, row.origin.offset), None)
            part.given_up += 1
            self._count -= 1

    def _touch(self, group: str) -> None:
        for name in (group, ""):
            self._versions[name] = self._versions.get(name, 0) + 1


def kinds(rows: Iterable[Row], *, is_masked: bool) -> list[tuple[str, int]]:
    """Count *rows* by their error as a visitor may see it, most first."""
    counts = Counter[str]()
    for (error, message), count in Counter(map(_MASKED_WORDS if is_masked else _WORDS, rows)).items():
        counts[told(error, message)] += count
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def told(error: str, message: str) -> str:
    """Give an error in one line."""
    return f"{error}: {message}"[:_TOLD_CHARS] if message else error


_WORDS: Final = attrgetter("error", "message")
_MASKED_WORDS: Final = attrgetter("error", "masked")


def _died(row: Row) -> tuple[int, Origin]:
    return row.died_ms, row.origin


def _is_of(part: _Part, origin: Partition) -> bool:
    """Say whether *part* can hold letters of *origin*: records keep their partition's number."""
    first = next(iter(part.rows.values()), None)
    return first is not None and first.origin[:2] == origin
