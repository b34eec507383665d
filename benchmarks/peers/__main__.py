"""Other frameworks beside ours and the bare loop, on the same records, with what each one keeps.

    python -m benchmarks.peers
    python -m benchmarks.peers --only aiokafka,arroyo --records 20000 --repeat 1
    python -m benchmarks.peers --only none --json            # our modes alone

Each framework is installed on first use in an environment of its own below
``build/peers``, from pinned requirements; one that can't be is named with the
reason.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.peers.catalog import OURS, PEERS, Peer
from benchmarks.peers.controls import Controls, run_controls
from benchmarks.peers.environment import ROOT, UnavailableError, command_of
from benchmarks.peers.promise import KeptOrder, Records, Survival, show_loss, show_order
from benchmarks.peers.race import run_race
from benchmarks.peers.stage import Stage
from benchmarks.peers.table import Seen, machine_rows, markdown, rows_of, standings
from streams.bench.figures import control_figures
from streams.bench.ground import BenchError, ground
from streams.bench.records import make_topic, numbered_records, produce_all
from streams.config import Settings

_PARTITIONS: Final = 12
_ORDERED: Final = 20_000
"""Records of an order check at most: each is written down twice."""
_SIDE_BY_SIDE: Final = 4
"""Frameworks whose promises are looked at together: nothing is timed there, and most of it is waiting."""
_KILLED: Final = 3_000
"""Records of a kill: half a minute's work for one that waits 10 ms for each in turn."""


def main() -> None:
    """Measure as the command line says, and print a table."""
    options = _options()
    commands, missing = available(chosen(options.only), options.environments)
    with _stage(options.bootstrap) as stage:
        records = _filled(stage, "race", options.records)
        race = run_race(stage, commands, records, options.repeat, _say)
        seen, broken = _promises(stage, commands, options.records)
    rows = rows_of(race.speeds, seen)
    missing += race.failures
    if options.json:
        bare = {handler: control_figures(runs)[:2] for handler, runs in race.controls.items()}
        told = {
            "bare": bare,
            "rows": machine_rows(rows),
            "standings": standings(rows),
            "missing": missing,
            "broken": broken._asdict(),
        }
        print(msgspec.json.encode(told).decode())
        return
    for handler, runs in race.controls.items():
        rate, cpu_us, _ = control_figures(runs)
        print(f"bare loop, {handler}: {rate:,.0f} records/s, {cpu_us:.2f} CPU us a record")
    print(f"\n{markdown(rows)}\n")
    for line in standings(rows):
        print(line)
    print()
    print(f"broken on purpose: {broken.violations:,} out of order, {broken.lost:,} lost in the same kill")
    for reason in missing:
        print(f"not run: {reason}")


def chosen(only: str) -> list[Peer]:
    """Give our modes, and of the others those that *only* names: all without it.

    Raises:
        SystemExit: There is no framework of that name.
    """
    names = [name for name in only.split(",") if name not in {"", "none"}]
    if unknown := set(names) - {peer.name for peer in PEERS}:
        sys.exit(
            f"There is no {', '.join(sorted(unknown))}; there are: {', '.join(peer.name for peer in PEERS)}, none."
        )
    return [*OURS, *(peer for peer in PEERS if not only or peer.name in names)]


def available(peers: Sequence[Peer], environments: Path) -> tuple[dict[Peer, list[str]], list[str]]:
    """Install *peers*; give the commands of those that can be run, and why others can't."""
    commands, missing = {}, []
    for peer in peers:
        try:
            commands[peer] = command_of(peer, environments)
        except UnavailableError as failure:
            missing.append(str(failure))
            _say(missing[-1])
    return commands, missing


def _promises(stage: Stage, commands: dict[Peer, list[str]], records: int) -> tuple[dict[Peer, Seen], Controls]:
    ordered = _filled(stage, "order", min(records, _ORDERED))
    killed = _filled(stage, "kill", _KILLED)

    def promise_of(peer: Peer) -> Seen:
        _say(f"order and a kill, {peer.name}")
        return Seen(
            _order(stage, commands[peer], peer, ordered),
            _survival(stage, commands[peer], peer, killed),
        )

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        seen = dict(zip(commands, threads.map(promise_of, commands), strict=True))
    _say("order and a kill, engines that are broken on purpose")
    return seen, run_controls(stage, ordered, killed)


def _order(stage: Stage, command: list[str], peer: Peer, records: Records) -> KeptOrder | str:
    try:
        return show_order(stage, command, peer, records)
    except BenchError as failure:
        return str(failure)


def _survival(stage: Stage, command: list[str], peer: Peer, records: Records) -> Survival | str:
    try:
        return show_loss(stage, command, peer, records)
    except BenchError as failure:
        return str(failure)


@contextmanager
def _stage(bootstrap: str | None) -> Iterator[Stage]:
    settings = Settings(group="streams-bench", bootstrap=bootstrap or "").from_environment()
    with ground(settings, _say) as place, tempfile.TemporaryDirectory(prefix="streams-peers-") as folder:
        yield Stage(place, Path(folder))


def _filled(stage: Stage, what: str, count: int) -> Records:
    """Make a topic of the records that `streams bench` reads too."""
    topic = f"{stage.place.name}-{what}"
    _say(f"writing {count:,} records to {topic}")
    make_topic(stage.place.settings, topic, _PARTITIONS)
    produce_all(stage.place.settings, topic, numbered_records(count))
    values = (msgspec.json.decode(value) for _, value in numbered_records(count))
    return Records(topic, _PARTITIONS, [(value["key"], value["number"]) for value in values])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help=f"of {','.join(peer.name for peer in PEERS)}; none: ours alone")
    parser.add_argument("--records", type=int, default=100_000, help="records of each run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each; medians are told")
    parser.add_argument("--bootstrap", help="a cluster to use instead of a broker of its own")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "peers", help="where they are installed")
    return parser.parse_args()


if __name__ == "__main__":
    main()
