"""Which dead letters a page shows, or an action is about: by what its address says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from streams.errors import UsageError
from streams.monitor.dashboard.board import key_in
from streams.monitor.dashboard.letters import Row, Shelf
from streams.replay.target import parse_time

FIELDS: Final = ("error", "kind", "key", "handler", "topic", "since", "until")
"""The filters, as they stand in an address."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters, or letters by their names; all of them where it says nothing."""

    texts: Mapping[str, str]
    """The filters as they were written, only those that are set."""
    origins: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    key: bytes | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Sequence[str]]) -> Choice:
        """Read an address, or a form.

        Raises:
            UsageError: A time or a key is none.
        """
        texts = {name: values[0].strip() for name in FIELDS if (values := fields.get(name)) and values[0].strip()}
        now_s = time.time()
        times = {name: parse_time(texts[name], now_s) for name in ("since", "until") if name in texts}
        return cls(
            texts,
            frozenset(fields.get("origin", ())),
            times.get("since"),
            times.get("until"),
            key_in(texts["key"]) if "key" in texts else None,
        )

    @property
    def query(self) -> str:
        """The address's part that says the same."""
        return urlencode([*self.texts.items(), *(("origin", one) for one in sorted(self.origins))])

    @property
    def words(self) -> str:
        """What it chooses, in words."""
        if self.origins:
            return "those that were ticked"
        told = [f"{name} {text!r}" for name, text in self.texts.items()]
        return f"those with {', '.join(told)}" if told else "all of them"

    def of_shelf(self, shelf: Shelf, *, is_masked: bool) -> list[Row]:
        """Give those of *shelf* that are chosen, newest first."""
        if self.origins or self.since_ms is not None or self.until_ms is not None:  # such a time may be of this moment
            return self.rows(shelf.rows, is_masked=is_masked)
        return shelf.chosen((self.query, is_masked), lambda rows: self.rows(rows, is_masked=is_masked))

    def rows(self, rows: Iterable[Row], *, is_masked: bool) -> list[Row]:
        """Give those of *rows* that are chosen, in their order."""
        if self.origins:
            return [row for row in rows if row.name in self.origins]
        found = list(rows)
        if self.since_ms is not None:
            found = [row for row in found if row.died_ms >= self.since_ms]
        if self.until_ms is not None:
            found = [row for row in found if row.died_ms < self.until_ms]
        if self.key is not None:
            found = [row for row in found if row.key == self.key]
        if topic := self.texts.get("topic"):
            found = [row for row in found if row.origin.topic == topic]
        return self._with_texts(found, is_masked=is_masked)

    def _with_texts(self, rows: list[Row], *, is_masked: bool) -> list[Row]:
        """Leave those whose words fit; letters that died alike are looked at once."""
        if not self.texts.keys() & {"error", "kind", "handler"}:
            return rows
        fits: dict[tuple[str, str, str, str], bool] = {}
        found = []
        for row in rows:
            words = row.error, row.masked if is_masked else row.message, row.reason, row.handler
            is_fit = fits.get(words)
            if is_fit is None:
                is_fit = fits[words] = self._fits(row, words, is_masked=is_masked)
            if is_fit:
                found.append(row)
        return found

    def _fits(self, row: Row, words: tuple[str, str, str, str], *, is_masked: bool) -> bool:
        *error, handler = words
        return (
            self.texts.get("error", "").lower() in "\n".join(error).lower()
            and self.texts.get("handler", "").lower() in handler.lower()
            and self.texts.get("kind") in (None, row.told(is_masked=is_masked))
        )


def require_reason(text: str, most: int) -> str:
    """Give *text*, which says why.

    Raises:
        UsageError: It says nothing, or too much.
    """
    if not text.strip():
        raise UsageError("say why: it stands in the audit")
    if len(text) > most:
        raise UsageError(f"the reason has {len(text):,} characters; the audit takes {most:,}")
    return text.strip()
