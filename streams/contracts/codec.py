"""A codec that holds a record against its subject's schema before it becomes a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from streams.codec import BYTES, JSON, TEXT, RecordCodec, codec_for, loads
from streams.contracts.registry import Subject
from streams.errors import UsageError

T = TypeVar("T")


def contract_codec(subject: Subject, codec: RecordCodec[T], dataschema: str | None = None) -> RecordCodec[T]:
    """Give *codec* with the schema of *subject* before it, on the way in and on the way out.

    What is no JSON raises `DecodeError`, what breaks the schema `ContractError`;
    both are dead letters at once.  *dataschema*, from a record's envelope,
    chooses the version; without it the newest counts.

    The bytes are parsed a second time for a typed value: a Decimal, a large
    integer or a pydantic model then comes from the text itself.

    Raises:
        UsageError: The codec is one of a user's own whose bytes are no JSON.
    """
    if codec.content_type not in (JSON, TEXT, BYTES) and not codec.content_type.endswith("+json"):
        raise UsageError(f"subject {subject.name!r} is a JSON Schema, and {codec.content_type} is no JSON: drop one")
    schema = subject.schema_for(dataschema)
    parse: Callable[[bytes], Any] = _bare(codec if codec.is_plain else codec_for(Any))
    make = _bare(codec)

    def read_plain(data: bytes) -> T:
        value: T = parse(data)
        schema.validate(value)
        return value

    def read(data: bytes) -> T:
        schema.validate(parse(data))
        return make(data)

    def write(value: T) -> bytes:
        data = codec.encode(value)
        schema.validate(loads(data))
        return data

    chosen = read_plain if codec.is_plain else read
    return replace(codec, content_type=JSON, raw_decode=chosen, raw_encode=write, is_builtin=False)


def _bare(codec: RecordCodec[T]) -> Callable[[bytes], T]:
    return codec.raw_decode or codec.decode
