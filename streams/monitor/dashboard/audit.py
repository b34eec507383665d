"""What operators have had done: answers about dead letters and replays, and directives, as entries of one list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from streams.engine.command import Answer
from streams.engine.desk import read_entry
from streams.engine.directive import Directive


@dataclass(frozen=True, slots=True)
class Entry:
    """One of them."""

    time_ms: int
    """When it was done, or given."""
    group: str
    who: str
    what: str
    where: str
    """A topic's partition, one record, a topic, or all of the group."""
    letters: int | None
    """How many dead letters; None where it is not about them."""
    result: str
    why: str

    @classmethod
    def read(cls, group: str, value: bytes | None) -> Entry | None:
        """Read a record of the audit of *group*; None where it is nothing that this program knows."""
        found = read_entry(value)
        if found is None:
            return None
        return cls._of_answer(group, found) if isinstance(found, Answer) else cls._of_directive(group, found)

    @classmethod
    def _of_answer(cls, group: str, one: Answer) -> Entry:
        where = f"{one.topic}/{one.partition}"
        if one.rewound is not None:
            what = f"{one.verb} {one.rewound.id}"
            return cls(one.time_ms, group, one.who, what, where, None, one.rewound.told, one.why)
        if len(one.fates) == 1:
            where = f"{where}/{one.fates[0][0]}"
        fates = Counter(fate for _, fate in one.fates)
        result = ", ".join(f"{count:,} {fate}" for fate, count in sorted(fates.items()))
        return cls(one.time_ms, group, one.who, one.verb, where, len(one.fates), result, one.why)

    @classmethod
    def _of_directive(cls, group: str, one: Directive) -> Entry:
        what, where = f"{one.kind} {one.value}".strip(), one.topic or "all of it"
        if one.kind == "restart":
            what = f"restart over {one.value} s"
        return cls(one.time_ms, group, one.who, what, where, None, "lifted" if one.is_lifted else "given", one.why)
