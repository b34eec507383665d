"""One look at the cluster: every group of streams, how far it has come, and what its chain holds.

It asks what `standings` asks, for thousands of partitions and again and again:
which topics and groups there are only now and then, ends in one call, and what
a group has committed only where that can have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from streams.engine.snapshot import decode
from streams.engine.standing import Progress, Standing, progress
from streams.engine.topics import chain_names, kind_of
from streams.errors import BrokerError, LedgerError, TopicError
from streams.kafka.admin import Admin
from streams.kafka.faults import is_silence
from streams.kafka.groups import Group, describe_group, list_groups
from streams.kafka.marks import Marks
from streams.kafka.offsets import Committed, Watermarks, committed
from streams.kafka.shape import Topic
from streams.kafka.topics import find_topics, list_topics
from streams.monitor.dashboard.picture import Seen, TopicView
from streams.observer import ChainKind
from streams.record import Partition

DISCOVER_S: Final = 60.0
"""Which groups and topics there are is asked so often while somebody looks; at rest five times as seldom."""
_REST: Final = 5
_AGAIN_S: Final = 15.0
_AGAIN_AT_REST_S: Final = 300.0
"""What a group has committed is asked so often at least, also where nothing seems to have changed."""
_STRANGERS: Final = 5
"""Groups that may be of streams or not and are looked at closely in one look; all of them again after ten minutes."""
_STRANGE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Estate:
    """The topics of one group."""

    group: str
    sources: tuple[str, ...]
    links: Mapping[str, str]
    """Topics of its chain, each with its source."""
    gone: tuple[str, ...] = ()
    """Sources that do not exist any more."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a group has committed for one partition of its chain, and what that was held against."""

    committed: Committed | None
    known_until: int
    """The partition ended there before the commit was read."""
    end: int
    topic_id: str
    """Of the source."""
    group: str
    low: int


@dataclass(slots=True)
class _Look:
    """The last time that a group's commits were read."""

    time_s: float
    marks: Mapping[Partition, int]
    commits: Mapping[Partition, Committed]
    was_running: bool
    is_done: bool


class Survey:
    """Owned by the watch's thread, with its connections."""

    def __init__(self, admin: Admin) -> None:
        """Ask through *admin*."""
        self._admin = admin
        self._marks = Marks(admin)
        self._estates: dict[str, Estate] = {}
        self._topics: dict[str, Topic] = {}
        self._lows: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._looks: dict[str, _Look] = {}
        self._beyond: set[Partition] = set()
        self._known: dict[Partition, tuple[Committed | None, int, int, Progress]] = {}
        self._strangers: dict[str, float] = {}
        self._seen: dict[str, Seen] = {}
        self._discovered_s = float("-inf")

    def look(self, now_s: float, *, is_watched: bool) -> dict[str, Seen]:
        """Find every group of streams.

        Args:
            now_s: Seconds, of any clock that goes on.
            is_watched: Somebody looks: take nothing for unchanged for long.

        Raises:
            BrokerError: No broker answers.
        """
        if now_s >= self._discovered_s + DISCOVER_S * (1 if is_watched else _REST):
            self._discover(now_s)
            self._discovered_s = now_s
        self._ends = self._marks.ends(self._places(self._estates.values()))
        self._seen = {
            name: seen
            for name, estate in self._estates.items()
            if (seen := self._look_at(estate, now_s, is_watched=is_watched)) is not None
        }
        return self._seen

    def commits(self) -> dict[Partition, Commit]:
        """Give what stands behind the dead letters of each partition, as of the last look."""
        found = {}
        for name, estate in self._estates.items():
            look = self._looks.get(name)
            for link, source in estate.links.items():
                if look is None or kind_of(link) != "dlq":
                    continue
                topic_id = self._topics[source].topic_id if source in self._topics else ""
                for place in self._readable(link):
                    before = look.marks.get(place, 0)
                    commit = look.commits.get(place)
                    found[place] = Commit(
                        commit, before, self._end_of(place, commit), topic_id, name, self._lows.get(place, 0)
                    )
        return found

    def topics(self) -> dict[str, TopicView]:
        """Give every topic of the groups that were found."""
        owners = {link: (source, one.group) for one in self._estates.values() for link, source in one.links.items()}
        return {name: self._topic(topic, *owners.get(name, ("", ""))) for name, topic in self._topics.items()}

    def close(self) -> None:
        """Let go of the connections."""
        self._marks.close()
        self._admin.close()

    def forget(self) -> None:
        """Find groups and topics anew at the next look."""
        self._discovered_s = float("-inf")

    # -- which groups and topics there are ------------------------------------------------------------------

    def _discover(self, now_s: float) -> None:
        names, groups = set(list_topics(self._admin)), list_groups(self._admin)
        estates = _estates(names, groups)
        estates |= {one.group: one for one in self._close_looks(set(groups) - set(estates), now_s)}
        for name, estate in estates.items():
            before = self._estates.get(name)
            if before is not None:  # what its members read besides, seen at an earlier look
                kept = {source for source in before.sources if source in names}
                estates[name] = replace(estate, sources=tuple(sorted({*estate.sources, *kept})))
        self._estates = dict(sorted(estates.items()))
        wanted = {topic for one in estates.values() for topic in (*one.sources, *one.links)}
        self._topics = find_topics(self._admin, wanted & names)
        self._lows = self._marks.begins(self._places(self._estates.values()))
        self._known = {place: known for place, known in self._known.items() if place in self._lows}

    def _close_looks(self, groups: Iterable[str], now_s: float) -> list[Estate]:
        """Look closely at groups without dead-letter topic: their commits tell whether they are of streams."""
        known = [self._estates[name] for name in groups if name in self._estates]
        due = [name for name in groups if now_s >= self._strangers.get(name, 0.0) and name not in self._estates]
        for name in sorted(due)[:_STRANGERS]:
            self._strangers[name] = now_s + _STRANGE_S
            try:
                commits = committed(self._admin, name)
            except BrokerError as error:
                if is_silence(error):
                    raise
                continue  # not for this user to see, or written by another program
            if any(map(_is_ledger, commits.values())):
                known.append(Estate(name, tuple(sorted({place.topic for place in commits})), {}))
        return known

    def _places(self, estates: Iterable[Estate]) -> list[Partition]:
        names = {topic for one in estates for topic in (*one.sources, *one.links)}
        return [place for name in sorted(names) for place in self._readable(name)]

    def _readable(self, name: str) -> list[Partition]:
        topic = self._topics.get(name)
        return [] if topic is None else [one for one in topic.all_partitions if one.number not in topic.offline]

    # -- one group ------------------------------------------------------------------------------------------

    def _look_at(self, estate: Estate, now_s: float, *, is_watched: bool) -> Seen | None:
        try:
            group = describe_group(self._admin, estate.group)
            places = [place for place in self._places([estate]) if place in self._ends]
            marks = {place: self._ends[place] for place in places}
            look, known = self._looks.get(estate.group), self._seen.get(estate.group)
            again_s = _AGAIN_S if is_watched else _AGAIN_AT_REST_S
            if look is None or now_s >= look.time_s + again_s or not _is_unchanged(look, group, marks):
                self._note_beyond(look)
                commits = committed(self._admin, estate.group, places)
                look = _Look(now_s, marks, commits, group.is_running, is_done=False)
                self._looks[estate.group] = look
            elif known is not None and known.standing.group == group and not known.trouble:
                return known
        except TopicError:
            self.forget()
            return self._seen.get(estate.group)
        except BrokerError as error:
            if is_silence(error) or estate.group not in self._seen:
                raise
            return replace(self._seen[estate.group], trouble=str(error))
        seen = self._seen_as(estate, group, look, places)
        look.is_done = not any(one.outstanding for one in (*seen.standing.progress.values(), *seen.links.values()))
        self._note_members(estate, group)
        return seen

    def _seen_as(self, estate: Estate, group: Group, look: _Look, places: list[Partition]) -> Seen:
        found = {place: self._progress(place, look.commits.get(place)) for place in places}
        links = {place: one for place, one in found.items() if place.topic in estate.links}
        chains: dict[str, Counter[ChainKind]] = {}
        for name, source in estate.links.items():
            chains.setdefault(source, Counter())[kind_of(name)] += 0
        for place, one in links.items():
            chains[estate.links[place.topic]][kind_of(place.topic)] += one.outstanding
        standing = Standing(
            group=group,
            progress={place: one for place, one in found.items() if place.topic not in estate.links},
            chains={source: dict(counts) for source, counts in chains.items()},
            gone=estate.gone,
            has_ledger=True,
        )
        return Seen(standing, links)

    def _progress(self, place: Partition, commit: Committed | None) -> Progress:
        """Read one partition's commit; what is as it was is not read again."""
        low, end = self._lows.get(place, 0), self._end_of(place, commit)
        known = self._known.get(place)
        if known is not None and known[:3] == (commit, low, end):
            return known[3]
        one = progress(place, commit, Watermarks(min(low, end), end))
        self._known[place] = commit, low, end, one
        return one

    def _end_of(self, place: Partition, commit: Committed | None) -> int:
        """Give the end; the commit was read after it, and may know of more."""
        end = self._ends.get(place, 0)
        return end if commit is None or place in self._beyond else max(end, commit.offset)

    def _note_beyond(self, look: _Look | None) -> None:
        """Note where the commit that was read before lies beyond the end that was read after it."""
        for place, commit in () if look is None else look.commits.items():
            if place not in self._ends:
                continue
            if commit.offset > self._ends[place]:
                self._beyond.add(place)
            else:
                self._beyond.discard(place)

    def _note_members(self, estate: Estate, group: Group) -> None:
        """Look anew at which topics there are where a member reads one that is not known."""
        assigned = {place.topic for member in group.members for place in member.partitions} - set(estate.links)
        if not assigned <= set(estate.sources):
            sources = tuple(sorted(assigned | set(estate.sources)))
            self._estates[estate.group] = replace(estate, sources=sources)
            self.forget()

    def _topic(self, topic: Topic, source: str, group: str) -> TopicView:
        places = topic.all_partitions
        known = all(place in self._ends and place in self._lows for place in places)
        records = sum(self._ends[place] - self._lows[place] for place in places) if known else None
        return TopicView(topic.name, topic.partitions, topic.replication, records, source, group, len(topic.offline))


def _estates(names: set[str], groups: Iterable[str]) -> dict[str, Estate]:
    """Divide topics of chains among the groups that exist, by their names."""
    known = set(groups)
    owned: dict[str, dict[str, str]] = {}
    unclear = set[str]()
    for name, (source, group) in chain_names(names).items():
        if group in known:
            owned.setdefault(group, {})[name] = source
        else:
            unclear.add(name)
    for group in known:  # a source, or a group, with dots in its name: only who is asked for knows
        mine = [name for name in unclear if f".{group}." in name]
        for name, (source, _) in chain_names(names, group).items() if mine else ():
            if name in unclear:
                owned.setdefault(group, {})[name] = source
    return {group: _estate(group, links, names) for group, links in owned.items() if _has_letters(links)}


def _has_letters(links: Iterable[str]) -> bool:
    return any(kind_of(name) == "dlq" for name in links)


def _estate(group: str, links: Mapping[str, str], names: set[str]) -> Estate:
    sources = {source for name, source in links.items() if kind_of(name) == "dlq"}
    return Estate(group, tuple(sorted(sources & names)), links, tuple(sorted(sources - names)))


def _is_unchanged(look: _Look, group: Group, marks: Mapping[Partition, int]) -> bool:
    """Say whether nothing can have changed what the group has committed: no member, or nothing to do, and no news."""
    is_still = not (group.is_running or look.was_running) or look.is_done
    return is_still and look.marks == marks


def _is_ledger(commit: Committed) -> bool:
    try:
        return decode(commit.metadata) is not None
    except LedgerError:
        return False
