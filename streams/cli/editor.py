"""A payload as text that a person can change, in the editor of their choice, and the bytes that come of it.

JSON is laid out for reading and goes back into the layout that it had; no
number is read and written again, so none changes by the way.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Final

import click
import msgspec

from streams.cli.output import Failure
from streams.codec import loads
from streams.engine.edit import digest
from streams.errors import DecodeError, UsageError

_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_LAYOUTS: Final = (-1, 0, 2, 4)
"""How JSON is written: without spaces, on one line, a line a field."""
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_MOST_DIFFED: Final = 10_000
"""Lines of a text from which on no difference is worked out: that takes their square."""


@dataclass(frozen=True, slots=True)
class Text:
    """A payload that an editor can show."""

    value: bytes
    layout: int | None
    """The indent that it has, -1 for no spaces at all; None: it is no JSON, and shown as it stands."""

    @classmethod
    def of(cls, value: bytes | None) -> Text:
        """Read *value*.

        Raises:
            UsageError: It can't be shown as text.
        """
        if value is None:
            raise UsageError("its value is null, a tombstone: there is no text to edit. Give a value with --value-file")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        if _UNREADABLE.search(text):
            raise UsageError(
                f"its value is no text, and an editor would spoil its {len(value):,} bytes. Take them with"
                " 'streams dlq show GROUP RECORD --raw', and give the new ones with --value-file FILE, or - for"
                " standard input"
            )
        return cls(value, _layout(value))

    @property
    def shown(self) -> str:
        """What stands in the editor."""
        if self.layout is None:
            return self.value.decode()
        return msgspec.json.format(self.value, indent=2).decode() + "\n"

    def bytes_of(self, text: str) -> bytes:
        """Give the payload that *text* stands for, which the editor has left.

        Raises:
            DecodeError: It was JSON, and is none any more.
        """
        if text == self.shown:
            return self.value
        data = text.encode()
        if self.layout is None:  # a line's end at the end of the file is the editor's
            return data.removesuffix(b"\n") if not self.value.endswith(b"\n") else data
        loads(data)
        tail = self.value[len(self.value.rstrip()) :]
        return bytes(msgspec.json.format(data, indent=self.layout)) + tail


class Desk:
    """The file in which a text is changed; it stays where it is until what stands in it is not needed any more."""

    def __init__(self, name: str, text: Text) -> None:
        """Put *text* into a file of the name *name*, or one like it, that nobody else can read."""
        suffix = ".txt" if text.layout is None else ".json"
        number, path = tempfile.mkstemp(prefix=f"{_NAME.sub('-', name)}-", suffix=suffix)
        self.path = Path(path)
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            file.write(text.shown)

    def edit(self) -> str:
        """Open it in ``$VISUAL``, ``$EDITOR``, or what there is; give what stands in it afterwards.

        Raises:
            Failure: What it left is no text.
            ClickException: The editor failed.
        """
        click.edit(filename=str(self.path))
        try:
            return self.path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"what the editor left can't be read: {error}") from error

    def write(self, value: bytes) -> None:
        """Put the very bytes into it that are to be sent."""
        self.path.write_bytes(value)

    def clear(self) -> None:
        """Take the file away."""
        self.path.unlink(missing_ok=True)


def difference(before: bytes | None, after: bytes) -> str:
    """Give what an edit changes, for people: lines where both are text, else sizes and hashes."""
    try:
        lines = Text.of(before).shown.splitlines(), Text.of(after).shown.splitlines()
    except UsageError:
        lines = [], []
    if not any(lines) or max(map(len, lines)) > _MOST_DIFFED:
        return f"- {_outline(before)}\n+ {_outline(after)}"
    changes = list(unified_diff(*lines, "as it is", "as it would be", lineterm=""))
    return "\n".join(changes) or "(spaces alone)"


def _outline(value: bytes | None) -> str:
    return "null" if value is None else f"{len(value):,} bytes, SHA-256 {digest(value)}"


def _layout(value: bytes) -> int | None:
    """Give the indent of *value*; None where it is no JSON that could be laid out and put back."""
    try:
        loads(value)
        found = (one for one in _LAYOUTS if msgspec.json.format(value, indent=one) == value.rstrip())
        return next(found, -1)
    except (DecodeError, msgspec.DecodeError):
        return None
