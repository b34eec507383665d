"""The count: what became of every event that the broker accepted.

A third of the referee (the others are `chain` and `history`): it imports
nothing of `streams`.  By hand: ``python -m examples.demo.count FOLDER --bootstrap HOST:PORT``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from examples.demo.chain import Ledger
from examples.demo.history import Accepted, History, Run, read

_NAMED: Final = 5
"""Names given as examples for each fault."""


@dataclass
class Count:
    """What it comes to; each number is of events unless it says otherwise."""

    accepted: int
    """Acknowledged to the producer."""
    done: int
    """Effects on disk, each event counted once."""
    dead_letters: int
    waiting: int
    """Neither done nor dead: in a retry topic, or in the source and not settled."""
    parked: int
    """Neither done nor dead: behind one of their aircraft that waits."""
    lost: int
    """Neither done nor dead, and nowhere else: nobody would read them again."""
    both: int
    """Done, and dead as well."""
    strangers: int
    """Done or dead, and never accepted."""
    out_of_order: int
    """Runs that began when they should not have."""
    repeated: int
    """Runs that did again what was done."""
    retried: int
    """Runs that failed and were tried again."""
    cut_off: int
    """Runs that a process died in."""
    relocated: int
    """Copies that went through retry topics and the parked one."""
    relocated_to: dict[str, int]
    """The same by topic."""
    keys: int
    reasons: dict[str, int]
    """Why dead letters are dead."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Names for each fault."""

    @property
    def adds_up(self) -> bool:
        """Every accepted event is done or dead, never both, none waits any more, and none ran out of order."""
        faults = self.waiting + self.parked + self.lost + self.both + self.strangers + self.out_of_order
        return self.accepted > 0 and not faults and self.accepted == self.done + self.dead_letters


def count(history: History) -> Count:
    """Judge *history*."""
    steps = Counter(run.step for run in history.runs)
    done, refused = ({run.id for run in history.runs if run.step == step} for step in ("done", "refused"))
    dead = {name: copy.reason for name, copy in history.standing.items() if copy.kind == "dead"}
    faults = _faults(history, done, dead.keys())
    return Count(
        accepted=len(history.accepted),
        done=len(done),
        dead_letters=len(dead),
        **{fault: len(names) for fault, names in faults.items()},
        repeated=steps["done"] - len(done) + steps["refused"] - len(refused),
        retried=steps["failed"],
        cut_off=steps["cut off"],
        relocated=sum(history.relocated.values()),
        relocated_to=history.relocated,
        keys=len({event.key for event in history.accepted.values()} - {None}),
        reasons=dict(Counter(dead.values()).most_common()),
        examples={fault: names[:_NAMED] for fault, names in faults.items() if names},
    )


def _faults(history: History, done: set[str], dead: AbstractSet[str]) -> dict[str, list[str]]:
    """Name what should not be, by the fields of `Count`."""
    ended = done | dead
    missing: dict[str, list[str]] = {"waiting": [], "parked": [], "lost": []}
    for name, event in history.accepted.items():
        if name not in ended:
            missing[_whereabouts(history, name, event)].append(name)
    return {
        **missing,
        "both": sorted(done & dead),
        "strangers": sorted(ended - history.accepted.keys()),
        "out_of_order": list(disorder(history.accepted, history.runs, dead)),
    }


def _whereabouts(history: History, name: str, event: Accepted) -> str:
    """Say where an event is that has not ended."""
    if name in history.standing:
        return history.standing[name].kind
    is_settled = history.committed.get(event.partition, Ledger()).has_settled(event.offset)
    return "lost" if is_settled else "waiting"


def disorder(accepted: dict[str, Accepted], runs: list[Run], dead: AbstractSet[str]) -> Iterator[str]:
    """Name each run that began when it should not have, with what was wrong.

    For one key: no event begins before the one ahead of it ended for the first
    time, no two run at once, and what runs again after a crash does so in
    order and leaves none out but the dead, which have their end for good.
    Events that never ended are not judged here: they are lost.
    """
    ended = {run.id for run in runs if run.step in ("done", "refused")}
    of_key: defaultdict[str, list[tuple[int, Run]]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.start_ns):
        event = accepted.get(run.id)
        if run.id in ended and event is not None and event.key is not None:
            of_key[event.key].append((event.seq, run))
    for each in of_key.values():
        yield from _disorder(each, {seq for seq, run in each if run.id in dead})


def _disorder(runs: list[tuple[int, Run]], dead: set[int]) -> Iterator[str]:
    """Judge the runs of one key, in the order in which they began."""
    order = sorted({seq for seq, _ in runs})
    place = {seq: place for place, seq in enumerate(order)}
    first_end = _first_ends(runs)
    before = [0, *(first_end[seq] for seq in order)]  # by place: when the one ahead first ended
    last, busy_until = -1, 0
    for seq, run in runs:
        at = place[seq]
        if run.start_ns < before[at]:
            yield f"{run.id} began before the one ahead of it had ended"
        elif run.start_ns < busy_until:
            yield f"{run.id} began while another one of its key ran"
        elif not dead.issuperset(order[last + 1 : at]):
            yield f"{run.id} ran again without the one ahead of it"
        last, busy_until = at, max(busy_until, run.end_ns or 0)


def _first_ends(runs: list[tuple[int, Run]]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for seq, run in runs:
        if run.end_ns is not None and run.step != "failed":
            ends[seq] = min(run.end_ns, ends.get(seq, run.end_ns))
    return ends


def main() -> int:
    """Count, and print it as JSON; 0 if it adds up."""
    parser = argparse.ArgumentParser("python -m examples.demo.count", description="Count what became of every event.")
    parser.add_argument("folder", type=Path, help="where accepted.jsonl and journal/ are")
    parser.add_argument("--bootstrap", required=True, help="host:port of the broker")
    arguments = parser.parse_args()
    result = count(read(arguments.folder, arguments.bootstrap))
    print(json.dumps({**asdict(result), "adds_up": result.adds_up}, indent=2))
    return 0 if result.adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
