"""The members of a group as real processes: started, told, killed, suspended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streams.verify.history import Pause, Place, Run
from streams.verify.journal import in_flight, runs_of, steps_of
from streams.verify.standstill import Watch
from tests.waiting import eventually

ROOT: Final = Path(__file__).parents[2]
_TAIL_LINES: Final = 25
_REVOKED: Final = re.compile(rb"partitions revoked.* count=[1-9]")
_GRANTED: Final = re.compile(rb"partitions assigned .*count=[1-9]")


@dataclass
class Worker:
    """One process that runs the app."""

    process: subprocess.Popen[bytes]
    journal: Path
    log: Path
    died_ns: int = 0
    """When it was gone; 0 while it runs."""
    is_leaving: bool = False
    """It was told to stop."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.process.poll() is None

    @property
    def is_suspended(self) -> bool:
        """Whether it stands still, whole."""
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in self._tasks()]
        return set(states) == {"T"}

    @property
    def is_joining(self) -> bool:
        """Whether it has found its topics in order, and joins the group."""
        return b": protocol " in self.log.read_bytes()

    @property
    def grants(self) -> int:
        """How often the group has given it partitions."""
        return len(_GRANTED.findall(self.log.read_bytes()))

    @property
    def revokes(self) -> int:
        """How often the group has asked partitions back."""
        return len(_REVOKED.findall(self.log.read_bytes()))

    @property
    def peak_bytes(self) -> int:
        """The most memory that it ever held at a time."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    @property
    def in_flight(self) -> set[Place]:
        """The records that have started here and not ended."""
        return in_flight(self.journal)

    def in_flight_at(self, time_ns: int) -> set[Place]:
        """The records that ran here at a time."""
        return {run.place for run in self.runs() if run.start_ns <= time_ns < run.end_ns}

    @property
    def touched(self) -> set[Place]:
        """The records that ever started here."""
        return {place for step, _, place, _, _ in steps_of(self.journal) if step == "START"}

    @property
    def well_ended(self) -> set[Place]:
        """The records of which a run ended well here."""
        return {place for step, _, place, _, _ in steps_of(self.journal) if step == "END"}

    @property
    def ended(self) -> int:
        """Runs that came to an end here."""
        return sum(step != "START" for step, *_ in steps_of(self.journal))

    def runs(self) -> list[Run]:
        """Give everything that ran here."""
        return list(runs_of(self.journal, self.died_ns or time.monotonic_ns()))

    def kill(self) -> None:
        """End it as the kernel does when memory runs out: no warning, no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.await_end(10)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.is_leaving = self.is_leaving or number == signal.SIGTERM
        self.process.send_signal(number)

    def await_end(self, within_s: float = 60) -> int:
        """Wait until it is gone; give its exit code."""
        code = self.process.wait(within_s)
        self.died_ns = self.died_ns or time.monotonic_ns()
        return code

    def note_death(self) -> None:
        """Wait until it is gone, whatever the test does meanwhile, and note when: what ran there ran no longer."""
        self.process.wait()
        self.died_ns = self.died_ns or time.monotonic_ns()

    def _tasks(self) -> list[Path]:
        return list(Path(f"/proc/{self.pid}/task").iterdir())

    @property
    def last_words(self) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


@dataclass
class Crew:
    """The processes of one run; all of them end with it."""

    folder: Path
    environment: Mapping[str, str]
    options: tuple[str, ...] = ()
    workers: list[Worker] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    watch: Watch = field(default_factory=Watch)

    @property
    def present(self) -> list[Worker]:
        """Those that run and were not told to stop."""
        return [worker for worker in self.workers if worker.is_running and not worker.is_leaving]

    def start(self, *options: str, output: int | None = None, **environment: str) -> Worker:
        """Start one more; its log goes to a file, or to *output*."""
        log = self.folder / f"worker-{len(self.workers)}.log"
        command = [sys.executable, "-m", "streams", "run", "tests.chaos.app:app", *self.options, *options]
        own = {"CHAOS_JOURNAL": str(self.folder), "STREAMS_SUPERVISOR_PID": str(os.getpid())}
        everything = {**os.environ, **self.environment, **own, **environment}
        with log.open("wb") as file:
            end = file if output is None else output
            process = subprocess.Popen(command, cwd=ROOT, env=everything, stdout=file, stderr=end)
        worker = Worker(process, self.folder / f"{process.pid}.journal", log)
        threading.Thread(target=worker.note_death, name=f"death of {process.pid}", daemon=True).start()
        self.workers.append(worker)
        return worker

    def suspend(self, worker: Worker) -> int:
        """Make it stand still, and give the time once it does."""
        worker.tell(signal.SIGSTOP)
        eventually(lambda: worker.is_suspended, every_s=0.001)
        return time.monotonic_ns()

    def resume(self, worker: Worker, since_ns: int) -> None:
        """Let it go on."""
        self.pauses.append(Pause(worker.pid, since_ns, time.monotonic_ns()))
        worker.tell(signal.SIGCONT)

    def stop(self, within_s: float = 60) -> list[int]:
        """Tell all that run to stop, wait, and give the exit codes of all that were told and not yet waited for."""
        for worker in self.present:
            worker.tell(signal.SIGTERM)
        return [worker.await_end(within_s) for worker in self.workers if worker.is_leaving and not worker.died_ns]

    def end(self) -> None:
        """Make sure that none is left."""
        for worker in self.workers:
            if worker.is_running:
                worker.kill()
        self.watch.end()
