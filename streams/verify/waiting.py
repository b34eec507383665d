"""Waiting for what members and brokers do: on a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], *, within_s: float, every_s: float = 0.05) -> bool:
    """Wait until *condition* holds; say whether it did in time."""
    give_up = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(every_s)
    return True
