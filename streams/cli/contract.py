"""Whether a payload meets what its topic's readers ask of it: by an app's route, or by a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streams.cli.connect import load_app
from streams.cli.lines import KeyRule
from streams.cli.output import readable
from streams.codec import loads
from streams.contracts import Registry
from streams.contracts.schema import Schema, named_by
from streams.deadletter.letter import Letter
from streams.engine.route import Route
from streams.envelope import Envelope
from streams.errors import ContractError, DecodeError, UsageError
from streams.kafka.message import make_message


class Contract(NamedTuple):
    """What a value is held against."""

    name: str
    """For people."""
    faults: Callable[[bytes], Sequence[str]]
    """Gives a sentence for each fault of a value."""


def contract_of(letter: Letter, app: str | None, subject: str | None, folder: Path) -> Contract | None:
    """Give what the value of *letter* has to meet; None where nothing says so.

    Args:
        letter: Whose value.
        app: ``module:app``: what its route on the topic reads, its contract included.
        subject: Of *folder*; the version is the one that the record names, else the newest.
        folder: Where schemas stand; one that the record names itself is taken from there, where there is one.

    Raises:
        UsageError: There is no such app, route or subject.
    """
    if app is not None:
        return _of_route(letter, app)
    dataschema = Envelope.from_headers(letter.headers).dataschema
    if subject is not None:
        return _of_schema(Registry(folder).subject(subject).schema_for(dataschema))
    named = named_by(dataschema)
    if named is None or not (folder / named[0]).is_dir():
        return None
    return _of_schema(Registry(folder).subject(named[0]).schema_for(dataschema))


def _of_schema(schema: Schema) -> Contract:
    def faults(value: bytes) -> list[str]:
        try:
            return schema.faults(loads(value))
        except DecodeError as error:
            return [str(error)]

    return Contract(f"{schema.subject} v{schema.version}", faults)


def _of_route(letter: Letter, path: str) -> Contract:
    app, topic = load_app(path), letter.header.topic
    if app.group != letter.header.group:
        raise UsageError(f"{path} is the app of group {app.group!r}, and the letter is one of {letter.header.group!r}")
    if topic not in app.routes:
        raise UsageError(f"{path} has no handler on topic {topic!r}; it has {', '.join(sorted(app.routes))}")
    route = app.routes[topic]
    return Contract(f"{path}, handler {route.name}", lambda value: [*_unread(letter, route, value)])


def _unread(letter: Letter, route: Route, value: bytes) -> Iterator[str]:
    """Give what the handler could not read in *value*, and where it names another key."""
    header = letter.header
    message = make_message(
        header.topic, header.partition, header.offset, key=letter.key, value=value, headers=letter.headers
    )
    fault = route.unreadable(message)
    if isinstance(fault, ContractError):
        yield from fault.faults
    elif fault is not None:
        yield str(fault)
    named, before = _key_in(route, value), _key_in(route, letter.value)
    if named is not None and named not in (letter.key, before):
        yield (
            f"its field {route.key_field!r} says {readable(named)}, and its Kafka key is {readable(letter.key)}: the"
            " key decides the order, and stays. Produce a record of that key, and forget this one"
        )


def _key_in(route: Route, value: bytes | None) -> bytes | None:
    """Give the key that *value* names; None where it names none."""
    try:
        found: Any = None if value is None else loads(value)
        return KeyRule(route.key_field).key_of(found)
    except (DecodeError, ValueError):
        return None
