"""What happened, read from the files of the run and, by `chain`, from the broker.

A third of the referee (the others are `chain` and `count`): it shares nothing
with the players, and imports nothing of `streams`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from examples.demo import chain
from examples.demo.chain import TOPIC, Copy, Ledger


class Accepted(NamedTuple):
    """One event as the broker acknowledged it."""

    key: str | None
    seq: int
    """The how-manieth event of its key."""
    partition: int
    offset: int


class Run(NamedTuple):
    """One run of the handler."""

    id: str
    start_ns: int
    end_ns: int | None
    """None where the process died in it."""
    step: str
    """How it ended: done, refused, failed; or ``cut off``."""


@dataclass
class History:
    """All that was written down, and all that the broker holds."""

    accepted: dict[str, Accepted]
    runs: list[Run]
    standing: dict[str, Copy]
    """Event id to where it stands: it waits in a retry topic, or parked, or is dead."""
    committed: dict[int, Ledger]
    """Partition of the flights to what the group has committed."""
    relocated: dict[str, int]
    """Retry topics and the parked one: how many copies each took in."""


def read(folder: Path, bootstrap: str) -> History:
    """Read what was written to *folder*, and what the broker at *bootstrap* holds.

    ``accepted.jsonl`` is what the producer was told, ``journal/`` what the
    workers did, one file a process.

    Raises:
        OSError: A file is missing, or the broker does not answer.
    """
    held = chain.read(bootstrap)
    accepted = {name: Accepted(*event) for name, *event in lines(folder / "accepted.jsonl")}
    runs = [run for file in sorted((folder / "journal").glob("*.jsonl")) for run in runs_of(lines(file))]
    committed = {number: ledger for (topic, number), ledger in held.ledgers.items() if topic == TOPIC}
    return History(accepted, runs, held.standing(), committed, held.relocated)


def lines(file: Path) -> Iterator[Any]:
    """Give each line of *file* as JSON; one that a kill cut short was never written."""
    with file.open("rb") as text:
        yield from (json.loads(line) for line in text if line.endswith(b"\n"))


def runs_of(steps: Iterable[list[Any]]) -> Iterator[Run]:
    """Give the runs of one process, from the lines ``[step, nanoseconds, id, ...]`` that it wrote."""
    started: dict[str, int] = {}
    for step, time_ns, name, *_ in steps:
        if step != "start":
            yield Run(name, started.pop(name), time_ns, step)
            continue
        if name in started:
            yield Run(name, started[name], None, "cut off")
        started[name] = time_ns
    yield from (Run(name, start_ns, None, "cut off") for name, start_ns in started.items())
