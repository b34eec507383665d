"""How far a group has come, as anybody can learn from the broker alone.

What a member holds in memory is not seen here: what it settled since its last
commit still counts as outstanding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from streams.engine.snapshot import decode
from streams.engine.topics import chain_names, kind_of
from streams.errors import LedgerError
from streams.kafka.admin import Admin
from streams.kafka.groups import Group, Member, describe_group, list_groups
from streams.kafka.offsets import Committed, Watermarks, committed, watermarks
from streams.kafka.shape import Topic
from streams.kafka.topics import find_topics, list_topics
from streams.observer import ChainKind
from streams.record import Partition


@dataclass(frozen=True, slots=True)
class Progress:
    """What a group has done of one partition.

    Always true: `settled` is ascending and lies between `start` and `end`.
    """

    partition: Partition
    low: int
    """The oldest offset that is still there."""
    end: int
    """The offset that the next record will have."""
    committed: int | None
    """The lowest offset that is not settled; None where the group has committed none."""
    settled: tuple[range, ...]
    """Offsets above it that are settled too."""
    is_ours: bool
    """The commit carries a ledger, or could carry one: it has no foreign metadata."""

    @property
    def start(self) -> int:
        """The first offset that is not settled and not removed."""
        at = self.low if self.committed is None else max(self.low, self.committed)
        for done in self.settled:
            if at in done:
                at = done.stop
        return min(at, self.end)

    @property
    def settled_above(self) -> int:
        """Offsets settled above `start`."""
        return sum(len(done) for done in self.settled if done.start >= self.start)

    @property
    def outstanding(self) -> int:
        """Offsets that are not settled; more than records where compaction or transactions left gaps."""
        return max(0, self.end - self.start - self.settled_above)

    @property
    def expired(self) -> int:
        """Offsets that retention removed before they were settled."""
        if self.committed is None or self.committed >= self.low:
            return 0
        done = sum(len(range(max(part.start, self.committed), min(part.stop, self.low))) for part in self.settled)
        return self.low - self.committed - done


@dataclass(frozen=True)
class Standing:
    """One group: who is in it, what it has done, and what it gave up."""

    group: Group
    progress: Mapping[Partition, Progress]
    chains: Mapping[str, Mapping[ChainKind, int]] = field(default_factory=dict)
    """By source, what is not settled in the topics of its chain, by their kind; only kinds that it has.

    At most: late requests of a former owner may have left copies there that are
    nobody's, and only the next owner, who reads them, can tell.
    """
    gone: tuple[str, ...] = ()
    """Topics that it has offsets for and that do not exist any more."""
    has_ledger: bool = False
    """At least one of its commits was written by streams."""
    links: Mapping[Partition, Progress] = field(default_factory=dict)
    """The partitions of its chain."""

    @property
    def is_known(self) -> bool:
        """The broker knows anything of it."""
        return bool(self.group.state != "absent" or self.progress or self.gone)

    @property
    def is_streams(self) -> bool:
        """It carries what only groups of streams carry: a ledger, or a dead-letter topic."""
        return self.has_ledger or any("dlq" in chain for chain in self.chains.values())

    @property
    def topics(self) -> list[str]:
        """Its source topics."""
        return sorted({place.topic for place in self.progress})

    @property
    def owners(self) -> dict[Partition, Member]:
        """The member that has each partition."""
        return {place: member for member in self.group.members for place in member.partitions}

    @property
    def outstanding(self) -> int:
        """Offsets of all its partitions that are not settled."""
        return sum(one.outstanding for one in self.progress.values())

    def in_chain(self, kind: ChainKind, topic: str | None = None) -> int | None:
        """Count what is not settled in topics of *kind*, of one source or of all; None where there is no such topic."""
        chains = self.chains.values() if topic is None else [self.chains.get(topic, {})]
        counts = [chain[kind] for chain in chains if kind in chain]
        return sum(counts) if counts else None

    def of_topic(self, topic: str) -> list[Progress]:
        """Give the partitions of *topic* in order."""
        return [one for place, one in sorted(self.progress.items()) if place.topic == topic]


def standing(admin: Admin, name: str) -> Standing:
    """Look up one group."""
    return _standing(admin, describe_group(admin, name), set(list_topics(admin)))


def standings(admin: Admin) -> list[Standing]:
    """Look up every group that is one of streams."""
    existing = set(list_topics(admin))
    found = [_standing(admin, describe_group(admin, name), existing) for name in list_groups(admin)]
    return [one for one in found if one.is_streams]


def progress(place: Partition, commit: Committed | None, marks: Watermarks) -> Progress:
    """Read one partition's commit against where its log begins and ends."""
    if commit is None:
        return Progress(place, marks.low, marks.high, None, (), is_ours=True)
    ranges, is_ours = _ranges(commit)
    inside = (range(done.start, min(done.stop, marks.high)) for done in ranges)
    settled = tuple(done for done in inside if done)
    return Progress(place, marks.low, marks.high, commit.offset, settled, is_ours=is_ours)


def _standing(admin: Admin, group: Group, existing: set[str]) -> Standing:
    commits = committed(admin, group.name)
    chain = {name: source for name, (source, _) in chain_names(existing, group.name).items()}
    dead = {source for name, source in chain.items() if kind_of(name) == "dlq"}
    assigned = {place.topic for member in group.members for place in member.partitions}
    named = {place.topic for place in commits} | assigned | dead
    named -= chain_names(named | existing, group.name).keys()
    topics = find_topics(admin, named & existing)
    links = find_topics(admin, [name for name, source in chain.items() if source in named])
    marks = watermarks(admin, _readable([*topics.values(), *links.values()]))
    found = {place: progress(place, commits.get(place), mark) for place, mark in marks.items()}
    return Standing(
        group=group,
        progress={place: one for place, one in found.items() if place.topic in topics},
        chains=_chains(chain, links.values(), found),
        gone=tuple(sorted(named - existing)),
        has_ledger=any(_is_ledger(commit) for commit in commits.values()),
        links={place: one for place, one in found.items() if place.topic not in topics},
    )


def _readable(topics: Iterable[Topic]) -> list[Partition]:
    return [place for topic in topics for place in topic.all_partitions if place.number not in topic.offline]


def _chains(
    sources: Mapping[str, str], links: Iterable[Topic], found: Mapping[Partition, Progress]
) -> dict[str, dict[ChainKind, int]]:
    chains: dict[str, Counter[ChainKind]] = {}
    for link in links:
        outstanding = sum(found[place].outstanding for place in _readable([link]))
        chains.setdefault(sources[link.name], Counter())[kind_of(link.name)] += outstanding
    return {source: dict(counts) for source, counts in chains.items()}


def _ranges(commit: Committed) -> tuple[list[range], bool]:
    try:
        snapshot = decode(commit.metadata)
    except LedgerError:
        return [], False
    return ([] if snapshot is None else list(snapshot.settled(commit.offset))), True


def _is_ledger(commit: Committed) -> bool:
    try:
        return decode(commit.metadata) is not None
    except LedgerError:
        return False
