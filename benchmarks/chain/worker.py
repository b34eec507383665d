"""One measurement in a process of its own: ``python -m benchmarks.chain.worker JOB``; the answer is JSON."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace
from typing import Final

import msgspec

from benchmarks.chain import failing, state, stuck, waiting
from benchmarks.chain.job import Job, Measure, Part
from streams.config import Settings
from streams.monitor.logs import configure_logs

_MEASURES: Final[dict[Part, Measure]] = {
    "fail": failing.fail,
    "copy": failing.copy_by_hand,
    "restart": failing.restart,
    "scan": waiting.scan,
    "read": waiting.read_by_hand,
    "sweep": waiting.sweep,
    "free": state.free,
    "remember": state.remember,
    "stuck": stuck.stuck,
    "pass": stuck.passing,
    "hung": stuck.hung,
}

_COLLECT_EVERY: Final = 20_000
"""As a member has it, for what drives parts of one too."""


def main() -> None:
    """Do what the one argument says."""
    configure_logs("text", "WARNING")
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *gc.get_threshold()[1:])
    job = msgspec.json.decode(sys.argv[1], type=Job)
    settings = replace(Settings(group=job.group or "streams-bench").from_environment(), group=job.group, metrics_port=0)
    sys.stdout.buffer.write(msgspec.json.encode(_MEASURES[job.part](settings, job)))


if __name__ == "__main__":
    main()
