"""An app whose handler writes down what it does, a line when a run starts and a line when it ends.

Run as real processes, by ``python -m streams run tests.chaos.app:app``; the
environment says on which topic and where (`tests.chaos.crew`).  What a record
asks for stands in the record: how long its work takes, how often it fails.
Each line is one ``write`` to a file of this process alone, so whatever a
SIGKILL cuts off, no line that was written is lost or torn.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from streams import App, Context, DeadLetter, Record, Retry, RetryPolicy
from streams.engine.executors import whole
from streams.outcome import Outcome
from tests.chaos.failpoints import VARIABLE, Failpoints

DELAYS: Final = tuple(os.environ["CHAOS_DELAYS"].split(","))
MAX_ATTEMPTS: Final = len(DELAYS) + 1
REFUSED: Final = -1
"""Instead of a number of failures: the handler gives the record up at once."""


class DependencyError(Exception):
    """What the work needs does not answer."""


class Journal:
    """The file of this process."""

    def __init__(self, folder: Path) -> None:
        """Open it in *folder*."""
        self._file = os.open(folder / f"{os.getpid()}.journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, step: str, task: Task) -> None:
        """Write one line; the time is that of the machine's monotonic clock, the same in all processes."""
        place = f"{task.record.partition} {task.record.offset} {task.attempt} {task.seq} {task.key}"
        os.write(self._file, f"{step} {time.monotonic_ns()} {place}\n".encode())


class Task(NamedTuple):
    """What one run of one record has to do."""

    record: Record
    key: str
    seq: int
    attempt: int
    work_s: float
    fails: int


def task_of(record: Record, attempt: int) -> Task:
    """Read what *record* asks for."""
    value: dict[str, Any] = orjson.loads(record.value or b"{}")
    key = "-" if record.key is None else record.key.decode()
    return Task(record, key, value["seq"], attempt, value["work_ms"] / 1000, value["fails"])


def end(task: Task) -> Outcome | None:
    """End *task* as its record asks, and write it down."""
    if task.fails == REFUSED:
        journal.note("FAIL", task)
        return DeadLetter(DependencyError("refused, whatever the attempt"))
    if task.attempt <= task.fails:
        journal.note("FAIL", task)
        return Retry(DependencyError(f"down at attempt {task.attempt}"))
    journal.note("END", task)
    return None


class Attempts:
    """Counts the runs of a record, for handlers that get no context: in files that all processes share.

    A failure that a crash undid stays counted, so that a record which ended
    well once ends well whenever it runs again.
    """

    def __init__(self, folder: Path) -> None:
        """Count in *folder*."""
        self._folder = folder / "failed"
        self._folder.mkdir(exist_ok=True)

    def of(self, record: Record) -> int:
        """Say which run of *record* begins."""
        file = self._file(record)
        failed = file.stat().st_size if file.exists() else 0
        return failed % MAX_ATTEMPTS + 1

    def note(self, task: Task, outcome: Outcome | None) -> Outcome | None:
        """Take in how *task* ended."""
        if isinstance(outcome, Retry):
            with self._file(task.record).open("ab", buffering=0) as file:
                file.write(b".")
        return outcome

    def _file(self, record: Record) -> Path:
        return self._folder / f"{record.partition}-{record.offset}"


def in_threads(record: Record, ctx: Context) -> Outcome | None:
    """Work while a thread waits."""
    task = task_of(record, ctx.attempt)
    journal.note("START", task)
    time.sleep(task.work_s)
    return end(task)


def with_sends(record: Record, ctx: Context) -> Outcome | None:
    """Work, and tell another topic where the record stood."""
    outcome = in_threads(record, ctx)
    ctx.send(os.environ["CHAOS_SENDS"], f"{record.partition} {record.offset}".encode())
    return outcome


async def on_the_loop(record: Record, ctx: Context) -> Outcome | None:
    """Work while the event loop does other things."""
    task = task_of(record, ctx.attempt)
    journal.note("START", task)
    await asyncio.sleep(task.work_s)
    return end(task)


def quickly(record: Record) -> Outcome | None:
    """Work for a moment, without a context: on the poll thread, or on a whole chunk in another."""
    task = task_of(record, attempts.of(record))
    journal.note("START", task)
    time.sleep(task.work_s / 50)
    return attempts.note(task, end(task))


async def quickly_on_the_loop(record: Record) -> Outcome | None:
    """The same on the event loop."""
    task = task_of(record, attempts.of(record))
    journal.note("START", task)
    await asyncio.sleep(task.work_s / 50)
    return attempts.note(task, end(task))


def quickly_in_batches(records: list[Record]) -> list[Outcome | None]:
    """The same on many."""
    return in_batches(records, haste=50)


def in_batches(records: list[Record], *, haste: float = 1) -> list[Outcome | None]:
    """Work on many records at once, of each key on one at a time.

    A call is one run, which no engine can end: one that was suspended with its process leaves what it has not begun.
    """
    outcomes: dict[tuple[int, int], Outcome | None] = {}
    troubled: set[str] = set()
    at = time.monotonic()
    for wave in waves(records):
        before, at = at, time.monotonic()
        if at - before > _STOOD_STILL_S:
            break
        tasks = [task_of(record, attempts.of(record)) for record in wave]
        going = [task for task in tasks if task.key == "-" or task.key not in troubled]
        outcomes |= {(task.record.partition, task.record.offset): _BEHIND for task in tasks}
        for task in going:
            journal.note("START", task)
        time.sleep(max((task.work_s / haste for task in going), default=0))
        for task in going:
            outcome = attempts.note(task, end(task))
            outcomes[task.record.partition, task.record.offset] = outcome
            if outcome is not None:
                troubled.add(task.key)
    return [outcomes.get((record.partition, record.offset), _BEHIND) for record in records]


_STOOD_STILL_S: Final = 4.0
"""Two thirds of a session; what is done at once takes a fifth of a second."""
_BEHIND: Final = Retry(DependencyError("an older record of its key failed"))


def waves(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Divide *records*, keeping their order, so that no key stands twice in one part."""
    left = list(records)
    while left:
        seen: set[bytes] = set()
        now: list[Record] = []
        later: list[Record] = []
        for record in left:
            (later if record.key is not None and record.key in seen else now).append(record)
            if record.key is not None:
                seen.add(record.key)
        yield now
        left = later


HANDLERS: Final[dict[str, tuple[Any, dict[str, Any]]]] = {
    "threads": (in_threads, {"concurrency": 100}),
    "sends": (with_sends, {"concurrency": 100}),
    "async": (on_the_loop, {"concurrency": 150}),
    "inline": (quickly, {"run": "inline"}),
    "batch": (in_batches, {"batch": 200, "concurrency": 3}),
    "whole": (quickly, {"concurrency": 100}),
    "whole async": (quickly_on_the_loop, {"concurrency": 150}),
    "whole batch": (quickly_in_batches, {"batch": 20, "concurrency": 3}),
}

_folder = Path(os.environ["CHAOS_JOURNAL"])
journal = Journal(_folder)
attempts = Attempts(_folder)
app = App(os.environ["CHAOS_GROUP"])
_run = os.environ["CHAOS_RUN"]
if _run.startswith("whole"):  # chunks run whole although runs take milliseconds
    whole._QUICK_S = whole._QUICK_BATCH_S = math.inf  # type: ignore[misc]  # noqa: SLF001  # nobody else may want that
_handler, _options = HANDLERS[_run]
_policy: Any = os.environ["CHAOS_POLICY"]
_retry = RetryPolicy(delays=DELAYS, memory_up_to=os.environ["CHAOS_MEMORY"])
app.on(os.environ["CHAOS_TOPIC"], policy=_policy, retry=_retry, **_options)(_handler)
if VARIABLE in os.environ:
    Failpoints(_folder).install(os.environ[VARIABLE])
