"""What every worker has in common: it counts records, reads the clocks, writes the journal, answers.

It runs in environments that hold one framework and little else, so it needs
the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from itertools import count
from typing import Any, NoReturn


@dataclass(frozen=True)
class Errand:
    """What this run is to do; `benchmarks.peers.answer.Errand` tells what each field means."""

    bootstrap: str
    topic: str
    partitions: int
    group: str
    handler: str
    records: int
    journal: str = ""
    wait_ms: float = 0
    mode: str = ""

    @property
    def takes_bytes(self) -> bool:
        """Whether the handler wants the value as it came; otherwise decoded."""
        return self.handler == "noop"


def read_errand() -> Errand:
    """Read the one argument of this program."""
    return Errand(**json.loads(sys.argv[1]))


class Meter:
    """Counts what handlers were given, and ends the process once all of it is handled.

    Handlers of several threads may call it at once: what they share is one
    step of the interpreter, or one write of a whole line.
    """

    def __init__(self, errand: Errand) -> None:
        """Take the time from the first record on."""
        self._is_told = errand.handler == "told"
        self._wanted = errand.records
        self._wait_s = errand.wait_ms / 1000
        self._handled = count(1)
        self._begin: tuple[float, float] | None = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._journal = os.open(errand.journal, flags, 0o600) if errand.journal else -1

    def handle(self, value: Any) -> None:
        """Be a handler."""
        if self._begin is None:
            self._begin = (time.perf_counter(), time.process_time())
        if self._is_told:
            self._tell("B", value)
            if self._wait_s:
                time.sleep(self._wait_s)
            self._tell("E", value)
        if next(self._handled) == self._wanted:
            self._answer(self._begin)

    async def handle_async(self, value: Any) -> None:
        """Be a handler, on an event loop."""
        if self._begin is None:
            self._begin = (time.perf_counter(), time.process_time())
        if self._is_told:
            self._tell("B", value)
            if self._wait_s:
                await asyncio.sleep(self._wait_s)
            self._tell("E", value)
        if next(self._handled) == self._wanted:
            self._answer(self._begin)

    def _tell(self, what: str, value: Any) -> None:
        os.write(self._journal, f"{what} {value['key']} {value['number']}\n".encode())

    def _answer(self, begin: tuple[float, float]) -> NoReturn:
        """Write the answer and end at once: the last commit and leaving the group are not measured."""
        answer = {
            "records": self._wanted,
            "seconds": time.perf_counter() - begin[0],
            "cpu_s": time.process_time() - begin[1],
        }
        os.write(1, b"\n" + json.dumps(answer).encode() + b"\n")
        os._exit(0)
