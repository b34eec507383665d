"""JSON Schemas as values: references followed, parts merged, so that two can be compared keyword by keyword.

Whatever is done to a schema here leaves it accepting the same values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from streams.codec import dumps
from streams.contracts.schema import Document, compiled

Keywords: TypeAlias = Mapping[str, Any]

ANYTHING = frozenset({"null", "boolean", "object", "array", "number", "string"})
"""The types of JSON; an integer is a number."""

_ANNOTATIONS = frozenset(
    (
        *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples"),
        *("deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType", "contentSchema"),
    ),
)

_TIED = (
    frozenset({"properties", "patternProperties", "additionalProperties", "unevaluatedProperties"}),
    frozenset({"prefixItems", "items", "unevaluatedItems", "contains", "minContains", "maxContains"}),
    frozenset({"if", "then", "else"}),
)
"""Keywords that mean something only together."""


def normal(document: Document, root: Document) -> Document:
    """Give *document* without annotations, with its references and ``allOf`` folded in where that is possible.

    What is not possible stays: a ``$ref`` that leads round in a circle or
    elsewhere, an ``allOf`` whose parts are entangled.
    """
    return _folded(document, root, ())


def _folded(document: Document, root: Document, on_the_way: tuple[str, ...]) -> Document:
    if isinstance(document, bool):
        return document
    keywords = {name: value for name, value in document.items() if name not in _ANNOTATIONS}
    parts: list[Document] = list(keywords.pop("allOf", ()))
    reference = keywords.get("$ref")
    if reference is not None and reference not in on_the_way:
        target = _target(reference, root)
        if target is not None:
            del keywords["$ref"]
            parts.append(target)
            on_the_way = (*on_the_way, reference)
    return _together(keywords, [_folded(part, root, on_the_way) for part in parts])


def _together(keywords: dict[str, Any], parts: list[Document]) -> Document:
    merged: Document | None = keywords
    for part in parts:
        merged = None if merged is None else merge(merged, part)
    return {**keywords, "allOf": parts} if merged is None else merged


def _target(reference: str, root: Document) -> Document | None:
    """Give what *reference* points to inside *root*; None for any other kind of reference."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    place: Any = root
    for step in unquote(reference).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        place = place[int(name) if isinstance(place, list) else name]
    return place if isinstance(place, dict | bool) else None


def merge(one: Document, other: Document) -> Document | None:
    """Give one schema that accepts exactly what both accept; None where that takes more than putting them together."""
    if isinstance(one, bool):
        return other if one else False
    if isinstance(other, bool):
        return one if other else False
    if _entangled(one, other):
        return None
    merged = {**one, **other}
    for name in one.keys() & other.keys():
        merged[name] = _merged_keyword(name, one[name], other[name])
    return None if None in merged.values() else merged


def _entangled(one: Keywords, other: Keywords) -> bool:
    """Say whether both speak of the same kind of part, and say more than which properties there are."""
    for group in _TIED:
        ours, theirs = group & one.keys(), group & other.keys()
        if ours and theirs and ours | theirs != {"properties"}:
            return True
    return False


def _merged_keyword(name: str, one: Any, other: Any) -> Any:
    if name == "required":
        return sorted({*one, *other})
    if name == "properties" and all(same(one[key], other[key]) for key in one.keys() & other.keys()):
        return {**one, **other}
    return one if same(one, other) else None


def alternatives(keywords: Keywords, root: Document, *, split_types: bool = False) -> list[Document] | None:
    """Give schemas one of which every accepted value satisfies; None where there is no choice, or none is found."""
    for name in ("anyOf", "oneOf"):
        if name in keywords:
            rest = {key: value for key, value in keywords.items() if key != name}
            merged = [merge(rest, normal(branch, root)) for branch in keywords[name]]
            found = [each for each in merged if each is not None]
            if len(found) == len(merged):
                return found
    kinds = types(keywords)
    if split_types and len(kinds) > 1:
        return [{**keywords, "type": kind} for kind in sorted(kinds)]
    return None


def types(keywords: Keywords) -> frozenset[str]:
    """Give the types that a value may have."""
    named = keywords.get("type", ANYTHING)
    return frozenset({named} if isinstance(named, str) else named)


def listed(keywords: Keywords) -> list[Any] | None:
    """Give all values that are accepted, where they are few; None otherwise."""
    if "const" in keywords:
        values = [keywords["const"]]
    elif "enum" in keywords:
        values = keywords["enum"]
    elif types(keywords) <= {"null", "boolean"}:
        values = [True, False, None]
    else:
        return None
    return values if refers(keywords) else list(filter(compiled(dict(keywords)).is_valid, values))


def same(one: Any, other: Any) -> bool:
    """Say whether two parts of schemas mean the same, whatever documents they stand in."""
    return dumps(one) == dumps(other) and not refers(one)


def refers(part: Any) -> bool:
    """Say whether *part* holds a reference, which may lead elsewhere from another document."""
    if isinstance(part, dict):
        return not part.keys().isdisjoint({"$ref", "$dynamicRef"}) or any(map(refers, part.values()))
    return isinstance(part, list) and any(map(refers, part))


def embeds(part: Any, *, inside: bool = False) -> bool:
    """Say whether a resource with an ``$id`` of its own stands within *part*: references there lead elsewhere."""
    if isinstance(part, dict):
        own = inside and isinstance(part.get("$id"), str)
        return own or any(embeds(each, inside=True) for each in part.values())
    return isinstance(part, list) and any(embeds(each, inside=True) for each in part)
