"""Fields that not everybody may see: left out of whatever is shown or exported below the role of an administrator."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

import orjson

from streams.record import Headers

HIDDEN: Final = "•••"
_SHORTEST: Final = 3
"""Characters of a value that is looked for in other texts: shorter ones would hide half of each sentence."""


class Mask:
    """The names of fields, at whatever depth of a JSON payload, and of headers; upper and lower case count the same.

    Always true: what a named field holds is shown nowhere, in error messages,
    stacks, keys and headers neither, where it has three characters or more.
    """

    def __init__(self, fields: Collection[str] = ()) -> None:
        """Hide *fields*."""
        self.fields = frozenset(name.strip().lower() for name in fields if name.strip())

    def __bool__(self) -> bool:
        return bool(self.fields)

    def payload(self, value: bytes | None) -> bytes | None:
        """Give *value* without what its named fields hold; what is no JSON has no known fields, and is hidden whole."""
        if value is None or not self.fields:
            return value
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return f"{HIDDEN} {len(value):,} bytes that are no JSON".encode()
        return orjson.dumps(self._cut(document))

    def scrub(self, text: str, value: bytes | None) -> str:
        """Give *text* without what the named fields of the payload *value* hold."""
        secrets = self.secrets(value)
        if not secrets or not text:
            return text
        return re.sub("|".join(map(re.escape, secrets)), HIDDEN, text, flags=re.IGNORECASE)

    def scrub_bytes(self, data: bytes | None, value: bytes | None) -> bytes | None:
        """Do so with bytes, such as a key."""
        if data is None or not self.fields:
            return data
        text = data.decode(errors="surrogateescape")
        return self.scrub(text, value).encode(errors="surrogateescape")

    def headers(self, headers: Headers, value: bytes | None) -> Headers:
        """Give *headers* with those hidden that are named, and all scrubbed."""
        return [
            (name, HIDDEN.encode() if name.lower() in self.fields else self.scrub_bytes(data, value))
            for name, data in headers
        ]

    def secrets(self, value: bytes | None) -> list[str]:
        """Give what the named fields of *value* hold, as text, the longest first."""
        if not value or not self.fields:
            return []
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
        found = {text for text in self._held(document, is_named=False) if len(text) >= _SHORTEST}
        return sorted(found, key=len, reverse=True)

    def _cut(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: HIDDEN if name.lower() in self.fields else self._cut(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._cut(one) for one in value]
        return value

    def _held(self, value: Any, *, is_named: bool) -> Iterator[str]:
        if isinstance(value, dict):
            for name, one in value.items():
                yield from self._held(one, is_named=is_named or name.lower() in self.fields)
        elif isinstance(value, list):
            for one in value:
                yield from self._held(one, is_named=is_named)
        elif is_named and value is not None and not isinstance(value, bool):
            yield str(value)
