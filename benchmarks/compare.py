"""Two states of the source in turn: what a change to the engine gains, or costs.

    git worktree add ../before HEAD~1
    python -m benchmarks.compare ../before . --modes threads,asyncio --repeat 5

Each run stands between two of the control, and the two sources take turns, so
that a machine whose speed drifts does the same to both.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from streams.bench.figures import Pair, figures_of
from streams.bench.ground import Ground, ground
from streams.bench.race import complete, pair_of
from streams.bench.records import make_topic, numbered_records, produce_all
from streams.bench.task import Mode, Task
from streams.config import Settings


def main() -> None:
    """Compare as the command line says, and print a line for each source and mode."""
    options = _options()
    settings = Settings(group="streams-bench").from_environment()
    with ground(settings, print) as place:
        control = Task(topic=f"{place.name}-records", partitions=12, records=options.records, handler=options.handler)
        make_topic(place.settings, control.topic, control.partitions)
        produce_all(place.settings, control.topic, numbered_records(options.records))
        for mode in options.modes.split(","):
            _compare(place, control, mode, options.repeat, options.sources)


def _compare(place: Ground, control: Task, mode: Mode, repeat: int, sources: Sequence[Path]) -> None:
    task = msgspec.structs.replace(control, mode=mode, group=f"{place.name}-{mode}")
    pairs: dict[Path, list[Pair]] = defaultdict(list)
    before = place.run(control)
    for source in _in_turn(sources, repeat):
        run = complete(place.run(task, source=source), task)
        after = place.run(control)
        pairs[source].append(pair_of(run, before, after))
        before = after
    for source in sources:
        one = figures_of(pairs[source])
        print(
            f"{mode:8} {source!s:24} ratio {one.ratio:.2f} ({one.lowest:.2f}-{one.highest:.2f})"
            f"  CPU us/record {one.cpu_us:.2f}  CPU ratio {one.cpu_ratio:.2f}"
        )


def _in_turn(sources: Sequence[Path], repeat: int) -> Iterator[Path]:
    """Give each source *repeat* times, first to last, then last to first."""
    for turn in range(repeat):
        yield from sources if turn % 2 == 0 else reversed(sources)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+", type=lambda text: Path(text).absolute(), metavar="FOLDER")
    parser.add_argument("--modes", default="inline,threads,asyncio")
    parser.add_argument("--handler", choices=["noop", "json"], default="noop")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
