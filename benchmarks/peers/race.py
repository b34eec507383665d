"""Speed: our modes and the other frameworks in turn, each run between two of the bare loop, over the same records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from benchmarks.peers.catalog import Peer
from benchmarks.peers.promise import Records
from benchmarks.peers.stage import Stage
from streams.bench.figures import Figures, Pair, figures_of
from streams.bench.race import complete, pair_of
from streams.bench.task import SPEED_HANDLERS, Handler, Mode, Outcome, Task

Speeds: TypeAlias = dict[tuple[Handler, str], Figures]
"""Of each handler and name."""


def run_race(
    stage: Stage, commands: Mapping[Peer, list[str]], records: Records, repeat: int, say: Callable[[str], None]
) -> tuple[dict[Handler, list[Outcome]], Speeds]:
    """Run everything *repeat* times with each handler; give the runs of the bare loop, and the figures of the others.

    Raises:
        BenchError: A run did not handle every record.
    """
    controls: dict[Handler, list[Outcome]] = {}
    pairs: dict[tuple[Handler, str], list[Pair]] = defaultdict(list)
    for handler in SPEED_HANDLERS:
        controls[handler] = [_control(stage, records, handler)]
        for turn in range(repeat):
            for peer, command in commands.items():
                say(f"{handler}, {peer.name}, {turn + 1} of {repeat}")
                run = _run(stage, command, peer, records, handler)
                controls[handler].append(_control(stage, records, handler))
                pairs[handler, peer.name].append(pair_of(run, *controls[handler][-2:]))
    return controls, {place: figures_of(runs) for place, runs in pairs.items()}


def _control(stage: Stage, records: Records, handler: Handler) -> Outcome:
    return stage.place.run(_task(records, handler))


def _run(stage: Stage, command: list[str], peer: Peer, records: Records, handler: Handler) -> Outcome:
    if peer.kind == "ours":
        task = _task(records, handler, mode=_MODES[peer.mode], group=f"{stage.place.name}-{peer.mode}")
        return complete(stage.place.run(task), task)
    handling = "noop" if handler == "noop" else "json"
    errand = stage.errand(records.topic, records.partitions, handling, len(records.expected))
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
