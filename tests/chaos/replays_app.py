"""An app that writes down each run, and gives up what a file tells it to; some of its records fail a first time.

Run as real processes by `tests.chaos.test_replays`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from streams import App, Context, DeadLetter, Record, Retry, RetryPolicy
from streams.outcome import Outcome
from tests.chaos.failpoints import VARIABLE, Failpoints

_folder = Path(os.environ["CHAOS_JOURNAL"])
_journal = os.open(_folder / "runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_every = int(os.environ["CHAOS_FAILS_EVERY"])
"""One in so many records fails the first time."""
_pause_s = float(os.environ["CHAOS_PAUSE_S"])
app = App(os.environ["CHAOS_GROUP"])


def run(record: Record, ctx: Context) -> Outcome | None:
    """Run one record, which takes a moment."""
    _note("start", record, ctx)
    time.sleep(_pause_s)
    if (_folder / "down").exists() and record.offset % 5 == 0:
        _note("dead", record, ctx)
        return DeadLetter(ConnectionError("not now"))
    if record.offset % _every == 1 and ctx.attempt == 1:
        _note("failed", record, ctx)
        return Retry(TimeoutError("once more"))
    _note("done", record, ctx)
    return None


def _note(step: str, record: Record, ctx: Context) -> None:
    key = "-" if record.key is None else record.key.decode()
    os.write(_journal, f"{step} {key} {record.partition} {record.offset} {ctx.is_replay:d} {os.getpid()}\n".encode())


app.on(
    os.environ["CHAOS_TOPIC"],
    policy="park",
    retry=RetryPolicy(delays=("200ms",), max_attempts=3, memory_up_to="50ms"),
    concurrency=4,
)(run)
if VARIABLE in os.environ:
    Failpoints(_folder).install(os.environ[VARIABLE])
