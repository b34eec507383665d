"""The record as a handler sees it, and the names of places in a log.

`Message` is the shape of what the client library delivers; `Record` reads it
lazily, so that a handler pays only for what it looks at.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

from streams.errors import DecodeError

Headers: TypeAlias = list[tuple[str, bytes | None]]


class Message(Protocol):
    """One delivered record: the accessors of the client library, nothing added."""

    def topic(self) -> str | None: ...  # noqa: D102  # the client library's own words
    def partition(self) -> int | None: ...  # noqa: D102
    def offset(self) -> int | None: ...  # noqa: D102
    def key(self) -> bytes | None: ...  # noqa: D102
    def value(self) -> bytes | None: ...  # noqa: D102
    def headers(self) -> Any: ...  # noqa: D102  # a list of pairs or None; the library's types allow more
    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def __len__(self) -> int: ...  # bytes of the value


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        """Give ``topic/partition``, the spelling of every log line."""
        return f"{self.topic}/{self.number}"


class Origin(NamedTuple):
    """Where a record was first consumed; it never changes on the record's way.

    ``(key, offset)`` names a record within its partition, and the offsets give
    the order of a key.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        """Give ``topic/partition/offset``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Record:
    """One record, read lazily from what the client delivered.

    Always true: nothing here changes after the handler got it.
    """

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        """Wrap *message*; costs one allocation."""
        self._message = message

    @property
    def topic(self) -> str:
        """The source topic."""
        return self._message.topic() or ""

    @property
    def partition(self) -> int:
        """The partition's number."""
        number = self._message.partition()
        return -1 if number is None else number

    @property
    def offset(self) -> int:
        """The offset in the source partition."""
        offset = self._message.offset()
        return -1 if offset is None else offset

    @property
    def key(self) -> bytes | None:
        """The Kafka key: the entity; None where the producer gave none."""
        return self._message.key()

    @property
    def value(self) -> bytes | None:
        """The payload as it stands in the topic; None is a tombstone."""
        return self._message.value()

    @property
    def headers(self) -> Headers:
        """All headers in their order, duplicates included.

        Raises:
            DecodeError: The name of one is not UTF-8.
        """
        return headers_of(self._message)

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC, set by the producer or the broker."""
        return self._message.timestamp()[1]

    @property
    def timestamp(self) -> datetime:
        """The same as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, tz=UTC)

    @property
    def origin(self) -> Origin:
        """Topic, partition, offset and time as first consumed."""
        message = self._message
        number, offset = message.partition(), message.offset()
        return Origin(
            message.topic() or "",
            -1 if number is None else number,
            -1 if offset is None else offset,
            message.timestamp()[1],
        )

    def __repr__(self) -> str:
        """Show the place, never the payload."""
        return f"Record({self.origin})"


def headers_of(message: Message) -> Headers:
    """Give all headers of *message* in their order.

    Raises:
        DecodeError: The name of one is not UTF-8.  The client (2.16) then fails once, and what it gives from the
            second look on ends the process; so this is the only way to look, and later looks find none.
    """
    try:
        headers: Headers = message.headers() or []
        return headers
    except SystemError:
        cast("Any", message).set_headers([])
        raise DecodeError("the name of one of its headers is not UTF-8; the client can't read its headers") from None
