"""The search itself: cases by the number, each made anew from the seed, so that any one of them can be run again.

A target makes a case out of randomness and checks what a reader does with it.
A case depends on the seed and its own number alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final, Protocol

_SHOWN_CHARS: Final = 2_000
_STRIDE: Final = 1 << 32


class Target(Protocol):
    """One reader, and the ways in which what it reads can be wrong."""

    name: str

    def case(self, rng: random.Random) -> Any:
        """Make one case; it is never changed by `check`, so that it can be shown."""

    def check(self, case: Any) -> None:
        """Read the case, and raise where anything but the declared effect follows."""


def demand(holds: object, otherwise: str) -> None:
    """Raise with *otherwise* unless *holds*; for what is looked at while an error is handled."""
    if not holds:
        raise AssertionError(otherwise)


@dataclass(frozen=True)
class Found:
    """A case with which the reader did what it must not."""

    target: str
    seed: int
    number: int
    case: Any
    error: BaseException

    def __str__(self) -> str:
        """Show the case, what followed, and how to run it again."""
        shown = repr(self.case)
        cut = shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}... ({len(shown):,} characters)"
        return (
            f"{self.target}: case {self.number} of seed {self.seed}\n  {cut}\n"
            f"  {type(self.error).__name__}: {str(self.error)[:_SHOWN_CHARS]}\n"
            f"  again with: python -m tests.fuzz {self.target} --seed {self.seed} --case {self.number}"
        )


def search(target: Target, cases: int, seed: int, first: int = 0) -> Found | None:
    """Run *cases* cases from number *first* on; give the first at which the reader fails, None where it never does."""
    rng = random.Random()
    for number in range(first, first + cases):
        rng.seed(seed * _STRIDE + number)
        case = target.case(rng)
        try:
            target.check(case)
        except Exception as error:  # noqa: BLE001  # whatever a reader raises is what is looked for
            return Found(target.name, seed, number, case, error)
    return None
