"""The bodies of the load: records that the user's handlers can read.

In this order: a file that is named; the example of the route's contract
(``schemas/<subject>/example.json``); a file beside the app's module that is
called as its topic (``orders.jsonl``); and for handlers that take whatever
comes, something made up.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from streams.app import SCHEMAS, App
from streams.errors import UsageError
from streams.kafka.message import make_message
from streams.record import Record
from streams.verify.mark import Mark

_MOST: Final = 10_000
_MADE_UP: Final = (b'{"verify": 1}', b'{"verify": 2}', b'{"verify": 3}')
_UNDEMANDING: Final = (bytes, dict, Record, Any, str)


class Payload:
    """The bodies of one topic, by the key they belong to.

    Always true: the handler's decoder has read each kind of body once.
    """

    def __init__(self, bodies: Sequence[bytes], key_field: str | None) -> None:
        """Sort *bodies* by the field that the route names as its key."""
        self._groups: dict[str, list[bytes]] = {}
        for body in bodies:
            self._groups.setdefault(_field(body, key_field), []).append(body)
        self._names = list(self._groups)

    def key(self, number: int) -> str:
        """Give the *number*-th key: one of the bodies' own as long as there are any, then further ones."""
        lap, at = divmod(number, len(self._names))
        return f"{self._names[at]}~{lap}" if lap or not self._names[at] else self._names[at]

    def body(self, number: int, seq: int) -> bytes:
        """Give the *seq*-th body of the *number*-th key."""
        group = self._groups[self._names[number % len(self._names)]]
        return group[seq % len(group)]


def payload_of(app: App, topic: str, files: Mapping[str, Path], module: str) -> Payload:
    """Find the bodies for the route of *topic*.

    Args:
        app: The user's.
        topic: Of the route.
        files: Topic to the file that the user named; "" stands for every topic.
        module: Where the app was found.

    Raises:
        UsageError: There are none, or the handler can't read them; says what to do.
    """
    route = app.routes[topic]
    path, bodies = _bodies(app, topic, files, module)
    for body in bodies[:100]:
        message = make_message(topic, 0, 0, value=body, headers=[Mark(0, 0, 0, 0).header()])
        if (wrong := route.unreadable(message)) is not None:
            raise UsageError(
                f"handler {route.name} of topic {topic!r} can't read what stands in {path}: {wrong}."
                f" Name a file of bodies, one a line, that it can: --payload {topic}=FILE"
            )
    return Payload(bodies, route.key_field)


def _bodies(app: App, topic: str, files: Mapping[str, Path], module: str) -> tuple[str, Sequence[bytes]]:
    route = app.routes[topic]
    named = files.get(topic) or files.get("")
    example = Path(SCHEMAS) / (route.subject or "") / "example.json"
    beside = Path(getattr(sys.modules[module], "__file__", None) or ".").parent / f"{topic}.jsonl"
    if named is not None:
        return str(named), _lines(named)
    if route.subject and example.exists():
        return str(example), [orjson.dumps(orjson.loads(example.read_bytes()))]
    if beside.exists():
        return str(beside), _lines(beside)
    if _takes_anything(route.handler):
        return "nowhere: they are made up", _MADE_UP
    raise UsageError(
        f"nothing is known that handler {route.name} of topic {topic!r} can read. Name a file of bodies, one a line:"
        f" --payload {topic}=FILE; or put one beside the app, as {beside}"
    )


def _lines(path: Path) -> Sequence[bytes]:
    try:
        with path.open("rb") as file:
            found = [line.rstrip(b"\r\n") for line in islice(file, _MOST) if line.strip()]
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from error
    if not found:
        raise UsageError(f"{path} holds no body: give one a line")
    return found


def _takes_anything(handler: Any) -> bool:
    hints = [hint for name, hint in typing.get_type_hints(handler).items() if name != "return"]
    first = hints[0] if hints else Any
    if typing.get_origin(first) is list:
        first = (typing.get_args(first) or (Any,))[0]
    return (typing.get_origin(first) or first) in _UNDEMANDING


def _field(body: bytes, name: str | None) -> str:
    if name is None:
        return ""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return str(value.get(name, "")) if isinstance(value, dict) else ""
