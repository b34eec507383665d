"""A dead letter whose payload an operator has mended: what its command carries, and what the copy says that runs.

The copy has the new value and a mark, `EDITED_HEADER`, among the record's own
headers: so both go wherever the record goes, through members of any version,
and the handler sees the mark.  What the value was before stands in the audit
before the command is given; the mark has its hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Annotated, Final, NamedTuple, cast

import msgspec
from msgspec import Meta

from streams.kafka.message import Message, make_message, place_of
from streams.record import Headers, Origin, Partition

EDITED_HEADER: Final = "streams-edited"
MOST_VALUE: Final = 512 * 1024
"""Bytes of a value before and after: in base64 either fits a topic that takes records of 1 MiB, Kafka's default."""
MOST_EDITS: Final = 20
"""How often one record may be edited: each leaves a header."""
_DIGEST: Final = "^([0-9a-f]{64})?$"


class Edit(msgspec.Struct, frozen=True):
    """What a command of the verb ``edit`` carries; in JSON the value is base64."""

    value: Annotated[bytes, Meta(max_length=MOST_VALUE)]
    """What the record is to have from now on."""
    was: Annotated[str, Meta(pattern=_DIGEST)]
    """`digest` of the value that the operator saw: another one is not replaced."""


class Mending(NamedTuple):
    """An edit, and whose: all that its mark says."""

    edit: Edit
    id: str
    """The command's."""
    who: str
    time_ms: int

    def fits(self, message: Message) -> bool:
        """Say whether *message* has the value that the operator saw."""
        return digest(message.value()) == self.edit.was


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """That an operator has changed the payload of a record; the content of `EDITED_HEADER`, one for each time."""

    id: str
    """Of the command, as in the audit, where the value before it stands."""
    topic: str
    """With partition and offset where the record was first consumed: a mark that came with another means nothing."""
    partition: int
    offset: int
    was: str
    """SHA-256 of the value before it, in hex; empty: it was null."""
    who: str = ""
    time_ms: int = 0
    """When it was asked for, ms since 1970-01-01 UTC."""


_decode = msgspec.json.Decoder(Edited).decode


def digest(value: bytes | None) -> str:
    """Give the SHA-256 of *value* in hex; nothing for null."""
    return "" if value is None else sha256(value).hexdigest()


def mended(message: Message, origin: Origin, mending: Mending) -> Message:
    """Give the copy in *message*, of the record at *origin*, with its new value and the mark that says so."""
    mark = Edited(
        id=mending.id,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        was=mending.edit.was,
        who=mending.who,
        time_ms=mending.time_ms,
    )
    written = cast("Headers", message.headers() or [])
    return make_message(
        *place_of(message),
        message.offset() or 0,
        key=message.key(),
        value=mending.edit.value,
        headers=[*written, (EDITED_HEADER, msgspec.json.encode(mark))],
        timestamp_ms=message.timestamp()[1],
    )


def edits_in(headers: Headers, place: Partition, offset: int) -> tuple[Edited, ...]:
    """Give the edits that the record at *place* and *offset* of a source has had, oldest first, as *headers* say."""
    return tuple(mark for mark in _marks(headers) if (mark.topic, mark.partition, mark.offset) == (*place, offset))


def _marks(headers: Headers) -> Iterator[Edited]:
    for name, data in headers:
        if name == EDITED_HEADER and data is not None:
            try:
                yield _decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # somebody else's
                continue
