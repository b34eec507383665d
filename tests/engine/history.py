"""What handlers did and what the broker has, held against the promise: nothing lost, keys in order, true commits.

Written down by the world of `world.py` as it happens.  The judgement is its
own: it reads commits and copies as the protocol says, with none of the
engine's tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streams.engine.chain import CopyHeader, unpack
from streams.engine.edit import digest, edits_in
from streams.engine.policy import DeadLetterPolicy
from streams.engine.snapshot import decode
from streams.kafka.consumer import Stored
from streams.kafka.message import Message
from streams.record import Partition, headers_of

PARTITIONS = (Partition("orders", 0), Partition("orders", 1))
ORIGINAL = b"{}"
"""What every record holds."""


class Copy(NamedTuple):
    """One record that stands in a topic of a chain."""

    place: Partition
    offset: int
    origin: int
    assignment_id: bytes

    @property
    def is_letter(self) -> bool:
        """It is a dead letter."""
        return self.place.topic.endswith(".dlq")


class Said:
    """What the commits that are stored say."""

    def __init__(self, stored: Mapping[Partition, Stored]) -> None:
        self._stored = {place: (one.offset or 0, decode(one.metadata)) for place, one in stored.items()}

    def settles(self, place: Partition, offset: int) -> bool:
        """What stands at *offset* needs no more work."""
        committed, snapshot = self._stored.get(place, (0, None))
        return offset < committed or (
            snapshot is not None and any(offset in settled for settled in snapshot.settled(committed))
        )

    def keeps(self, copy: Copy) -> bool:
        """*copy* is open, and its next owner will believe in it."""
        _, snapshot = self._stored.get(copy.place, (0, None))
        is_late = (
            snapshot is not None and copy.offset >= snapshot.scan_end and copy.assignment_id != snapshot.assignment_id
        )
        return not is_late and not self.settles(copy.place, copy.offset)

    def owner(self, place: Partition) -> bytes | None:
        """The assignment under which the commit was written."""
        snapshot = self._stored.get(place, (0, None))[1]
        return None if snapshot is None else snapshot.assignment_id


class History:
    """What happened to each record, and what of it breaks the promise."""

    def __init__(self, dead_letters: DeadLetterPolicy = "continue") -> None:
        self.dead_letters = dead_letters
        self.keys: dict[Partition, dict[int, bytes | None]] = {partition: {} for partition in PARTITIONS}
        self.started: set[tuple[Partition, int]] = set()
        self.done: set[tuple[Partition, int]] = set()
        """Their handlers have ended well, and all that they sent has landed."""
        self.copies: dict[tuple[Partition, int], list[Copy]] = {}
        """By the record that they are copies of."""
        self.asked: set[tuple[Partition, int]] = set()
        """Those that an operator wanted tried again, or dropped."""
        self.dropped: set[tuple[Partition, int]] = set()
        """Those that an operator had dropped; until that is committed a crash brings them back."""
        self.edits: dict[str, bytes] = {}
        """By the name of an edit: the value that it gives; each gives another one."""
        self.edited: set[str] = set()
        """Edits of which a copy has landed."""
        self.said = Said({})
        self.faults: list[str] = []
        self._values: dict[tuple[Partition, int], tuple[bytes | None, int]] = {}
        """What each copy holds, and how often its record had been redriven."""
        self._running: dict[tuple[Partition, int], bytes] = {}
        self._done_in: set[tuple[bytes, Partition, int]] = set()
        self._started_in: set[tuple[bytes, Partition, int]] = set()
        self._latest: dict[tuple[bytes, Partition, bytes], int] = {}
        self._finished: dict[Partition, set[int]] = {partition: set() for partition in PARTITIONS}
        self._buried: dict[Partition, set[int]] = {partition: set() for partition in PARTITIONS}
        """Of these, those that were dead letters then: an operator may have them tried again."""

    # -- what happens ----------------------------------------------------------------------------------

    def start(self, partition: Partition, offset: int, assignment_id: bytes) -> None:
        """A handler begins, under one assignment of its partition."""
        name, key = f"{partition}/{offset}", self.keys[partition][offset]
        is_redriven = (partition, offset) in self.asked and offset in self._buried[partition]
        if offset in self._finished[partition] and not is_redriven:
            self.faults.append(f"{name} began again after its end had been committed")
        if key is not None:
            self._start_of_key(partition, offset, key, assignment_id)
        self.started.add((partition, offset))
        if (assignment_id, partition, offset) in self._done_in:
            self.faults.append(f"{name} began again in the assignment in which it was done")
        self._running[partition, offset] = assignment_id

    def _start_of_key(self, partition: Partition, offset: int, key: bytes, assignment_id: bytes) -> None:
        name = f"{partition}/{offset}"
        same = [other for other, one in self.keys[partition].items() if one == key]
        if any(other < offset and not self.has_ended(partition, other) for other in same):
            self.faults.append(f"{name} began before an older one of its key had ended")
        younger = any(other > offset and (partition, other) in self.started for other in same)
        if younger and not self.has_ended(partition, offset):
            self.faults.append(f"{name} began after a younger one of its key")
        if self._latest.get((assignment_id, partition, key), -1) > offset and (partition, offset) not in self.asked:
            self.faults.append(f"{name} began after a younger one of its key in one assignment")
        is_first = (assignment_id, partition, offset) not in self._started_in  # what was at work before may go on
        if is_first and any(other < offset and self._is_back(partition, other, assignment_id) for other in same):
            self.faults.append(f"{name} began before an older one that is tried again")
        self._started_in.add((assignment_id, partition, offset))
        self._latest[assignment_id, partition, key] = offset
        is_judged = self.dead_letters != "continue" and self.said.owner(partition) == assignment_id
        dead = (other for other in same if other < offset and (partition, other) not in self.asked)
        if is_judged and any(self._is_dead(partition, other) for other in dead):
            self.faults.append(f"{name} began though an older one of its key is dead")

    def read(self, partition: Partition, offset: int, value: bytes | None, edit: str | None) -> None:
        """A handler got *value*, and was told that it comes of *edit*, or that nobody has edited it."""
        if value != (ORIGINAL if edit is None else self.edits[edit]):
            self.faults.append(f"{partition}/{offset} began with {value!r}, and says that {edit} made it so")

    def end(self, partition: Partition, offset: int, *, is_settled: bool = True) -> None:
        """Its work is done; with *is_settled* nothing else is waited for."""
        self.done.add((partition, offset))
        if is_settled:
            self._done_in.add((self._running[partition, offset], partition, offset))

    def land(self, record: Message) -> None:
        """The broker has a copy."""
        header = unpack(record.headers())
        origin = (Partition(header.topic, header.partition), header.offset)
        place = Partition(record.topic() or "", record.partition() or 0)
        copy = Copy(place, record.offset() or 0, header.offset, header.assignment_id)
        self.copies.setdefault(origin, []).append(copy)
        self._note_value(copy, header, record)

    def _note_value(self, copy: Copy, header: CopyHeader, record: Message) -> None:
        """Each copy holds what the one before it did, or what an operator made of that."""
        left, value = Partition(header.from_topic, header.partition), record.value()
        before, redrives = (ORIGINAL, 0) if header.hop == 1 else self._values[left, header.from_offset]
        self._values[copy.place, copy.offset] = value, header.redrives
        marks = edits_in(headers_of(record), Partition(header.topic, header.partition), header.offset)
        made = {mark.id: self.edits[mark.id] for mark in marks if mark.was == digest(before)}
        self.edited.update(made)
        if value != before and (header.redrives != redrives + 1 or value not in made.values()):
            self.faults.append(f"{copy} holds {value!r}, and was made from {before!r}")

    def commit(self, source: Partition, stored: Mapping[Partition, Stored]) -> None:
        """The broker stores a commit of *source*, and this is all that it has now: what it says has to be true."""
        self.said = Said(stored)
        open_ = [
            offset
            for offset in self.keys[source]
            if self.said.settles(source, offset)
            and (source, offset) not in self.done | self.dropped
            and not any(map(self.said.keeps, self.copies.get((source, offset), ())))
        ]
        if open_:
            self.faults.append(f"a commit of {source} says that {open_} have ended")

    def take(self, source: Partition) -> None:
        """An owner reads what is committed for *source*: what that says has ended must not run again."""
        self._finished[source] = {
            offset
            for offset in self.keys[source]
            if self.said.settles(source, offset) and not any(map(self.said.keeps, self._waiting(source, offset)))
        }
        self._buried[source] = {offset for offset in self._finished[source] if self._is_dead(source, offset)}

    # -- what it comes to ------------------------------------------------------------------------------

    def has_ended(self, partition: Partition, offset: int) -> bool:
        """It is done, or a dead letter of it stands in the topic."""
        copies = self.copies.get((partition, offset), ())
        return (partition, offset) in self.done or any(copy.is_letter for copy in copies)

    @property
    def missing(self) -> list[tuple[Partition, int]]:
        """Records that are neither done, nor dead, nor blocked behind one that is."""
        return [
            (partition, offset)
            for partition in PARTITIONS
            for offset in self.keys[partition]
            if (partition, offset) not in self.done | self.dropped
            and not self._is_dead(partition, offset)
            and not self._is_blocked(partition, offset)
        ]

    def letters(self, partition: Partition) -> Iterator[Copy]:
        """Give the dead letters that count, in the order of their topic."""
        copies = (copy for origin, found in self.copies.items() if origin[0] == partition for copy in found)
        yield from sorted(
            (copy for copy in copies if copy.is_letter and self.said.keeps(copy)), key=lambda copy: copy.offset
        )

    def _is_dead(self, partition: Partition, offset: int) -> bool:
        return any(copy.is_letter and self.said.keeps(copy) for copy in self.copies.get((partition, offset), ()))

    def _is_blocked(self, partition: Partition, offset: int) -> bool:
        if self.dead_letters != "hold" or (key := self.keys[partition][offset]) is None:
            return False
        is_kept = not self.said.settles(partition, offset) or any(
            map(self.said.keeps, self._waiting(partition, offset))
        )
        older = [other for other, one in self.keys[partition].items() if one == key and other < offset]
        return is_kept and any(self._is_dead(partition, other) for other in older)

    def _is_back(self, partition: Partition, offset: int, assignment_id: bytes) -> bool:
        """This owner has had it moved back from the dead letters, and it has not ended since."""
        latest = self.copies.get((partition, offset), [])[-1:]
        is_here = any(not copy.is_letter and copy.assignment_id == assignment_id for copy in latest)
        return is_here and (partition, offset) in self.asked and (partition, offset) not in self.done

    def _waiting(self, partition: Partition, offset: int) -> list[Copy]:
        return [copy for copy in self.copies.get((partition, offset), ()) if not copy.is_letter]
