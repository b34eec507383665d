"""What a run says in the end: each invariant with counts, each fault with what it hit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from streams.verify.checks import repeated
from streams.verify.history import History
from streams.verify.injected import Injected
from streams.verify.resources import Usage
from streams.verify.verdict import Verdict

_SHOWN: Final = 3


class Invariant(NamedTuple):
    """One promise, and how it is judged."""

    name: str
    promise: str
    checks: tuple[str, ...]
    """Functions of `streams.verify.checks`."""
    counted: str
    """What was looked at."""
    number: Callable[[History], int]


INVARIANTS: Final = (
    Invariant(
        "no loss",
        "every acknowledged record is done or dead-lettered",
        ("lost",),
        "records",
        lambda history: len(history.sent),
    ),
    Invariant(
        "commit safety",
        "what is committed as settled had come to its end, and stays finished",
        ("unsafe_commits", "risen"),
        "commits read",
        lambda history: len(history.readings),
    ),
    Invariant(
        "order",
        "a record starts after the one before it of its key has ended",
        ("out_of_order",),
        "keyed records",
        lambda history: sum(map(len, history.lanes)),
    ),
    Invariant(
        "mutual exclusion",
        "no two runs of one key at a time",
        ("overlaps",),
        "runs",
        lambda history: len(history.runs),
    ),
    Invariant(
        "duplicates bounded",
        "only what a fault explains runs again",
        ("beyond_bound",),
        "ran again",
        lambda history: len(repeated(history)),
    ),
    Invariant(
        "commits go forward",
        "commits never move back, and never pass the end",
        ("impossible_commits",),
        "commits read",
        lambda history: len(history.readings),
    ),
    Invariant(
        "progress",
        "after the faults everything is worked off, and nothing waits",
        ("unfinished",),
        "partitions",
        lambda history: len(history.ends),
    ),
    Invariant(
        "retry",
        "attempts and waits within the policy, one end, copies and dead letters whole",
        ("double_ends", "too_many_attempts", "too_early", "altered", "changed"),
        "copies",
        lambda history: len(history.moved) + len(history.dead),
    ),
)
"""In the order in which they are shown."""

ORDER_CHECKS: Final = ("out_of_order", "overlaps")
"""Those that a route without order does not promise."""


_LEVEL: Final = "memory, descriptors, threads and records in flight of each member stay level"


class Row(NamedTuple):
    """An invariant, judged."""

    name: str
    promise: str
    counted: str
    """What was looked at."""
    looked_at: int
    """How many of these."""
    violations: int
    examples: list[str]

    @property
    def holds(self) -> bool:
        """Nothing contradicts it."""
        return not self.violations


class Effect(NamedTuple):
    """All injections of one fault."""

    fault: str
    injected: int
    members: int
    """Members hit, each time counted."""
    in_flight: int
    """Records in flight there, all times together."""
    ran_again: int
    """Records that ran again and may have because of it."""
    missed: list[str]
    """Why injections do not count."""


@dataclass(frozen=True)
class Report:
    """All of it."""

    app: str
    seed: int
    broken: str | None
    """Which build was asked for that is broken on purpose."""
    rows: Sequence[Row]
    effects: Sequence[Effect]
    figures: Mapping[str, int]
    usage: Usage
    """What members took of the machine."""
    seconds: float
    history: str | None = None
    """Where it is kept."""
    notes: Sequence[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """The promise holds, and every fault has hit."""
        return all(row.holds for row in self.rows) and not any(effect.missed for effect in self.effects)

    @property
    def violated(self) -> list[str]:
        """The invariants that do not hold."""
        return [row.name for row in self.rows if not row.holds]

    def document(self) -> dict[str, Any]:
        """Give it for machines."""
        return {
            "app": self.app,
            "seed": self.seed,
            "break": self.broken,
            "kept": self.is_kept,
            "violated": self.violated,
            "invariants": [{**row._asdict(), "holds": row.holds} for row in self.rows],
            "faults": [effect._asdict() for effect in self.effects],
            "records": dict(self.figures),
            "resources": self.usage.document(),
            "seconds": round(self.seconds, 1),
            "history": self.history,
            "notes": list(self.notes),
        }


def rows_of(verdicts: Mapping[str, Verdict], exit_codes: Sequence[int]) -> list[Row]:
    """Judge every invariant over all topics."""
    rows = []
    for name, promise, checks, counted, number in INVARIANTS:
        found = [f"{topic}/{text}" for topic, one in verdicts.items() for text in _sentences(one, checks)]
        total = sum(number(one.history) for one in verdicts.values())
        rows.append(Row(name, promise, counted, total, len(found), found[:_SHOWN]))
    bad = [f"a member that was told to stop ended with {code}" for code in exit_codes if code]
    promise = "members that are told to stop end well"
    return [*rows, Row("shutdown", promise, "stops", len(exit_codes), len(bad), bad[:_SHOWN])]


def resources_row(usage: Usage) -> Row:
    """Judge what members took over a long run."""
    rises = list(usage.rises())
    return Row("resources", _LEVEL, f"samples of {len(usage.judged)} members", usage.count, len(rises), rises[:_SHOWN])


def effects_of(
    injected: Sequence[Injected], asked: Sequence[str] = (), verdicts: Iterable[Verdict] = ()
) -> list[Effect]:
    """Sum up each fault, those that were *asked* for and never had their turn among them."""
    effects, again = [], Counter[str]()
    for verdict in verdicts:
        again.update(verdict.again)
    for fault in dict.fromkeys([*(one.fault for one in injected), *asked]):
        own = [one for one in injected if one.fault == fault]
        missed = [one.missed or "no record was in flight" for one in own if not one.has_hit]
        missed += [] if own else ["the time was over before its turn"]
        members, in_flight = sum(len(one.members) for one in own), sum(one.in_flight for one in own)
        effects.append(Effect(fault, len(own), members, in_flight, again[fault], missed))
    return effects


def figures_of(verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    """Count what happened to the records."""
    found: Counter[str] = Counter()
    for verdict in verdicts.values():
        history = verdict.history
        found["sent"] += len(history.sent)
        found["runs"] += len(history.runs)
        found["failed_runs"] += sum(run.ended == "failed" for run in history.runs)
        found["cut_off_runs"] += sum(run.ended == "cut" for run in history.runs)
        found["dead_letters"] += len(history.dead_at)
        found["ran_again"] += len(repeated(history))
        found["may_run_again"] += len(history.may_repeat)
        found["longest_stall_ms"] = max(found["longest_stall_ms"], round(verdict.stall_s * 1000))
    return dict(found)


def _sentences(verdict: Verdict, checks: Sequence[str]) -> list[str]:
    return [text for check in checks for text in verdict.violations.get(check, ())]
