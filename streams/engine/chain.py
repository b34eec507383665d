"""The chain: the topics that one group keeps beside a source topic, and the header that travels through them.

A copy of a record carries one packed header, `HEADER`: where the record came
from, how often it was moved and tried, and under which assignment.  Dead
letters carry `ERROR_HEADER` too, as JSON, for people and foreign tools.  In a
source record these headers mean nothing; they are kept under another name.
"""

from __future__ import annotations

import struct
import traceback
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta

from streams.engine.backlog import MOST_HOPS
from streams.errors import ConfigError, LedgerError
from streams.kafka.message import Message, make_message
from streams.record import Headers, Origin
from streams.retry import label, seconds

HEADER: Final = "streams"
ERROR_HEADER: Final = "streams-error"
TRACE_HEADER: Final = "streams-trace"
"""Which span the last attempt was, in the form of W3C's ``traceparent``; it stands before `HEADER`."""
_FOREIGN: Final = "streams-was-"
_OURS: Final = frozenset({HEADER, ERROR_HEADER, TRACE_HEADER})
VERSION: Final = 1
_HISTORY: Final = 10
_STACK_CHARS: Final = 8_000
_MESSAGE_CHARS: Final = 2_000


_RETRY: Final = ".retry."


def retry_topic(topic: str, group: str, delay_s: float) -> str:
    """Name the tier of *group* on *topic* in which records wait for *delay_s*: ``orders.billing.retry.1m``."""
    return f"{topic}.{group}{_RETRY}{label(delay_s)}"


def delay_of(name: str) -> float | None:
    """Read a tier's delay, in seconds, back from its name; None where *name* is none that `retry_topic` gives."""
    _, _, text = name.rpartition(_RETRY)
    try:
        delay_s = seconds(text)
    except ConfigError:
        return None
    return delay_s if name.endswith(_RETRY + label(delay_s)) else None


def parked_topic(topic: str, group: str) -> str:
    """Name the topic in which records of *group* on *topic* wait behind one of their key."""
    return f"{topic}.{group}.parked"


def dlq_topic(topic: str, group: str) -> str:
    """Name the dead-letter topic of *group* on *topic*."""
    return f"{topic}.{group}.dlq"


class Attempt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One run that failed."""

    time_ms: int
    """When it ended, ms since 1970-01-01 UTC."""

    error: str
    """The class of what it ended in."""


class CopyHeader(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a copy of a record says of itself; the content of `HEADER`.

    It holds text and numbers alone, so the collector is spared it.
    """

    version: int
    topic_id: str
    """Id of the source topic: a recreated topic is another lineage."""
    topic: str
    partition: Annotated[int, Meta(ge=0, lt=1 << 31)]
    offset: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    timestamp_ms: Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)]
    group: str
    assignment_id: bytes
    """Of the owner that wrote this copy."""
    hop: Annotated[int, Meta(ge=1, le=MOST_HOPS)]
    """How often the record was moved; the highest hop is the live copy."""
    from_topic: str
    from_offset: int
    """The copy that this one was made from."""
    attempts: int
    """Runs so far, in all."""
    history: tuple[Attempt, ...] = ()
    """The last ten of them."""
    redrives: int = 0
    """How often an operator had it tried again."""
    replay_id: str = ""
    """The replay in which it failed first; empty: in none."""
    first_failed_ms: int = 0
    """When its first run failed; 0 where none has."""
    is_suspect: bool = False
    """It was moved while nobody knew whether the record was finished: it is held for an operator, as before."""
    spent: int = 0
    """Of `attempts`, those before an operator had it tried again: the policy begins anew after them."""

    def after(self, hop: int, topic: str, offset: int, before: CopyHeader | None) -> CopyHeader:
        """Give the header of the next copy: of one that stands in *topic* at *offset* and is *before*, its header."""
        return msgspec.structs.replace(
            self,
            hop=hop + 1,
            from_topic=topic,
            from_offset=offset,
            redrives=before.redrives if before else 0,
            replay_id=before.replay_id if before else "",
            is_suspect=before.is_suspect if before else False,
            spent=before.spent if before else 0,
        )

    def doubted(self, *, is_suspect: bool) -> CopyHeader:
        """Give the header with whether the record is held for doubt now."""
        return self if self.is_suspect == is_suspect else msgspec.structs.replace(self, is_suspect=is_suspect)

    def redriven(self) -> CopyHeader:
        """Give the header of a record that an operator has tried again: its history stays, its attempts are spent."""
        return msgspec.structs.replace(
            self, redrives=self.redrives + 1, spent=self.attempts, first_failed_ms=0, is_suspect=False
        )

    @property
    def origin(self) -> Origin:
        """Where the record was first consumed."""
        return Origin(self.topic, self.partition, self.offset, self.timestamp_ms)

    def pack(self) -> bytes:
        """Give the header's bytes."""
        return _encode(self)


class FirstHeaders:
    """Packs and reads the headers of the first copies of one partition's records that failed alike.

    They differ in offset and time, which stand eight bytes wide at the same
    places in bytes that are made once.
    """

    __slots__ = ("_layout", "_parts")

    def __init__(self, example: CopyHeader) -> None:
        """Pack headers like *example*, the header of any of them.

        Raises:
            ValueError: Another of its fields holds the very bytes that keep the places: no program of ours wrote it.
        """
        packed = _encode(msgspec.structs.replace(example, offset=_MOST, timestamp_ms=_MOST, from_offset=_MOST))
        first, second, third, last = packed.split(_MOST_PACKED)
        self._begin((first + _SIGNED, second + _SIGNED, third + _SIGNED, last))

    def _begin(self, parts: tuple[bytes, ...]) -> None:
        self._parts, self._layout = parts, _layout(*map(len, parts))

    def __getstate__(self) -> tuple[bytes, ...]:
        """Give what a copy is made of: layouts can't be copied."""
        return self._parts

    __setstate__ = _begin

    @classmethod
    def like(cls, header: CopyHeader, packed: bytes) -> FirstHeaders | None:
        """Give what reads headers like *header*, which *packed* holds; None where that is not packed here."""
        if header.hop != 1 or header.is_suspect:
            return None
        try:
            form = cls(header)
        except ValueError:
            return None
        return form if form.pack(header.offset, header.timestamp_ms) == packed else None

    def pack(self, offset: int, timestamp_ms: int) -> bytes:
        """Give the header's bytes of the copy of the record at *offset*."""
        first, second, third, last = self._parts
        return self._layout.pack(first, offset, second, timestamp_ms, third, offset, last)

    def origins(self, headers: Sequence[bytes], start: int) -> list[int]:
        """Give the offsets of the records whose copies have *headers*, from *start* up to one that differs in more."""
        unpack, size, parts, found = self._layout.unpack, self._layout.size, self._parts, list[int]()
        for at in range(start, len(headers)):
            packed = headers[at]
            if len(packed) != size:
                break
            first, offset, second, timestamp_ms, third, left, last = unpack(packed)
            if (first, second, third, last) != parts or left != offset or offset < 0 or timestamp_ms < -1:
                break
            found.append(offset)
        return found


class Alike:
    """Finds out, one header after the other, whether further ones like the last can be expected."""

    __slots__ = ("_last", "_tries", "_twins", "form", "has_read")

    def __init__(self) -> None:
        """Expect nothing."""
        self.form: FirstHeaders | None = None
        """What reads headers like the last ones; None where none are expected."""
        self.has_read = False
        """It has read any."""
        self._last, self._twins, self._tries = (0, b""), 0, _TRIES

    def see(self, header: CopyHeader, packed: bytes) -> None:
        """Note that a copy had *header*, which was *packed* and is not like those before."""
        self._tries -= self.form is not None and not self.has_read
        self.form = None
        if header.hop == 1 and self._tries > 0:
            shape = len(packed), packed[-_TAIL:]
            self._twins, self._last = self._twins + 1 if shape == self._last else 0, shape
            if self._twins >= _TWINS:
                self.form, self.has_read = FirstHeaders.like(header, packed), False
                self._tries -= self.form is None


class ErrorHeader(msgspec.Struct, frozen=True):
    """Why a record is dead; the content of `ERROR_HEADER`."""

    error: str
    """Class of the error, with its module."""
    message: str
    reason: str
    """Which rule ended it: attempts spent, an error that is never retried, the handler's own word."""
    handler: str
    stack: str = ""
    time_ms: int = 0

    def pack(self) -> bytes:
        """Give the header's bytes."""
        return msgspec.json.encode(self)


_MOST: Final = (1 << 63) - 1
_MOST_PACKED: Final = b"\xcf" + _MOST.to_bytes(8, "big")
_SIGNED: Final = b"\xd3"
"""MessagePack's mark of a signed number of eight bytes."""


_TAIL: Final = 7
"""Bytes at the end of a header that hold the time of the first failure: those of one failure have them in common."""
_TWINS: Final = 3
"""How many headers in a row have to be as long as the one before, and end like it, for further ones to be expected."""
_TRIES: Final = 4
"""How often that is tried in vain: records that failed in two ways take turns, or an earlier version wrote them."""


@lru_cache(maxsize=256)
def _layout(*sizes: int) -> struct.Struct:
    """Give the layout of four parts with numbers between them."""
    return struct.Struct(">" + "q".join(f"{size}s" for size in sizes))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CopyHeader).decode
_decode_error = msgspec.json.Decoder(ErrorHeader).decode


def new_header(  # noqa: PLR0913  # each names one thing
    origin: Origin,
    *,
    topic_id: str,
    group: str,
    assignment_id: bytes,
    attempts: int,
    history: tuple[Attempt, ...],
    first_failed_ms: int = 0,
    replay_id: str = "",
) -> CopyHeader:
    """Make the header of the first copy of the source record at *origin*."""
    return CopyHeader(
        version=VERSION,
        topic_id=topic_id,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        timestamp_ms=origin.timestamp_ms,
        group=group,
        assignment_id=assignment_id,
        hop=1,
        from_topic=origin.topic,
        from_offset=origin.offset,
        attempts=attempts,
        history=history[-_HISTORY:],
        replay_id=replay_id,
        first_failed_ms=first_failed_ms,
    )


def unpack(headers: Any) -> CopyHeader:
    """Read the header of a copy.

    Raises:
        LedgerError: There is none, or this program can't read it.
    """
    return read(packed_in(headers))


def packed_in(headers: Any) -> bytes:
    """Give the bytes of the header of a copy.

    Raises:
        LedgerError: There is none.
    """
    data = headers[-1][1] if headers and headers[-1][0] == HEADER else _find(headers, HEADER)
    if data is None:
        raise LedgerError(f"the record has no {HEADER!r} header: no copy that streams wrote")
    return cast("bytes", data)


def read(data: bytes) -> CopyHeader:
    """Read what `CopyHeader.pack` gave.

    Raises:
        LedgerError: This program can't read it.
    """
    try:
        header = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(f"the {HEADER!r} header can't be read: {error}") from error
    if header.version != VERSION:
        raise LedgerError(f"the {HEADER!r} header is of version {header.version}; this program reads {VERSION}")
    return header


def unpack_error(headers: Headers | None) -> ErrorHeader | None:
    """Read why a dead letter is dead; None where it does not say so readably."""
    data = _find(headers, ERROR_HEADER)
    try:
        return None if data is None else _decode_error(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def describe_error(error: BaseException, *, reason: str, handler: str, time_ms: int) -> ErrorHeader:
    """Put *error* into words, cut to what a header may hold."""
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    stack = "".join(traceback.format_exception(error)) if error.__traceback__ else ""
    return ErrorHeader(
        error=name,
        message=_writable(text_of(error)[:_MESSAGE_CHARS]),
        reason=reason,
        handler=handler,
        stack=_writable(stack[-_STACK_CHARS:]),
        time_ms=time_ms,
    )


def text_of(error: BaseException) -> str:
    """Give the text of *error*; of one whose text fails, that."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001  # a user's class may raise anything, and its record must not
        return f"(its text failed: {type(fault).__name__})"


def copy_headers(source: Headers | None, header: CopyHeader, error: ErrorHeader | None = None) -> Headers:
    """Give the headers of a copy, as `headers_with` does."""
    return headers_with(source, _encode(header), error)


def headers_with(source: Headers | None, packed: bytes, error: ErrorHeader | None = None) -> Headers:
    """Give the headers of a copy: the source's own untouched, and ours, of which *packed* is the first.

    A source record that carries headers under our names keeps them as ``streams-was-<name>``.
    """
    ours: Headers = [(HEADER, packed)]
    if error is not None:
        ours.append((ERROR_HEADER, error.pack()))
    if not source:
        return ours
    return [(_escaped(name), value) for name, value in source] + ours


def original(message: Message, header: CopyHeader) -> Message:
    """Give the record as it stood in its source, out of a copy of it."""
    written = cast("Headers", message.headers() or [])
    headers = [(name.removeprefix(_FOREIGN), value) for name, value in written if name not in _OURS]
    return make_message(
        header.topic,
        header.partition,
        header.offset,
        key=message.key(),
        value=message.value(),
        headers=headers or None,
        timestamp_ms=header.timestamp_ms,
    )


def _escaped(name: str) -> str:
    """Give *name* as a copy carries it: `original` takes the prefix off again, once."""
    return _FOREIGN + name if name in _OURS or name.startswith(_FOREIGN) else name


def _find(headers: Headers | None, name: str) -> bytes | None:
    for key, value in reversed(headers or ()):  # ours stand last; a generator costs three times as much
        if key == name:
            return value
    return None


def _writable(text: str) -> str:
    """Give *text* with what has no UTF-8 form replaced, such as half a surrogate pair out of a file's name."""
    return text.encode(errors="replace").decode()
