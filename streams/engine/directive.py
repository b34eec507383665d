"""What operators want of a group's members for as long as it stands: the topic, and what stands in it.

The topic is compacted: a directive stands until another of its name replaces
it, or takes it away.  Commands, which are carried out once, have a topic of
their own (`command.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from streams.engine.command import MOST_NAME, MOST_REASON
from streams.errors import LedgerError, RightsError
from streams.kafka.admin import Admin
from streams.kafka.message import Message
from streams.kafka.offsets import watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.topics import find_topics
from streams.record import Partition

Kind: TypeAlias = Literal["pause", "resume", "restart", "drain", "log_level"]
"""``pause``: nothing starts.  ``resume``: members that run now let topics go on that a guard has stopped, as their dead
letters were too many; a pause is ended by lifting it.  ``restart``: members that run now end in order and begin anew.
``drain``: they finish what is there now, their chains included, and leave.  ``log_level``: what they log, in place of
what they were started with."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
VERSION: Final = 1


def directive_topic(group: str) -> str:
    """Name the topic in which *group* is told what stands."""
    return f"streams.{group}.directives"


class Directive(msgspec.Struct, frozen=True, kw_only=True):
    """What one record of the topic says; a record without a value takes away what stood under its key."""

    version: int = VERSION
    id: Annotated[str, Meta(min_length=1, max_length=MOST_NAME)]
    """Random; names it in the audit."""
    kind: Kind
    topic: str = ""
    """The source it is about; empty: all of the group."""
    value: Annotated[str, Meta(max_length=MOST_NAME)] = ""
    """``restart``: seconds over which the members spread; ``log_level``: the level."""
    is_lifted: bool = False
    """It takes away what stood: only in the audit, where that is told in full."""
    who: Annotated[str, Meta(max_length=MOST_NAME)] = ""
    why: Annotated[str, Meta(max_length=MOST_REASON)] = ""
    time_ms: int = 0
    """When it was given, ms since 1970-01-01 UTC."""

    def pack(self) -> bytes:
        """Give the record's value."""
        return msgspec.json.encode(self)

    @property
    def key(self) -> bytes:
        """The record's key: what it replaces."""
        return f"{self.kind}/{self.topic}".encode()


_decode = msgspec.json.Decoder(Directive).decode


def read_directive(value: bytes) -> Directive:
    """Read what stands in the topic.

    Raises:
        LedgerError: It is no directive that this program knows.
    """
    try:
        found = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"no directive: {error}") from error
    if found.version != VERSION:
        raise LedgerError(f"the directive is of version {found.version}; this program reads {VERSION}")
    return found


def recorded(admin: Admin, group: str) -> tuple[list[Message], int]:
    """Give all that stands in the topic of *group* now, and the offset that follows; nothing where it has none.

    Raises:
        BrokerError: The broker does not answer, or this user may not read it.
    """
    place = Partition(directive_topic(group), 0)
    if place.topic not in find_topics(admin, [place.topic]):
        return [], 0
    mark = watermarks(admin, [place])[place]
    return list(read(admin.settings, {place: Stretch(mark.low, mark.high)})), mark.high


def standing_directives(admin: Admin, group: str) -> Mapping[bytes, Directive]:
    """Give what stands now, by key; what this program can't read, or this user may not, is left out.

    Raises:
        BrokerError: The broker does not answer.
    """
    try:
        messages, _ = recorded(admin, group)
    except RightsError:
        return {}
    found: dict[bytes, Directive] = {}
    for message in messages:
        key, value = message.key() or b"", message.value()
        found.pop(key, None)
        if value:
            try:
                found[key] = read_directive(value)
            except LedgerError:
                continue
    return found
