"""Where a record waits at a low rate: before the poll gives it, or for a turn of the loop.

    python -m benchmarks.turns --runs 3

A broker of its own takes records for a minute first, as one that has just
started compiles; then the bare loop and a member read the same rate in turn.
In the member's process each turn of the loop is timed, and each record's age
is looked at where the poll gives it.  A record is *late* from 8 ms on, and it
is late by the loop's own doing where at least half of its age is the turn
before the poll.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from streams.bench import worker
from streams.bench.figures import percentile
from streams.bench.ground import Ground
from streams.bench.latency import measure_latency
from streams.bench.pace import Pace, stamped_values
from streams.bench.records import make_topic
from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.engine.loop import ConsumerLoop

_PARTITIONS: Final = 12
_WARM_UP_S: Final = 60
_WARM_UP_PER_S: Final = 5_000
_LATE_MS: Final = 8.0
_STEPS: Final = ("settle_finished", "route_interrupted", "settle_acknowledged", "run_due", "sweep_chain", "begin_anew")


class Turn(msgspec.Struct):
    """One turn of the loop."""

    waited_ms: float
    """In the poll."""
    took_ms: float
    """All after the poll."""
    ages_ms: list[float]
    """Of the records that the poll gave, when it gave them."""
    steps_ms: dict[str, float]


class Watched:
    """Times the turns of the loop in this process, from its first record on."""

    def __init__(self) -> None:
        """Put a watch around the steps of the loop, of which this process has one."""
        self.turns: list[Turn] = []
        self._steps: dict[str, float] = {}
        self._poll = ConsumerLoop.poll
        self._run_once = ConsumerLoop.run_once
        self._waited_s, self._given = 0.0, list[Any]()
        for name in _STEPS:
            self._time(name)
        watched = self

        def poll(loop: ConsumerLoop) -> Any:
            return watched.poll(loop)

        def run_once(loop: ConsumerLoop) -> None:
            watched.run_once(loop)

        setattr(ConsumerLoop, "poll", poll)  # noqa: B010  # as with the steps
        setattr(ConsumerLoop, "run_once", run_once)  # noqa: B010

    def poll(self, loop: ConsumerLoop) -> Any:
        """Poll, and look at the age of what that gives."""
        begin = time.monotonic()
        messages, events = self._poll(loop)
        self._waited_s = time.monotonic() - begin
        now_ns = time.time_ns()
        stamps = [orjson.loads(message.value() or b"{}").get("at_ns", 0) for message in messages]
        self._given = [(now_ns - at_ns) / 1e6 for at_ns in stamps if at_ns]
        return messages, events

    def run_once(self, loop: ConsumerLoop) -> None:
        """Go round once."""
        self._steps = {}
        begin = time.monotonic()
        self._run_once(loop)
        took_s = time.monotonic() - begin - self._waited_s
        if self._given or self.turns:
            self.turns.append(Turn(self._waited_s * 1e3, took_s * 1e3, self._given, self._steps))

    def _time(self, name: str) -> None:
        step: Callable[..., Any] = getattr(ConsumerLoop, name)

        def timed(loop: ConsumerLoop, *arguments: Any) -> Any:
            begin = time.monotonic()
            result = step(loop, *arguments)
            self._steps[name] = (time.monotonic() - begin) * 1e3
            return result

        setattr(ConsumerLoop, name, timed)


def told(turns: list[Turn]) -> str:
    """Put the turns into words."""
    late = by_loop = 0
    for before, turn in pairwise(turns):
        for age in turn.ages_ms:
            if age >= _LATE_MS:
                late += 1
                by_loop += before.took_ms >= age / 2
    took = [turn.took_ms for turn in turns]
    steps = {name: percentile([turn.steps_ms.get(name, 0.0) for turn in turns], 0.99) for name in _STEPS}
    slowest = max(steps, key=lambda name: steps[name])
    return (
        f"{len(turns):,} turns, p50 {percentile(took, 0.5):.2f} ms, p99 {percentile(took, 0.99):.2f} ms, the longest"
        f" {max(took):.1f} ms; the slowest step is {slowest}, p99 {steps[slowest]:.2f} ms;"
        f" {late:,} of {sum(len(turn.ages_ms) for turn in turns):,} records late, {by_loop:,} of them by the loop"
    )


def main(arguments: list[str]) -> None:
    """Measure, or be the process that is measured."""
    if arguments[:1] == ["--worker"]:
        watched = Watched()
        worker.main(arguments[2:])
        if watched.turns:
            Path(arguments[1]).write_text(told(watched.turns), encoding="utf-8")
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20, help="of each run")
    parser.add_argument("--per-s", type=int, default=1_000, help="records a second")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="streams-bench-") as folder:
        cluster = DevCluster.start(Path(folder) / "kafka", brokers=1, lives_with=this_process())
        try:
            settings = Settings(group="streams-bench", bootstrap=cluster.bootstrap)
            make_topic(settings, "warm-up", _PARTITIONS)
            Pace(settings, "warm-up", _WARM_UP_PER_S).send_all(stamped_values(_WARM_UP_PER_S * _WARM_UP_S, 0))
            for number in range(chosen.runs):
                _run(_Watching(settings, f"turns-{number}", Path(folder) / "turns"), chosen.seconds, chosen.per_s)
        finally:
            cluster.down()


@dataclass(frozen=True)
class _Watching(Ground):
    """Starts processes that time the turns of their loop."""

    turns: Path
    """What they were goes here, in words."""

    def command(self, module: str) -> list[str]:
        """Give what starts this module as the bench's worker."""
        assert module == "worker", module  # noqa: S101  # nothing else measures latency
        return [sys.executable, "-m", "benchmarks.turns", "--worker", str(self.turns)]


def _run(ground: _Watching, seconds: int, per_s: int) -> None:
    """Measure the bare loop and a member once."""
    found = measure_latency(
        ground, ("inline",), partitions=_PARTITIONS, seconds=seconds, per_s=per_s, say=lambda _: None
    )
    for one in found:
        print(f"{one.mode or 'the bare loop'}: p50 {one.p50_ms:.1f} ms, p99 {one.p99_ms:.1f} ms  {one.remark}")
    print(f"    {ground.turns.read_text(encoding='utf-8')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
