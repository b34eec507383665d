"""How bytes and texts come to harm: cut, spliced, overwritten, grown."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

NUMBERS: Final = (0, 1, -1, 2, 7, 255, 256, 65_535, 2**31, 2**32, 2**42, 2**62, 2**63 - 1, -(2**31), -(2**63))
"""Where kinds of numbers end."""

WORDS: Final = (
    *(
        "",
        " ",
        "a",
        "orders",
        "orders/0/1",
        "é",
        "\u0663",
        "\x00",
        "\x7f",
        "\n",
        "'",
        '"',
        "{}",
        "%s",
        "../..",
        "--",
        "-",
    ),
    *("None", "null", "nan", "inf", "-1", "1e9", "0x10", "1_000", "9" * 400, "9" * 5_000, "\U0001f600", "a" * 300),
)
"""Texts that somebody did not think of."""

BYTES: Final = (
    b"",
    b"\x00",
    b"\xff",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc0",
    b"\x90",
    b"\xdc\x00\x11",
    b"{",
    b'"',
    b"[" * 9,
)
"""The same of bytes."""


DEEP: Final = msgspec.Raw(b"\x91" * 5_000 + b"\xc0")
"""A value inside a value inside a value, beyond what a parser follows, as msgpack."""


def packed(fields: Sequence[object]) -> bytes:
    """Give *fields* as msgpack; `DEEP` stands for itself."""
    whole = msgspec.msgpack.encode([None if field is DEEP else field for field in fields])
    return whole[:-1] + bytes(DEEP) if fields and fields[-1] is DEEP else whole


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Give *data* after one to four mishaps."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_MISHAPS)(rng, data)
    return data


def damaged_text(rng: random.Random, text: str) -> str:
    """Give *text* after a mishap, with characters of any kind."""
    at = rng.randint(0, len(text))
    before, behind = text[:at], text[at:]
    return rng.choice(
        (
            before,
            behind,
            before + rng.choice(WORDS) + behind,
            before + chr(rng.randrange(32, 127)) + behind[1:],
            before + behind[: rng.randint(1, 9)] + behind,
            before + behind[1:],
        )
    )


def some_bytes(rng: random.Random, most: int = 40) -> bytes:
    """Give bytes of any kind."""
    return rng.choice(BYTES) if rng.random() < 0.3 else rng.randbytes(rng.randint(0, most))


def some_text(rng: random.Random) -> str:
    """Give a text of any kind that UTF-8 can hold."""
    if rng.random() < 0.5:
        return rng.choice(WORDS)
    return "".join(
        chr(rng.choice((rng.randrange(32, 127), rng.randrange(160, 0x800)))) for _ in range(rng.randint(0, 12))
    )


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _behead(rng: random.Random, data: bytes) -> bytes:
    return data[rng.randint(0, len(data)) :]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 1, 2, 4))) + data[at + 1 :]


def _flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def _grow(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + some_bytes(rng) + data[at:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at : at + rng.randint(1, 9)] * rng.randint(1, 40) + data[at:]


_MISHAPS: Final[Sequence[Callable[[random.Random, bytes], bytes]]] = (_cut, _behead, _overwrite, _flip, _grow, _repeat)
