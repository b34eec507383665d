"""Which records a replay takes: by their key, by fields of a JSON payload, by its text.  Sans I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from streams.errors import UsageError
from streams.kafka.message import Message
from streams.wording import readable


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted; all that is said has to hold.

    >>> choice = Choice(where=(("customer.country", "SE"), ("total", "5")))
    >>> choice.has_fields(b'{"customer": {"country": "SE"}, "total": 5}')
    True
    """

    keys: tuple[bytes, ...] = ()
    """Kafka keys, one of which it has to be; none: any."""
    where: tuple[tuple[str, str], ...] = ()
    """Fields of the payload, by their path, and the value that each has to have."""
    text: str = ""
    """A part of the payload, in upper or lower case."""

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return self != Choice()

    def takes(self) -> Callable[[Message], bool] | None:
        """Give what says of a record whether it is wanted; None where all are."""
        if not self:
            return None
        keys, text = frozenset(self.keys), self.text.lower()

        def takes(message: Message) -> bool:
            if keys and message.key() not in keys:
                return False
            value = message.value() or b""
            if text and text not in value.decode(errors="replace").lower():
                return False
            return not self.where or self.has_fields(value)

        return takes

    def has_fields(self, value: bytes) -> bool:
        """Say whether the payload *value* has all fields as they have to be; one that is no JSON has none."""
        try:
            document = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return all(_is_at(document, path, wanted) for path, wanted in self.where)

    def words(self) -> str:
        """Say what is wanted, as on the command line."""
        return " ".join(self._words())

    def _words(self) -> Iterator[str]:
        yield from (f"--key {readable(key)}" for key in self.keys)
        yield from (f"--where {path}={wanted}" for path, wanted in self.where)
        if self.text:
            yield f"--text {self.text}"


def condition(text: str) -> tuple[str, str]:
    """Read ``FIELD=VALUE``.

    Raises:
        UsageError: It is not of that form.
    """
    path, equals, wanted = text.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"--where {text!r} is not of the form FIELD=VALUE, such as status=open or customer.country=SE")
    return path, wanted


def _is_at(document: Any, path: str, wanted: str) -> bool:
    """Say whether *document* has at *path* the value that *wanted* spells: text as it is, anything else as in JSON."""
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    if isinstance(document, str):
        return document == wanted
    try:
        spelled = msgspec.json.decode(wanted)
    except (msgspec.DecodeError, RecursionError):
        return False
    return isinstance(document, bool) is isinstance(spelled, bool) and bool(document == spelled)
