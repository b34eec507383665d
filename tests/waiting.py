"""Waiting in tests: on a condition, with a deadline, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within_s: float = 60.0, every_s: float = 0.02) -> T:
    """Give back the first true answer of *condition*.

    What *condition* raises ends the wait.

    Raises:
        AssertionError: None came *within_s*; the text shows the last one.
    """
    give_up = time.monotonic() + within_s
    while not (answer := condition()):
        if time.monotonic() > give_up:
            name = getattr(condition, "__qualname__", repr(condition))
            raise AssertionError(f"{name} was still {answer!r} after {within_s:g} s")
        time.sleep(every_s)
    return answer
