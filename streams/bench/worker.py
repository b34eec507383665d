"""One measured run, in a process of its own: ``python -m streams.bench.worker TASK``.

Its own process, so that no run inherits another one's memory, threads or
garbage.  The task is JSON on the command line, the outcome JSON on standard
output, or in a file where several run (`crew`); the logs of the member go to
standard error as always.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import msgspec

from streams.bench.apps import app_for
from streams.bench.control import run_control
from streams.bench.meter import MarkingMeter, Meter, resident_bytes
from streams.bench.order import OrderCheck
from streams.bench.task import Outcome, Task, read_task, to_json
from streams.config import Settings
from streams.engine.ending import Until
from streams.monitor.logs import configure_logs
from streams.service import run


def run_engine(settings: Settings, task: Task) -> Outcome:
    """Run a member of the group as ``streams run`` does, with metrics served, until all has settled."""
    meter = MarkingMeter() if task.folder else Meter(task.records)
    check, ages_ms = OrderCheck(), list[float]()
    app = app_for(task, check, ages_ms)
    until = Until(empty=True) if task.folder else None
    report = run(app, replace(settings, group=task.group, metrics_port=0), until, observer=meter).report
    if meter.begin is None or meter.end is None:
        return Outcome(records=0, seconds=0, cpu_s=0, resident_bytes=resident_bytes(), settled=meter.done)
    checked, violations = check.totals()
    outcome = meter.begin.until(meter.end, meter.done, resident_bytes=resident_bytes())
    return msgspec.structs.replace(
        outcome,
        settled=meter.done,
        is_complete=report.drained and report.committed and not report.left,
        violations=violations,
        examples=check.examples,
        keys=check.keys,
        checked=checked,
        latencies_ms=ages_ms,
        marks=meter.marks if isinstance(meter, MarkingMeter) else [],
    )


def main(arguments: list[str]) -> None:
    """Do what the one argument says."""
    configure_logs("text", "INFO")
    task = read_task(arguments[0])
    settings = Settings(group=task.group or "streams-bench").from_environment()
    outcome = run_control(settings, task) if task.mode is None else run_engine(settings, task)
    if task.folder:
        Path(task.folder, os.environ["STREAMS_MEMBER"]).write_bytes(to_json(outcome))
    else:
        sys.stdout.buffer.write(to_json(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
