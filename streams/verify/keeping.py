"""The history of a run as a file, for whoever wants to look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from streams.verify.resources import Usage
from streams.verify.verdict import Verdict

HISTORY: Final = "history.jsonl"
REPORT: Final = "report.json"
RESOURCES: Final = "resources.jsonl"


def write_history(folder: Path, verdicts: Mapping[str, Verdict], usage: Usage, report: Mapping[str, Any]) -> None:
    """Write what happened, one thing a line, and what was found, whole; the members' journals are beside it."""
    with (folder / HISTORY).open("wb") as file:
        for topic, verdict in verdicts.items():
            file.writelines(orjson.dumps({"topic": topic, **line}, default=list) + b"\n" for line in _lines(verdict))
    with (folder / RESOURCES).open("wb") as file:
        file.writelines(orjson.dumps(line) + b"\n" for line in usage.lines())
    (folder / REPORT).write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


def _lines(verdict: Verdict) -> Iterator[dict[str, Any]]:
    history = verdict.history
    for place, record in sorted(history.sent.items()):
        yield {"sent": place, "key": record.key, "seq": record.seq}
    for run in sorted(history.runs, key=lambda run: run.start_ns):
        yield {"run": run.place, **run._asdict()}
    for letter in history.dead:
        yield {"dead": letter.origin, "key": letter.key, "attempts": letter.attempts, "time_ms": letter.time_ms}
    for reading in history.readings:
        offsets = {str(number): committed.offset for number, committed in sorted(reading.committed.items())}
        yield {"read": reading.time_ns, "committed": offsets, "waiting": len(reading.waiting), "late": reading.late}
    for fault in history.faults:
        yield {"fault": fault.what, "in_flight": fault.in_flight, "may_run_again": sorted(fault.may_repeat)}
    for check, sentences in verdict.violations.items():
        yield {"violated": check, "sentences": sentences}
