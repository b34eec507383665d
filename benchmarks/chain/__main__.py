"""The chain's figures, each beside a control: what it costs that records fail, wait, come back and are found again.

    python -m benchmarks.chain                                  # on a broker of its own
    python -m benchmarks.chain --only failures,scan --repeat 5
    python -m benchmarks.chain --bootstrap 127.0.0.1:9092 --scale 0.1

Every measurement is a process of its own, so that its memory is its own; the
control runs beside it.  Ratios set a run beside its control: 1 is as fast, or as
cheap, as the client alone.
Lines that say "no broker" drive the partition's state with messages that were
made in memory, and the making counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.chain.board import Board, Line
from benchmarks.chain.figures import failures, memory, restart, scan, stuck, sweep
from streams.bench.ground import ground
from streams.config import Settings

_FIGURES: Final[dict[str, Callable[[Board], Sequence[Line]]]] = {
    "failures": failures,
    "restart": restart,
    "scan": scan,
    "sweep": sweep,
    "memory": memory,
    "stuck": stuck,
}


def main() -> None:
    """Measure as the command line says, and print a table."""
    options = _options()
    settings = Settings(group="streams-bench", bootstrap=options.bootstrap or "").from_environment()
    with ground(settings, print) as place:
        board = Board(place, repeat=options.repeat, scale=options.scale)
        lines = [line for name in options.only.split(",") for line in _FIGURES[name](board)]
    print("\n| what | records | seconds | records/s | ratio | CPU us | ratio in CPU | MB | bound | holds |")
    print("|---" * 10 + "|")
    for line in lines:
        print(line)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(_FIGURES), help="of %(default)s")
    parser.add_argument("--bootstrap", help="a cluster to use instead of a broker of its own")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; medians are told")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the records of each figure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
