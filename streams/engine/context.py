"""What a handler gets beside its value: the record, its attempt, and a way to send.

What a handler sends is part of its outcome: it is produced after the handler
returned, and the record settles only when the broker acknowledged all of it.
A run that fails sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import structlog

from streams.codec import encode_value
from streams.engine.edit import Edited, edits_in
from streams.envelope import Envelope, effect_headers
from streams.errors import UsageError
from streams.outcome import Ack, DeadLetter, Outcome, Retry
from streams.record import Headers, Partition, Record, headers_of

if TYPE_CHECKING:
    from streams.engine.partition import Item

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PAIR: Final = 2


class Send(msgspec.Struct, frozen=True):
    """One record that is to be produced."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class Sends(NamedTuple):
    """A run that ended well and settles once all it sends is acknowledged."""

    outcome: Outcome
    records: list[Send]


class _Queued:
    """Awaitable that is ready at once, so that ``await ctx.send(...)`` and ``ctx.send(...)`` are the same."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_QUEUED = _Queued()


class Context:
    """One run of a handler on one record.

    Belongs to that run; nothing of it may be kept after the handler returned.
    """

    __slots__ = ("_envelope", "_item", "_sends", "keys", "state")

    def __init__(self, item: Item, keys: Mapping[str, str] | None = None, state: object = None) -> None:
        """Begin a run on *item*."""
        self._item = item
        self._sends: list[Send] = []
        self._envelope: Envelope | None = None
        self.keys = keys or {}
        """Topic to the field of its values that holds the Kafka key."""
        self.state: Any = state
        """What the app's lifespan opened."""

    @property
    def record(self) -> Record:
        """The record: topic, partition, offset, key, value, headers, timestamp."""
        return Record(self._item[0])

    @property
    def attempt(self) -> int:
        """Which run of this record this is, from 1."""
        return self._item[4].attempts_of(self._item) + 1

    @property
    def edited(self) -> Edited | None:
        """The last change of its payload by an operator, as a dead letter; None: the value is as it was produced."""
        record = self.record
        found = edits_in(record.headers, Partition(record.topic, record.partition), record.offset)
        return found[-1] if found else None

    @property
    def is_replay(self) -> bool:
        """An operator has had it given again, and it may have run before; leave out what must not happen twice."""
        return self._item[4].is_replayed(self._item)

    @property
    def envelope(self) -> Envelope:
        """The record's CloudEvents attributes: id, source, type, time, correlation, trace."""
        if self._envelope is None:
            self._envelope = Envelope.from_headers(headers_of(self._item[0]))
        return self._envelope

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """A logger; its lines carry the record's place, correlation id and trace id."""
        logger: structlog.stdlib.BoundLogger = structlog.get_logger(f"streams.handlers.{self._item[4].partition.topic}")
        return logger

    def send(
        self,
        topic: str,
        value: object,
        *,
        key: str | bytes | None = None,
        type: str | None = None,  # noqa: A002  # the attribute's name in CloudEvents
        headers: Headers | None = None,
    ) -> _Queued:
        """Send *value* to *topic* as part of this run's outcome; ``await`` it or not, as you like.

        Args:
            topic: Where to.
            value: Bytes as they are, None for a tombstone, anything else as JSON.
            key: The Kafka key; None takes the field that the topic's route declares, else this record's own key.
            type: CloudEvents type of the event; None: the topic's name.
            headers: Further headers.

        Raises:
            UsageError: No broker could take it, whatever its state: the topic's name, the key, the value or a header
                is not what it has to be.
        """
        _check_topic(topic)
        data, content_type = (None, None) if value is None else encode_value(value)
        source = f"/{self._item[4].partition.topic}"
        if type is not None:
            _check_type(type)
        sent: Headers = effect_headers(type or topic, source, content_type, self.envelope)
        if headers:
            sent += _checked(headers)
        self._sends.append(Send(topic, self._key(topic, value, key), data, sent))
        return _QUEUED

    def ended(self, outcome: Outcome | None) -> Outcome | Sends | None:
        """Give *outcome* with what was sent, where anything was and the run ended well."""
        if not self._sends or isinstance(outcome, Retry | DeadLetter):
            return outcome
        return Sends(outcome or Ack(), self._sends)

    def _key(self, topic: str, value: object, key: str | bytes | None) -> bytes | None:
        if key is not None:
            return _bytes("key", key)
        name = self.keys.get(topic)
        if name is None:
            return self._item[0].key()
        field = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        return field if isinstance(field, bytes | None) else _bytes("key", str(field))


def _check_topic(topic: object) -> None:
    if not (isinstance(topic, str) and _TOPIC.fullmatch(topic)):
        raise UsageError(f"can't send to topic {topic!r}: no topic can have this name")


def _check_type(given: object) -> None:
    if not isinstance(given, str):
        raise UsageError(f"can't send the type {given!r}: give text")
    _bytes("type", given)


def _checked(headers: Iterable[object]) -> Iterator[tuple[str, bytes | None]]:
    """Give *headers* as the client takes them: what it can't take could end the process there."""
    for header in headers:
        if not (isinstance(header, tuple) and len(header) == _PAIR and isinstance(header[0], str)):
            raise UsageError(f"can't send header {header!r}: give a name and bytes, as in ('tenant', b'seven')")
        _bytes("header name", header[0])
        yield header[0], _bytes(f"header {header[0]}", header[1])


def _bytes(what: str, given: object) -> bytes | None:
    """Give text as bytes, and bytes and None as they are."""
    if isinstance(given, str):
        try:
            return given.encode()
        except UnicodeEncodeError:
            raise UsageError(f"can't send the {what} {given!r}: it has no UTF-8 form") from None
    if isinstance(given, bytes | None):
        return given
    raise UsageError(f"can't send the {what} {given!r}: give text or bytes, not a {type(given).__name__}")
