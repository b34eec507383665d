"""Verifies the order of each key from inside the handlers."""

from __future__ import annotations

from itertools import count
from typing import Any, Final

_SHOWN: Final = 5


class OrderCheck:
    """Sees every record begin and end.

    Handlers of several threads call it at once; what belongs to one key is
    touched by one of them at a time, or the engine is broken, which is what it
    looks for.  Each store is one step of the interpreter.

    Always true: a record counts as `checked` only if the one before it of its
    key had ended, and none of its key was running.
    """

    def __init__(self) -> None:
        """Begin before the first record of every key."""
        self._last: dict[str, int] = {}
        self._running: set[str] = set()
        self._checked = count()
        self._violations = count()
        self.examples: list[str] = []
        """The first few violations, in words."""

    def begin(self, value: dict[str, Any]) -> None:
        """Note that the handler of the record *value* begins."""
        key, number = value["key"], value["number"]
        expected = self._last.get(key, -1) + 1
        if key in self._running:
            self._report(f"{key} number {number} began while another record of the key was running")
        elif number != expected:
            self._report(f"{key} number {number} began where number {expected} was due")
        else:
            next(self._checked)
        self._running.add(key)

    def end(self, value: dict[str, Any]) -> None:
        """Note that it has ended."""
        self._last[value["key"]] = value["number"]
        self._running.discard(value["key"])

    @property
    def keys(self) -> int:
        """Keys seen."""
        return len(self._last)

    def totals(self) -> tuple[int, int]:
        """Give records seen in order, and those that were not; call it once, at the end."""
        return next(self._checked), next(self._violations)

    def _report(self, text: str) -> None:
        if next(self._violations) < _SHOWN:
            self.examples.append(text)
