"""What one run of a worker is told, and what it answers: both are JSON, as its language may be another."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from streams.bench.ground import BenchError
from streams.bench.task import Outcome

Handling: TypeAlias = Literal["noop", "json", "told"]
"""What a handler does: nothing; it takes the decoded value; it writes into the journal when it begins and ends."""


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a worker."""

    bootstrap: str
    topic: str
    partitions: int
    group: str
    handler: Handling
    records: int
    """The run ends when so many were handled; 0: it goes on until it is killed."""
    journal: str = ""
    """File that a ``told`` handler writes to."""
    wait_ms: float = 0
    """How long a ``told`` handler waits between its begin and its end."""
    mode: str = ""
    """For a worker that has several ways to run handlers: which one."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker measured, from the first record in a handler to the last that was handled."""

    records: int
    seconds: float
    cpu_s: float

    def outcome(self) -> Outcome:
        """Give it in the form that figures are made of; memory is not told."""
        return Outcome(
            records=self.records,
            seconds=self.seconds,
            cpu_s=self.cpu_s,
            resident_bytes=0,
            settled=self.records,
        )


def read_answer(output: bytes, records: int) -> Answer:
    """Find the answer in the *output* of a worker whose framework may print as well.

    Raises:
        BenchError: There is none, or it tells of another number than *records*.
    """
    for line in reversed(output.splitlines()):
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except msgspec.MsgspecError:
            continue
        if answer.records != records:
            raise BenchError(f"a worker handled {answer.records:,} of {records:,} records; nothing is quoted")
        return answer
    raise BenchError(f"a worker ended without an answer; nothing is quoted. It wrote:\n{output[-500:]!r}")
