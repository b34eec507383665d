"""Who must be able to read what."""

from __future__ import annotations

from typing import Any

import pytest

from streams.contracts.compatibility import Compatibility, breaks
from streams.contracts.schema import Schema

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def versions(*properties: dict[str, Any], required: tuple[tuple[str, ...], ...] = ()) -> list[Schema]:
    """Make versions, oldest first, of an object with these properties."""
    return [
        Schema("s", number, {"type": "object", "properties": each, "required": list(needed)})
        for number, (each, needed) in enumerate(zip(properties, required or [()] * len(properties), strict=True), 1)
    ]


ADDS_REQUIRED = versions({}, {"a": STRING}, required=((), ("a",)))
DROPS_REQUIRED = versions({"a": STRING}, {}, required=(("a",), ()))
ADDS_OPTIONAL = versions({}, {"a": STRING})
DROPS_AND_COMES_BACK_OTHERWISE = versions({"a": STRING}, {}, {"a": INTEGER})


@pytest.mark.parametrize(
    ("schemas", "compatibility", "broken"),
    [
        (ADDS_OPTIONAL, "full", []),
        (ADDS_REQUIRED, "forward", []),
        (ADDS_REQUIRED, "backward", [2]),
        (ADDS_REQUIRED, "full", [2]),
        (DROPS_REQUIRED, "forward", [2]),
        (DROPS_REQUIRED, "backward", []),
        (DROPS_REQUIRED, "full", [2]),
        (DROPS_REQUIRED, "none", []),
        (DROPS_AND_COMES_BACK_OTHERWISE, "full", []),
        (DROPS_AND_COMES_BACK_OTHERWISE, "forward_transitive", [3]),
        (DROPS_AND_COMES_BACK_OTHERWISE, "backward_transitive", [3]),
        (DROPS_AND_COMES_BACK_OTHERWISE, "full_transitive", [3, 3]),
        (DROPS_REQUIRED[:1], "full_transitive", []),
    ],
)
def test_each_word_of_the_schema_registry_means_the_same_here(
    schemas: list[Schema], compatibility: str, broken: list[int]
) -> None:
    """Forward: old readers, new data. Backward: new readers, old data. Full: both. Transitive: with all before."""
    found = [schema.version for schema, _ in breaks(schemas, Compatibility(compatibility))]

    assert found == broken
