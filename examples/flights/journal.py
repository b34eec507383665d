"""What a worker did, on disk: one file a process, one line a step.

A line is written at once, so it outlives the process: the page cache is the
kernel's, and SIGKILL takes nothing from it.  A line that says an effect *is
there* is kept for more than that: `keep` returns after an fsync, which it
shares with everyone who waits for one at the same moment (group commit).
A handler that awaits it has its effect on disk before it returns.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path


class Journal:
    """The file of this process.  Used from the event loop's thread.

    Always true: what `keep` returned for has been through an fsync that began
    after it was written.
    """

    def __init__(self, folder: Path) -> None:
        """Open a new file in *folder*."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"worker-{os.getpid()}-{time.monotonic_ns()}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        self._syncing: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    def note(self, step: str, event_id: str, *more: object) -> None:
        """Write a line with the time: nanoseconds of the machine's monotonic clock, the same in all processes."""
        line = json.dumps([step, time.monotonic_ns(), event_id, *more], separators=(",", ":"))
        os.write(self._file, line.encode() + b"\n")

    async def keep(self, step: str, event_id: str) -> None:
        """Write a line with the time, and return once it is on disk."""
        self.note(step, event_id)
        if self._next is None:
            self._next = asyncio.create_task(self._sync(after=self._syncing))
        await asyncio.shield(self._next)  # one handler that is cancelled must not cancel it for the others

    async def _sync(self, *, after: asyncio.Task[None] | None) -> None:
        """Bring to disk what is written when *after* has ended; who writes later waits for the next one."""
        if after is not None:
            await asyncio.wait([after])
        self._syncing, self._next = self._next, None
        await asyncio.to_thread(os.fsync, self._file)
