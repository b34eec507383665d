"""What the watch saw, as values: groups, their partitions, their speed.  Nothing here asks the broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from streams.engine.standing import Progress, Standing
from streams.engine.topics import kind_of
from streams.kafka.groups import Member
from streams.monitor.dashboard.history import Counters, Speed
from streams.observer import ChainKind
from streams.record import Partition


@dataclass(frozen=True, slots=True)
class Rebalance:
    """That a group's members or their partitions were others than at the look before."""

    time_s: float
    """When it was seen, seconds since 1970."""
    joined: tuple[str, ...]
    """Names of members that were new."""
    left: tuple[str, ...]
    moved: int
    """Partitions that had another owner."""
    members: int
    """Members afterwards."""


@dataclass(frozen=True)
class Seen:
    """One group as it was found at one look."""

    standing: Standing
    links: Mapping[Partition, Progress]
    """The partitions of its chain."""
    trouble: str = ""
    """Why what is shown is older than the look."""

    @cached_property
    def outstanding(self) -> int:
        """Offsets of its sources that are not settled."""
        return self.standing.outstanding

    @cached_property
    def came(self) -> int:
        """The ends of its partitions, added up."""
        return sum(one.end for one in self.standing.progress.values())

    @cached_property
    def done(self) -> int:
        """Offsets that are settled, added up."""
        return sum(one.start + one.settled_above for one in self.standing.progress.values())

    @cached_property
    def expired(self) -> int:
        """Offsets that retention removed unsettled."""
        return sum(one.expired for one in self.standing.progress.values())

    @cached_property
    def unowned(self) -> int:
        """Partitions with something outstanding that no member has."""
        owners = self.standing.owners
        return sum(1 for one in self.open if one.partition not in owners)

    @cached_property
    def open(self) -> tuple[Progress, ...]:
        """Partitions with something outstanding, those with most first."""
        found = [(one.outstanding, one) for one in self.standing.progress.values()]
        return tuple(one for _, one in sorted((pair for pair in found if pair[0]), key=lambda pair: -pair[0]))


@dataclass(frozen=True)
class GroupView:
    """One group, and what follows from several looks."""

    seen: Seen
    time_s: float
    """When it was found so, seconds since 1970."""
    speed: Speed = field(default_factory=Speed)
    heads_ms: Mapping[Partition, int] = field(default_factory=dict)
    """Time stamp of the oldest outstanding record of a partition, where there is one and it was read."""
    still_s: Mapping[Partition, float] = field(default_factory=dict)
    """Of partitions with something outstanding: since when, seconds since 1970, they have done nothing."""
    idle_since_s: float | None = None
    """Since when the group has done nothing although something was outstanding; None where it has."""
    rebalances: Sequence[Rebalance] = ()
    """Newest first."""

    @property
    def name(self) -> str:
        """The group's."""
        return self.seen.standing.group.name

    @property
    def standing(self) -> Standing:
        """How far it has come."""
        return self.seen.standing

    @property
    def state(self) -> str:
        """As its coordinator says."""
        return self.seen.standing.group.state

    @property
    def members(self) -> Sequence[Member]:
        """Who is in it."""
        return self.seen.standing.group.members

    @property
    def outstanding(self) -> int:
        """Offsets of its sources that are not settled."""
        return self.seen.outstanding

    @property
    def waiting(self) -> int:
        """In retry topics."""
        return self._in("tier")

    @property
    def parked(self) -> int:
        """Behind another record of their key."""
        return self._in("parked")

    @property
    def dead(self) -> int:
        """Dead letters that nobody has decided about."""
        return self._in("dlq")

    @property
    def counters(self) -> Counters:
        """What goes into its history."""
        return Counters(
            time_s=self.time_s,
            came=self.seen.came,
            done=self.seen.done,
            outstanding=self.outstanding,
            waiting=self.waiting,
            parked=self.parked,
            dead=self.dead,
            behind_s=self.behind_s(self.time_s) or 0.0,
            partitions=len(self.standing.progress),
        )

    def behind_s(self, now_s: float) -> float | None:
        """Give the age of the oldest outstanding record that was read; 0 where none is outstanding, None if unknown."""
        if not self.outstanding:
            return 0.0
        known = self.heads_ms.values()
        return max(0.0, now_s - min(known) / 1000) if known else None

    def chain_of(self, place: Partition, kind: ChainKind) -> int:
        """Count what stands in the chain of one partition of a source."""
        chains = self.seen.standing.chains.get(place.topic, {})
        if kind not in chains:
            return 0
        return sum(one.outstanding for link, one in self._links_of.get(place, ()) if kind_of(link.topic) == kind)

    @cached_property
    def _links_of(self) -> dict[Partition, list[tuple[Partition, Progress]]]:
        found: dict[Partition, list[tuple[Partition, Progress]]] = {}
        prefix = f".{self.name}."
        for link, one in self.seen.links.items():
            source = link.topic.rpartition(prefix)[0]
            found.setdefault(Partition(source, link.number), []).append((link, one))
        return found

    def _in(self, kind: ChainKind) -> int:
        return self.seen.standing.in_chain(kind) or 0


@dataclass(frozen=True, slots=True)
class TopicView:
    """One topic."""

    name: str
    partitions: int
    replication: int
    records: int | None
    """Offsets between begin and end; None where that is not known."""
    source: str = ""
    """The topic beside which it stands, where it belongs to a chain."""
    group: str = ""
    offline: int = 0
    """Partitions without a leader."""


@dataclass(frozen=True)
class Picture:
    """All that one look found."""

    number: int = 0
    """Grows with each look; 0: there was none yet."""
    time_s: float = 0.0
    """Seconds since 1970."""
    groups: Mapping[str, GroupView] = field(default_factory=dict)
    topics: Mapping[str, TopicView] = field(default_factory=dict)
    trouble: str = ""
    """Why the last look failed; what is shown is from the one before."""
    cost_s: float = 0.0
    """Seconds of a core that the look took."""
    pause_s: float = 0.0
    """Seconds until the next one."""

    @property
    def partitions(self) -> int:
        """Of all sources."""
        return sum(len(one.standing.progress) for one in self.groups.values())

    @property
    def dead(self) -> int:
        """Dead letters of all groups."""
        return sum(one.dead for one in self.groups.values())
