"""How a record and a key are written on the command line."""

from __future__ import annotations

import os
import re
from typing import Final

from streams.errors import UsageError
from streams.record import Partition

HEX: Final = "hex:"
"""What a key begins with that is no text."""

_ORIGIN: Final = re.compile(r"([^/]+)/([0-9]{1,10})/([0-9]{1,19})")


def origin_of(text: str) -> tuple[Partition, int]:
    """Read the place of a record in its topic.

    Raises:
        UsageError: It is none.
    """
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not of the form TOPIC/PARTITION/OFFSET, such as orders/3/1042")
    return Partition(match[1], int(match[2])), int(match[3])


def key_of(text: str) -> bytes:
    """Read a Kafka key: text, or hexadecimal digits after ``hex:``.

    Raises:
        UsageError: They are none.
    """
    if not text.startswith(HEX):
        return os.fsencode(text)  # what the shell passed, UTF-8 or not
    try:
        return bytes.fromhex(text.removeprefix(HEX))
    except ValueError as error:
        raise UsageError(f"--key {text!r}: what follows 'hex:' must be pairs of hexadecimal digits") from error
