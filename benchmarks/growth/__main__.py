"""How cost grows: partitions, keys, records in flight, bytes, headers, members, keys in trouble, commits.

    python -m benchmarks.growth                                  # on a broker of its own
    python -m benchmarks.growth --only keys,headers --repeat 3
    python -m benchmarks.growth --records 20000 --json growth.json

One thing grows and all else stays: 12 partitions, 10,000 keys with the same
chance, 300 bytes, no headers, one member.  Runs stand between two of the bare
loop, as with ``streams bench``; what waits is set beside what its waits allow,
members beside one of them, keys in trouble beside none.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.growth import commits, curves, trouble
from benchmarks.growth.curves import Bench, Curve
from benchmarks.growth.row import Row, table
from benchmarks.growth.supply import Supply
from streams.bench.ground import ground
from streams.config import Settings
from streams.errors import UsageError

_CURVES: Final[dict[str, Curve]] = {
    "partitions": curves.partitions,
    "keys": curves.keys,
    "in-flight": curves.in_flight,
    "sizes": curves.sizes,
    "headers": curves.headers,
    "members": curves.members,
    "trouble": trouble.curve,
    "commits": commits.curve,
}


def main() -> None:
    """Measure as the command line says, and print a table for each curve."""
    options = _options()
    settings = Settings(group="streams-bench", bootstrap=options.bootstrap or "").from_environment()
    rows: list[Row] = []
    with ground(settings, print) as place:
        bench = Bench(Supply(place, _say), options.records, options.repeat)
        for name in _chosen(options.only):
            mine = list(_told(_CURVES[name](bench)))
            rows += mine
            print(f"\n{table(name, mine)}\n", flush=True)
            if options.json:
                Path(options.json).write_bytes(msgspec.json.format(msgspec.json.encode(rows)))


def _told(rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        print(row, flush=True)
        yield row


def _say(what: str) -> None:
    print(f"  {what}", flush=True)


def _chosen(only: str) -> list[str]:
    names = only.split(",")
    if unknown := [name for name in names if name not in _CURVES]:
        raise UsageError(f"{', '.join(unknown)}: no such curve; there are {', '.join(_CURVES)}")
    return names


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(_CURVES), help="of %(default)s")
    parser.add_argument("--bootstrap", help="a cluster to use instead of a broker of its own")
    parser.add_argument("--records", type=int, default=200_000, help="of each run; fewer where they take time")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each; medians are told")
    parser.add_argument("--json", help="a file that gets all of it, for machines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
