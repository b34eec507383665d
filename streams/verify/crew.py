"""The members of a run as real processes: started, told, killed, suspended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from streams.errors import StreamsError
from streams.supervisor import PARENT_VARIABLE
from streams.verify.history import Pause, Place, Run
from streams.verify.journal import Journal
from streams.verify.plan import NAME_VARIABLE, client_id
from streams.verify.resources import Meter
from streams.verify.standstill import Watch
from streams.verify.waiting import eventually

_TAIL_LINES: Final = 15
_MISSED_NS: Final = 9_000_000_000
"""A session and a half after its death the group has given up any member."""


class VerifyError(StreamsError):
    """The run could not be brought to an end that can be judged."""


@dataclass
class Worker:
    """One process that runs the app."""

    number: int
    process: subprocess.Popen[bytes]
    journals: Mapping[str, Journal]
    """By topic."""
    log: Path
    meter: Meter
    name: str = ""
    """In the group, where it is a static member."""
    died_ns: int = 0
    """When it was found gone; 0 while it runs."""
    is_leaving: bool = False
    """It was told to stop."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def client_id(self) -> str:
        """The name under which it connects."""
        return client_id(self.pid)

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process.poll() is None

    @property
    def is_suspended(self) -> bool:
        """Whether it stands still, whole."""
        tasks = Path(f"/proc/{self.pid}/task")
        if not tasks.exists():  # a system without /proc: a moment suffices there
            return True
        return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()} == {"T"}

    def refresh(self) -> Worker:
        """Read what it wrote down since the last time."""
        for journal in self.journals.values():
            journal.refresh()
        if self.is_running:  # else its number may be another process's by now
            self.meter.look(time.monotonic_ns(), self.in_flight)
        return self

    @property
    def in_flight(self) -> int:
        """Records that have started here and not ended, by the last `refresh`."""
        return sum(len(journal.in_flight) for journal in self.journals.values())

    @property
    def ended(self) -> int:
        """Runs that came to an end here, by the last `refresh`."""
        return sum(journal.ended for journal in self.journals.values())

    def touched(self, topic: str) -> set[Place]:
        """Give the records of *topic* that ever started here, by the last `refresh`."""
        return self.journals[topic].touched

    def runs(self, topic: str) -> list[Run]:
        """Give everything of *topic* that ran here."""
        return list(self.journals[topic].refresh().runs(self.died_ns or time.monotonic_ns()))

    def kill(self) -> None:
        """End it as the kernel does when memory runs out: no warning, no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.await_end(10)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.is_leaving = self.is_leaving or number == signal.SIGTERM
        self.process.send_signal(number)

    def await_end(self, within_s: float = 60) -> int:
        """Wait until it is gone; give its exit code.

        Raises:
            VerifyError: It does not end.
        """
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise VerifyError(f"member {self.number} did not end within {within_s:g} s:\n{self.last_words}") from None
        self.died_ns = self.died_ns or time.monotonic_ns()
        return code

    def require(self) -> None:
        """Be sure that it runs.

        Raises:
            VerifyError: It ended by itself.
        """
        if not self.is_running and not self.is_leaving and not self.died_ns:
            code = self.process.returncode
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise VerifyError(f"member {self.number} ended by itself, by {how}. Its last words:\n{self.last_words}")

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


@dataclass
class Crew:
    """The processes of one run; all of them end with it."""

    folder: Path
    topics: Sequence[str]
    app: str
    environment: Mapping[str, str]
    is_static: bool = False
    """Each has a name of its own in the group, the first that no process has."""
    workers: list[Worker] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)

    @property
    def present(self) -> list[Worker]:
        """Those that run and were not told to stop."""
        return [worker for worker in self.workers if worker.is_running and not worker.is_leaving]

    def refresh(self) -> list[Worker]:
        """Read what all have written down; gives those present, none of which has ended by itself."""
        for worker in self.workers:
            worker.require()
            worker.refresh()
        return self.present

    def start(self) -> Worker:
        """Start one more."""
        number = len(self.workers) + 1
        log = self.folder / f"member-{number}.log"
        everything = {**os.environ, **self.environment, PARENT_VARIABLE: str(os.getpid())}
        name = self._free_name() if self.is_static else ""
        everything[NAME_VARIABLE] = name
        command = [sys.executable, "-m", "streams.verify.member", self.app]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=everything, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        journals = {topic: Journal(self.folder / topic / f"{process.pid}.journal") for topic in self.topics}
        worker = Worker(number, process, journals, log, Meter(process.pid), name)
        self.workers.append(worker)
        return worker

    def _free_name(self) -> str:
        taken = {worker.name for worker in self.workers if worker.is_running or self._is_missed(worker)}
        return next(name for name in map("verify-{}".format, count(1)) if name not in taken)

    def _is_missed(self, worker: Worker) -> bool:
        """Say whether the group waits for a member that is gone: under KIP-848 nobody takes its name meanwhile."""
        has_left = worker.process.returncode == 0 or self.environment.get("STREAMS_PROTOCOL") == "classic"
        return not has_left and time.monotonic_ns() - (worker.died_ns or time.monotonic_ns()) < _MISSED_NS

    def suspend(self, worker: Worker) -> int:
        """Make it stand still, and give the time once it does."""
        worker.tell(signal.SIGSTOP)
        eventually(lambda: worker.is_suspended, within_s=10, every_s=0.001)
        worker.refresh()
        return time.monotonic_ns()

    def resume(self, worker: Worker, since_ns: int) -> None:
        """Let it go on."""
        self.pauses.append(Pause(worker.pid, since_ns, time.monotonic_ns()))
        worker.tell(signal.SIGCONT)

    def stop(self) -> list[int]:
        """Tell all that run to stop and wait; give the exit codes of all that were told and not yet waited for."""
        for worker in self.present:
            worker.tell(signal.SIGTERM)
        return [worker.await_end() for worker in self.workers if worker.is_leaving and not worker.died_ns]

    def end(self) -> None:
        """Make sure that none is left."""
        for worker in self.workers:
            if worker.is_running:
                worker.kill()
        self.watch.end()
