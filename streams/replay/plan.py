"""What a replay would do, partition by partition.  Sans I/O: what is known is handed in.

A move back forgets what is settled above the target: all of it runs again.  A
move forward drops what is not settled before the target, and keeps what is
settled above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streams.engine.snapshot import runs_of
from streams.engine.standing import Progress
from streams.observer import ChainKind
from streams.record import Partition

Direction: TypeAlias = Literal["back", "forward", "stays"]


@dataclass(frozen=True, slots=True)
class Move:
    """Where one partition's committed offset goes.

    Always true: `target` lies within the log.
    """

    progress: Progress
    target: int
    note: str = ""
    """What was changed about the wish, in words."""

    @property
    def partition(self) -> Partition:
        """Which one."""
        return self.progress.partition

    @property
    def direction(self) -> Direction:
        """Which way it goes; back too where only the ledger above the offset is forgotten."""
        if self._is_forward:
            return "forward"
        return "stays" if self.target == self.progress.committed and not self.again else "back"

    @property
    def again(self) -> int:
        """Offsets that are settled and would run again."""
        return 0 if self._is_forward else self.progress.start - self.target + self.settled_above

    @property
    def settled_above(self) -> int:
        """Those of them that stand above the committed offset: done out of order."""
        return 0 if self._is_forward else self.progress.settled_above

    @property
    def behind(self) -> int:
        """Offsets that are not settled and would wait until those that run again have."""
        return self.progress.outstanding if self.again else 0

    @property
    def skipped(self) -> int:
        """Offsets that are not settled and would never run."""
        if not self._is_forward:
            return 0
        start, target = self.progress.start, self.target
        done = sum(len(range(part.start, min(part.stop, target))) for part in self._above)
        return target - start - done

    @property
    def runs(self) -> tuple[int, ...]:
        """The ledger that is written with the target, as alternating lengths."""
        if not self._is_forward:
            return ()
        return runs_of((range(max(part.start, self.target), part.stop) for part in self._above), self.target)

    @property
    def _is_forward(self) -> bool:
        return self.target > self.progress.start

    @property
    def _above(self) -> tuple[range, ...]:
        return tuple(part for part in self.progress.settled if part.start > self.progress.start)


@dataclass(frozen=True, slots=True)
class Plan:
    """A replay of one group."""

    group: str
    moves: tuple[Move, ...]
    in_chain: Mapping[ChainKind, int] = field(default_factory=dict)
    """What stands in the chains of the topics concerned, by kind: it stays there, and each record of it runs once."""
    is_running: bool = False
    """The group has members."""
    has_ledger: bool = False
    """It commits ledgers: what reads for it is of streams."""

    @property
    def is_live(self) -> bool:
        """Its members carry it out, and need not be stopped."""
        return self.is_running and self.has_ledger

    @property
    def changes(self) -> list[Move]:
        """Those that change anything."""
        return [move for move in self.moves if move.direction != "stays"]

    @property
    def again(self) -> int:
        """Offsets that would run again, in all."""
        return sum(move.again for move in self.moves)

    @property
    def skipped(self) -> int:
        """Offsets that would never run, in all."""
        return sum(move.skipped for move in self.moves)


def plan(
    group: str,
    progress: Iterable[Progress],
    wishes: Mapping[Partition, int],
    *,
    in_chain: Mapping[ChainKind, int] | None = None,
    is_running: bool = False,
    has_ledger: bool = False,
) -> Plan:
    """Bring each partition's wish within its log.

    Args:
        group: Whose offsets.
        progress: The partitions concerned, as they are.
        wishes: The offset that each is to go on from.
        in_chain: As in `Plan`.
        is_running: As in `Plan`.
        has_ledger: The same.
    """
    ordered = sorted(progress, key=lambda one: one.partition)
    moves = tuple(_move(one, wishes[one.partition]) for one in ordered)
    return Plan(group, moves, in_chain or {}, is_running, has_ledger)


def _move(progress: Progress, wish: int) -> Move:
    if wish < progress.low:
        return Move(progress, progress.low, f"{wish} is gone: retention removed it; the oldest is {progress.low}")
    if wish > progress.end:
        return Move(progress, progress.end, f"{wish} is not there yet; the end is {progress.end}")
    return Move(progress, wish)
