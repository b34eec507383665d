"""What of one key is not settled, oldest first: in the chain, and in the topic itself.

From the broker alone, as of the group's last commits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streams.engine.standing import Standing
from streams.kafka.admin import Admin
from streams.kafka.reader import Stretch, read
from streams.monitor.journey import STATES, State
from streams.monitor.trail import MOST, Copy, trail
from streams.record import Partition

MOST_READ: Final = 1_000_000
"""Offsets of one partition, from the oldest that is not settled, that are looked through for the key."""


class Waiting(NamedTuple):
    """A record of the key that is not settled."""

    offset: int
    timestamp_ms: int
    """Its own, ms since 1970."""
    state: State
    copy: Copy | None
    """Where it stands in the chain; None: in the topic itself."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The records of one key in one partition."""

    place: Partition
    records: Sequence[Waiting]
    """Oldest first."""
    is_whole: bool
    """These are all: the topic was looked through up to its end, and the chain held no more than is told of."""


def queues(admin: Admin, found: Standing, key: bytes) -> Iterator[Queue]:
    """Give the partitions of the group *found* that hold anything of *key*; usually one."""
    for place in sorted(found.progress):
        one = _queue(admin, found, place, key)
        if one.records:
            yield one


def _queue(admin: Admin, found: Standing, place: Partition, key: bytes) -> Queue:
    copies = trail(admin, found.group.name, place, lambda message, _: message.key() == key)
    records = {
        copy.header.offset: Waiting(copy.header.offset, copy.header.timestamp_ms, STATES[copy.kind], copy)
        for copy in copies
        if copy.is_live
    }
    source = found.progress[place]
    stretch = Stretch(source.start, min(source.end, source.start + MOST_READ))
    for message in read(admin.settings, {place: stretch}):
        offset = message.offset() or 0
        if message.key() == key and offset not in records and not any(offset in done for done in source.settled):
            records[offset] = Waiting(offset, message.timestamp()[1], "due", None)
    is_whole = stretch.stop >= source.end and len(copies) < MOST
    return Queue(place, [records[offset] for offset in sorted(records)], is_whole)
