"""What stands in the chain of a group, as the group's committed ledgers and the broker's logs tell it.

The fence is applied as the protocol words it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from streams.kafka.witness import Stored, ends_of, messages_in, stored_offsets, topics_of
from streams.record import Partition
from streams.verify.evidence import belongs, committed_of, copy_of, dead_letter, kind_of, moved
from streams.verify.history import Committed, Copy, Dead, Kind, Moved, Place, Reading

_UNREAD: Final = Committed(0)
"""A topic of the chain without a commit counts from its start."""


@dataclass(frozen=True)
class Chain:
    """The topics that *group* keeps beside *source*."""

    client: Mapping[str, Any]
    """Settings of a bare client."""
    source: str
    group: str

    def reading(self) -> Reading:
        """Read what is committed, and then what stands in retry and parked topics beyond it.

        The logs are read after the ledgers: what was appended meanwhile can
        only add to what waits, as whatever it replaced counts still.
        """
        found = committed_of(self.client, self.group, self.source)
        answered = time.monotonic_ns(), int(time.time() * 1000)
        source = found.pop(self.source, {})
        if not source:
            return Reading(*answered, {})
        copies = list(self._beyond(found))
        counting = [copy for copy in copies if counts(copy, found)]
        late = sum(_ledger(copy, found).fences(copy) for copy in copies)
        return Reading(*answered, source, found, waiting(counting), late)

    def stored(self) -> list[Stored]:
        """Give what is committed of the source and its chain, as it stands there."""
        return stored_offsets(self.client, self.group, lambda name: belongs(name, self.source, self.group))

    def copies(self) -> Iterator[Copy]:
        """Read the copies that need work, superseded ones among them."""
        found = committed_of(self.client, self.group, self.source)
        return (copy for copy in self._beyond(found) if counts(copy, found))

    def moved(self) -> Iterator[Moved]:
        """Read every copy that ever was written into a retry or parked topic."""
        stretches = {place: range(end) for place, end in self._ends("tier", "parked").items()}
        return map(moved, messages_in(self.client, stretches))

    def dead_letters(self) -> Iterator[Dead]:
        """Read all dead letters that count."""
        found = committed_of(self.client, self.group, self.source)
        for message in messages_in(self.client, {place: range(end) for place, end in self._ends("dlq").items()}):
            if counts(copy_of(message, self.source), found):
                yield dead_letter(message)

    def _beyond(self, found: Mapping[str, Mapping[int, Committed]]) -> Iterator[Copy]:
        stretches = {
            place: range(found.get(place.topic, {}).get(place.number, _UNREAD).offset, end)
            for place, end in self._ends("tier", "parked").items()
        }
        for message in messages_in(self.client, stretches):
            yield copy_of(message, self.source)

    def _ends(self, *kinds: Kind) -> dict[Partition, int]:
        names = [name for name in topics_of(self.client) if belongs(name, self.source, self.group)]
        topics = [name for name in names if name != self.source and kind_of(name) in kinds]
        return ends_of(self.client, *topics) if topics else {}


def counts(copy: Copy, found: Mapping[str, Mapping[int, Committed]]) -> bool:
    """Say whether *copy* is one that needs work, or a dead letter that is one, by the ledgers in *found*."""
    ledger = _ledger(copy, found)
    return not ledger.covers(copy.offset) and not ledger.fences(copy)


def waiting(copies: Iterable[Copy]) -> dict[Place, Kind]:
    """Give the records that wait in the chain: of each the copy that was moved most often tells where."""
    live: dict[Place, Copy] = {}
    for copy in copies:
        if copy.origin not in live or live[copy.origin].hop < copy.hop:
            live[copy.origin] = copy
    return {origin: copy.kind for origin, copy in live.items()}


def _ledger(copy: Copy, found: Mapping[str, Mapping[int, Committed]]) -> Committed:
    return found.get(copy.topic, {}).get(copy.origin.partition, _UNREAD)
