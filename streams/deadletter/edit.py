"""Mending the payload of a dead letter: what it was is kept in the audit, then the group is told what it is to be.

So whatever dies in between, the value before an edit is there as soon as
anybody could act on it, and stays there when retention takes the source's
record away.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import uuid4

import msgspec

from streams.deadletter.letter import Letter
from streams.engine.command import Command, Fate, Wanted, audit_topic, read_answer
from streams.engine.desk import Who
from streams.engine.edit import MOST_EDITS, MOST_VALUE, Edit, digest
from streams.errors import BrokerError, LedgerError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.message import Message
from streams.kafka.offsets import offsets_at, watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import await_topics, find_topics, require_topics
from streams.record import Headers, Partition

VERSION: Final = 1
_SENT_WITHIN_S: Final = 60.0
_CLOCKS_MS: Final = 86_400_000
"""What was kept for a record is looked for from so long before its time on: whose clock that is nobody knows."""
_MARK_BYTES: Final = 1_024
"""What the mark of an edit takes in a copy, and more."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a record of the audit topic says that keeps a payload: what it was before an edit was asked for."""

    version: int = VERSION
    kept: str
    """For which edit: the command's id.  No other record of the audit has this field."""
    group: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    """Where the record was first consumed, in the topic of that id."""
    redrives: int
    """How often an operator had had it tried again by then."""
    value: bytes | None
    """In JSON base64."""
    was: str
    """SHA-256 of it, in hex."""
    who: str = ""
    why: str = ""
    time_ms: int = 0
    """When the edit was asked for, ms since 1970-01-01 UTC."""

    def pack(self) -> bytes:
        """Give the record's value."""
        return msgspec.json.encode(self)

    @property
    def key(self) -> bytes:
        """The record's key, by which it is found again."""
        return _key(Partition(self.topic, self.partition), self.offset)


_decode = msgspec.json.Decoder(Kept).decode


class Asking(NamedTuple):
    """An edit that somebody has asked for."""

    kept: Kept
    where: str
    """Topic, partition and offset at which the value before it is kept."""
    fate: Fate | None
    """What the group has answered; None where it has not.  One that was carried out by an owner that died before it
    could answer was answered by the next one, which found the letter gone."""


@dataclass(frozen=True, slots=True)
class Amendment:
    """One dead letter, and what it is to say."""

    letter: Letter
    value: bytes
    who: Who
    id: str
    time_ms: int

    @classmethod
    def of(cls, letter: Letter, value: bytes, who: Who) -> Amendment:
        """Have *who* want *value* in *letter*.

        Raises:
            UsageError: It says that already, is edited too often, or a value is too large to be kept or sent.
        """
        if value == letter.value:
            raise UsageError(f"the value of {letter.origin} is that already: nothing to change")
        if len(letter.edits) >= MOST_EDITS:
            raise UsageError(
                f"{letter.origin} was edited {len(letter.edits)} times, and may be no more; produce a new record, and"
                " forget this one"
            )
        for what, size in (("the value that it has", len(letter.value or b"")), ("the new value", len(value))):
            if size > MOST_VALUE:
                raise UsageError(
                    f"{what} has {size:,} bytes, and an edit takes {MOST_VALUE:,}: what it replaces is kept in the"
                    " audit. Produce a new record, and forget this one"
                )
        return cls(letter, value, who, uuid4().hex, int(time.time() * 1000))

    @property
    def command(self) -> Command:
        """What the group is told."""
        header, who = self.letter.header, self.who
        return Command(
            id=self.id,
            verb="edit",
            topic=header.topic,
            topic_id=header.topic_id,
            partition=header.partition,
            letters=(Wanted(header.offset, header.redrives, self.letter.offset),),
            who=who.name,
            why=who.reason,
            time_ms=self.time_ms,
            edit=Edit(self.value, digest(self.letter.value)),
        )

    @property
    def kept(self) -> Kept:
        """What is kept of it."""
        header, who, value = self.letter.header, self.who, self.letter.value
        return Kept(
            kept=self.id,
            group=header.group,
            topic=header.topic,
            topic_id=header.topic_id,
            partition=header.partition,
            offset=header.offset,
            redrives=header.redrives,
            value=value,
            was=digest(value),
            who=who.name,
            why=who.reason,
            time_ms=self.time_ms,
        )


def require_room(admin: Admin, amendment: Amendment) -> None:
    """See that the topics of the chain take the copy: one that is refused would stop its partition.

    They take what the source takes, and our headers.

    Raises:
        TopicError: There is no source any more.
        UsageError: It is larger.
    """
    letter, topic = amendment.letter, amendment.letter.header.topic
    source = require_topics(admin, [topic], with_config=True)[topic]
    if source.topic_id != letter.header.topic_id:
        raise UsageError(
            f"{letter.origin} is of an earlier topic of this name, which has no owner that could act on it"
        )
    most, size = int(source.config["max.message.bytes"]), len(amendment.value) + len(letter.key or b"") + _MARK_BYTES
    size += _size(letter.headers)
    if size > most:
        raise UsageError(f"the new record would have about {size:,} bytes, and topic {topic!r} takes {most:,}")


def keep(admin: Admin, kept: Kept) -> None:
    """Have the audit of its group keep *kept*; the topic is there.

    Raises:
        BrokerError: It is not known that the broker has it.
    """
    topic = await_topics(admin, [audit_topic(kept.group)])[audit_topic(kept.group)]
    sender = BulkSender(admin.settings, topic)
    refused = sender.send(0, kept.key, kept.pack())
    if refused or sender.finish(_SENT_WITHIN_S) or sender.failed:
        reason = refused or next((one.reason for one in sender.failed), "no answer")
        raise BrokerError(
            f"the value that it has was not taken by {topic.name}, which is to keep it: {reason}. Nothing was changed"
        )


def askings(admin: Admin, group: str, place: Partition, offset: int, since_ms: int | None = None) -> list[Asking]:
    """Give the edits that were asked for of the record at *place* and *offset*, oldest first.

    Args:
        admin: The connection.
        group: Whose audit.
        place: Where the record was first consumed.
        offset: The same.
        since_ms: The record's time, ms since 1970: no edit is older.  None: the whole audit is read.

    Raises:
        BrokerError: The audit can't be read.
    """
    audit = Partition(audit_topic(group), 0)
    if audit.topic not in find_topics(admin, [audit.topic]):
        return []
    mark = watermarks(admin, [audit])[audit]
    from_ms = min(-1 if since_ms is None else since_ms, int(time.time() * 1000)) - _CLOCKS_MS
    start = offsets_at(admin, [audit], from_ms)[audit] if from_ms > 0 else mark.low
    mine, answered = _key(place, offset), f"{place.topic}/{place.number}".encode()
    found: dict[str, tuple[Kept, str]] = {}
    fates: dict[str, Fate] = {}
    for message in read(admin.settings, {audit: Stretch(max(start, mark.low), mark.high)}):
        key = message.key()
        if key == mine:
            found.update((one.kept, (one, f"{audit}/{message.offset()}")) for one in _kept(message))
        elif key == answered and found:
            fates.update((name, fate) for name, fate in _fate(message, offset) if fates.get(name) != "edited")
    return [Asking(kept, where, fates.get(name)) for name, (kept, where) in found.items()]


def first_of(asked: Sequence[Asking], letter: Letter | None) -> Kept | None:
    """Give what the record was before the first edit; None where the audit does not have that.

    Where the topic was made anew, the record of *letter* is meant, or without one the last.
    """
    lineage = letter.header.topic_id if letter is not None else asked[-1].kept.topic_id if asked else ""
    mine = [one.kept for one in asked if one.kept.topic_id == lineage]
    if letter is not None and letter.edits:
        mine = [kept for kept in mine if kept.was == letter.edits[0].was]
    return next(iter(sorted(mine, key=lambda kept: kept.redrives)), None)


def _key(place: Partition, offset: int) -> bytes:
    return f"{place}/{offset}".encode()


def _kept(message: Message) -> Iterator[Kept]:
    try:
        yield _decode(message.value() or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # what another version writes, or a stranger
        return


def _fate(message: Message, offset: int) -> Iterator[tuple[str, Fate]]:
    try:
        answer = read_answer(message.value())
    except LedgerError:
        return
    yield from ((answer.id, fate) for origin, fate in answer.fates if answer.verb == "edit" and origin == offset)


def _size(headers: Headers) -> int:
    return sum(len(name) + len(data or b"") for name, data in headers)
