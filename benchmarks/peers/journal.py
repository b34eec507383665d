"""What handlers wrote down, read back: was each key's order kept, what ran at once, what was never handled.

A line for each begin, ``B key number``, and for each end, ``E key number``,
written at once: what a killed process has written stays.  The same reading
serves every framework, ours too, whatever language its worker is written in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from streams.bench.order import OrderCheck

_BLOCK: Final = 1_000
_FIELDS: Final = 3


class Entry(NamedTuple):
    """One line."""

    is_end: bool
    key: str
    number: int


class Order(NamedTuple):
    """What the order check found in one journal."""

    checked: int
    """Records that came once, in their key's order, none of their key running."""
    violations: int
    examples: list[str]


class Loss(NamedTuple):
    """What became of records whose worker was killed and started again."""

    records: int
    """Records that there were."""
    lost: int
    """Records that no handler ended, neither before the kill nor after it."""
    again: int
    """Ends beyond the first of their record."""


def read_journal(path: Path) -> list[Entry]:
    """Read the lines of *path*; half a line at the end, which a kill may leave, is left out."""
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    fields = (line.split(" ") for line in whole.splitlines())
    return [Entry(one[0] == "E", one[1], int(one[2])) for one in fields if len(one) == _FIELDS]


def order_of(entries: Iterable[Entry]) -> Order:
    """Have *entries* looked at by the check that our own engine is held to."""
    check = OrderCheck()
    for entry in entries:
        value = {"key": entry.key, "number": entry.number}
        if entry.is_end:
            check.end(value)
        else:
            check.begin(value)
    checked, violations = check.totals()
    return Order(checked, violations, check.examples)


def disordered(entries: Sequence[Entry]) -> list[Entry]:
    """Give the negative control of a journal: the same records, each block of them backwards.

    If the check finds nothing in it, no key came twice in a block, and that it
    found nothing in the journal itself proves nothing.
    """
    records = [(entry.key, entry.number) for entry in entries if entry.is_end]
    blocks = (records[start : start + _BLOCK] for start in range(0, len(records), _BLOCK))
    return [Entry(is_end, *record) for block in blocks for record in reversed(block) for is_end in (False, True)]


def at_once(entries: Iterable[Entry]) -> int:
    """Give how many records were in their handlers at the same time, at most."""
    running = most = 0
    for entry in entries:
        running += -1 if entry.is_end else 1
        most = max(most, running)
    return most


def handled(entries: Iterable[Entry]) -> int:
    """Count the different records whose handler ended."""
    return len({(entry.key, entry.number) for entry in entries if entry.is_end})


def loss_of(expected: Iterable[tuple[str, int]], *journals: Sequence[Entry]) -> Loss:
    """Set what the lives of a worker wrote beside the records that there were."""
    ends = [(entry.key, entry.number) for journal in journals for entry in journal if entry.is_end]
    wanted, seen = set(expected), set(ends)
    return Loss(len(wanted), len(wanted - seen), len(ends) - len(seen))
