"""Whether readers of one version can read what another version's producers write, and if not, why, in sentences.

The picture: a producer writes the properties that its version names, and a
reader passes over those that it does not know, unless its version refuses them.
So each value that the writer's version accepts, without properties that it
does not name, must be valid under the reader's version.

The comparison walks both schemas and finds a reason for each break.  It knows
the keywords that contracts are made of; of others it sees only whether they
are the same.  Where it finds a break, a decision procedure for containment is
asked for a proof that there is none, so that a schema is not refused for being
written in an unusual way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import jsonschema_rs
from jsonschema_rs.canonical import CanonicalizationError, Containment

from streams.codec import dumps, excerpt
from streams.contracts.promises import unmet
from streams.contracts.schema import Document, Schema, compiled
from streams.contracts.shape import Keywords, alternatives, embeds, listed, normal, refers, same, types

_Path: TypeAlias = tuple[str, ...]

_ALONE = (
    *(("not",), ("oneOf",), ("anyOf",), ("allOf",), ("patternProperties",), ("propertyNames",)),
    *(
        ("dependentRequired",),
        ("dependentSchemas",),
        ("contains", "minContains", "maxContains"),
        ("if", "then", "else"),
    ),
)
"""Keywords that hold for a value whatever stands beside them: the same in both versions, they break nobody."""

_UNKNOWN = frozenset(
    (
        *("not", "oneOf", "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "contains"),
        *("if", "then", "else", "unevaluatedProperties", "unevaluatedItems", "$ref", "$dynamicRef"),
    ),
)
"""Keywords that are not compared, unless they are the same."""

_NAMING = _UNKNOWN | {"allOf", "anyOf"}
"""Keywords that may name properties beside ``properties``."""


def unreadable(reader: Schema, writer: Schema) -> list[str]:
    """Give a sentence for each way in which data of *writer* may break readers of *reader*; none: it breaks nobody."""
    found = _Comparison(reader, writer).found()
    return [] if found and _proved(reader.document, writer.document) else found


def _proved(reader: Document, writer: Document) -> bool:
    """Say whether it is certain that *reader* accepts whatever *writer* accepts."""
    try:
        wide, narrow = (
            jsonschema_rs.canonicalize(document, offline=True, validate_formats=True) for document in (reader, writer)
        )
        return wide.covers(narrow) == Containment.YES
    except CanonicalizationError:
        return False


class _Comparison:
    """One walk through two schemas, side by side.

    Always true: with no sentence found, no value breaks a reader; a sentence
    found may be one too many.
    """

    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._readers = f"readers of v{reader.version}"
        self._writer = f"v{writer.version}"
        self._newer_writes = writer.version > reader.version
        self._reader_root = reader.document
        self._writer_root = writer.document
        self._under_way: dict[tuple[bytes, bytes], _Path] = {}

    def found(self) -> list[str]:
        if dumps(self._reader_root) == dumps(self._writer_root):
            return []
        if embeds(self._reader_root) or embeds(self._writer_root):
            return ["a part has an $id of its own, and such schemas can't be compared: use $defs without $id"]
        return list(dict.fromkeys(self._breaks(self._reader_root, self._writer_root, ())))

    def _breaks(self, reader: Document, writer: Document, path: _Path) -> list[str]:
        """Compare two schemas for the values at *path*.

        A pair met again further down, inside itself, needs no second look; one
        met again at the same place would wait for its own answer.
        """
        pair = dumps(reader), dumps(writer)
        if pair in self._under_way:
            return [f"{_at(path)} is defined by itself"] if self._under_way[pair] == path else []
        if same(reader, writer):
            return []
        self._under_way[pair] = path
        try:
            return list(self._compared(normal(reader, self._reader_root), normal(writer, self._writer_root), path))
        finally:
            del self._under_way[pair]

    def _compared(self, reader: Document, writer: Document, path: _Path) -> Iterator[str]:
        if reader is True or writer is False:
            return
        if reader is False:
            yield f"{self._writer} may write {_at(path)}, which {self._readers} refuse"
            return
        writer = {} if writer is True else writer
        values = listed(writer)
        if values is not None:
            yield from self._values(reader, values, path)
            return
        reader = _without_shared(reader, writer)
        branches = alternatives(writer, self._writer_root, split_types="anyOf" in reader)
        if branches is not None:
            for branch in branches:
                yield from self._breaks(reader, branch, path)
            return
        yield from self._keywords(reader, writer, path)

    def _keywords(self, reader: Keywords, writer: Keywords, path: _Path) -> Iterator[str]:
        unfit = self._type(reader, writer, path)
        if unfit:
            yield unfit
            return
        yield from self._bounds(reader, writer, path)
        yield from self._choices(reader, writer, path)
        if "object" in types(writer):
            yield from self._object(reader, writer, path)
        if "array" in types(writer):
            yield from self._array(reader, writer, path)
        for name in sorted(_UNKNOWN & reader.keys()):
            yield f"'{name}' of {_at(path)} is not the same, and {self._writer} can't be shown to suit {self._readers}"

    def _values(self, reader: Keywords, values: list[Any], path: _Path) -> Iterator[str]:
        if refers(reader):
            yield f"{self._writer} lists the values of {_at(path)}, which can't be shown to suit {self._readers}"
            return
        validator = compiled(dict(reader))
        knows = "enum" in reader or "const" in reader
        for value in values:
            if not validator.is_valid(value):
                shown = excerpt(dumps(value))
                if knows and self._newer_writes:
                    yield f"{self._writer} adds {shown} to the values of {_at(path)}, which {self._readers} do not know"
                else:
                    yield f"{self._writer} may write {shown} as {_at(path)}, which {self._readers} refuse"

    def _type(self, reader: Keywords, writer: Keywords, path: _Path) -> str | None:
        needed, written = types(reader), types(writer)
        if not written - needed - ({"integer"} if "number" in needed else set()):
            return None
        return f"{_at(path)} is {_listing(written)} in {self._writer}, and {self._readers} take {_listing(needed)}"

    def _bounds(self, reader: Keywords, writer: Keywords, path: _Path) -> Iterator[str]:
        if "enum" in reader or "const" in reader:
            yield f"{self._writer} does not list the values of {_at(path)}, and {self._readers} know only some"
        for name in unmet(reader, writer):
            promised = f"promises {writer[name]}" if name in writer else "promises none"
            yield f"{self._readers} need {name} {reader[name]} of {_at(path)}, and {self._writer} {promised}"

    def _choices(self, reader: Keywords, writer: Keywords, path: _Path) -> Iterator[str]:
        for part in reader.get("allOf", ()):
            yield from self._breaks(part, dict(writer), path)
        choices = reader.get("anyOf", (True,))
        if all(self._breaks(choice, dict(writer), path) for choice in choices):
            yield f"{_at(path)} in {self._writer} is none of the choices that {self._readers} know"

    def _object(self, reader: Keywords, writer: Keywords, path: _Path) -> Iterator[str]:
        for name in reader.get("required", ()):
            if name not in writer.get("required", ()):
                yield self._lacking((*path, name), named=name in writer.get("properties", {}))
        known = reader.get("properties", {})
        for name, needed in known.items():
            yield from self._breaks(needed, _written(writer, name), (*path, name))
        others = reader.get("additionalProperties", True)
        if others not in (True, {}):
            yield from self._others(others, writer, known, path)

    def _lacking(self, path: _Path, *, named: bool) -> str:
        if not self._newer_writes:
            return f"{self._readers} require {_at(path)}, which {self._writer} data may lack"
        if named:
            return f"{self._writer} makes {_at(path)} optional, which {self._readers} need"
        return f"{self._writer} drops required {_at(path)} that {self._readers} need"

    def _others(self, others: Document, writer: Keywords, known: Keywords, path: _Path) -> Iterator[str]:
        """Compare what the reader takes under names that it does not know."""
        for name in dict.fromkeys((*writer.get("properties", ()), *writer.get("required", ()))):
            written = _written(writer, name)
            if name in known or written is False:
                continue
            if others is False:
                yield f"{self._writer} has {_at((*path, name))}, which {self._readers} refuse (additionalProperties)"
            else:
                yield from self._breaks(others, written, (*path, name))
        for rest in (writer.get("additionalProperties", True), *writer.get("patternProperties", {}).values()):
            if self._breaks(others, rest, (*path, "*")):
                yield f"{self._writer} leaves {_at(path)} open to properties that {self._readers} refuse"

    def _array(self, reader: Keywords, writer: Keywords, path: _Path) -> Iterator[str]:
        needed, written = reader.get("prefixItems", []), writer.get("prefixItems", [])
        rest_needed, rest_written = reader.get("items", True), writer.get("items", True)
        for index in range(max(len(needed), len(written))):
            item_needed = needed[index] if index < len(needed) else rest_needed
            item_written = written[index] if index < len(written) else rest_written
            yield from self._breaks(item_needed, item_written, (*path, f"[{index}]"))
        yield from self._breaks(rest_needed, rest_written, (*path, "[]"))


def _without_shared(reader: Keywords, writer: Keywords) -> dict[str, Any]:
    shared: set[str] = set()
    for group in _ALONE:
        ours = {name: reader[name] for name in group if name in reader}
        if same(ours, {name: writer[name] for name in group if name in writer}):
            shared.update(ours)
    return {name: value for name, value in reader.items() if name not in shared}


def _written(writer: Keywords, name: str) -> Document:
    """Give the schema of what *writer* may write as property *name*."""
    named: Keywords = writer.get("properties", {})
    if name in named:
        schema: Document = named[name]
        return schema
    if _NAMING & writer.keys():
        return True
    others: Document = writer.get("additionalProperties", True)
    names_what_it_writes = "properties" in writer and name not in writer.get("required", ())
    return False if others in (True, {}) and names_what_it_writes else others


def _at(path: _Path) -> str:
    """Give a place in the reader's words: ``'lines[].sku'``."""
    shown = "".join(step if step.startswith("[") else f".{step}" for step in path).removeprefix(".")
    return f"'{shown}'" if shown else "the value"


def _listing(names: frozenset[str]) -> str:
    return (
        "anything"
        if names >= {"null", "boolean", "object", "array", "number", "string"}
        else " or ".join(sorted(names))
    )
