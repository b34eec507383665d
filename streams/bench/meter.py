"""Reads the clocks of a run, as the engine tells what it does."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

from streams.bench.task import Outcome
from streams.observer import Observer, OutcomeName
from streams.record import Partition

_MARK_EVERY_S: Final = 0.02


class Reading(NamedTuple):
    """Two clocks at one moment."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Self:
        """Read the clocks; the CPU's is that of all threads of the process."""
        return cls(time.perf_counter(), time.process_time())

    def until(self, end: Reading, records: int, *, resident_bytes: int) -> Outcome:
        """Give the figures between this moment and *end*."""
        return Outcome(
            records=records,
            seconds=end.wall_s - self.wall_s,
            cpu_s=end.cpu_s - self.cpu_s,
            resident_bytes=resident_bytes,
        )


class Meter(Observer):
    """Takes the time from the first batch in hand until the last record settled; then ends the member by a signal.

    What lies before (start, joining, the assignment) and behind (the last
    commit, leaving) does not count.

    Owned by the poll thread.
    """

    def __init__(self, records: int | None) -> None:
        """Wait for *records* to settle; None: for ever."""
        self._records = records
        self.done = 0
        self.begin: Reading | None = None
        self.end: Reading | None = None

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Take the time of the first batch."""
        if self.begin is None:
            self.begin = Reading.now()

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        """Count what settled; take the time of the last."""
        if outcome != "retried":
            self.done += records
            if self.end is None and self._records is not None and self.done >= self._records:
                self.end = Reading.now()
                signal.raise_signal(signal.SIGTERM)


class MarkingMeter(Meter):
    """Of a member of several: notes when how many records had settled, so that a common stretch can be found.

    It ends nobody: members end together, when all of the group is done.
    """

    def __init__(self) -> None:
        """Begin before the first record."""
        super().__init__(None)
        self.marks: list[tuple[float, int]] = []

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Mark the first batch."""
        super().consumed(partition, records, size_bytes)
        if not self.marks:
            self.marks.append((time.monotonic(), 0))

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        """Count what settled, and mark it; marks that are closer than `_MARK_EVERY_S` become one."""
        super().finished(topic, outcome, records)
        mark = (time.monotonic(), self.done)
        if len(self.marks) > 1 and mark[0] - self.marks[-2][0] < _MARK_EVERY_S:
            self.marks[-1] = mark
        else:
            self.marks.append(mark)
        self.end = Reading.now()


def resident_bytes() -> int:
    """Give the most memory that this process ever had in use."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:  # macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Not ru_maxrss: there Linux counts what the parent held when it started this process.
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
