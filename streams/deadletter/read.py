"""Reading dead-letter topics: all of them or one, in bounded memory, each record once.

A copy may be none that counts: what the group has committed tells.  Of those
that do, two can be of one record; the one with the highest hop is shown, then
the one that was written first.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from streams.deadletter.counting import SUPERSEDED, CopyTopic, read_copies
from streams.deadletter.letter import Filter, Letter, RecordName
from streams.engine.chain import dlq_topic
from streams.engine.topics import dlq_names
from streams.errors import DecodeError, LedgerError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.topics import find_topics, list_topics
from streams.record import Partition

_PREVIEW_BYTES: Final = 1_024
_REMEMBERED: Final = 500_000
"""Names kept to tell a second copy; further apart than this many letters, both copies are shown."""


_Row: TypeAlias = "RecordName | tuple[Partition, int]"
"""What has a row of its own: a record, or where each copy is shown, its place."""


@dataclass
class Listing:
    """The newest letters that were wanted, and how many there were.

    Always true: `letters` holds at most `limit`, each record once, or every
    copy where that is asked for, with what a table shows of it.
    """

    limit: int
    shows_all: bool = False
    """Every copy, those that do not count too."""
    found: int = 0
    """Wanted letters in all, of those that are shown."""
    not_counting: int = 0
    """Wanted copies that do not count, shown or not."""
    doubts: Counter[str] = field(default_factory=Counter)
    """Why letters that were found are not known to count, and of how many that is so."""
    unreadable: int = 0
    """Records in these topics that streams did not write, or another group did."""
    _kept: dict[_Row, Letter] = field(default_factory=dict)
    _by_age: list[tuple[int, _Row]] = field(default_factory=list)
    _best: dict[RecordName, tuple[int, int]] = field(default_factory=dict)
    """Hop and offset of the copy that counts, or may."""

    @property
    def letters(self) -> list[Letter]:
        """Oldest first."""
        return sorted(map(self._judged, self._kept.values()), key=lambda letter: (letter.died_ms, letter.origin))

    def add(self, letter: Letter) -> None:
        """Take in one wanted copy."""
        known = self._best.get(letter.name)
        is_best = letter.verdict.may_count and (known is None or letter.header.hop > known[0])
        if is_best:
            self._remember(letter)
        if known is not None or not is_best:  # it is not the one that counts, or the one before it is not any more
            self.not_counting += 1
        if self.shows_all:
            self._take((letter.place, letter.offset), letter)
        elif is_best and known is None:
            self._take(letter.name, letter)
        elif is_best and letter.name in self._kept:
            self._kept[letter.name] = _cut(letter)

    def _take(self, row: _Row, letter: Letter) -> None:
        self.found += 1
        heapq.heappush(self._by_age, (letter.died_ms, row))
        self._kept[row] = _cut(letter)
        if letter.verdict.counts == "unknown":
            self.doubts[letter.verdict.why] += 1
        if len(self._kept) > self.limit:
            self._kept.pop(heapq.heappop(self._by_age)[1], None)

    def _remember(self, letter: Letter) -> None:
        self._best[letter.name] = letter.header.hop, letter.offset
        if len(self._best) > _REMEMBERED:
            del self._best[next(iter(self._best))]

    def _judged(self, letter: Letter) -> Letter:
        """Give *letter*, and where each copy is shown, whether another one of its record counts."""
        here = letter.header.hop, letter.offset
        if not letter.verdict.may_count or self._best.get(letter.name, here) == here:
            return letter
        return replace(letter, verdict=SUPERSEDED)


@dataclass(slots=True)
class Heap:
    """Letters that have something in common."""

    name: str
    """What it is, such as their error."""
    example: Letter
    """One of them, the first that was met."""
    count: int = 0
    oldest_ms: int = 0
    """When the first of them died, and the last; ms since 1970."""
    newest_ms: int = 0

    def add(self, letter: Letter) -> None:
        """Count one more."""
        self.oldest_ms = min(self.oldest_ms, letter.died_ms) if self.count else letter.died_ms
        self.newest_ms = max(self.newest_ms, letter.died_ms)
        self.count += 1


def letter_topics(admin: Admin, *, group: str | None = None, source: str | None = None) -> list[CopyTopic]:
    """Find dead-letter topics, of one group or source or of all."""
    names = dlq_names(list_topics(admin), group)
    found = [CopyTopic(name, topic, owner) for name, (topic, owner) in sorted(names.items())]
    return [one for one in found if group in (None, one.group) and source in (None, one.source)]


def newest(
    admin: Admin, topics: Sequence[CopyTopic], wanted: Filter, limit: int, *, shows_all: bool = False
) -> Listing:
    """Read all of *topics* and give the newest letters that are wanted.

    A topic that was deleted meanwhile has none any more, and is left out.

    Args:
        admin: The connection.
        topics: What to read.
        wanted: Which letters.
        limit: How many of them at most.
        shows_all: Every copy, not each record once: those that do not count too.
    """
    try:
        return _newest(admin, topics, wanted, Listing(limit, shows_all))
    except TopicError as error:
        left = [topic for topic in topics if topic.name != error.topic]
        if len(left) == len(topics):
            raise
        return newest(admin, left, wanted, limit, shows_all=shows_all)


def _newest(admin: Admin, topics: Sequence[CopyTopic], wanted: Filter, listing: Listing) -> Listing:
    groups = {topic.name: topic.group for topic in topics}
    for letter in _letters(admin, topics):
        if letter is None or letter.header.group != groups[letter.place.topic]:
            listing.unreadable += 1
        elif wanted.takes(letter):
            listing.add(letter)
    return listing


def each(admin: Admin, topics: Sequence[CopyTopic], wanted: Filter) -> Iterator[Letter]:
    """Give every wanted letter of *topics* whole, each record once: each partition's as written, partitions mixed.

    Memory is bounded: of two copies of one record that are further apart than
    `_REMEMBERED` letters, both are given.
    """
    groups = {topic.name: topic.group for topic in topics}
    met: dict[RecordName, None] = {}
    for letter in _letters(admin, topics):
        if letter is None or letter.header.group != groups[letter.place.topic] or letter.name in met:
            continue
        if letter.verdict.may_count and wanted.takes(letter):
            met[letter.name] = None
            if len(met) > _REMEMBERED:
                del met[next(iter(met))]
            yield letter


def heaps(admin: Admin, topics: Sequence[CopyTopic], wanted: Filter, by: Callable[[Letter], str]) -> list[Heap]:
    """Count the wanted letters by what *by* says of each, the largest heap first.

    Those beyond `_REMEMBERED` different ones are counted together, under no name.
    """
    found: dict[str, Heap] = {}
    for letter in each(admin, topics, wanted):
        name = by(letter)
        if name not in found and len(found) >= _REMEMBERED:
            name = ""
        found.setdefault(name, Heap(name, replace(letter, value=None, headers=[]))).add(letter)
    return sorted(found.values(), key=lambda heap: heap.count, reverse=True)


def find(admin: Admin, group: str, place: Partition, offset: int, *, shows_all: bool = False) -> Letter:
    """Give the letter of the record that *group* first consumed at *place* and *offset*.

    Where the source topic was made anew, the letter of the topic that exists now counts.

    Args:
        admin: The connection.
        group: Whose.
        place: Of the source.
        offset: The same.
        shows_all: Where no copy counts, give one that does not.

    Raises:
        TopicError: There is none.
    """
    name = dlq_topic(place.topic, group)
    if name not in find_topics(admin, [name]):
        raise TopicError(
            name, f"group {group!r} has no dead letters of topic {place.topic!r}: there is no topic {name}"
        )
    best: dict[str, Letter] = {}
    for letter in _letters(admin, [CopyTopic(name, place.topic, group)], only=place.number):
        if letter is not None and letter.header.group == group and letter.header.offset == offset:
            known = best.get(letter.header.topic_id)
            if known is None or letter.is_better_than(known):
                best[letter.header.topic_id] = letter
    if not best:
        raise TopicError(name, f"group {group!r} has no dead letter {place}/{offset}. See: streams dlq list {group}")
    counting = {topic_id: letter for topic_id, letter in best.items() if letter.verdict.may_count}
    if not counting and not shows_all:
        raise _none_counts(group, place, offset, next(iter(best.values())))
    return _of_source(admin, place.topic, counting or best)


def _of_source(admin: Admin, topic: str, letters: dict[str, Letter]) -> Letter:
    """Of *letters* by the id of their source, give that of the topic that exists now; else the newest."""
    source = find_topics(admin, [topic]).get(topic)
    if source is not None and source.topic_id in letters:
        return letters[source.topic_id]
    return max(letters.values(), key=lambda letter: letter.died_ms)


def _none_counts(group: str, place: Partition, offset: int, letter: Letter) -> TopicError:
    return TopicError(
        letter.place.topic,
        f"group {group!r} has no dead letter {place}/{offset} that counts: the copy {letter.place}/{letter.offset} is"
        f" {letter.verdict.why}. See it all the same with --all",
    )


def _letters(admin: Admin, topics: Sequence[CopyTopic], only: int | None = None) -> Iterator[Letter | None]:
    """Give every record of *topics* up to their present ends; None for one that can't be read."""
    for message, ledger in read_copies(admin, topics, only):
        try:
            yield Letter.read(message, ledger)
        except (LedgerError, DecodeError):
            yield None


def _cut(letter: Letter) -> Letter:
    return replace(letter, value=letter.value and letter.value[:_PREVIEW_BYTES], headers=[])
