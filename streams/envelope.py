"""What travels beside a value: who made the event, when, of which type, and what caused it.

CloudEvents 1.0 in Kafka's binary mode: each attribute is a header ``ce_<name>``,
the media type is ``content-type``, and the value is the event's data as it is.
Correlation and causation follow the CloudEvents correlation extension, the
trace follows the distributed tracing extension and W3C Trace Context.
"""

from __future__ import annotations

import os
import re
import time as clock
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from streams.errors import UsageError

_HEADERS = (
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "content-type",
    "ce_correlationid",
    "ce_causationid",
    "ce_traceparent",
    "ce_tracestate",
    "ce_partitionkey",
    "ce_dataschema",
)

_READ = frozenset({*_HEADERS, "traceparent", "tracestate"})

_TRACEPARENT = re.compile(
    r"(?!ff)(?!00.{54})"  # ff is no version; version 00 ends after its flags
    r"(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})(?:-.*)?",
)


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The attributes of one event.

    A frozen `msgspec.Struct` rather than a dataclass: one is made for each
    record that is sent, and this is ten times cheaper to make.

    Always true: an attribute is None or a non-empty text; a traceparent is a
    valid one; a time is in UTC.
    """

    id: str | None = None
    """Names the event, together with its source; a resent event keeps it."""

    source: str | None = None
    """Who made it: a URI reference, such as the name of the app."""

    type: str | None = None
    """What happened: ``order.placed``."""

    time: datetime | None = None
    """When it happened."""

    content_type: str | None = None
    """The media type of the value."""

    correlationid: str | None = None
    """Names the whole flow that the event belongs to."""

    causationid: str | None = None
    """The id of the event that led to this one."""

    traceparent: str | None = None
    """The W3C trace context."""

    tracestate: str | None = None
    """What tracing vendors add to it."""

    partitionkey: str | None = None
    """The Kafka key as text, where it is text."""

    dataschema: str | None = None
    """The URI of the schema that the value follows: subject and version."""

    specversion: str | None = "1.0"
    """The version of CloudEvents; None in what is read from a record that is no CloudEvent."""

    @classmethod
    def new(
        cls,
        type: str,  # noqa: A002  # the attribute's name in CloudEvents
        source: str,
        *,
        content_type: str | None = None,
        partitionkey: str | None = None,
        dataschema: str | None = None,
        time: datetime | None = None,
    ) -> Envelope:
        """Make the envelope of a new event that happened at *time*, or now.

        >>> event = Envelope.new("order.placed", "shop")
        >>> event.caused_by(event).causationid == event.id
        True

        Raises:
            UsageError: *time* does not know its offset from UTC.
        """
        if time is None:
            time = datetime.now(UTC)
        elif time.utcoffset() is None:
            raise UsageError(f"the time of an event needs its offset from UTC, and {time} has none: give it a tzinfo")
        else:
            time = time.astimezone(UTC)
        return cls(
            id=new_id(),
            source=source,
            type=type,
            time=time,
            content_type=content_type,
            partitionkey=partitionkey,
            dataschema=dataschema,
        )

    def caused_by(self, parent: Envelope) -> Envelope:
        """Give this event as one that *parent* led to: same flow, same trace, a span of its own."""
        traceparent = _child_of(parent.traceparent)
        return msgspec.structs.replace(
            self,
            causationid=parent.id,
            correlationid=parent.correlation,
            traceparent=traceparent or self.traceparent,
            tracestate=parent.tracestate if traceparent else self.tracestate,
        )

    @property
    def correlation(self) -> str | None:
        """What names the flow: the correlation id, or the event's own id where it began the flow."""
        return self.correlationid or self.id

    @property
    def trace_id(self) -> str | None:
        """The trace's 32 hexadecimal digits."""
        return self.traceparent[3:35] if self.traceparent else None

    @property
    def is_event(self) -> bool:
        """The attributes that CloudEvents requires are all there."""
        return None not in (self.specversion, self.id, self.source, self.type)

    def to_headers(self) -> list[tuple[str, bytes]]:
        """Give the Kafka headers; what is None has none."""
        time = self.time
        values = (
            self.specversion,
            self.id,
            self.source,
            self.type,
            None if time is None else time.isoformat().replace("+00:00", "Z"),
            self.content_type,
            self.correlationid,
            self.causationid,
            self.traceparent,
            self.tracestate,
            self.partitionkey,
            self.dataschema,
        )
        return [(name, value.encode()) for name, value in zip(_HEADERS, values, strict=True) if value is not None]

    @classmethod
    def from_headers(cls, headers: Sequence[tuple[str, bytes | None]] | None) -> Envelope:
        """Read what *headers* tell; never raises, whoever wrote them.

        What is absent, empty or unreadable is None.  CloudEvents says nothing
        of a header that stands twice; the last one counts, as with Kafka's own
        ``lastHeader``.  A bare ``traceparent``, as tracing agents write it,
        counts where ``ce_traceparent`` is absent.
        """
        if not headers:
            return _NO_EVENT
        texts = _texts(headers)
        traceparent, tracestate = _trace(texts)
        return cls(
            specversion=texts.get("ce_specversion"),
            id=texts.get("ce_id"),
            source=texts.get("ce_source"),
            type=texts.get("ce_type"),
            time=_time(texts.get("ce_time")),
            content_type=texts.get("content-type"),
            correlationid=texts.get("ce_correlationid"),
            causationid=texts.get("ce_causationid"),
            traceparent=traceparent,
            tracestate=tracestate,
            partitionkey=texts.get("ce_partitionkey"),
            dataschema=texts.get("ce_dataschema"),
        )


_NO_EVENT = Envelope(specversion=None)


def effect_headers(
    type: str,  # noqa: A002  # the attribute's name in CloudEvents
    source: str,
    content_type: str | None,
    cause: Envelope,
) -> list[tuple[str, bytes | None]]:
    """Give the headers of a new event that *cause* led to, and that happened now.

    Those of ``Envelope.new(type, source, content_type=content_type).caused_by(cause)``, in one go: they are made for
    each record that is sent, and what many of them have in common is written once.
    """
    headers: list[tuple[str, bytes | None]] = [*_common(type, source, content_type)]
    headers += ("ce_id", new_id().encode()), ("ce_time", _now())
    if (flow := cause.correlation) is not None:
        headers.append(("ce_correlationid", flow.encode()))
    if cause.id is not None:
        headers.append(("ce_causationid", cause.id.encode()))
    if (trace := _child_of(cause.traceparent)) is not None:
        headers.append(("ce_traceparent", trace.encode()))
        if cause.tracestate is not None:
            headers.append(("ce_tracestate", cause.tracestate.encode()))
    return headers


@lru_cache(maxsize=256)
def _common(type: str, source: str, content_type: str | None) -> tuple[tuple[str, bytes], ...]:  # noqa: A002  # as above
    return tuple(Envelope(type=type, source=source, content_type=content_type).to_headers())


def _now() -> bytes:
    """Give the time in the form of RFC 3339, with microseconds, in UTC."""
    second, microseconds = divmod(clock.time_ns() // 1_000, 1_000_000)
    return b"%s.%06dZ" % (_second(second), microseconds)


@lru_cache(maxsize=2)
def _second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def new_id() -> str:
    """Give a UUID of version 7: unique, and in the order of its millisecond.

    The random part is the operating system's, so that neither a fork nor a
    program that seeds `random` makes two of one.
    """
    milliseconds, chance = clock.time_ns() // 1_000_000, os.urandom(10).hex()
    variant = _VARIANT[chance[4]]
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{chance[1:4]}-{variant}{chance[5:8]}-{chance[8:]}"


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # RFC 9562: of its four bits two are 10


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    """Give the texts of the headers that are ours to read; the last of a name counts."""
    try:
        return {name: value.decode() for name, value in headers if value and name in _READ}
    except UnicodeDecodeError:
        return {name: text for name, value in headers if name in _READ and (text := _text(value))}


def _text(value: bytes | None) -> str | None:
    try:
        return value.decode() if value else None
    except UnicodeDecodeError:
        return None


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _trace(texts: dict[str, str]) -> tuple[str | None, str | None]:
    """Give traceparent and tracestate; without a valid traceparent there is neither."""
    prefix = "ce_" if "ce_traceparent" in texts else ""
    traceparent = texts.get(f"{prefix}traceparent")
    if traceparent is None or not _TRACEPARENT.fullmatch(traceparent):
        return None, None
    return traceparent, texts.get(f"{prefix}tracestate")


def _child_of(traceparent: str | None) -> str | None:
    """Give the same trace with a new span id, in the version of the standard that is known here."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if match is None:
        return None
    known = 0b11 if match["version"] == "00" else 0b01  # of a later version only the sampled flag is defined
    return f"00-{match['trace']}-{os.urandom(8).hex()}-{int(match['flags'], 16) & known:02x}"
