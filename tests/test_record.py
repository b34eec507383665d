"""The record as a handler sees it, and the names of places in a log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams.errors import DecodeError
from streams.kafka.message import make_message
from streams.record import Headers, Origin, Partition, Record, headers_of


def record(**fields: Any) -> Record:
    """The record at ``orders/2/40``, but for *fields*."""
    chosen = {"key": b"a", "value": b"{}", "timestamp_ms": 1_700_000_000_250, **fields}
    return Record(make_message("orders", 2, 40, **chosen))


def test_a_record_tells_what_the_topic_holds() -> None:
    """Every part of a record is read from what the client delivered."""
    headers: Headers = [("b", b"1"), ("a", None), ("b", b"2")]
    one = record(headers=headers)

    assert (one.topic, one.partition, one.offset) == ("orders", 2, 40)
    assert (one.key, one.value) == (b"a", b"{}")
    assert one.headers == headers
    assert one.timestamp_ms == 1_700_000_000_250
    assert one.timestamp == datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)


def test_nothing_is_told_apart_from_empty() -> None:
    """A missing key or value is None, an empty one is empty; no headers are an empty list."""
    missing, empty = record(key=None, value=None), record(key=b"", value=b"")

    assert (missing.key, missing.value, missing.headers) == (None, None, [])
    assert (empty.key, empty.value) == (b"", b"")


def test_a_record_knows_its_origin() -> None:
    """Topic, partition, offset and time of a source record are its origin."""
    one = record()

    assert one.origin == Origin("orders", 2, 40, 1_700_000_000_250)
    assert str(one.origin) == "orders/2/40"


def test_a_record_shows_its_place_and_never_its_payload() -> None:
    """What may end up in a log tells where the record stands, and nothing of what is in it."""
    assert repr(record(key=b"secret", value=b"secret")) == "Record(orders/2/40)"


def test_a_record_can_not_be_changed() -> None:
    """A handler can write nothing on the record."""
    with pytest.raises(AttributeError):
        record().value = b"other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        record().attempts = 1  # type: ignore[attr-defined]


def test_places_read_alike() -> None:
    """A partition is spelled topic/number everywhere."""
    assert str(Partition("orders", 3)) == f"{Partition('orders', 3)}" == "orders/3"


class NamelessHeader:
    """A message whose header's name is not UTF-8, as the client hands it out: an error, then a trap."""

    def __init__(self) -> None:
        self._looks = 0
        self._headers: Headers | None = None

    def headers(self) -> Headers:
        if self._headers is not None:
            return self._headers
        self._looks += 1
        if self._looks > 1:
            raise AssertionError("here the process would end")
        raise SystemError("returned a result with an exception set")

    def set_headers(self, headers: Headers) -> None:
        self._headers = headers


def test_a_header_without_a_readable_name_ends_no_process() -> None:
    """Such a record is unreadable, in words; whoever looks again finds no headers."""
    message: Any = NamelessHeader()

    with pytest.raises(DecodeError, match="not UTF-8"):
        headers_of(message)
    assert Record(message).headers == []
