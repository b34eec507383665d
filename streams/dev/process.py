"""One process that this machine runs for us: which one it is, and its end.

A pid alone names nobody for long: the system gives it away again.  Together
with the moment its process started it names one process for good, so a
recycled pid is never ended by mistake.

Run as a script, this file is the guard of a cluster that must not outlive
another process, however that one ends (see `guard`).  It imports the
standard library only, so that the guard stays small.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.05
_GUARD_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started once, whether it still runs or not."""

    pid: int

    birth: str
    """When it started, in the words of the system that runs it."""

    @property
    def is_running(self) -> bool:
        """Whether this very process runs; a zombie does not."""
        _reap(self.pid)
        return birth_of(self.pid) == self.birth

    def send(self, signum: signal.Signals) -> None:
        """Send *signum*, if this very process still runs."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def end(self, *, deadline_s: float) -> None:
        """Ask it to stop; past *deadline_s* make it stop.  Returns when it is gone."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        if not self.wait(deadline_s=deadline_s):
            self.kill()

    def kill(self) -> None:
        """Make it stop at once.  Returns when it is gone."""
        self.send(signal.SIGKILL)
        self.wait(deadline_s=10.0)

    def wait(self, *, deadline_s: float) -> bool:
        """Wait until it is gone; False if it still runs after *deadline_s*."""
        give_up = time.monotonic() + deadline_s
        while self.is_running:
            if time.monotonic() > give_up:
                return False
            time.sleep(_POLL_S)
        return True


def this_process() -> Process:
    """The process that asks."""
    return _named(os.getpid())


def spawn(argv: list[str], *, output: Path) -> Process:
    """Start *argv* in a session of its own, its output in the file *output*.

    It outlives this process, and a Ctrl-C in this terminal doesn't reach it.

    Raises:
        OSError: The program or the output file can't be opened.
    """
    to_output = (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    pid = os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=(no_input, to_output, (os.POSIX_SPAWN_DUP2, 1, 2)),
        setsid=True,
    )
    return _named(pid)


def birth_of(pid: int) -> str | None:
    """When the process *pid* started, as a text that no other holder of the pid gets."""
    if Path("/proc/self/stat").exists():
        return _birth_in_proc(pid)
    return _birth_by_ps(pid)


def guard(watched: Process, roster: Path) -> None:
    """Wait until *watched* is gone, then end every broker that *roster* names.

    Ends by itself when the roster is no more.
    """
    while roster.exists():
        if not watched.is_running:
            for broker in json.loads(roster.read_text())["brokers"]:
                if process := broker["process"]:
                    Process(**process).kill()
            return
        time.sleep(_GUARD_POLL_S)


def _named(pid: int) -> Process:
    return Process(pid, birth_of(pid) or "ended at once")


def _birth_in_proc(pid: int) -> str | None:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start_ticks = after_name[0], after_name[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if state in "ZX" else f"{boot} {start_ticks}"


def _birth_by_ps(pid: int) -> str | None:
    command = ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, start = answer.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else start.strip()


def _reap(pid: int) -> None:
    """Let a child of ours that ended go; anybody else's is left alone."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


if __name__ == "__main__":
    guard(Process(int(sys.argv[1]), sys.argv[2]), Path(sys.argv[3]))
