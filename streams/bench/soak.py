"""A long run at an even pace, to see whether memory stays where it is.

The worker is a member with default settings; some of its records fail, wait
and run again, a few become dead letters, so that what only failures touch is
used too.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from streams.bench.figures import growth
from streams.bench.ground import Ground
from streams.bench.pace import Pace
from streams.bench.race import complete
from streams.bench.records import make_topic, numbered_records
from streams.bench.task import Task

PER_S: Final = 5_000
FLAT_SHARE: Final = 0.05
"""Memory counts as flat if it grew by no more than this share."""

_SAMPLE_EVERY_S: Final = 1.0
_SEGMENT_BYTES: Final = 8 * 1024 * 1024
_KEPT_BYTES: Final = 32 * 1024 * 1024
"""What the topic keeps of each partition: a long run must not fill the disk."""


class Soak(NamedTuple):
    """How memory went."""

    records: int
    seconds: float
    samples: list[int]
    """Resident bytes of the worker, each second."""
    growth_bytes: float
    """Median of the last quarter of the samples less that of the second."""
    peak_bytes: int

    @property
    def is_flat(self) -> bool:
        """It grew by less than `FLAT_SHARE` of the peak."""
        return self.growth_bytes <= FLAT_SHARE * self.peak_bytes


def run_soak(ground: Ground, *, minutes: float, partitions: int, say: Callable[[str], None]) -> Soak:
    """Feed one worker for *minutes* and watch its memory.

    Raises:
        BenchError: Not every record settled.
    """
    name = f"{ground.name}-soak"
    make_topic(ground.settings, name, partitions, segment_bytes=str(_SEGMENT_BYTES), retention_bytes=str(_KEPT_BYTES))
    count = int(minutes * 60 * PER_S)
    say(f"{minutes:g} minutes at {PER_S:,} records/s")
    task = Task(topic=name, partitions=partitions, handler="flaky", mode="threads", group=name, records=count)
    with ground.started(task) as process:
        watch = _MemoryWatch(process.pid)
        Pace(ground.settings, name, PER_S).send_all(numbered_records(count))
        samples = watch.end()
        outcome = complete(ground.finished(process), task)
    return Soak(outcome.settled, outcome.seconds, samples, growth(samples), outcome.resident_bytes)


class _MemoryWatch:
    """Asks the system for a process's resident memory, in a thread of its own."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._samples: list[int] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="streams-bench-memory", daemon=True)
        self._thread.start()

    def end(self) -> list[int]:
        """Stop asking; give the answers."""
        self._is_over.set()
        self._thread.join()
        return self._samples

    def _watch(self) -> None:
        while not self._is_over.wait(_SAMPLE_EVERY_S):
            answer = subprocess.run(
                ["ps", "-o", "rss=", "-p", str(self._pid)], capture_output=True, text=True, check=False
            )
            if answer.stdout.strip():
                self._samples.append(int(answer.stdout) * 1024)
