"""Records held against their subject on the way in and out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pydantic
import pytest

from streams.codec import JSON, codec_for, record_codec
from streams.contracts import Schema, Subject, contract_codec
from streams.errors import ContractError, DecodeError, UsageError

V1: dict[str, Any] = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
V2: dict[str, Any] = V1 | {"required": ["id", "total"], "properties": {**V1["properties"], "total": {"type": "number"}}}
PLACED = Subject("order.placed", (Schema("order.placed", 1, V1), Schema("order.placed", 2, V2)))

GOOD = b'{"id":"o-1","total":4.10}'


class Order(msgspec.Struct):
    id: str
    total: Decimal = Decimal(0)


class Model(pydantic.BaseModel):
    id: str
    total: Decimal


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (dict, {"id": "o-1", "total": 4.1}),
        (Any, {"id": "o-1", "total": 4.1}),
        (Order, Order("o-1", Decimal("4.10"))),
        (Model, Model(id="o-1", total=Decimal("4.10"))),
        (bytes, GOOD),
        (str, GOOD.decode()),
    ],
)
def test_a_valid_record_becomes_what_the_handler_takes(annotation: Any, value: Any) -> None:
    """The contract stands before the codec and changes nothing of its values."""
    codec = contract_codec(PLACED, codec_for(annotation))

    assert codec.decode(GOOD) == value
    assert codec.raw_decode is not None
    assert codec.raw_decode(GOOD) == value
    assert codec.content_type == JSON


@pytest.mark.parametrize("annotation", [dict, Any, Order, Model, bytes, str])
def test_an_invalid_record_is_refused_with_its_faults(annotation: Any) -> None:
    """What breaks the schema never reaches the handler, whatever it takes; explaining keeps the reason."""
    codec = contract_codec(PLACED, codec_for(annotation))

    with pytest.raises(ContractError) as caught:
        codec.decode(b'{"id":5,"total":"x"}')

    assert caught.value.subject == "order.placed"
    assert len(caught.value.faults) == 2
    assert codec.explain(caught.value, b"") is caught.value


@pytest.mark.parametrize("annotation", [dict, Order, bytes])
def test_what_is_no_json_is_undecodable(annotation: Any) -> None:
    """No schema is asked of bytes that are no JSON."""
    with pytest.raises(DecodeError, match="invalid character"):
        contract_codec(PLACED, codec_for(annotation)).decode(b'{"id": ?}')


def test_a_value_is_held_against_the_schema_before_it_is_sent() -> None:
    """A producer finds out, not its readers."""
    codec = contract_codec(PLACED, codec_for(dict))

    assert codec.encode({"id": "o-1", "total": 4}) == b'{"id":"o-1","total":4}'
    with pytest.raises(ContractError, match='"total" is a required property'):
        codec.encode({"id": "o-1"})


def test_the_version_that_a_record_names_counts() -> None:
    """A record of v1 is read with v1."""
    codec = contract_codec(PLACED, codec_for(Order), "urn:streams:order.placed:v1")

    assert codec.decode(b'{"id":"o-1"}') == Order("o-1")


def test_a_contract_is_no_contract_of_other_formats() -> None:
    """A JSON Schema before an Avro codec would refuse every record: told at the start."""

    class Avro:
        content_type = "avro/binary"

        def decode(self, data: bytes) -> bytes:
            return data

        def encode(self, value: bytes) -> bytes:
            return value

    with pytest.raises(UsageError, match="avro/binary is no JSON"):
        contract_codec(PLACED, record_codec(Avro()))


def test_a_contract_may_stand_before_a_type_that_takes_less() -> None:
    """A record that is valid and still not what the handler declared is undecodable, with the path."""

    class Small(msgspec.Struct):
        id: str
        total: int

    with pytest.raises(DecodeError, match=r"Expected int, got float, at \$.total"):
        contract_codec(PLACED, codec_for(Small)).decode(GOOD)
