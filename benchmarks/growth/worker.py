"""One member with keys in trouble, in a process of its own: ``python -m benchmarks.growth.worker JOB``."""

from __future__ import annotations

import sys
from dataclasses import replace

import msgspec

from benchmarks.growth.trouble import Job, app_for, observer_of
from streams.bench.ground import BenchError
from streams.bench.meter import resident_bytes
from streams.bench.task import to_json
from streams.config import Settings
from streams.monitor.logs import configure_logs
from streams.service import run


def main() -> None:
    """Do what the one argument says."""
    configure_logs("text", "WARNING")
    job = msgspec.json.decode(sys.argv[1], type=Job)
    settings = Settings(group=job.group).from_environment()
    observer = observer_of(job)
    run(app_for(job), replace(settings, group=job.group, metrics_port=0), observer=observer)
    if observer.begin is None or observer.end is None:
        raise BenchError("not all records came to their end")
    outcome = observer.begin.until(observer.end, job.records, resident_bytes=resident_bytes())
    sys.stdout.buffer.write(to_json(outcome))


if __name__ == "__main__":
    main()
