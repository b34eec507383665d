"""Where a bench runs: on a cluster that is named, or on a broker of its own that ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.bench.task import Outcome, Task, read_outcome, read_outcomes, to_json
from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.errors import StreamsError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.kafka.topics import delete_topics, list_topics
from streams.record import Partition

_RUN_WITHIN_S: Final = 600.0
_LAST_WORDS: Final = 2_000


class BenchError(StreamsError):
    """A run did not come to its end, or what it did does not add up."""


@dataclass(frozen=True)
class Ground:
    """A cluster to measure on, and the runs that are started on it."""

    settings: Settings
    name: str
    """What every topic and group of this bench begins with."""

    def command(self, module: str) -> list[str]:
        """Give what starts *module* of the bench; its arguments follow."""
        return [sys.executable, "-m", f"streams.bench.{module}"]

    def run(self, task: Task, environment: Mapping[str, str] | None = None, *, source: Path | None = None) -> Outcome:
        """Have *task* done in a process of its own, from the beginning of its topic, and wait for it.

        Args:
            task: What to do.
            environment: Variables of the process, beside those of this one.
            source: Folder that holds the package to run; None: the one that runs here.

        Raises:
            BenchError: It did not end, or ended with an error.
        """
        if task.mode is not None:
            self.rewind(task)
        with self.started(task, environment, source=source) as process:
            return self.finished(process)

    def run_crew(self, task: Task, members: int) -> list[Outcome]:
        """Have *task* done by so many *members*, each a process, from the beginning of its topic.

        Raises:
            BenchError: They did not end, or ended with an error.
        """
        self.rewind(task)
        with self._started("crew", str(members), to_json(task).decode()) as process:
            return read_outcomes(self._answer(process))

    def rewind(self, task: Task) -> None:
        """Have the group of *task* begin again: forget what it has done."""
        places = [Partition(task.topic, number) for number in range(task.partitions)]
        with Admin(self.settings) as admin:
            commit_for_stopped(admin, task.group, dict.fromkeys(places, Committed(0)))

    @contextmanager
    def started(
        self, task: Task, environment: Mapping[str, str] | None = None, *, source: Path | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start the process that does *task*; it does not outlive the block."""
        with self._started("worker", to_json(task).decode(), environment=environment, source=source) as process:
            yield process

    @contextmanager
    def _started(
        self, module: str, *arguments: str, environment: Mapping[str, str] | None = None, source: Path | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        command = [*self.command(module), *arguments]
        surroundings = {**os.environ, "STREAMS_BOOTSTRAP": self.settings.bootstrap, **(environment or {})}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings, cwd=source
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def finished(self, process: subprocess.Popen[bytes]) -> Outcome:
        """Wait for *process* and give what it measured.

        Raises:
            BenchError: It did not end, or ended with an error.
        """
        return read_outcome(self._answer(process))

    def _answer(self, process: subprocess.Popen[bytes]) -> bytes:
        try:
            out, err = process.communicate(timeout=_RUN_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise BenchError(
                f"a run did not end within {_RUN_WITHIN_S:g} s and was killed; nothing is quoted"
            ) from None
        if process.returncode:
            words = err.decode(errors="replace")[-_LAST_WORDS:]
            raise BenchError(f"a run ended with {process.returncode}; nothing is quoted. Its last words:\n{words}")
        return out


@contextmanager
def ground(settings: Settings, say: Callable[[str], None]) -> Iterator[Ground]:
    """Give the cluster that *settings* name, else a broker in a temporary folder.

    Topics that were made on a named cluster are removed at the end; its own broker is thrown away whole.
    """
    name = f"streams-bench-{uuid.uuid4().hex[:6]}"
    if settings.bootstrap:
        try:
            yield Ground(settings, name)
        finally:
            _remove_topics(settings, name)
        return
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        cluster = DevCluster.start(Path(folder) / "kafka", brokers=1, lives_with=this_process(), say=say)
        try:
            yield Ground(settings.over(bootstrap=cluster.bootstrap), name)
        finally:
            cluster.down()


def _remove_topics(settings: Settings, name: str) -> None:
    with Admin(settings) as admin:
        delete_topics(admin, [topic for topic in list_topics(admin) if topic.startswith(name)])
