"""The page on what was broken on purpose and what became of the records: made of the register and of runs' figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.figures import HIT, RUN
from tests.faults.register import FAULTS, LATER, SHORT, Fault

PAGE: Final = Path(__file__).parents[2] / "docs" / "RELIABILITY.md"

_WORDS: Final[Mapping[str, frozenset[int]]] = {"SIGKILL": frozenset({1}), "SIGSTOP": frozenset({9, 13})}
"""Where one run has several faults: what a test calls one of them, and its numbers."""
_UNKNOWN: Final = "·"

_HEAD: Final = """\
# What was broken on purpose, and what became of the records

```sh
{command}
```

on a machine with {cores} cores: {tests:,} tests in {wall}; {passed}.

**{records:,} records: {lost:,} lost, {out_of_order:,} out of order; {duplicates:,} ran again, of at most {bound:,} that
faults explain. The longest stall was {stall_s:,.1f} s.**

| | fault | tests | injected | members hit | in flight | records | lost | out of order | ran again | longest stall |
|---|---|---|---|---|---|---|---|---|---|---|
"""

_LEGEND: Final = """
A run with several faults counts its records for each of them, so columns don't add up to the totals. What ran again is
told for the fault that explains it: what had begun, and was not committed as finished, when it struck. `·` stands where
the test itself asserts of each record how often it ran, when, and with what end, and no count is kept. A fault that hit
nothing fails its test.

A stall is the longest time in which nothing of a partition came to an end although a record of it waited: a session of
6 s and the rebalance after it where a member died, the length of the fault where a cluster was down, and the waits of
retries. In-flight records are those that had started in the members that were hit. Where records always fail (23),
those that were given up are what was injected.

## What injects each of them

Names are those of tests under `tests`; `make chaos` runs all of them, and `make test` those that say so, in one form at
least. What `streams verify --faults` knows anyone can inject into an app of their own ([VERIFY.md](VERIFY.md)).
{later}

| | fault | injected by | `--faults` | each `make test` |
|---|---|---|---|---|
"""

_FOOT: Final = """
## Making this page

`make chaos` leaves the figures of each test in `build/chaos-SEED.jsonl`, a line a test, and

```sh
python -m tests.faults build/chaos-*.jsonl
```

makes this page of them. A seed has the same faults hit the same members at the same places of the same load; what
threads and networks do is not in it.
"""

_LATER: Final = "Numbers {numbers} come with the parts that they are about."


@dataclass
class Sum:
    """What tests told of one fault."""

    tests: int = 0
    passed: int = 0
    hit: dict[str, int] = field(default_factory=dict)
    became: dict[str, float] = field(default_factory=dict)

    def add_hit(self, hit: Mapping[str, Any]) -> None:
        """Add what was hit."""
        for name in ("injected", "members", "in_flight"):
            self.hit[name] = self.hit.get(name, 0) + hit[name]

    def add_run(self, run: Mapping[str, Any], again: int) -> None:
        """Add what became of the records, of which *again* ran again because of this fault."""
        for name in ("records", "lost", "out_of_order"):
            self.became[name] = self.became.get(name, 0) + run[name]
        self.became["again"] = self.became.get("again", 0) + again
        self.became["stall_s"] = max(self.became.get("stall_s", 0.0), run["stall_s"])


def page(runs: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Make the page of the lines of *runs*."""
    tests = [line for run in runs for line in run if "test" in line]
    head = _HEAD.format(**_totals(runs, tests))
    rows = [_row(number, fault, _sum(number, fault, tests)) for number, fault in FAULTS.items()]
    later = _LATER.format(numbers=", ".join(map(str, sorted(LATER))))
    return "".join([head, *rows, _LEGEND.format(later=later), *injectors(), _FOOT])


def injectors() -> list[str]:
    """Give the lines that tell what injects each fault."""
    return [
        f"| {number} | {fault.what} | {_code(fault.tests, ' ')} | {_code(fault.verify, ', ')} |"
        f" {'yes' if number in SHORT else ''} |\n"
        for number, fault in FAULTS.items()
    ]


def _code(names: Iterable[str], between: str) -> str:
    return between.join(f"`{name}`" for name in names)


def _totals(runs: Sequence[Sequence[Mapping[str, Any]]], tests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = [run[0] for run in runs]
    failed = sum(not line["passed"] for line in tests)
    became = [run for line in tests for run in line[RUN]]
    seconds = [line["wall_s"] for run in runs for line in run if "wall_s" in line]
    return {
        "command": "\n".join(f"make chaos SEED={line['seed']}" for line in first),
        "cores": first[0]["cores"],
        "tests": len(tests),
        "wall": " and ".join(f"{-(-one // 60)} min" for one in seconds),
        "passed": f"{failed} failed" if failed else "all passed",
        "stall_s": max((run["stall_s"] for run in became), default=0.0),
        **{
            name: sum(run[name] for run in became)
            for name in ("records", "lost", "out_of_order", "duplicates", "bound")
        },
    }


def _sum(number: int, fault: Fault, tests: Iterable[Mapping[str, Any]]) -> Sum:
    found = Sum()
    for line in tests:
        told = {hit["fault"] for hit in line[HIT]}
        hits = [hit for hit in line[HIT] if _is_meant(hit["fault"], number, fault, line)]
        if not hits and (told or _name(line) not in fault.tests):
            continue
        found.tests += 1
        found.passed += line["passed"]
        for hit in hits or _counted(line):
            found.add_hit(hit)
        for run in line[RUN]:
            found.add_run(run, _again(number, run, hits, told))
    return found


def _is_meant(told: int | str, number: int, fault: Fault, line: Mapping[str, Any]) -> bool:
    """Say whether what was *told* is this fault: by its number, or a name of the command, or as one of all at once."""
    if told == number or told in fault.verify:
        return True
    return isinstance(told, str) and not fault.verify and _name(line) in fault.tests


def _name(line: Mapping[str, Any]) -> str:
    name: str = line["test"]
    return name.partition("[")[0].partition("@")[0].removeprefix("tests/")


def _counted(line: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Give what a test did that tells no hits of its own: each kind of fault struck one member at a time."""
    for run in line[RUN]:
        for kind in run["kinds"].values():
            yield {"injected": kind["injected"], "members": kind["injected"], "in_flight": kind["in_flight"]}


def _again(number: int, run: Mapping[str, Any], hits: Sequence[Mapping[str, Any]], told: set[Any]) -> int:
    """Say how many records ran again because of this fault."""
    if any("ran_again" in hit for hit in hits):
        return sum(hit["ran_again"] for hit in hits)
    if len(told) <= 1:
        return int(run["duplicates"])
    return sum(kind["again"] for word, kind in run["kinds"].items() if number in _WORDS.get(word, ()))


def _row(number: int, fault: Fault, found: Sum) -> str:
    tests = f"{found.tests}" if found.passed == found.tests else f"{found.passed} of {found.tests}"
    hit = [f"{found.hit[name]:,}" if found.hit else _UNKNOWN for name in ("injected", "members", "in_flight")]
    counts = ("records", "lost", "out_of_order", "again")
    became = [f"{found.became[name]:,}" if found.became else _UNKNOWN for name in counts]
    stall = f"{found.became['stall_s']:.1f} s" if found.became else _UNKNOWN
    return "| " + " | ".join([str(number), fault.what, tests, *hit, *became, stall]) + " |\n"
