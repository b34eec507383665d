"""The members of the group, each a process of its own, and what can be seen of them from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

APP = "examples.flights.app:app"
_STREAMS = Path(sys.executable).with_name("streams")
ROOT = Path(__file__).parents[2]
_STOP_WITHIN_S = 40.0
_TAIL_LINES = 12


class DemoError(Exception):
    """The demo can't go on; its text says why, and what to do."""


@dataclass
class Worker:
    """One process that runs the app."""

    name: str
    process: subprocess.Popen[bytes]
    journals: Path
    log: Path
    in_flight: set[str] = field(default_factory=set)
    """Events whose handler runs here, as of the last `look`."""
    partitions: set[int] = field(default_factory=set)
    """Those it had work from."""
    awaited: set[str] = field(default_factory=set)
    """Events that somebody waits for, and that have not come to an end; the whole crew's."""
    ended: int = 0
    """Events that came to an end here, as of the last `look`."""
    _read: int = 0

    def __str__(self) -> str:
        """Name it for people."""
        return f"worker {self.name} (pid {self.process.pid})"

    def look(self) -> None:
        """Read what it wrote since the last look."""
        for file in self.journals.glob(f"worker-{self.process.pid}-*.jsonl"):
            with file.open("rb") as text:
                text.seek(self._read)
                fresh = text.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                self._note(*json.loads(line))

    def _note(self, step: str, _: int, event_id: str, partition: int = -1) -> None:
        if step == "start":
            self.in_flight.add(event_id)
            self.partitions.add(partition)
            return
        self.in_flight.discard(event_id)
        if step != "failed":
            self.ended += 1
            self.awaited.discard(event_id)

    def require_running(self) -> None:
        """Hold that it runs.

        Raises:
            DemoError: It ended by itself; shows its last words.
        """
        if self.process.poll() is not None:
            words = "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
            raise DemoError(f"{self} ended by itself, with status {self.process.returncode}. Its last words:\n{words}")

    def suspend(self) -> None:
        """Make it stand still, and wait until it does: a busy machine takes its time."""
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):  # it ended meanwhile
            self.process.returncode = os.waitstatus_to_exitcode(status)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as the kernel does when memory runs out: no warning, no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.look()

    def await_end(self) -> None:
        """Wait until it has stopped in order.

        Raises:
            DemoError: It did not.
        """
        try:
            status = self.process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{self} did not stop within {_STOP_WITHIN_S:g} s; see {self.log}") from None
        if status:
            raise DemoError(f"{self}, told to stop, ended with status {status}; see {self.log}")


class Crew:
    """The workers of one run."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMS_")},
            **environment,
            "FLIGHTS_JOURNAL": str(folder / "journal"),
            "STREAMS_SUPERVISOR_PID": str(os.getpid()),  # a worker stops when the demo is gone, however it ended
        }
        self.started: list[Worker] = []
        """All that were started, the killed one included."""
        self.present: list[Worker] = []
        """Those that run."""
        self.awaited: set[str] = set()
        """Events to look out for; each leaves when it comes to an end."""

    @property
    def ended(self) -> int:
        """Events that came to an end, in all."""
        return sum(worker.ended for worker in self.started)

    @property
    def are_idle(self) -> bool:
        """No handler runs in those that are present."""
        return not any(worker.in_flight for worker in self.present)

    def start(self) -> Worker:
        """Start one more worker."""
        name = chr(ord("A") + len(self.started))
        log = self._folder / f"worker-{name}.log"
        command = [str(_STREAMS), "run", APP]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=output, stderr=output)
        worker = Worker(name, process, self._folder / "journal", log, awaited=self.awaited)
        self.started.append(worker)
        self.present.append(worker)
        return worker

    def look(self) -> None:
        """See what the workers did.

        Raises:
            DemoError: One ended that nobody ended.
        """
        for worker in self.present:
            worker.look()
            worker.require_running()

    def kill(self, worker: Worker) -> None:
        """Kill *worker*."""
        self.present.remove(worker)
        worker.kill()

    def stop(self) -> None:
        """Stop all that run.

        Raises:
            DemoError: One did not end well.
        """
        for worker in self.present:
            worker.process.terminate()  # once: a second one means "at once"
        for worker in self.present:
            worker.await_end()

    def end(self) -> None:
        """Make sure that none is left."""
        for worker in self.started:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.process.wait()
