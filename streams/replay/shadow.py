"""Shadow groups: what one is stands in a topic of its own, and nothing else makes a group one.

The first record of ``streams.<group>.shadow`` defines the group: whose records
it takes, from where to where in each partition, which of them, and where what
it sends goes.  So every member takes the same, and one that comes after a
crash too.  Further records name the topics that it made to send to, and say
that it is being discarded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from streams.engine.command import audit_topic, control_topic, status_topic
from streams.engine.directive import directive_topic
from streams.engine.shadow import shadow_topic
from streams.engine.snapshot import Snapshot, encode_within
from streams.engine.topics import chain_names
from streams.errors import BrokerError, LedgerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.offsets import Committed, commit_for_stopped, committed, offsets_at, watermarks
from streams.kafka.producer import EngineProducer, Parcel
from streams.kafka.reader import Stretch, read
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, find_topics, list_topics
from streams.record import Partition
from streams.replay.choice import Choice
from streams.replay.plan import Plan

VERSION: Final = 1
_CONFIG: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_SENT_WITHIN_S: Final = 30.0
_ASSIGNMENT_ID_BYTES: Final = 8
_OTHERS_WITHIN_S: Final = 10.0
_AGAIN_S: Final = 0.1


class Definition(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="defined"):
    """What a shadow group is."""

    version: int = VERSION
    group: str
    """Its own name."""
    of: str
    """The live group."""
    topics: dict[str, tuple[tuple[int, int, int], ...]]
    """By source: partition, the offset that it begins at, and the first that is not for it."""
    prefix: str
    """What stands before the name of each topic that handlers send to."""
    choice: Choice = Choice()
    time_ms: int = 0
    """When it was defined, ms since 1970-01-01 UTC."""

    @property
    def stretches(self) -> dict[Partition, Stretch]:
        """What it takes of each partition."""
        return {
            Partition(topic, number): Stretch(start, end)
            for topic, parts in self.topics.items()
            for number, start, end in parts
        }

    @property
    def total(self) -> int:
        """Offsets that it takes, in all."""
        return sum(stretch.stop - stretch.start for stretch in self.stretches.values())


class Made(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="made"):
    """The shadow group made a topic to send to."""

    topic: str
    topic_id: str
    """One of the same name that was made later is another."""


class Discarded(msgspec.Struct, frozen=True, kw_only=True, tag_field="what", tag="discarded"):
    """The shadow group is being discarded: no member starts any more."""


Entry: TypeAlias = Definition | Made | Discarded

_decode = msgspec.json.Decoder(Entry).decode


@dataclass(frozen=True)
class Register:
    """All that a shadow group's topic says."""

    definition: Definition
    made: Mapping[str, str] = field(default_factory=dict)
    """Topics that it made to send to, and their ids."""
    is_discarded: bool = False


def internal_topics(group: str) -> list[str]:
    """Name the topics that any group of streams may have for itself."""
    return [name(group) for name in (control_topic, audit_topic, status_topic, directive_topic)]


def stretches(admin: Admin, planned: Plan, until_ms: int | None) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """Give what a shadow takes: from where *planned* goes to the ends of now, or to the first record of *until_ms*."""
    moves = {move.partition: move for move in planned.moves}
    ends = {place: move.progress.end for place, move in moves.items()}
    if until_ms is not None:
        ends = {place: min(ends[place], at) for place, at in offsets_at(admin, moves, until_ms).items()}
    found: dict[str, tuple[tuple[int, int, int], ...]] = {}
    for place, move in moves.items():
        part = place.number, move.target, max(move.target, ends[place])
        found[place.topic] = (*found.get(place.topic, ()), part)
    return found


def look_up(admin: Admin, group: str) -> Register | None:
    """Read what the shadow group *group* is; None where nothing says that it is one.

    Raises:
        LedgerError: What stands in its topic this program can't read.
    """
    place = Partition(shadow_topic(group), 0)
    if place.topic not in find_topics(admin, [place.topic]):
        return None
    mark = watermarks(admin, [place])[place]
    values = [message.value() or b"" for message in read(admin.settings, {place: Stretch(mark.low, mark.high)})]
    entries = [_entry(place.topic, value) for value in values]
    definition = next((one for one in entries if isinstance(one, Definition)), None)
    if definition is None:
        return None
    if definition.group != group or definition.version != VERSION:
        raise LedgerError(
            f"topic {place.topic} defines group {definition.group!r} in version {definition.version}; this program"
            f" reads version {VERSION} of {group!r}"
        )
    made = {one.topic: one.topic_id for one in entries if isinstance(one, Made)}
    return Register(definition, made, any(isinstance(one, Discarded) for one in entries))


def define(admin: Admin, definition: Definition) -> Register:
    """Make the shadow group of *definition*; where somebody did so at the same moment, the first one counts.

    Raises:
        UsageError: The name is taken: a group, or what a group leaves, has it.
        BrokerError: The broker refuses.
    """
    _require_free(admin, definition)
    create_topics(admin, [NewTopic(shadow_topic(definition.group), 1, -1, _CONFIG)], may_exist=True)
    note(admin, definition.group, definition)
    register = look_up(admin, definition.group)
    if register is None:
        raise BrokerError(f"what was just written is not to be read in topic {shadow_topic(definition.group)}")
    return register


def note(admin: Admin, group: str, entry: Entry) -> None:
    """Write *entry* into the topic of the shadow group *group*.

    Raises:
        BrokerError: The broker did not take it.
    """
    parcel = Parcel(shadow_topic(group), 0, None, msgspec.json.encode(entry), [], None)
    producer = EngineProducer[None](admin.settings)
    producer.produce([parcel])
    end = time.monotonic() + _SENT_WITHIN_S
    while not producer.acknowledge(_AGAIN_S) and time.monotonic() < end:
        pass
    if parcel.fate != "stored":
        raise BrokerError(f"{parcel.topic} did not take what the shadow group is: {parcel.error or 'no answer'}")


def begin(admin: Admin, definition: Definition) -> None:
    """Put the shadow group where it begins, wherever it has committed nothing yet.

    Raises:
        BrokerError: The broker refuses.
    """
    end = time.monotonic() + _OTHERS_WITHIN_S
    while absent := _uncommitted(admin, definition):
        try:
            commit_for_stopped(admin, definition.group, absent)
        except BrokerError:  # another member does the same, and may have joined since
            if time.monotonic() > end:
                raise
            time.sleep(_AGAIN_S)


def _uncommitted(admin: Admin, definition: Definition) -> dict[Partition, Committed]:
    """Give the commits that are missing: a ledger that belongs to no assignment there ever was."""
    present = committed(admin, definition.group, definition.stretches)
    empty, _ = encode_within(Snapshot(assignment_id=os.urandom(_ASSIGNMENT_ID_BYTES)))
    return {
        place: Committed(stretch.start, empty)
        for place, stretch in definition.stretches.items()
        if place not in present
    }


def _require_free(admin: Admin, definition: Definition) -> None:
    """Hold that nobody has the name: what has it by the end is the shadow's alone."""
    name, existing = definition.group, set(list_topics(admin))
    chain = chain_names(existing | set(definition.topics), name)
    left = sorted([*chain, *(topic for topic in internal_topics(name) if topic in existing)])
    if left:
        raise UsageError(f"--as {name!r}: the name is taken, its topics are there: {', '.join(left)}")
    if describe_group(admin, name).state != "absent" or committed(admin, name):
        raise UsageError(f"--as {name!r}: there is such a group, and it is no shadow group. Take another name")


def _entry(topic: str, value: bytes) -> Entry:
    try:
        entry: Entry = _decode(value)
        return entry
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"topic {topic} holds what this program can't read: {error}") from error
