"""Several members of one group, as ``streams run --processes`` has them: ``python -m streams.bench.crew N TASK``.

Each is a worker under the supervisor, and leaves its outcome in a folder; the
list of them is JSON on standard output.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from streams.bench.task import read_outcome, read_task, to_json
from streams.monitor.logs import configure_logs
from streams.supervisor import Supervisor

_GRACE_S: Final = 60.0


def main(arguments: list[str]) -> None:
    """Run as many members as the first argument says of what the second one says."""
    configure_logs("text", "INFO")
    count, task = int(arguments[0]), read_task(arguments[1])
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        told = msgspec.structs.replace(task, folder=folder)
        command = [sys.executable, "-m", "streams.bench.worker", to_json(told).decode()]
        if any(Supervisor(command, count, _GRACE_S).run()):
            sys.exit(1)
        outcomes = [read_outcome(file.read_bytes()) for file in sorted(Path(folder).iterdir())]
    sys.stdout.buffer.write(msgspec.json.encode(outcomes))


if __name__ == "__main__":
    main(sys.argv[1:])
