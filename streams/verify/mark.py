"""The header by which a record of the load is known, and what it asks of its run."""

from __future__ import annotations

from typing import Final, NamedTuple

from streams.record import Headers

HEADER: Final = "streams-verify"


class Mark(NamedTuple):
    """What stands in the header."""

    number: int
    """Of the record, in the order of sending; -1: the load did not send it."""
    seq: int
    """Of the record within its key."""
    work_ms: int
    """How long its run takes, beside what the handler does."""
    fails: int
    """How many runs fail before the handler is called."""

    @property
    def work_s(self) -> float:
        """The same in seconds."""
        return self.work_ms / 1000

    def header(self) -> tuple[str, bytes]:
        """Give it as a header."""
        return HEADER, " ".join(map(str, self)).encode()


STRANGER: Final = Mark(-1, 0, 0, 0)


def mark_of(headers: Headers) -> Mark:
    """Read it from the headers of a record."""
    for name, value in headers:
        if name == HEADER and value:
            return Mark(*map(int, value.split()))
    return STRANGER
