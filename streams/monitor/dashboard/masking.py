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
        """Give *text*, which tells of a record, without what the named fields of its payload *value* hold.

        What tells of a payload that is no JSON may hold any of it, and is hidden whole.
        """
        if not text or not value or not self.fields:
            return text
        secrets = self._secrets(value)
        return HIDDEN if secrets is None else _without(text, secrets)

    def scrub_bytes(self, data: bytes | None, value: bytes | None) -> bytes | None:
        """Do so with a key or a header, which no payload is written into whole."""
        if not data or not value or not self.fields:
            return data
        text = data.decode(errors="surrogateescape")
        return _without(text, self._secrets(value) or ()).encode(errors="surrogateescape")

    def headers(self, headers: Headers, value: bytes | None) -> Headers:
        """Give *headers* with those hidden that are named, and all scrubbed."""
        return [
            (name, HIDDEN.encode() if name.lower() in self.fields else self.scrub_bytes(data, value))
            for name, data in headers
        ]

    def _secrets(self, value: bytes) -> list[str] | None:
        """Give what the named fields of *value* hold, as text, the longest first; None where it is no JSON."""
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
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


def _without(text: str, secrets: Collection[str]) -> str:
    return re.sub("|".join(map(re.escape, secrets)), HIDDEN, text, flags=re.IGNORECASE) if secrets else text
