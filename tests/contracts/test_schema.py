"""One version of a subject: what it refuses to be, and what it says of a value."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.contracts.schema import Schema, named_by
from streams.errors import ContractError, RecordError, UsageError
from tests.contracts.documents import documents, values

DOCUMENT: dict[str, Any] = {
    "type": "object",
    "required": ["tail"],
    "properties": {
        "tail": {"type": "string", "minLength": 1},
        "at": {"type": "string", "format": "date-time"},
        "legs": {"type": "array", "items": {"type": "object", "properties": {"a/b~c": {"enum": ["x", "y"]}}}},
        "crew": {"type": "array", "items": {"type": "integer"}},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"tail": "N1"}, []),
        ({}, ['"tail" is a required property']),
        ([], ['value is not of type "object"']),
        ({"tail": ""}, ['/tail: value is shorter than 1 character, got ""']),
        ({"tail": None}, ['/tail: value is not of type "string", got null']),
        ({"tail": "N1", "at": "yesterday"}, ['/at: value is not a "date-time", got "yesterday"']),
        ({"tail": "N1", "legs": [{}, {"a/b~c": "z"}]}, ['/legs/1/a~1b~0c: value is not one of "x" or "y", got "z"']),
        ({"tail": "N1", "u": 1}, ["Additional properties are not allowed ('u' was unexpected)"]),
    ],
)
def test_each_fault_names_its_place(value: Any, faults: list[str]) -> None:
    """A fault gives its JSON pointer, what was wanted, and what stood there."""
    assert Schema("flight", 1, DOCUMENT).faults(value) == faults


def test_what_is_invalid_raises_all_its_faults() -> None:
    """The error carries the subject and the faults, and is one that no retry helps."""
    with pytest.raises(ContractError) as caught:
        Schema("flight", 1, DOCUMENT).validate({"tail": 1, "at": 2})

    assert isinstance(caught.value, RecordError)
    assert caught.value.subject == "flight"
    assert len(caught.value.faults) == 2


def test_faults_are_few_and_short() -> None:
    """Neither many faults nor a long value make a long error."""
    faults = Schema("flight", 1, DOCUMENT).faults({"tail": 5, "crew": ["x" * 1000] * 1000, "z" * 1000: 1})

    assert len(faults) == 11
    assert faults[-1] == "and more"
    assert max(map(len, faults)) < 350


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"type": "objct"}, '/type is "objct", value is not valid under any of the schemas'),
        ({"properties": {"a": {"minimum": "low"}}}, '/properties/a/minimum is "low", value is not of type "number"'),
        ({"$ref": "#/$defs/none"}, "'/$defs/none' does not exist"),
        ({"$ref": "other.json"}, "'other.json'"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "Retrieval is disabled"),
        ({"pattern": "("}, '/pattern is "("'),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#"},
            "$schema is 'http://json-schema.org/draft-07/schema#'",
        ),
        ([], "no JSON Schema 2020-12"),
    ],
)
def test_what_is_no_schema_is_refused(document: Any, reason: str) -> None:
    """A document that is no JSON Schema 2020-12, or needs another one, is told with the place in it."""
    with pytest.raises(UsageError) as caught:
        Schema("flight", 1, document)

    assert reason in str(caught.value)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_two_implementations_agree(data: st.DataObject) -> None:
    """A value is valid here where it is valid in the eyes of another implementation of JSON Schema."""
    document = data.draw(documents())
    value = data.draw(values(document, document))

    assert Schema("flight", 1, document).is_valid(value) == jsonschema.Draft202012Validator(document).is_valid(value)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True), st.integers(1, 10**6))
def test_a_dataschema_names_subject_and_version(subject: str, version: int) -> None:
    """What a version calls itself in a record's header leads back to it."""
    assert named_by(Schema(subject, version, True).dataschema) == (subject, version)  # noqa: FBT003  # a JSON Schema


@pytest.mark.parametrize("text", [None, "", "https://example.com/v1.json", "urn:streams:a:v0", "urn:streams::v1", "v1"])
def test_a_dataschema_of_others_names_nothing_here(text: str | None) -> None:
    """A URI that is not ours is not taken for one."""
    assert named_by(text) is None
