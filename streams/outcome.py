"""What became of one record.

A handler ends in exactly one outcome.  Outcomes are values: nothing is
written on the record.  A handler that returns None has done its work (`Ack`),
one that raises asks for a `Retry`; from deep inside a call, `raise Stop(outcome)`
ends the handler with an outcome of its choice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

import msgspec


class Ack(msgspec.Struct, frozen=True):
    """The work is done.  Returning None says the same."""


class Skip(msgspec.Struct, frozen=True):
    """There was nothing to do for this record; it counts as done."""

    reason: str = ""
    """Why, for logs and `streams why`."""


class Retry(msgspec.Struct, frozen=True):
    """The record failed and is worth another attempt."""

    cause: Exception

    after: timedelta | None = None
    """Wait at least this long; None leaves it to the retry policy."""


class DeadLetter(msgspec.Struct, frozen=True):
    """The record can't be processed; keep it, whole, in the dead-letter topic."""

    cause: Exception


Outcome: TypeAlias = Ack | Skip | Retry | DeadLetter


class Stop(Exception):  # noqa: N818  # it ends a handler, it reports no error
    """Raised in a handler to end it with *outcome*, from however deep."""

    def __init__(self, outcome: Outcome) -> None:
        """End the handler with *outcome*."""
        self.outcome = outcome
        super().__init__(outcome)
