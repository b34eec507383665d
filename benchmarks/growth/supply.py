"""Topics of any shape: so many partitions, keys, bytes and headers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from streams.bench.ground import Ground
from streams.bench.records import bulk_sender, make_topic, require_all_sent
from streams.record import Headers

_MOST_BYTES: Final = 512 * 2**20
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789"
_TEXT: Final = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a topic is like."""

    records: int
    partitions: int = 12
    keys: int = 10_000
    """Each with the same chance; the first records have each of them once, as far as they go."""
    size: int = 300
    """Bytes of a value."""
    headers: int = 0
    """Of 16 bytes, on each record."""

    @property
    def count(self) -> int:
        """How many records there are: no more than a small disk holds."""
        return min(self.records, _MOST_BYTES // self.size)


@dataclass
class Supply:
    """The topics of a run: each is filled when it is first asked for."""

    place: Ground
    say: Callable[[str], None]
    _there: dict[Shape, tuple[str, int]] = field(default_factory=dict)

    def topic(self, shape: Shape) -> tuple[str, int]:
        """Give a topic of *shape*, and how many records its hottest key has."""
        if shape not in self._there:
            self.say(f"producing {shape.count:,} records")
            name = f"{self.place.name}-{len(self._there)}"
            make_topic(self.place.settings, name, shape.partitions, retention_ms="-1")
            counts: Counter[bytes] = Counter()
            sender = bulk_sender(self.place.settings, name)
            headers: Headers = [(f"header-{number:02}", b"x" * 16) for number in range(shape.headers)]
            for number, (key, value) in enumerate(records(shape)):
                counts[key] += 1
                sender.send(number, key, value, headers or None)
            require_all_sent(sender, name)
            self._there[shape] = name, max(counts.values())
        return self._there[shape]


def records(shape: Shape) -> Iterator[tuple[bytes, bytes]]:
    """Give keys and values of *shape*, the same ones each time; no two values are alike."""
    rng = random.Random(7)
    text = bytes(rng.choices(_LETTERS, k=_TEXT))
    for number in range(shape.count):
        key = number if number < shape.keys else rng.randrange(shape.keys)
        start = rng.randrange(_TEXT - shape.size)
        yield b"key-%07d" % key, b"%08d" % number + text[start : start + shape.size - 8]
