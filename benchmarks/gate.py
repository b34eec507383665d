"""Has the engine become dearer than it was?  Compares CPU ratios with those that are kept beside this file.

    make bench-gate                  # a few minutes, on a machine that does nothing else
    make bench-gate ARGS=--keep      # after a change that is meant to cost, or gain: keeps what is measured now

A ratio is the control's CPU time a record as a share of the engine's, in the
same minute: 1 is as cheap as the client alone.  It shakes less than a rate
does.  A row fails where the median has fallen by more than a fifth *and* the
best of its runs is below what was kept: either alone may be the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, get_args

import msgspec

from benchmarks.chain.board import Board
from benchmarks.chain.figures import failures, scan
from streams.bench.ground import Ground, ground
from streams.bench.race import Race, run_race
from streams.bench.records import make_topic, numbered_records, produce_all
from streams.bench.task import Mode
from streams.config import Settings

KEPT: Final = Path(__file__).with_name("ratios.json")
_NOISE: Final = 0.20
_RECORDS: Final = 300_000
_PARTITIONS: Final = 12


def main() -> None:
    """Measure; compare, or keep."""
    options = _options()
    if not (options.keep or KEPT.exists()):
        sys.exit(f"nothing is kept yet to compare with: make bench-gate ARGS=--keep writes {KEPT.name}")
    settings = Settings(group="streams-bench").from_environment()
    with ground(settings, print) as place:
        now = {**_race(place, options.repeat), **_chain(place, options.repeat)}
    if options.keep:
        medians = {name: round(median(ratios), 3) for name, ratios in now.items()}
        KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(medians)) + b"\n")
        print(f"kept in {KEPT.name}: {len(medians)} ratios")
        return
    kept = msgspec.json.decode(KEPT.read_bytes(), type=dict[str, float])
    for name, ratios in now.items():
        print(f"{name:55} {median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})  kept {kept.get(name, '-')}")
    if found := dearer(kept, now):
        print("\n".join(found), file=sys.stderr)
        sys.exit(1)


def dearer(kept: Mapping[str, float], now: Mapping[str, Sequence[float]]) -> list[str]:
    """Say which rows cost more than was *kept*, beyond noise, and which of them were not measured."""
    found = [f"{name}: not measured any more; keep the ratios anew" for name in kept if name not in now]
    for name, ratios in now.items():
        before = kept.get(name)
        if before is not None and median(ratios) < before * (1 - _NOISE) and max(ratios) < before:
            found.append(f"{name}: {median(ratios):.2f} of the control, at best {max(ratios):.2f}; it was {before:.2f}")
    return found


def _race(place: Ground, repeat: int) -> dict[str, list[float]]:
    topic = f"{place.name}-records"
    make_topic(place.settings, topic, _PARTITIONS, retention_ms="-1")
    produce_all(place.settings, topic, numbered_records(_RECORDS))
    race = Race(
        topic=topic,
        partitions=_PARTITIONS,
        records=_RECORDS,
        repeat=repeat,
        modes=get_args(Mode),
        handlers=("noop", "json"),
    )
    result = run_race(place, race, print)
    return {f"{mode}, {handler}": [one.cpu_ratio for one in pairs] for (handler, mode), pairs in result.pairs.items()}


def _chain(place: Ground, repeat: int) -> dict[str, list[float]]:
    board = Board(place, repeat=repeat, scale=0.5)
    lines = [*failures(board), *scan(board)]
    return {line.what: [one.cpu_us / run.cpu_us for run, one in line.pairs] for line in lines if line.controls}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="keep what is measured now, and compare nothing")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
