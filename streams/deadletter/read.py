"""Reading dead-letter topics: all of them or one, in bounded memory, each record once.

After a crash two copies of one record can stand in a topic; the one with the
highest hop counts, then the one that was written first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from streams.deadletter.letter import Filter, Letter, RecordName
from streams.engine.chain import dlq_topic
from streams.engine.topics import dlq_names
from streams.errors import LedgerError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.offsets import watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import find_topics, list_topics
from streams.record import Partition

_PREVIEW_BYTES: Final = 1_024
_REMEMBERED: Final = 500_000
"""Names kept to tell a second copy; further apart than this many letters, both copies are shown."""


@dataclass(frozen=True, slots=True)
class LetterTopic:
    """A dead-letter topic, and whose it is."""

    name: str
    source: str
    group: str


@dataclass
class Listing:
    """The newest letters that were wanted, and how many there were.

    Always true: `letters` holds at most `limit`, each record once, with what a table
    shows of it.
    """

    limit: int
    found: int = 0
    """Wanted letters in all."""
    unreadable: int = 0
    """Records in these topics that streams did not write, or another group did."""
    _kept: dict[RecordName, Letter] = field(default_factory=dict)
    _by_age: list[tuple[int, RecordName]] = field(default_factory=list)
    _seen: dict[RecordName, int] = field(default_factory=dict)

    @property
    def letters(self) -> list[Letter]:
        """Oldest first."""
        return sorted(self._kept.values(), key=lambda letter: (letter.died_ms, letter.origin))

    def add(self, letter: Letter) -> None:
        """Take in one wanted letter."""
        name = letter.name
        hop = self._seen.get(name)
        if hop is not None and letter.header.hop <= hop:
            return
        self._remember(name, letter.header.hop)
        if hop is None:
            self.found += 1
            heapq.heappush(self._by_age, (letter.died_ms, name))
            self._kept[name] = _cut(letter)
            if len(self._kept) > self.limit:
                self._kept.pop(heapq.heappop(self._by_age)[1], None)
        elif name in self._kept:
            self._kept[name] = _cut(letter)

    def _remember(self, name: RecordName, hop: int) -> None:
        self._seen[name] = hop
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]


def letter_topics(admin: Admin, *, group: str | None = None, source: str | None = None) -> list[LetterTopic]:
    """Find dead-letter topics, of one group or source or of all."""
    names = dlq_names(list_topics(admin), group)
    found = [LetterTopic(name, topic, owner) for name, (topic, owner) in sorted(names.items())]
    return [one for one in found if group in (None, one.group) and source in (None, one.source)]


def newest(admin: Admin, topics: Sequence[LetterTopic], wanted: Filter, limit: int) -> Listing:
    """Read all of *topics* and give the newest letters that are wanted."""
    listing = Listing(limit)
    groups = {topic.name: topic.group for topic in topics}
    for letter in _letters(admin, list(groups)):
        if letter is None or letter.header.group != groups[letter.place.topic]:
            listing.unreadable += 1
        elif wanted.takes(letter):
            listing.add(letter)
    return listing


def find(admin: Admin, group: str, place: Partition, offset: int) -> Letter:
    """Give the letter of the record that *group* first consumed at *place* and *offset*.

    Where the source topic was made anew, the letter of the topic that exists now counts.

    Raises:
        TopicError: There is none.
    """
    name = dlq_topic(place.topic, group)
    if name not in find_topics(admin, [name]):
        raise TopicError(
            name, f"group {group!r} has no dead letters of topic {place.topic!r}: there is no topic {name}"
        )
    best: dict[str, Letter] = {}
    for letter in _letters(admin, [name], only=place.number):
        if letter is not None and letter.header.group == group and letter.header.offset == offset:
            known = best.get(letter.header.topic_id)
            if known is None or letter.is_better_than(known):
                best[letter.header.topic_id] = letter
    if not best:
        raise TopicError(name, f"group {group!r} has no dead letter {place}/{offset}. See: streams dlq list {group}")
    source = find_topics(admin, [place.topic]).get(place.topic)
    if source is not None and source.topic_id in best:
        return best[source.topic_id]
    return max(best.values(), key=lambda letter: letter.died_ms)


def _letters(admin: Admin, topics: Sequence[str], only: int | None = None) -> Iterator[Letter | None]:
    """Give every record of *topics* up to their present ends; None for one that can't be read."""
    found = find_topics(admin, topics)
    places = [place for topic in found.values() for place in topic.all_partitions if only in (None, place.number)]
    stretches = {place: Stretch(marks.low, marks.high) for place, marks in watermarks(admin, places).items()}
    for message in read(admin.settings, stretches):
        try:
            yield Letter.read(message)
        except LedgerError:
            yield None


def _cut(letter: Letter) -> Letter:
    return replace(letter, value=letter.value and letter.value[:_PREVIEW_BYTES], headers=[])
