"""When two owners are the same: what of their memory can make a difference to what they will do.

Every field of the classes below is either in the form or named here as one
that makes none; a field that is new to the engine is taken into the form by
itself, or where a class has a form of its own, makes a test fail.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import msgspec

from streams.engine.backlog import Backlog
from streams.engine.chain import CopyHeader
from streams.engine.chainstate import ChainState
from streams.engine.copies import Copies
from streams.engine.ledger import Ledger
from streams.engine.partition import LOADED, PartitionState
from streams.engine.retries import Retries
from streams.engine.snapshot import runs_of
from streams.engine.tenure import Tenure
from streams.kafka.message import Message
from tests.model.owner import Owner

IGNORED: dict[type, frozenset[str]] = {
    PartitionState: frozenset(
        {"partition", "permits", "trouble"}
        | {"admitted", "told", "latest", "outstanding", "outstanding_bytes", "withdrawn"}
    ),
    Tenure: frozenset({"starts", "process", "began_at", "chain_began", "is_graceful"}),
    Retries: frozenset({"policy", "rng", "_sequence"}),
    ChainState: frozenset(
        {"lineage", "after_death", "is_ordered", "parked", "dlq", "_numbers"}
        | {"fenced", "expired", "_sequence", "_fences", "unrun_headers"}
    ),
    Owner: frozenset({"engine", "sent", "done", "started"}),
}
"""What is the same for all owners, only counts, or has done its work with the scan."""

SHAPED: dict[type, frozenset[str]] = {
    Ledger: frozenset(
        {"_chunks", "_join_at", "_committable", "position", "_restored", "crowded"}
        | {"_epoch", "_restored_epoch", "_read_to"}  # there are no leaders in the model
    ),
    Copies: frozenset(
        {"stage", "delay_ms", "is_tier", "outstanding", "cursor", "scan_end", "unsure_until", "relief"}
        | {"aged_until", "characters", "sought"}
        | {"_base", "_flags", "_mark", "_stamps", "_ready", "_order", "_earlier"}
    ),
    Backlog: frozenset(
        {"_first", "_origins", "_places", "in_memory", "is_running", "is_suspect", "loaded", "since_s"}
        | {"_only", "_only_place"}
    ),
}
"""Classes that have a form of their own, and all their fields: those that the form was made for."""


def form(value: Any) -> Hashable:
    """Give *value* as something that can be compared: equal forms behave alike."""
    kind = type(value)
    shape = _SHAPES.get(kind)
    if shape is not None:
        return shape(value)
    if isinstance(value, tuple):  # a named one
        return tuple(map(form, value))
    if isinstance(value, (ChainState, PartitionState, Owner, msgspec.Struct)) or is_dataclass(value):
        return tuple(form(getattr(value, name)) for name in names(kind))  # type: ignore[arg-type]  # a class can be hashed
    return value  # type: ignore[no-any-return]  # numbers and text


@lru_cache
def names(kind: type[object]) -> tuple[str, ...]:
    """Give the fields of *kind* that its form has."""
    ignored = next((IGNORED[one] for one in kind.__mro__ if one in IGNORED), frozenset())
    return tuple(name for name in _all_fields(kind) if name not in ignored)


def _all_fields(kind: type) -> list[str]:
    if is_dataclass(kind):
        return [one.name for one in fields(kind)]
    if issubclass(kind, msgspec.Struct):
        return list(kind.__struct_fields__)
    return _ASSIGNED[next(one for one in kind.__mro__ if one in _ASSIGNED)]


def remember(value: object) -> None:
    """Learn the fields of a class that does not declare them, from one of its objects."""
    for kind in type(value).__mro__[:-1]:
        _ASSIGNED.setdefault(kind, sorted(vars(value)))


_ASSIGNED: dict[type, list[str]] = {}


def _item_or_tuple(value: tuple[Any, ...]) -> Hashable:
    if len(value) == 5 and isinstance(value[4], PartitionState):
        return value[0].offset(), value[1] is LOADED
    return tuple(map(form, value))


def _dict(value: dict[Any, Any]) -> Hashable:
    return tuple(sorted(((form(key), form(one)) for key, one in value.items()), key=repr))


def _heap(value: list[Any]) -> Hashable:
    """Of lists that are heaps of (when, a number, which): the numbers only break ties."""
    if value and isinstance(value[0], tuple) and len(value[0]) == 3 and isinstance(value[0][1], int):
        return tuple(sorted(((when, which) for when, _, which in value), key=repr))
    return tuple(map(form, value))


def _ledger(value: Ledger) -> Hashable:
    committable = value.committable
    return committable, value.position, runs_of(value.ranges(), committable)


def _copies(value: Copies) -> Hashable:
    outstanding = tuple(offset for offset in range(value.committable, value.end) if value.is_outstanding(offset))
    due = tuple(map(value.due_ms, outstanding)) if value.is_tier else ()
    ready = tuple(sorted(value._ready.intersection(outstanding)))  # noqa: SLF001  # its whole memory is looked at
    return (
        value.end,
        outstanding,
        due,
        ready,
        value.cursor,
        value.scan_end,
        value.unsure_until,
        value.relief,
        value.sought,
    )


def _backlog(value: Backlog[Any]) -> Hashable:
    loaded = form(value.loaded or deque())
    return tuple(value.entries()), value.in_memory, value.is_running, value.is_suspect, loaded


def _header(value: CopyHeader) -> Hashable:
    return value.offset, value.hop, value.attempts, value.assignment_id, value.from_topic, value.from_offset


_SHAPES: dict[type, Callable[[Any], Hashable]] = {
    tuple: _item_or_tuple,
    list: _heap,
    deque: lambda value: tuple(map(form, value)),
    dict: _dict,
    set: lambda value: tuple(sorted(value)),
    array: lambda value: value.tobytes(),
    bytearray: bytes,
    Message: lambda value: (value.topic(), value.offset()),
    Ledger: _ledger,
    Copies: _copies,
    Backlog: _backlog,
    CopyHeader: _header,
    OSError: lambda value: type(value).__name__,
}
