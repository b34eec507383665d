"""What handlers write down: a line when a run starts and one when it ends, a file for each process and topic.

Each line is one ``write``, so whatever a SIGKILL cuts off, no line that was
written is lost.  Times are those of the machine's monotonic clock, the same in
all processes.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes

from streams.verify.history import Ending, Place, Run

START: Final = "START"
NO_KEY: Final = "-"
_ENDINGS: Final[Mapping[str, Ending]] = {"END": "done", "FAIL": "failed"}


class Step(NamedTuple):
    """One line."""

    step: str
    time_ns: int
    place: Place
    attempt: int
    """Of this run; 0 where the handler can't know."""
    key: str


class JournalWriter:
    """The file of this process; any thread may write."""

    def __init__(self, folder: Path) -> None:
        """Open it in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}.journal"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, step: str, place: Place, attempt: int, key: str) -> None:
        """Write one line; ``FAIL:500`` tells the wait after it, in ms.  The sixth field is of no interest."""
        line = f"{step} {time.monotonic_ns()} {place.partition} {place.offset} {attempt} 0 {key}\n"
        os.write(self._file, line.encode())


class Journal:
    """One process's file as it grows; owned by one thread.

    Always true: everything here tells of the lines read by the last `refresh`.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet of *path*, which need not exist."""
        self.path = path
        self.touched: set[Place] = set()
        """Records that ever started."""
        self.ended = 0
        """Runs that came to an end."""
        self._read = 0
        self._rest = b""
        self._begun: dict[tuple[Place, int], list[tuple[int, str]]] = defaultdict(list)
        self._runs: list[Run] = []
        self._last_start_ns: Counter[int] = Counter()

    @property
    def in_flight(self) -> set[Place]:
        """The records that have started and not ended."""
        return {place for place, _ in self._begun}

    def refresh(self) -> Journal:
        """Read what was added; a line that is half written, or that a kill cut short, is none yet."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
            self._read += len(added)
            whole, _, self._rest = (self._rest + added).rpartition(b"\n")
            for step in _steps(whole.decode()):
                self._take(step)
        return self

    def started_since(self, time_ns: int) -> set[Place]:
        """Give the records of which a run started after *time_ns*."""
        ended = takewhile(lambda run: run.end_ns > time_ns, reversed(self._runs))
        begun = (place for (place, _), starts in self._begun.items() if starts[-1][0] > time_ns)
        return {*begun, *(run.place for run in ended if run.start_ns > time_ns)}

    def last_start_ns(self, partition: int) -> int:
        """Say when the last run of a record of *partition* started; 0: none has."""
        return self._last_start_ns[partition]

    def runs(self, died_ns: int) -> Iterator[Run]:
        """Give all runs; those without an end were cut off when the process died, at *died_ns*."""
        yield from self._runs
        pid = int(self.path.stem)
        for (place, attempt), starts in self._begun.items():
            for start_ns, key in starts:
                yield Run(place, key, pid, attempt, start_ns, died_ns, "cut")

    def _take(self, line: Step) -> None:
        run = line.place, line.attempt
        if line.step == START:
            self.touched.add(line.place)
            self._last_start_ns[line.place.partition] = line.time_ns
            self._begun[run].append((line.time_ns, line.key))
            return
        start_ns, _ = self._begun[run].pop()
        if not self._begun[run]:
            del self._begun[run]
        self.ended += 1
        step, _, wait_ms = line.step.partition(":")
        pid, ended, wait_ns = int(self.path.stem), _ENDINGS[step], int(wait_ms or 0) * 1_000_000
        self._runs.append(Run(line.place, line.key, pid, line.attempt, start_ns, line.time_ns, ended, wait_ns))


def steps_of(path: Path) -> Iterator[Step]:
    """Read the whole lines of *path*."""
    if path.exists():
        yield from _steps(path.read_text().rpartition("\n")[0])


def runs_of(path: Path, died_ns: int) -> Iterator[Run]:
    """Read the runs of one process, as `Journal.runs`."""
    return Journal(path).refresh().runs(died_ns)


def in_flight(path: Path) -> set[Place]:
    """Give the records that have started in this process and not ended."""
    return Journal(path).refresh().in_flight


def key_name(key: bytes | None) -> str:
    """Give a Kafka key as a journal has it: no blanks, and not the dash that stands for no key."""
    if key is None:
        return NO_KEY
    return "%2D" if key == b"-" else quote_from_bytes(key)


def _steps(text: str) -> Iterator[Step]:
    for line in text.splitlines():
        step, time_ns, partition, offset, attempt, _, key = line.split(" ", 6)
        yield Step(step, int(time_ns), Place(int(partition), int(offset)), int(attempt), key)
