"""Ends the process when a step on the poll thread takes longer than it may.

A synchronous commit has no deadline of its own, and a stuck owner is worse
than a dead one: a crash repeats some work, a stuck owner stops a partition.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

EXIT_CODE = 70
"""What a process ends with that ended itself (EX_SOFTWARE)."""


def end_process(step: str, budget_s: float) -> None:
    """Say why, and end at once: no clean-up could be trusted any more."""
    _log.critical(
        "%s did not end within %g s; the process ends itself, so that another member takes over. "
        "Records since the last commit run again.",
        step,
        budget_s,
    )
    logging.shutdown()
    os._exit(EXIT_CODE)


@contextmanager
def within(budget_s: float, step: str, expired: Callable[[str, float], None] = end_process) -> Iterator[None]:
    """Do the body within *budget_s*, or call *expired* from another thread."""
    timer = threading.Timer(budget_s, expired, (step, budget_s))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
