"""Whether readers of one version can read another's data: told in sentences, and never wrongly allowed."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.contracts.reading import unreadable
from streams.contracts.schema import Schema
from tests.contracts.documents import as_written, changed_documents, documents, values

ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "amount"],
    "properties": {
        "id": {"type": "string"},
        "amount": {"type": "integer", "minimum": 0},
        "note": {"type": "string"},
        "status": {"enum": ["new", "paid"]},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["sku"],
                "properties": {"sku": {"type": "string", "maxLength": 10}},
            },
        },
    },
}
LINE = ORDER["properties"]["lines"]["items"]


def breaks(old: Any, new: Any) -> list[str]:
    """What v2 does to readers of v1."""
    return unreadable(reader=Schema("order.placed", 1, old), writer=Schema("order.placed", 2, new))


def order(*without: str, required: tuple[str, ...] = ("id", "amount"), **properties: Any) -> dict[str, Any]:
    """Give the order with other properties."""
    kept = {name: part for name, part in ORDER["properties"].items() if name not in without}
    return {**ORDER, "required": list(required), "properties": {**kept, **properties}}


@pytest.mark.parametrize(
    "new",
    [
        order(),
        order(gift={"type": "boolean"}),
        order(gift={"type": "boolean"}, required=("id", "amount", "gift")),
        order("note"),
        order(required=("id", "amount", "note")),
        order(amount={"type": "integer", "minimum": 1, "maximum": 10}),
        order(amount={"const": 3}),
        order(amount={"type": "integer", "exclusiveMinimum": 0}),
        order(note={"type": "string", "format": "date-time"}),
        order(note={"$ref": "#/$defs/note"}) | {"$defs": {"note": {"type": "string", "maxLength": 3}}},
        order(status={"enum": ["paid"]}),
        order(status={"const": "new"}),
        order(lines={"type": "array", "maxItems": 3, "items": LINE}),
        order(lines={"type": "array", "prefixItems": [LINE], "items": False}),
        ORDER | {"additionalProperties": False},
        ORDER | {"title": "An order", "description": "what a customer wants"},
        {"allOf": [ORDER, {"required": ["note"], "properties": {"gift": {"type": "boolean"}}}]},
        {"oneOf": [order(status={"const": "new"}), order(status={"const": "paid"})]},
        {**ORDER, "not": {"required": ["refused"]}},
        False,
    ],
)
def test_what_readers_can_bear_is_let_through(new: Any) -> None:
    """More properties, fewer optional ones, narrower values, another way to write the same: no reader minds."""
    assert breaks(ORDER, new) == []


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (order("amount", required=("id",)), "v2 drops required 'amount' that readers of v1 need"),
        (
            order("amount", total={"type": "integer"}, required=("id", "total")),
            "v2 drops required 'amount' that readers of v1 need",
        ),
        (order(required=("id",)), "v2 makes 'amount' optional, which readers of v1 need"),
        (order(amount={"type": "number"}), "'amount' is number in v2, and readers of v1 take integer"),
        (order(amount={"type": "string"}), "'amount' is string in v2, and readers of v1 take integer"),
        (order(note={"type": ["string", "null"]}), "'note' is null or string in v2, and readers of v1 take string"),
        (
            order(note={"anyOf": [{"type": "string"}, {"type": "null"}]}),
            "v2 may write null as 'note', which readers of v1 refuse",
        ),
        (order(lines={}), "'lines' is anything in v2, and readers of v1 take array"),
        (
            order(amount={"type": "integer", "minimum": -1}),
            "readers of v1 need minimum 0 of 'amount', and v2 promises -1",
        ),
        (order(amount={"type": "integer"}), "readers of v1 need minimum 0 of 'amount', and v2 promises none"),
        (
            order(status={"enum": ["new", "paid", "lost"]}),
            "v2 adds \"lost\" to the values of 'status', which readers of v1 do not know",
        ),
        (
            order(status={"type": "string"}),
            "v2 does not list the values of 'status', and readers of v1 know only some",
        ),
        (
            order(lines={"type": "array", "items": {**LINE, "required": []}}),
            "v2 makes 'lines[].sku' optional, which readers of v1 need",
        ),
        (
            order(lines={"type": "array", "items": {**LINE, "properties": {"sku": {"type": "string"}}}}),
            "readers of v1 need maxLength 10 of 'lines[].sku', and v2 promises none",
        ),
        (True, "the value is anything in v2, and readers of v1 take object"),
    ],
)
def test_a_break_is_told_in_a_sentence(new: Any, sentence: str) -> None:
    """The sentence names the version, the place, and what readers of the older version need there."""
    assert sentence in breaks(ORDER, new)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            ORDER | {"additionalProperties": False},
            order(gift={"type": "boolean"}) | {"additionalProperties": False},
            "v2 has 'gift', which readers of v1 refuse (additionalProperties)",
        ),
        (
            ORDER | {"additionalProperties": False},
            ORDER,
            "v2 leaves the value open to properties that readers of v1 refuse",
        ),
        (
            {"properties": {"a": False}},
            {"properties": {"a": True}},
            "v2 may write 'a', which readers of v1 refuse",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            {"type": "object", "required": ["a"]},
            "'a' is anything in v2, and readers of v1 take integer",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            {"type": "object", "additionalProperties": {"type": "string"}},
            "'a' is string in v2, and readers of v1 take integer",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            {"type": "object", "properties": {}, "patternProperties": {"^a": {"type": "string"}}},
            "'a' is anything in v2, and readers of v1 take integer",
        ),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            {
                "type": "object",
                "properties": {"b": True},
                "anyOf": [{"properties": {"a": {"type": "string"}}, "patternProperties": {"^c": True}}],
            },
            "'a' is anything in v2, and readers of v1 take integer",
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"type": "integer"},
            "the value in v2 is none of the choices that readers of v1 know",
        ),
        (
            {"allOf": [{"properties": {"a": True}, "additionalProperties": False}, {"properties": {"b": True}}]},
            {"properties": {"a": True, "b": True}, "additionalProperties": False},
            "v2 has 'b', which readers of v1 refuse (additionalProperties)",
        ),
        (
            {"oneOf": [{"type": "string"}]},
            {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "'oneOf' of the value is not the same, and v2 can't be shown to suit readers of v1",
        ),
        (
            {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
            {"if": {"required": ["a"]}, "then": {"required": ["c"]}},
            "'then' of the value is not the same, and v2 can't be shown to suit readers of v1",
        ),
        (
            {"prefixItems": [{"type": "integer"}]},
            {"type": "array", "prefixItems": [{"type": "string"}]},
            "'[0]' is string in v2, and readers of v1 take integer",
        ),
        (
            {"$ref": "#/$defs/n", "$defs": {"n": {"required": ["v"], "properties": {"next": {"$ref": "#/$defs/n"}}}}},
            {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}},
            "v2 drops required 'v' that readers of v1 need",
        ),
        (
            {"$defs": {"a": {"$id": "urn:a", "type": "string"}}, "properties": {"x": {"$ref": "urn:a"}}},
            {"$defs": {"a": {"$id": "urn:a", "type": "integer"}}, "properties": {"x": {"$ref": "urn:a"}}},
            "a part has an $id of its own, and such schemas can't be compared: use $defs without $id",
        ),
    ],
)  # fmt: skip
def test_a_break_in_an_unusual_place_is_seen(old: Any, new: Any, sentence: str) -> None:
    """Closed objects, properties declared in other ways, choices, conditions, tuples and recursion are no way round."""
    assert sentence in breaks(old, new)


def test_the_other_direction_speaks_of_data_that_is_there_already() -> None:
    """Where the newer version reads, the sentence says what older data may lack."""
    new = order(gift={"type": "boolean"}, required=("id", "amount", "gift"))

    found = unreadable(reader=Schema("order.placed", 2, new), writer=Schema("order.placed", 1, ORDER))

    assert found == ["readers of v2 require 'gift', which v1 data may lack"]


@given(documents())
def test_a_version_that_changes_nothing_breaks_nobody(document: dict[str, Any]) -> None:
    """Every schema can read itself."""
    assert breaks(document, document) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_what_is_let_through_is_valid_for_the_readers_before(data: st.DataObject) -> None:
    """Where the comparison finds no break, values of the new version are valid under the old one.

    Valid in the eyes of another implementation of JSON Schema.
    """
    old = data.draw(documents(), label="old")
    new = data.draw(changed_documents(old), label="new")
    if breaks(old, new):
        return
    writes = jsonschema.Draft202012Validator(as_written(new))
    reads = jsonschema.Draft202012Validator(old)
    for _ in range(4):
        value = data.draw(values(new, new), label="value")

        assert reads.is_valid(value) or not writes.is_valid(value)
