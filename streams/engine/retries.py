"""What of one partition is to run again: records that failed and wait in memory, and those that were put back.

A part of `PartitionState`, sans I/O as it is.  It counts failures, asks the
policy what follows, and knows when the next attempt is due.  Which lane a
record holds, and what stands in the chain, others know.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

import msgspec

from streams.engine.backlog import LaneKey
from streams.engine.chain import Attempt, CopyHeader
from streams.engine.chainstate import ChainState
from streams.outcome import Retry
from streams.retry import GiveUp, RetryAfter, RetryPolicy

T = TypeVar("T")

Due: TypeAlias = "tuple[float, int, LaneKey]"
"""When an attempt is due, a number that breaks ties, and the lane that waits for it."""


class Trouble(msgspec.Struct, Generic[T], eq=False):
    """What happened so far to a record that failed."""

    item: T
    attempts: int = 0
    first_failed_s: float = 0.0
    history: tuple[Attempt, ...] = ()
    first_failed_ms: int = 0
    spent: int = 0
    """Of the attempts, those that the policy does not count: an operator had the record tried again after them."""


class Hold(msgspec.Struct, frozen=True):
    """The record waits in memory, its lane held, until it runs again."""

    due_s: float
    attempt: int
    cause: BaseException


@dataclass(slots=True, eq=False)
class Retries(Generic[T]):
    """The records of one partition that are to run again.

    Owned by the poll thread.

    Always true:

    * A lane is in `trouble` from the first failure of its record here until that record settles or leaves.
    * A lane that is `held` is in `trouble`.
    """

    policy: RetryPolicy
    rng: random.Random
    """For the jitter."""
    trouble: dict[LaneKey, Trouble[T]] = field(default_factory=dict)
    """Lanes whose first record failed and has not settled."""
    held: list[Due] = field(default_factory=list)
    """Lanes that wait in memory for another attempt; a heap."""
    put_back: list[T] = field(default_factory=list)
    """Records that were not started, oldest first: they run as soon as the lease allows."""
    _sequence: int = 0

    # -- a failure, and what follows --------------------------------------------------------

    def first_tier(self, error: BaseException, chain: ChainState[T]) -> int | None:
        """Give the topic of *chain* to which a first failure with *error* moves its record; None: another decision.

        It is the same for all errors of a class.
        """
        decision = self.policy.decide(error, attempt=1, since_first_s=0.0)
        return self.tier(decision, chain) if isinstance(decision, RetryAfter) else None

    def count(  # noqa: PLR0917  # what there is to say of a failure
        self, lane: LaneKey, item: T, error: BaseException, wall_ms: int, now_s: float, before: CopyHeader | None
    ) -> Trouble[T]:
        """Note that *item*, which holds *lane*, has failed; *before*: what its copy tells of runs elsewhere."""
        trouble = self.trouble.get(lane)
        if trouble is None:
            trouble = self.trouble[lane] = Trouble(item, first_failed_s=now_s, first_failed_ms=wall_ms)
            if before is not None and before.attempts:
                trouble.attempts, trouble.history = before.attempts, before.history
                trouble.spent = before.spent
                if before.first_failed_ms:
                    trouble.first_failed_ms = before.first_failed_ms
                    trouble.first_failed_s = now_s - (wall_ms - before.first_failed_ms) / 1000
        trouble.attempts += 1
        trouble.history = (*trouble.history[-9:], Attempt(wall_ms, type(error).__name__))
        return trouble

    def decide(self, trouble: Trouble[T], outcome: Retry, now_s: float) -> RetryAfter | GiveUp:
        """Say what the policy makes of *outcome*, the last failure of *trouble*."""
        return self.policy.decide(
            outcome.cause,
            attempt=trouble.attempts - trouble.spent,
            since_first_s=now_s - trouble.first_failed_s,
            after_s=None if outcome.after is None else outcome.after.total_seconds(),
        )

    def tier(self, wait: RetryAfter, chain: ChainState[T]) -> int | None:
        """Give the topic of *chain* in which *wait* passes; None: in memory."""
        tier_s = self.policy.tier_for(wait.delay_s)
        return None if tier_s is None else chain.number_of_tier(tier_s)

    def hold(self, lane: LaneKey, error: BaseException, wait: RetryAfter, now_s: float) -> Hold:
        """Let *lane*, which is in trouble, wait in memory."""
        due_s = now_s + self.policy.for_error(error).jittered(wait.delay_s, self.rng)
        self._sequence += 1
        heapq.heappush(self.held, (due_s, self._sequence, lane))
        return Hold(due_s, self.trouble[lane].attempts, error)

    def of(self, lane: LaneKey, item: T) -> Trouble[T] | None:
        """Give what happened to *item*; None where it has not failed here, or stands behind one that has."""
        trouble = self.trouble.get(lane)
        return trouble if trouble is not None and trouble.item is item else None

    def keep(self, held: Iterable[Due]) -> None:
        """Hold no other lanes than *held*: the records of the others left memory."""
        self.held = list(held)
        heapq.heapify(self.held)

    # -- time ---------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Nothing waits for its time or for the lease."""
        return not (self.held or self.put_back)

    @property
    def next_due_s(self) -> float:
        """Monotonic time of the next attempt; infinity with none."""
        return self.held[0][0] if self.held else float("inf")

    def has_due(self, now_s: float) -> bool:
        """Say whether a record could run now, had it the lease."""
        return bool(self.put_back) or self.next_due_s <= now_s

    def due(self, now_s: float) -> Iterator[T]:
        """Take out what may run now: what was put back, then those whose wait has ended."""
        put_back, self.put_back = self.put_back, []
        yield from put_back
        while self.held and self.held[0][0] <= now_s:
            yield self._next_held()

    def next_due(self) -> T:
        """Take out the first of them; there is one."""
        return self.put_back.pop(0) if self.put_back else self._next_held()

    def _next_held(self) -> T:
        return self.trouble[heapq.heappop(self.held)[2]].item
