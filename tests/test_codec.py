"""Bytes to values and back: which codec an annotation gets, what it reads, and what it says of what it can't read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import doctest
import enum
import json
import uuid
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import streams.codec
from streams.codec import BYTES, JSON, TEXT, RecordCodec, codec_for, dumps, encode_value, excerpt, loads, record_codec
from streams.errors import DecodeError, UsageError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct):
    sku: str
    count: int = 1


class Order(msgspec.Struct):
    id: str
    lines: list[Line]
    at: dt.datetime
    total: Decimal
    colour: Colour | None = None


@dataclasses.dataclass
class Shipment:
    id: uuid.UUID
    weights: dict[str, float]
    _internal: int = 0


class Invoice(pydantic.BaseModel):
    number: int
    due: dt.date
    notes: list[str] = []


class Position(TypedDict):
    lat: float
    lon: float


class Pair(NamedTuple):
    left: int
    right: str


class Unreadable:
    """A class that JSON knows nothing of."""


@dataclasses.dataclass
class Nested:
    inside: list[Unreadable]


UTC_TIMES = st.datetimes(timezones=st.just(dt.UTC))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=2, max_value=10**12, min_value=-(10**12))

TYPED: dict[Any, st.SearchStrategy[Any]] = {
    Order: st.builds(Order, lines=st.lists(st.builds(Line), max_size=3), at=UTC_TIMES, total=DECIMALS),
    Shipment: st.builds(Shipment, weights=st.dictionaries(st.text(), FLOATS, max_size=3)),
    Invoice: st.builds(Invoice),
    list[Line]: st.lists(st.builds(Line), max_size=3),
    Position: st.fixed_dictionaries({"lat": FLOATS, "lon": FLOATS}),
    Pair: st.builds(Pair),
    dict[str, int]: st.dictionaries(st.text(), st.integers(), max_size=3),
    int | str: st.integers() | st.text(),
    dict: st.dictionaries(st.text(), PLAIN, max_size=4),
    list: st.lists(PLAIN, max_size=4),
    Any: PLAIN,
    bytes: st.binary(),
    str: st.text(),
}


@pytest.mark.parametrize("annotation", TYPED, ids=str)
def test_what_is_written_is_read_back(annotation: Any) -> None:
    """A codec decodes what it encoded to an equal value, fast way and careful way alike."""
    codec = codec_for(annotation)

    @given(TYPED[annotation])
    def holds(value: Any) -> None:
        data = codec.encode(value)

        assert codec.decode(data) == value
        assert codec.raw_decode is None or codec.raw_decode(data) == value

    holds()


@pytest.mark.parametrize("annotation", [*TYPED, Literal["a"], dict[str, Any], Invoice | None], ids=str)
def test_no_bytes_raise_anything_but_a_decode_error(annotation: Any) -> None:
    """Whatever stands in a topic is a value or a `DecodeError`, and the text shows at most 80 characters of it."""
    codec = codec_for(annotation)

    @given(st.binary(max_size=300) | PLAIN.map(dumps))
    @example(b"[" * 100_000)
    @example(b'{"a": "' + b"\xff" * 1000 + b'"}')
    @example(b"")
    def holds(data: bytes) -> None:
        try:
            codec.decode(data)
        except DecodeError as error:
            text = str(error)

            assert text.isprintable()
            assert len(text) < 500
            assert text.endswith(f"{len(data)} bytes: {excerpt(data)}")

    holds()


@given(st.binary(max_size=200))
def test_an_excerpt_is_short_and_printable(data: bytes) -> None:
    """What an error shows of a payload is ASCII, escaped, and at most 80 characters."""
    shown = excerpt(data)

    assert shown.isprintable()
    assert len(shown) <= 80


@pytest.mark.parametrize(
    ("annotation", "data", "reason"),
    [
        (Line, b'{"sku": 5}', "not JSON for Line: Expected str, got int, at $.sku; 10 bytes: "),
        (Order, b'{"id":"o","lines":[{"sku":"a","count":"x"}]}', "Expected int, got str, at $.lines[0].count"),
        (Line, b'{"count": 1}', "Object missing required field sku"),
        (Line, b'{"sku": "a"', "it ends too early (byte 11)"),
        (Line, b'{"sku": ?}', "invalid character (byte 8)"),
        (Line, b'{"sku": "abc\xff"}', "byte 12 is not UTF-8"),
        (dict, b"[1, 2]", "not JSON for dict: Expected object, got array"),
        (Any, b"", "not JSON: it ends too early (byte 0)"),
        (str, b"abc\xff", "not UTF-8 text: byte 3 is not UTF-8"),
        (Invoice, b'{"number": "x", "due": "2024-01-01"}', "at $.number"),
        (Invoice, b'{"number": 1, "due": "2024-01-01", "notes": [1]}', "Input should be a valid string, at $.notes[0]"),
        (Invoice, b"nope", "Invalid JSON: expected ident at line 1 column 2"),
    ],
)
def test_a_decode_error_says_what_was_expected_and_where(annotation: Any, data: bytes, reason: str) -> None:
    """The text names the type, and the byte or the path."""
    with pytest.raises(DecodeError) as caught:
        codec_for(annotation).decode(data)

    assert reason in str(caught.value)


def test_a_decode_error_holds_no_payload() -> None:
    """Neither the error nor what it was raised from keeps the whole payload, which may be private."""
    secret = b'{"number": "' + b"s" * 500 + b'"}'
    with pytest.raises(DecodeError) as caught:
        codec_for(Invoice).decode(secret)

    assert "s" * 81 not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("annotation", [Unreadable, Nested, list[Unreadable], complex, bytearray, memoryview, "Order"])
def test_a_type_that_can_not_be_read_is_refused_at_the_start(annotation: Any) -> None:
    """An annotation that no record could satisfy is a mistake of the user's, told with what is possible."""
    with pytest.raises(UsageError) as caught:
        codec_for(annotation)

    assert "a handler can't take " in str(caught.value)
    assert "Annotate it with bytes, str, dict" in str(caught.value)


def test_a_model_beside_a_struct_is_refused_at_the_start() -> None:
    """No codec reads a union of a pydantic model and something that pydantic doesn't know."""
    with pytest.raises(UsageError, match="can't take"):
        codec_for(Invoice | Line)


def test_none_in_an_annotation_is_the_tombstone() -> None:
    """`bytes | None` is bytes to the codec: a null value never reaches it."""
    assert codec_for(bytes | None) is codec_for(bytes)
    assert codec_for(Invoice | None).decode(b'{"number": 1, "due": "2024-01-01"}') == Invoice(
        number=1, due=dt.date(2024, 1, 1)
    )


def test_bytes_cost_nothing() -> None:
    """A handler that takes bytes gets the very bytes, with no call in between."""
    data = b"\x00\xff"
    codec = codec_for(bytes)

    assert codec.raw_decode is None
    assert codec.decode(data) is data


@given(PLAIN)
def test_dumps_writes_what_any_json_reader_reads(value: Any) -> None:
    """`dumps` agrees with the standard library, integers of any size included."""
    assert json.loads(dumps(value)) == value
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"d": Decimal("1.10")}, '{"d":"1.10"}'),
        ({"u": uuid.UUID(int=7)}, '{"u":"00000000-0000-0000-0000-000000000007"}'),
        ({"t": dt.timedelta(minutes=1)}, '{"t":"PT60S"}'),
        ({"e": Colour.RED, "s": {1}}, '{"e":"red","s":[1]}'),
        ({"b": b"xy"}, '{"b":"eHk="}'),
        ({"line": Line("a")}, '{"line":{"sku":"a","count":1}}'),
        ([Invoice(number=1, due=dt.date(2024, 1, 1))], '[{"number":1,"due":"2024-01-01","notes":[]}]'),
        ({"big": 2**80}, '{"big":1208925819614629174706176}'),
        ({"nan": float("nan")}, '{"nan":null}'),
    ],
)
def test_dumps_writes_what_events_are_made_of(value: Any, text: str) -> None:
    """Decimals, UUIDs, durations, enums, sets, bytes, structs and models have a JSON form, wherever they are nested."""
    assert dumps(value).decode() == text


@pytest.mark.parametrize("value", [Unreadable(), {"a": [Unreadable()]}, "\ud800", {"a": "\ud800"}, {(1, 2): 3}])
def test_a_value_without_a_form_is_told_to_its_sender(value: object) -> None:
    """What can't be written raises a `UsageError` that names the type and what is possible."""
    with pytest.raises(UsageError, match="can't send a "):
        encode_value(value)


@pytest.mark.parametrize(
    ("value", "data", "content_type"),
    [
        (b"\x00", b"\x00", BYTES),
        ("é", "é".encode(), TEXT),
        ({"a": 1}, b'{"a":1}', JSON),
        (Line("a", 2), b'{"sku":"a","count":2}', JSON),
        (Pair(1, "r"), b'[1,"r"]', JSON),
    ],
)
def test_a_sent_value_carries_its_media_type(value: object, data: bytes, content_type: str) -> None:
    """Bytes and str go as they are, all else as JSON."""
    assert encode_value(value) == (data, content_type)


def test_a_codec_refuses_a_value_of_another_kind() -> None:
    """The codec of bytes does not make bytes of a number."""
    with pytest.raises(UsageError, match="can't send a int"):
        codec_for(bytes).encode(5)


class Upper:
    """A format of a user's own."""

    content_type = "text/x-upper"

    def decode(self, data: bytes) -> str:
        if not data.isupper():
            raise ValueError("small letters")
        return data.decode().lower()

    def encode(self, value: str) -> bytes:
        return value.upper().encode()


def test_a_codec_of_a_users_own_runs_on_a_records_path() -> None:
    """Three members are enough for a codec; what it raises is explained like the rest."""
    codec: RecordCodec[str] = record_codec(Upper())

    assert codec.decode(codec.encode("abc")) == "abc"
    with pytest.raises(
        DecodeError, match=r"not text/x-upper as Upper reads it: ValueError: small letters; 3 bytes: abc"
    ):
        codec.decode(b"abc")


def test_the_examples_in_the_docstrings_hold() -> None:
    """What the documentation shows is what happens."""
    assert doctest.testmod(streams.codec).failed == 0
