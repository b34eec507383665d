"""The keywords that bound one value, and when what a writer promises meets what a reader needs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import inf
from typing import Any, TypeAlias

from streams.contracts.shape import Keywords, types

_Rule: TypeAlias = Callable[[Any, Keywords], bool]

_NUMBER = frozenset({"number", "integer"})
_STRING = frozenset({"string"})
_ARRAY = frozenset({"array"})
_OBJECT = frozenset({"object"})


def unmet(reader: Keywords, writer: Keywords) -> list[str]:
    """Give the keywords of *reader* that bound a value and that values of *writer* may break."""
    written = types(writer)
    return [
        name
        for name, (kinds, meets) in _RULES.items()
        if name in reader and kinds & written and not meets(reader[name], writer)
    ]


def _at_least(name: str) -> _Rule:
    return lambda needed, writer: bool(writer.get(name, 0) >= needed)


def _at_most(name: str) -> _Rule:
    return lambda needed, writer: bool(writer.get(name, inf) <= needed)


def _equal(name: str) -> _Rule:
    return lambda needed, writer: bool(writer.get(name) == needed)


def _lowest(writer: Keywords) -> tuple[float, bool]:
    """Give the writer's lower bound, and whether the bound itself is left out."""
    return max((writer.get("minimum", -inf), False), (writer.get("exclusiveMinimum", -inf), True))


def _highest(writer: Keywords) -> tuple[float, bool]:
    """Give the writer's upper bound, and whether the bound itself is let in."""
    return min((writer.get("maximum", inf), True), (writer.get("exclusiveMaximum", inf), False))


def _multiple(needed: float, writer: Keywords) -> bool:
    promised = writer.get("multipleOf")
    return promised is not None and Decimal(str(promised)) % Decimal(str(needed)) == 0


_RULES: dict[str, tuple[frozenset[str], _Rule]] = {
    "minimum": (_NUMBER, lambda needed, writer: _lowest(writer) >= (needed, False)),
    "exclusiveMinimum": (_NUMBER, lambda needed, writer: _lowest(writer) >= (needed, True)),
    "maximum": (_NUMBER, lambda needed, writer: _highest(writer) <= (needed, True)),
    "exclusiveMaximum": (_NUMBER, lambda needed, writer: _highest(writer) <= (needed, False)),
    "multipleOf": (_NUMBER, _multiple),
    "minLength": (_STRING, _at_least("minLength")),
    "maxLength": (_STRING, _at_most("maxLength")),
    "pattern": (_STRING, _equal("pattern")),
    "format": (_STRING, _equal("format")),
    "minItems": (_ARRAY, _at_least("minItems")),
    "maxItems": (_ARRAY, _at_most("maxItems")),
    "uniqueItems": (_ARRAY, lambda needed, writer: not needed or writer.get("uniqueItems") is True),
    "minProperties": (_OBJECT, _at_least("minProperties")),
    "maxProperties": (_OBJECT, _at_most("maxProperties")),
}
