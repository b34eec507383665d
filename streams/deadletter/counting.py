"""Which copies in a topic of the chain count, by what the group has committed (protocol, rule 20).

Not all that stands there is true: an owner that had lost its partition may
have appended a copy late, of a record that its successor ended well.  Ledger
and fence in the group's commit tell, and are applied as the next owner would
apply them.  Nothing that may be real is denied: where they tell nothing, a
copy may count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from streams.engine.snapshot import decode
from streams.errors import LedgerError
from streams.kafka.admin import Admin
from streams.kafka.message import Message, place_of
from streams.kafka.offsets import Committed, Watermarks, committed, ends, watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import find_topics
from streams.record import Partition

Counts: TypeAlias = Literal["yes", "no", "unknown"]


class Verdict(NamedTuple):
    """Whether a copy counts, in a dead-letter topic as a dead letter, and why not, or why nobody knows."""

    counts: Counts
    why: str = ""
    """Empty where it counts."""

    @property
    def may_count(self) -> bool:
        """It is not known that it does not."""
        return self.counts != "no"


COUNTS: Final = Verdict("yes")
SETTLED: Final = Verdict("no", "settled: handled, moved on, or found dead by an owner")
FENCED: Final = Verdict("no", "fenced: appended late by an owner that had lost the partition")
SUPERSEDED: Final = Verdict("no", "superseded: another copy of this record counts")

_NO_COMMIT: Final = "the group has committed nothing for this partition of the topic"
_NO_LEDGER: Final = "there is no ledger beside the offset that the group has committed"
_BEYOND: Final = "the group's offset lies beyond the end: the topic was cut, or made anew"
_LOST_ONCE: Final = "it stood here before the group's ledger was lost"
_JUST_NOW: Final = "it was written while this was looked up"
_FORMER_SOURCE: Final = "the source topic was made anew since"


class Written(Protocol):
    """What a copy says of who wrote it, and of which topic its record is; its header says so."""

    @property
    def topic_id(self) -> str: ...  # noqa: D102  # as in CopyHeader
    @property
    def assignment_id(self) -> bytes: ...  # noqa: D102  # as in CopyHeader


class CopyTopic(NamedTuple):
    """A topic of a chain, and whose it is."""

    name: str
    source: str
    group: str


@dataclass(frozen=True, slots=True)
class CopyLedger:
    """What a group has committed for one partition of a topic of its chain."""

    topic_id: str = ""
    """Id of the source topic; empty where that does not exist any more."""
    doubt: str = ""
    """Why nothing is known of any copy; empty where a ledger is there."""
    committed: int = 0
    """What stands below is settled."""
    settled: Sequence[range] = ()
    """So is this, ascending."""
    assignment_id: bytes = b""
    """Of the owner that committed."""
    scan_end: int = 0
    """Where that owner's scan ended: what others appended at it or above is dead."""
    unsure_until: int = -1
    """The ledger was lost once, and what stands below is from before that."""
    known_until: int = 0
    """What stands below was there before the commit was looked up; of what came meanwhile it may not know the owner."""

    @classmethod
    def read(cls, commit: Committed | None, known_until: int, end: int, topic_id: str = "") -> CopyLedger:
        """Read *commit*; the partition ended at *known_until* before it was looked up, and at *end* after it."""
        if commit is None:
            return cls(topic_id, _NO_COMMIT)
        if commit.offset > end:
            return cls(topic_id, _BEYOND)
        try:
            snapshot = decode(commit.metadata)
        except LedgerError as error:
            return cls(topic_id, str(error))
        if snapshot is None:
            return cls(topic_id, _NO_LEDGER)
        return cls(
            topic_id,
            committed=commit.offset,
            settled=tuple(snapshot.settled(commit.offset)),
            assignment_id=snapshot.assignment_id,
            scan_end=snapshot.scan_end,
            unsure_until=snapshot.unsure_until,
            known_until=known_until,
        )

    def verdict(self, offset: int, header: Written) -> Verdict:
        """Say whether the copy at *offset* counts."""
        if self.topic_id and header.topic_id != self.topic_id:  # ledgers tell of the topic that exists now
            return Verdict("unknown", _FORMER_SOURCE)
        if self.doubt:
            return Verdict("unknown", self.doubt)
        if self.is_settled(offset):
            return SETTLED
        if self.is_fenced(offset, header):
            return FENCED if offset < self.known_until else Verdict("unknown", _JUST_NOW)
        return COUNTS if offset >= self.unsure_until else Verdict("unknown", _LOST_ONCE)

    def is_settled(self, offset: int) -> bool:
        """Say whether what stands at *offset* needs no more work."""
        if offset < self.committed:
            return True
        at = bisect_right(self.settled, offset, key=attrgetter("start"))
        return at > 0 and offset in self.settled[at - 1]

    def is_fenced(self, offset: int, header: Written) -> bool:
        """Say whether the copy at *offset* was neither scanned nor sent under the assignment that committed."""
        return offset >= self.scan_end and header.assignment_id != self.assignment_id


def read_copies(
    admin: Admin, topics: Sequence[CopyTopic], only: int | None = None
) -> Iterator[tuple[Message, CopyLedger]]:
    """Give every record of *topics* up to their present ends, each with the ledger that judges it.

    Each partition's come in their order, partitions mixed; of one partition *only*, or of all.

    Raises:
        BrokerError: The broker does not answer.
    """
    found = find_topics(admin, [topic.name for topic in topics])
    places = [place for topic in found.values() for place in topic.all_partitions if only in (None, place.number)]
    ledgers = read_ledgers(admin, topics, places)
    stretches = {place: Stretch(mark.low, mark.high) for place, (_, mark) in ledgers.items()}
    for message in read(admin.settings, stretches):
        yield message, ledgers[place_of(message)][0]


def read_ledgers(
    admin: Admin, topics: Sequence[CopyTopic], places: Sequence[Partition]
) -> dict[Partition, tuple[CopyLedger, Watermarks]]:
    """Read the ledgers of *places*, and where these begin and end; one request for the offsets of a group.

    The ends are read before the commits, as what stands below them was then
    written under an assignment that the commit knows, or one before it; and
    after them, as what the commit says has moved on stands there by then.

    Raises:
        BrokerError: The broker does not tell what a group has committed.
    """
    before = ends(admin, places)
    owners = {topic.name: topic for topic in topics}
    commits = {
        group: committed(admin, group, [place for place in places if owners[place.topic].group == group])
        for group in {topic.group for topic in topics}
    }
    marks = watermarks(admin, places)
    sources = find_topics(admin, {topic.source for topic in topics})
    ledgers = {}
    for place, mark in marks.items():
        owner = owners[place.topic]
        topic_id = sources[owner.source].topic_id if owner.source in sources else ""
        ledgers[place] = CopyLedger.read(commits[owner.group].get(place), before[place], mark.high, topic_id), mark
    return ledgers
