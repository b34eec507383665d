"""Bytes to values and back, chosen by what a handler says it takes.

Every record's value passes here once on its way to a handler, and every value
that is sent passes here on its way out.  The engine calls `raw_decode`, which
is C all the way; only when that raised does it ask `explain` what to tell.
Tombstones never come here: what a null value means is the engine's decision.

JSON is read by msgspec, which checks types while it reads and keeps integers
beyond 64 bits exact, and written by orjson, which is faster at plain values.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from types import NoneType
from typing import Any, Generic, Protocol, TypeVar, cast, get_args

import msgspec
import orjson

from streams.errors import DecodeError, RecordError, UsageError

T = TypeVar("T")

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"

_EXCERPT = 80  # characters of a payload that an error may show
_REASON = 300  # characters of a parser's own words that an error may show
_SHOWN_FAULTS = 3

_PLAIN = frozenset({dict, list, tuple, int, float, bool, NoneType})  # what orjson writes by itself

_POSSIBLE = "bytes, str, dict, list, Any, a msgspec.Struct, a dataclass, a TypedDict or a pydantic model"


class Codec(Protocol[T]):
    """What a user's own format implements: Avro, Protobuf, a registry.

    Called from whichever thread runs the handler, several at once: keep no
    state that a second call would see.  Must not block on the network for
    each record; what is looked up is kept.
    """

    @property
    def content_type(self) -> str:
        """The media type of the bytes; it goes into the ``content-type`` header."""

    def decode(self, data: bytes) -> T:
        """Give the value of *data*.

        Raises:
            DecodeError: The bytes are something else; its text says what and where.
        """

    def encode(self, value: T) -> bytes:
        """Give the bytes of *value*, which `decode` turns into an equal one.

        Raises:
            UsageError: The value has no such form.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class RecordCodec(Generic[T]):
    """A codec with the fast way in that a record's path needs.

    Always true: `raw_decode` and `decode` give equal values, and raise for the
    same bytes; they differ in what they raise.
    """

    expects: str
    """What the bytes should be, as an error names it."""

    content_type: str
    """The media type of the bytes."""

    raw_decode: Callable[[bytes], T] | None
    """The bare parser, which raises what it likes; None where the bytes are the value."""

    raw_encode: Callable[[T], bytes]
    """The bare writer."""

    is_plain: bool = False
    """The values are JSON as it was parsed, nothing made of it."""

    is_builtin: bool = False
    """`raw_decode` calls no code of a user's, nor any other Python."""

    def decode(self, data: bytes) -> T:
        """Give the value of *data*.

        Raises:
            DecodeError: The bytes are not what was declared.
        """
        if self.raw_decode is None:
            return cast("T", data)
        try:
            return self.raw_decode(data)
        except Exception as error:  # noqa: BLE001  # a user's codec may raise anything
            raise self.explain(error, data) from None  # the parser's own error may hold the whole payload

    def encode(self, value: T) -> bytes:
        """Give the bytes of *value*.

        Raises:
            UsageError: The value can't be written in this format.
        """
        try:
            return self.raw_encode(value)
        except (TypeError, ValueError) as error:
            raise _unwritable(value, error) from error

    def explain(self, error: Exception, data: bytes) -> RecordError:
        """Say why `raw_decode` raised *error* for *data*, showing at most 80 characters of it."""
        if isinstance(error, RecordError):
            return error
        return DecodeError(f"not {self.expects}: {_reason(error, data)}; {len(data)} bytes: {excerpt(data)}")


def codec_for(annotation: Any) -> RecordCodec[Any]:
    """Give the codec for what a handler's parameter is annotated with.

    ``T | None`` reads as ``T``: None stands for a tombstone, which no codec sees.

    >>> codec_for(dict).decode(b'{"order_id": 7}')
    {'order_id': 7}

    Raises:
        UsageError: Values of this type can't be read from a record.
    """
    annotation = _without_none(annotation)
    if annotation is bytes:
        return _IDENTITY
    if annotation is str:
        return _UTF8
    if annotation in (Any, object, inspect.Parameter.empty):
        return _ANY
    if _mentions_pydantic(annotation):
        return _pydantic(annotation)
    return _typed(annotation)


def record_codec(codec: Codec[T]) -> RecordCodec[T]:
    """Put a user's *codec* on a record's path."""
    return RecordCodec(
        expects=f"{codec.content_type} as {type(codec).__name__} reads it",
        content_type=codec.content_type,
        raw_decode=codec.decode,
        raw_encode=codec.encode,
    )


def encode_value(value: object) -> tuple[bytes, str]:
    """Give the bytes and the media type of a value that is sent.

    bytes and str go as they are; all else is JSON.

    Raises:
        UsageError: The value has no JSON form.
    """
    if isinstance(value, bytes):
        return value, BYTES
    if isinstance(value, str):
        return _UTF8.encode(value), TEXT
    return dumps(value), JSON


def dumps(value: object) -> bytes:
    """Write *value* as JSON.

    Datetimes become RFC 3339, UUIDs, Decimals and timedeltas strings, sets
    arrays, bytes base64; NaN and infinities become null, as JSON has neither.

    Raises:
        UsageError: The value, or something in it, has no JSON form.
    """
    if type(value) not in _PLAIN:
        return _write(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return _write(value)  # something inside is not plain


def loads(data: bytes | str) -> Any:
    """Read JSON; integers of any size stay exact.

    Raises:
        DecodeError: *data* is not JSON.
    """
    return _ANY.decode(data.encode() if isinstance(data, str) else data)


def excerpt(data: bytes) -> str:
    """Give at most 80 characters of *data*, escaped, as errors show it."""
    shown = repr(data[:_EXCERPT])[2:-1]
    whole = len(data) <= _EXCERPT and len(shown) <= _EXCERPT
    return shown if whole else shown[: _EXCERPT - 1] + "…"


# ------------------------------------------------------------------------------------------------- choosing a codec


def _without_none(annotation: Any) -> Any:
    """Give ``T`` for ``T | None``, and any other annotation as it is."""
    types = get_args(annotation)
    others = [each for each in types if each is not NoneType]
    return others[0] if NoneType in types and len(others) == 1 else annotation


def _mentions_pydantic(annotation: Any) -> bool:
    """Say whether a pydantic model stands in *annotation*; none can, unless its user imported pydantic."""
    return hasattr(annotation, "__pydantic_validator__") or any(map(_mentions_pydantic, get_args(annotation)))


def _json(annotation: Any, expects: str) -> RecordCodec[Any]:
    is_plain = annotation in (Any, dict, list, dict[str, Any], list[Any])
    return RecordCodec(expects, JSON, msgspec.json.Decoder(annotation).decode, dumps, is_plain, is_plain)


def _typed(annotation: Any) -> RecordCodec[Any]:
    if annotation in (bytearray, memoryview):
        raise _unreadable(annotation, TypeError("a record's value is bytes"))
    try:
        msgspec.json.schema(annotation)  # raises for a type that could never be read, wherever it is nested
        return _json(annotation, f"JSON for {_name(annotation)}")
    except (TypeError, ValueError, NameError) as error:
        raise _unreadable(annotation, error) from error


def _pydantic(annotation: Any) -> RecordCodec[Any]:
    from pydantic import PydanticUserError, TypeAdapter  # noqa: PLC0415  # an extra: only who uses it needs it

    try:
        adapter = TypeAdapter(annotation)
        return RecordCodec(f"JSON for {_name(annotation)}", JSON, adapter.validator.validate_json, adapter.dump_json)
    except (PydanticUserError, NameError) as error:
        raise _unreadable(annotation, error) from error


def _name(annotation: Any) -> str:
    return getattr(annotation, "__qualname__", "") if isinstance(annotation, type) else str(annotation)


def _unreadable(annotation: Any, error: Exception) -> UsageError:
    lines = str(error).splitlines()
    line = lines[-1 if lines[0].startswith("Generating") else 0]  # msgspec names the culprit after its advice
    reason = line.partition(". ")[0].replace("`", "")
    return UsageError(
        f"a handler can't take {_name(annotation)}: {reason}. Annotate it with {_POSSIBLE}, or give the route a codec"
    )


# ----------------------------------------------------------------------------------------------------------- writing


def _plain(value: object) -> object:
    """Give what msgspec can write in place of a pydantic model."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"{type(value).__qualname__} has no JSON form")
    return dump(mode="json")


_encode = msgspec.json.Encoder(enc_hook=_plain).encode


def _write(value: object) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _unwritable(value, error) from error


def _unwritable(value: object, error: Exception) -> UsageError:
    return UsageError(
        f"can't send a {type(value).__qualname__}: {error}. Send bytes, str, a dict, a msgspec.Struct, a dataclass "
        "or a pydantic model, with plain values inside"
    )


def _bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("the topic holds bytes")
    return value


# -------------------------------------------------------------------------------------------------------- explaining


def _reason(error: Exception, data: bytes) -> str:
    """Give the parser's reason in one line, with the byte or the path."""
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        text = _json_reason(error, data)
    elif callable(faults := getattr(error, "errors", None)):
        text = _pydantic_reason(faults(include_url=False, include_context=False, include_input=False))
    else:
        text = f"{type(error).__qualname__}: {error}"
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"


def _json_reason(error: Exception, data: bytes) -> str:
    try:
        data.decode()  # a parser counts from the start of the string that it was reading
    except UnicodeDecodeError as place:
        return f"byte {place.start} is not UTF-8"
    text = str(error).replace("`", "").replace(" - at", ", at").removeprefix("JSON is malformed: ")
    return text.replace("Input data was truncated", f"it ends too early (byte {len(data)})")


def _pydantic_reason(faults: list[dict[str, Any]]) -> str:
    shown = [fault["msg"] + _at(fault["loc"]) for fault in faults[:_SHOWN_FAULTS]]
    more = len(faults) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _at(steps: tuple[str | int, ...]) -> str:
    path = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in steps)
    return f", at ${path}" if path else ""


_IDENTITY: RecordCodec[bytes] = RecordCodec("bytes", BYTES, None, _bytes)
_UTF8: RecordCodec[str] = RecordCodec("UTF-8 text", TEXT, bytes.decode, str.encode, is_builtin=True)
_ANY: RecordCodec[Any] = _json(Any, "JSON")
