"""What all checks say of a history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from streams.verify.checks import CHECKS, repeated
from streams.verify.history import History
from streams.verify.stall import longest_stall_s


@dataclass(frozen=True)
class Verdict:
    """What all checks say of a history."""

    history: History
    violations: Mapping[str, list[str]]
    """Name of a check to its sentences; only those that found something."""

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong."""
        return not self.violations

    def count(self, check: str) -> int:
        """Count the violations of one check."""
        return len(self.violations.get(check, ()))

    @cached_property
    def stall_s(self) -> float:
        """The longest time in which nothing of a partition ended although records of it waited."""
        return longest_stall_s(self.history)

    @property
    def again(self) -> Mapping[str, int]:
        """What each kind of fault had run again; a record that two faults explain counts for both."""
        found, again = Counter[str](), repeated(self.history)
        for fault in self.history.faults:
            found[fault.kind] += len(again & fault.may_repeat)
        return found

    @property
    def line(self) -> str:
        """The figures, on one line."""
        history = self.history
        bound = len(history.may_repeat)
        return (
            f"sent {len(history.sent)}, dead {len(history.dead_at)}, runs {len(history.runs)},"
            f" in flight + in tiers + parked at faults [{', '.join(map(str, history.faults))}],"
            f" lost {self.count('lost')},"
            f" out of order {self.count('out_of_order') + self.count('overlaps')},"
            f" duplicates {len(repeated(history))} of at most {bound},"
            f" longest stall {self.stall_s:.1f} s"
            f"{''.join(f', the machine stood still for {pause.seconds:.1f} s' for pause in history.standstills)}"
        )

    def __str__(self) -> str:
        """Give the figures, and the first sentences of each check."""
        told = [f"  {check} ({len(found)}): {'; '.join(found[:3])}" for check, found in self.violations.items()]
        return "\n".join([self.line, *told])


def judge(history: History, *, but: Iterable[str] = ()) -> Verdict:
    """Give the verdict of every check, except those named in *but*."""
    found = {check.__name__: list(check(history)) for check in CHECKS if check.__name__ not in set(but)}
    return Verdict(history, {name: sentences for name, sentences in found.items() if sentences})
