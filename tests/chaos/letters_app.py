"""An app whose service is down until a file says otherwise; it writes down each run that went well.

Run as real processes by `tests.chaos.test_letters`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from streams import App, DeadLetter, Record, RetryPolicy
from streams.outcome import Outcome
from tests.chaos.failpoints import VARIABLE, Failpoints

_folder = Path(os.environ["CHAOS_JOURNAL"])
_journal = os.open(_folder / "served", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
app = App(os.environ["CHAOS_GROUP"])


class DownError(Exception):
    """The service is not there."""


def serve(record: Record) -> Outcome | None:
    """Serve one record, or give it up."""
    if not (_folder / "up").exists():
        return DeadLetter(DownError("try later"))
    key = "-" if record.key is None else record.key.decode()
    os.write(_journal, f"{key} {record.partition} {record.offset} ".encode() + (record.value or b"") + b"\n")
    return None


app.on(
    os.environ["CHAOS_TOPIC"],
    policy="park",
    dead_letters=cast("Any", os.environ["CHAOS_DEAD_LETTERS"]),
    retry=RetryPolicy(delays=("50ms",), max_attempts=1),
    concurrency=4,
)(serve)
if VARIABLE in os.environ:
    Failpoints(_folder).install(os.environ[VARIABLE])
