"""Where the workers run: one topic, one process after the other, each in a group of its own."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.peers.answer import Answer, Errand, Handling, read_answer
from benchmarks.peers.catalog import Peer
from benchmarks.peers.environment import ROOT
from streams.bench.ground import BenchError, Ground

_WITHIN_S: Final = 600.0
_LAST_WORDS: Final = 1_000


class Stage:
    """Starts workers on the cluster of a bench, in an empty folder."""

    def __init__(self, place: Ground, folder: Path) -> None:
        """Have workers run in *folder*."""
        self.place = place
        self._folder = folder
        self._numbers = itertools.count(1)

    def errand(self, peer: Peer, topic: str, partitions: int, handler: Handling, records: int) -> Errand:
        """Give an errand in a group that never was."""
        number = next(self._numbers)
        return Errand(
            bootstrap=self.place.settings.bootstrap,
            topic=topic,
            partitions=partitions,
            group=f"{self.place.name}-peer-{number}",
            handler=handler,
            records=records,
            mode=peer.mode,
            journal=str(self._folder / f"{number}.journal") if handler == "told" else "",
        )

    def run(self, command: list[str], errand: Errand, environment: Mapping[str, str] | None = None) -> Answer:
        """Have *errand* done and wait for the answer.

        Raises:
            BenchError: It did not end, or ended without an answer.
        """
        with self.started(command, errand, environment) as process:
            try:
                output, _ = process.communicate(timeout=_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise BenchError(f"a worker did not end within {_WITHIN_S:g} s and was killed") from None
            if process.returncode:
                words = self._log(errand).read_text(errors="replace")[-_LAST_WORDS:]
                raise BenchError(f"a worker ended with {process.returncode}; its last words:\n{words}")
        return read_answer(output, errand.records)

    @contextmanager
    def started(
        self, command: list[str], errand: Errand, environment: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a worker; it does not outlive the block: at its end it is killed."""
        told = msgspec.json.encode(errand).decode()
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        with self._log(errand).open("ab") as log:
            process = subprocess.Popen(
                [*command, told], stdout=subprocess.PIPE, stderr=log, cwd=self._folder, env=variables
            )
            try:
                yield process
            finally:
                process.kill()
                process.communicate()

    def _log(self, errand: Errand) -> Path:
        return self._folder / f"{errand.group}.log"
