"""Runs measurements beside their controls, and sums them up as lines of a table."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.chain.job import Job, Measured, Part
from streams.bench.ground import BenchError, Ground
from streams.config import Settings

_WITHIN_S = 600


class Line(NamedTuple):
    """One line of the table."""

    what: str
    runs: list[Measured]
    controls: list[Measured]
    bound: str
    holds: bool | None
    """None: it has no bound of its own."""

    def __str__(self) -> str:
        """Give it as a line of Markdown."""
        seconds = median(run.seconds for run in self.runs)
        cpu_us = median(run.cpu_us for run in self.runs)
        records = self.runs[0].records
        memory = max(run.resident_bytes for run in self.runs) / 2**20
        holds = "" if self.holds is None else "yes" if self.holds else "NO"
        return (
            f"| {self.what} | {records:,} | {seconds:.2f} | {records / seconds:,.0f} |"
            f" {_ratio([run.rate / one.rate for run, one in self.pairs])} | {cpu_us:.1f} |"
            f" {_ratio([one.cpu_us / run.cpu_us for run, one in self.pairs])} | {memory:.0f} | {self.bound} | {holds} |"
        )

    @property
    def pairs(self) -> list[tuple[Measured, Measured]]:
        """Each run with the control beside it."""
        return list(zip(self.runs, self.controls, strict=False))


class Board:
    """Where figures are measured."""

    def __init__(self, place: Ground, *, repeat: int, scale: float) -> None:
        """Measure on the cluster of *place*."""
        self._place = place
        self._scale = scale
        self._numbers = itertools.count(1)
        self.repeat = repeat

    @property
    def settings(self) -> Settings:
        """Where the cluster is."""
        return self._place.settings

    def job(self, records: int, *, keys: int = 0, errors: int = 1) -> Job:
        """Give a job on a topic and a group of its own; with no *keys* each record has its own."""
        records = max(1_000, int(records * self._scale))
        name = f"{self._place.name}-{next(self._numbers)}"
        return Job(
            part="fail",
            records=records,
            keys=min(keys or records, records),
            errors=errors,
            topic=name,
            group=f"{name}-group",
        )

    def run(self, job: Job, part: Part) -> Measured:
        """Have one part of *job* measured, in a process of its own.

        Raises:
            BenchError: It did not come to its end.
        """
        print(f"{part}, {job.records:,} records of {job.keys:,} keys", flush=True)
        told = msgspec.json.encode(msgspec.structs.replace(job, part=part)).decode()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.chain.worker", told],
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
            env={**os.environ, "STREAMS_BOOTSTRAP": self.settings.bootstrap},
        )
        if done.returncode:
            raise BenchError(f"{part} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}")
        found = msgspec.json.decode(done.stdout, type=Measured)
        print(f"    {found.seconds:.2f} s, {found.rate:,.0f} /s, {found.resident_bytes / 2**20:.0f} MB", found.facts)
        return found


def _ratio(ratios: Sequence[float]) -> str:
    """Give median and range."""
    return f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else ""
