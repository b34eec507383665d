"""Speed: our modes and the other frameworks in turn, each run between two of the bare loop, over the same records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from benchmarks.peers.answer import Handling
from benchmarks.peers.catalog import Peer
from benchmarks.peers.promise import Records
from benchmarks.peers.stage import Stage
from streams.bench.figures import Figures, Pair, figures_of
from streams.bench.ground import BenchError
from streams.bench.race import complete, pair_of
from streams.bench.task import Handler, Mode, Outcome, Task

HANDLERS: Final[tuple[Handler, ...]] = ("noop", "json")
"""What every framework's worker can do."""

Speeds: TypeAlias = dict[tuple[Handler, str], Figures]
"""Of each handler and name."""


@dataclass
class Result:
    """What a race gave."""

    controls: dict[Handler, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    """The runs of the bare loop."""
    speeds: Speeds = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """Runs of others that did not come to their end, and why."""

    def add_control(self, handler: Handler, outcome: Outcome) -> Outcome:
        """Note a run of the bare loop, and give it back."""
        self.controls[handler].append(outcome)
        return outcome


def run_race(
    stage: Stage, commands: Mapping[Peer, list[str]], records: Records, repeat: int, say: Callable[[str], None]
) -> Result:
    """Run everything *repeat* times with each handler.

    Raises:
        BenchError: A run of the bare loop or of ours did not handle every record.
    """
    result = Result()
    pairs: dict[tuple[Handler, str], list[Pair]] = defaultdict(list)
    for handler in HANDLERS:
        before = result.add_control(handler, _control(stage, records, handler))
        for peer, command in [*commands.items()] * repeat:
            say(f"{handler}, {peer.name}")
            try:
                run = _run(stage, command, peer, records, handler)
            except BenchError as failure:
                if peer.kind == "ours":
                    raise
                result.failures.append(f"{handler}, {peer.name}: {failure}")
                continue
            after = result.add_control(handler, _control(stage, records, handler))
            pairs[handler, peer.name].append(pair_of(run, before, after))
            say(f"    {run.rate:,.0f} records/s")
            before = after
    result.speeds.update({place: figures_of(runs) for place, runs in pairs.items()})
    return result


def _control(stage: Stage, records: Records, handler: Handler) -> Outcome:
    return stage.place.run(_task(records, handler))


def _run(stage: Stage, command: list[str], peer: Peer, records: Records, handler: Handler) -> Outcome:
    if peer.kind == "ours":
        task = _task(records, handler, mode=_MODES[peer.mode], group=f"{stage.place.name}-{peer.mode}")
        return complete(stage.place.run(task), task)
    handling: Handling = "noop" if handler == "noop" else "json"
    errand = stage.errand(peer, records.topic, records.partitions, handling, len(records.expected))
    return stage.run(command, errand).outcome()


_MODES: dict[str, Mode] = {"inline": "inline", "threads": "threads", "asyncio": "asyncio", "batch": "batch"}


def _task(records: Records, handler: Handler, mode: Mode | None = None, group: str = "") -> Task:
    return Task(
        topic=records.topic,
        partitions=records.partitions,
        records=len(records.expected),
        handler=handler,
        mode=mode,
        group=group,
    )
