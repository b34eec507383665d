"""What stands in records of others: envelopes are read as far as they go, values are read or refused in words."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, TypedDict

import msgspec

from streams.codec import RecordCodec, codec_for
from streams.envelope import Envelope
from streams.errors import RecordError
from streams.record import Headers
from tests.fuzz.damage import NUMBERS, WORDS, damaged, some_bytes, some_text
from tests.fuzz.search import demand

_NAMES: Final = (
    *("ce_id", "ce_source", "ce_type", "ce_time", "ce_specversion", "content-type", "ce_correlationid"),
    *("ce_causationid", "ce_traceparent", "ce_tracestate", "ce_partitionkey", "ce_dataschema"),
    *("traceparent", "tracestate", "other", ""),
)
_TEXTS: Final = (
    *("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+14:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("2026-W01-1", "20260102T030405Z", "2026-01-02", "24:00", "2026-01-02T03:04:05.123456789Z"),
    *("00-" + "1" * 32 + "-" + "2" * 16 + "-01", "cc-" + "a" * 32 + "-" + "b" * 16 + "-ff-more", "ff-" + "1" * 50),
    *("1.0", "application/json", "/shop"),
)
_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_MOST_WORDS: Final = 1_000
"""Characters of an error, more than its parts may have in all."""


class Order(msgspec.Struct):
    order_id: int
    lines: list[dict[str, float]] = []
    note: str | None = None


class Place(TypedDict):
    at: int
    name: str


@dataclass
class Visit:
    place: Place
    times: tuple[int, ...] = ()


_KINDS: Final = (bytes, str, Any, dict, list[int], Order, Place, Visit, dict[str, int] | None)
_CODECS: Final[tuple[RecordCodec[Any], ...]] = tuple(map(codec_for, _KINDS))


@dataclass(frozen=True)
class Event:
    """One record as somebody wrote it."""

    headers: Headers
    value: bytes
    kind: int
    """Which of the codecs is to read it."""


class EventTarget:
    """Reads envelopes and values."""

    name = "events"

    def __init__(
        self,
        read_headers: Callable[[Headers], Envelope] = Envelope.from_headers,
        decode: Callable[[RecordCodec[Any], bytes], Any] = RecordCodec.decode,
    ) -> None:
        """Read the envelope with *read_headers* and the value with *decode*."""
        self._read_headers = read_headers
        self._decode = decode

    def case(self, rng: random.Random) -> Event:
        """Make a record with up to eight headers."""
        headers: Headers = [(rng.choice(_NAMES), _header(rng)) for _ in range(rng.choice((0, 1, 3, 8)))]
        return Event(headers, _value(rng), rng.randrange(len(_CODECS)))

    def check(self, case: Event) -> None:
        """Read both; what is read is whole, and written and read again it is the same."""
        event = self._read_headers(case.headers)
        texts = [
            value for name in event.__struct_fields__ if name != "time" and (value := getattr(event, name)) is not None
        ]
        assert all(isinstance(text, str) and text for text in texts), "an attribute is empty, or no text"
        assert event.traceparent is None or _TRACE.fullmatch(event.traceparent), "a trace that is none"
        assert event.time is None or event.time.tzinfo is UTC, "a time that is not in UTC"
        assert self._read_headers([*event.to_headers()]) == event, "written and read again it is another one"
        assert event.caused_by(event).causationid == event.id
        self._check_value(_CODECS[case.kind], case.value)

    def _check_value(self, codec: RecordCodec[Any], data: bytes) -> None:
        try:
            value = self._decode(codec, data)
        except RecordError as error:
            demand(str(error).startswith(f"not {codec.expects}: "), "the reason is not told")
            demand(len(str(error)) < _MOST_WORDS, "the payload is told")
            return
        if codec.raw_decode is None:
            assert value == data
        elif codec.is_plain:
            assert codec.decode(codec.encode(value)) == value or _has_nan(data), (
                "written and read again it is another one"
            )


def _has_nan(data: bytes) -> bool:
    """Say whether *data* holds what JSON can't: a number beyond a double is read as infinity, and written as null."""
    return any(text in ("inf", "-inf", "nan") for text in map(str, _numbers(json.loads(data))))


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in _numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in _numbers(one)]
    return [value] if isinstance(value, float) else []


def _header(rng: random.Random) -> bytes | None:
    what = rng.random()
    if what < 0.1:
        return None
    if what < 0.3:
        return some_bytes(rng)
    text = rng.choice(_TEXTS).encode() if what < 0.8 else some_text(rng).encode()
    return damaged(rng, text) if what > 0.6 else text


def _value(rng: random.Random) -> bytes:
    what = rng.random()
    if what < 0.1:
        return some_bytes(rng)
    if what < 0.13:
        opened = rng.choice((b"[", b'{"a":', b'[{"lines":'))
        return opened * rng.choice((3, 600, 100_000))
    data = json.dumps(_json(rng, 3), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return damaged(rng, data) if what < 0.6 else data


def _json(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(9 if depth else 6)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice((*NUMBERS, 10**25))
    if kind < 4:
        return rng.choice((0.1, -1e308, 5e-324, rng.random()))
    if kind < 6:
        return rng.choice(WORDS)[:60]
    if kind == 6:
        return [_json(rng, depth - 1) for _ in range(rng.randint(0, 4))]
    names = ("order_id", "lines", "note", "place", "times", "at", "name")
    return {rng.choice(names): _json(rng, depth - 1) for _ in range(rng.randint(0, 5))}
