"""Random JSON Schemas, and random changes to them."""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st

Document: TypeAlias = dict[str, Any] | bool

NAMES = ("a", "b", "c")
_VALUES = st.sampled_from([0, 1, 2, "", "a", "bb", None, True, False, [], [1], {}, {"a": 1}])
_SMALL = st.integers(0, 3)
_BOUND = st.integers(-3, 3)


def _with(fixed: dict[str, st.SearchStrategy[Any]], /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fixed, optional=optional)


_LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.just({}),
    _with({"type": st.just("string")}, minLength=_SMALL, maxLength=_SMALL, pattern=st.sampled_from(["^a", "b$"])),
    _with(
        {"type": st.sampled_from(["integer", "number"])},
        minimum=_BOUND,
        maximum=_BOUND,
        exclusiveMinimum=_BOUND,
        exclusiveMaximum=_BOUND,
        multipleOf=st.sampled_from([1, 2, 0.5]),
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"$ref": "#/$defs/d"}]),
    st.builds(lambda value: {"const": value}, _VALUES),
    st.builds(lambda values: {"enum": values}, st.lists(_VALUES, min_size=1, max_size=3, unique_by=repr)),
)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        _with(
            {"type": st.just("object")},
            properties=st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
            required=st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
            additionalProperties=inner | st.booleans(),
            minProperties=_SMALL,
            maxProperties=_SMALL,
            patternProperties=st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            dependentRequired=st.just({"a": ["b"]}),
            propertyNames=st.just({"maxLength": 1}),
        ),
        _with(
            {"type": st.just("array")},
            items=inner | st.booleans(),
            prefixItems=some,
            minItems=_SMALL,
            maxItems=_SMALL,
            uniqueItems=st.booleans(),
            contains=inner,
        ),
        _with({"anyOf": some}, type=st.sampled_from(["string", "object"]), minLength=_SMALL),
        _with({"oneOf": some}, properties=st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)),
        _with({"allOf": some}, required=st.just(["a"])),
        _with({"if": inner, "then": inner}),
        st.builds(lambda part: {"not": part}, inner),
    )


PARTS: st.SearchStrategy[Any] = st.recursive(_LEAVES, _composed, max_leaves=5)


_DEFINITIONS = _LEAVES.filter(lambda part: "$ref" not in part) | st.just(
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/d"}}},
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A whole document; its ``$defs`` has the one entry that its parts may refer to, which may refer to itself."""
    return {**draw(PARTS), "$defs": {"d": draw(_DEFINITIONS)}}


@st.composite
def changed_documents(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A later version of *document*."""
    definition = document["$defs"]["d"]
    parts = {name: part for name, part in document.items() if name != "$defs"}
    later: dict[str, Any] = draw(changed(parts))
    return {**later, "$defs": {"d": draw(st.just(definition) | _DEFINITIONS)}}


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """*document* with none, one or several of its parts changed, dropped, or added to."""
    if isinstance(document, bool) or draw(st.integers(0, 19)) == 0:
        return draw(PARTS)
    result: dict[str, Any] = {}
    for name, value in document.items():
        match draw(st.integers(0, 12)):
            case 0:
                continue
            case 1 if name in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"):
                result[name] = draw(_SMALL)
            case _:
                result[name] = draw(_changed_value(name, value))
    if draw(st.integers(0, 6)) == 0 and "properties" in result:
        result["properties"] = {**result["properties"], draw(st.sampled_from(NAMES)): draw(PARTS)}
    return result


def _changed_value(name: str, value: Any) -> st.SearchStrategy[Any]:
    if name in ("properties", "patternProperties"):
        return st.fixed_dictionaries({key: changed(part) for key, part in value.items()})
    if name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        return st.tuples(*map(changed, value)).map(list)
    if name in ("items", "not", "if", "then", "additionalProperties", "contains"):
        return changed(value)
    return st.just(value)


def as_written(document: Any) -> Any:
    """Give the schema of what producers of *document* write: of the objects that it describes, the named properties."""
    if not isinstance(document, dict):
        return document
    closed: dict[str, Any] = {}
    for name, value in document.items():
        if name in ("properties", "$defs"):
            closed[name] = {key: as_written(part) for key, part in value.items()}
        elif name == "items":
            closed[name] = as_written(value)
        elif name == "prefixItems":
            closed[name] = [as_written(part) for part in value]
        else:
            closed[name] = value
    beside = {"allOf", "if", "not", "patternProperties", "dependentRequired", "propertyNames", "$ref"}
    if _names_properties(closed) and not beside & closed.keys():
        named = closed.get("properties", {})
        closed["properties"] = {name: named.get(name, True) for name in {*named, *closed.get("required", ())}}
        if "additionalProperties" not in closed:  # what a choice beside it names is named too
            closed["unevaluatedProperties" if {"anyOf", "oneOf"} & closed.keys() else "additionalProperties"] = False
    return closed


def _names_properties(document: Any) -> bool:
    """Say whether *document*, or a choice that it leaves, describes an object."""
    if not isinstance(document, dict):
        return False
    choices = [*document.get("anyOf", ()), *document.get("oneOf", ())]
    return "properties" in document or any(map(_names_properties, choices))


def values(document: Any, root: Any) -> st.SearchStrategy[Any]:
    """Values that *document* may well accept; many of them it does."""
    if not isinstance(document, dict) or not document.keys() - {"$defs"}:
        return _VALUES
    found = [_of_type(kind, document, root) for kind in _types(document)]
    if "$ref" in document:
        found.append(st.deferred(lambda: values(root["$defs"]["d"], root)))
    if "const" in document:
        found.append(st.just(document["const"]))
    if "enum" in document:
        found.append(st.sampled_from(document["enum"]))
    for name in ("anyOf", "oneOf", "allOf"):
        found += [values(part, root) for part in document.get(name, ())]
    found += [values(document[name], root) for name in ("if", "then") if name in document]
    return st.one_of(found or [_VALUES])


def _types(document: dict[str, Any]) -> list[str]:
    named = document.get("type", [])
    kinds = [named] if isinstance(named, str) else list(named)
    return kinds + ["object"] * ("properties" in document and not kinds)


def _of_type(kind: str, document: dict[str, Any], root: Any) -> st.SearchStrategy[Any]:
    match kind:
        case "string":
            return st.text("ab", max_size=4)
        case "integer":
            return st.integers(-5, 5)
        case "number":
            return st.integers(-5, 5) | st.sampled_from([-0.5, 0.5, 1.5, 1.0])
        case "array":
            first = [values(part, root) for part in document.get("prefixItems", ())]
            rest = st.lists(values(document.get("items", True), root), max_size=3)
            return st.tuples(*first).flatmap(lambda head: rest.map(lambda tail: [*head, *tail]))
        case "object":
            named = document.get("properties", {})
            others = document.get("additionalProperties", True)
            needed = set(document.get("required", ()))
            parts = {name: values(named.get(name, others), root) for name in NAMES}
            return _with(
                {name: part for name, part in parts.items() if name in needed},
                **{name: part for name, part in parts.items() if name not in needed},
            )
    return st.sampled_from([True, False, None])
