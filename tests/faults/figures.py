"""What a test tells of its faults, for people and for the table: what was hit, and what became of the records.

Figures stand in a test's properties; `tests.faults.plugin` has those of a
whole run in one file, and ``python -m tests.faults`` makes the table of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from streams.verify.checks import repeated
from streams.verify.verdict import Verdict

HIT: Final = "hit"
RUN: Final = "run"
_LINE: Final = "faults"

Note = Callable[[str, object], None]
"""pytest's `record_property`."""


class Injected(Protocol):
    """Notes what a fault has hit."""

    def __call__(self, number: int, *, times: int, members: int, in_flight: int) -> None: ...


def noting(note: Note) -> Injected:
    """Give what notes that a fault of the register struck so often, whom, and what was in flight.

    One that hit nothing fails the test.
    """

    def injected(number: int, *, times: int, members: int, in_flight: int) -> None:
        line = f"fault {number}: injected {times}, members hit {members}, records in flight {in_flight}"
        note(_LINE, line)
        note(HIT, {"fault": number, "injected": times, "members": members, "in_flight": in_flight})

        assert min(times, members, in_flight) > 0, f"{line}: it proves nothing"

    return injected


def run_of(verdict: Verdict) -> dict[str, Any]:
    """Give the figures of one history, and what each kind of fault did to it."""
    history, kinds = verdict.history, Counter(fault.kind for fault in verdict.history.faults)
    return {
        "records": len(history.sent),
        "lost": verdict.count("lost"),
        "out_of_order": verdict.count("out_of_order") + verdict.count("overlaps"),
        "duplicates": len(repeated(history)),
        "bound": len(history.may_repeat),
        "stall_s": round(verdict.stall_s, 1),
        "kinds": {
            kind: {
                "injected": times,
                "in_flight": sum(fault.in_flight for fault in history.faults if fault.kind == kind),
                "again": verdict.again.get(kind, 0),
            }
            for kind, times in kinds.items()
        },
    }


def note_document(note: Note, document: Mapping[str, Any]) -> None:
    """Note what ``streams verify --json`` says."""
    violations = {row["name"]: row["violations"] for row in document["invariants"]}
    records = document["records"]
    for fault in document["faults"]:
        note(HIT, {name: fault[name] for name in ("fault", "injected", "members", "in_flight", "ran_again")})
    note(
        RUN,
        {
            "records": records["sent"],
            "lost": violations["no loss"],
            "out_of_order": violations["order"] + violations["mutual exclusion"],
            "duplicates": records["ran_again"],
            "bound": records["may_run_again"],
            "stall_s": round(records["longest_stall_ms"] / 1000, 1),
            "kinds": {},
        },
    )
