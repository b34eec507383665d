"""How far a shadow group is, as the broker tells it: all its members count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streams.engine.standing import progress
from streams.engine.topics import chain_names, kind_of
from streams.kafka.admin import Admin
from streams.kafka.offsets import Watermarks, committed, watermarks
from streams.kafka.topics import find_topics, list_topics
from streams.observer import ChainKind
from streams.replay.shadow import Definition


@dataclass(frozen=True, slots=True)
class Reach:
    """How far it is; in offsets, which are more than records where compaction or transactions left gaps."""

    total: int
    left: int
    """Not settled in the source."""
    waiting: int
    """Failed, or behind one of their key that failed: in retry and parked topics."""
    dead: int
    """Dead letters."""

    @property
    def settled(self) -> int:
        """Done, skipped, left out, dead-lettered, or waiting in the chain."""
        return self.total - self.left

    @property
    def is_done(self) -> bool:
        """Nothing is left, and nothing waits."""
        return not (self.left or self.waiting)

    def remaining_s(self, first: Reach, elapsed_s: float) -> float | None:
        """Guess how long the rest takes, from what was settled since *first*, *elapsed_s* ago; None: nothing was."""
        gained = self.settled - first.settled
        return self.left * elapsed_s / gained if gained > 0 else None


def reach(admin: Admin, definition: Definition) -> Reach:
    """Look how far the shadow group of *definition* is."""
    stretches = definition.stretches
    chain = chain_names([*list_topics(admin), *definition.topics], definition.group)
    links = find_topics(admin, [name for name, (source, _) in chain.items() if source in definition.topics])
    places = [place for link in links.values() for place in link.all_partitions if place.number not in link.offline]
    commits = committed(admin, definition.group, [*stretches, *places])
    left = sum(
        progress(place, commits.get(place), Watermarks(stretch.start, stretch.stop)).outstanding
        for place, stretch in stretches.items()
    )
    held = Counter[ChainKind]()
    for place, mark in watermarks(admin, places).items():
        held[kind_of(place.topic)] += progress(place, commits.get(place), mark).outstanding
    return Reach(definition.total, left, held["tier"] + held["parked"], held["dlq"])
