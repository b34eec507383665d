"""An app of which one record takes the process with it.

Run as real processes, by ``python -m streams run tests.chaos.killer:app``; the
environment says on which topic, and where the runs are written down: a line
when one starts and a line when it ends, each one ``write``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from streams import App, Record, RetryPolicy

KILLS: Final = b"kills"
KILLS_LATER: Final = b"fails once, then kills"
EXIT: Final = 9


class DownError(Exception):
    """What the work needs does not answer."""


app = App(os.environ["KILLER_GROUP"])
_folder = Path(os.environ["KILLER_JOURNAL"])
_journal = os.open(_folder / "runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
_work_s = float(os.environ.get("KILLER_WORK_S", "0"))


def note(step: str, record: Record) -> None:
    """Write one line."""
    key = (record.key or b"-").decode()
    os.write(_journal, f"{step} {os.getpid()} {record.partition} {record.offset} {key}\n".encode())


@app.on(os.environ["KILLER_TOPIC"], retry=RetryPolicy(delays=("1s", "1s"), memory_up_to="100ms"))
def handle(record: Record) -> None:
    """Work, fail, or take everything down, as the record says."""
    note("START", record)
    if record.value == KILLS_LATER and not (failed := _folder / "failed").exists():
        failed.touch()
        raise DownError
    if record.value in (KILLS, KILLS_LATER):
        os._exit(EXIT)
    time.sleep(_work_s)
    note("END", record)
