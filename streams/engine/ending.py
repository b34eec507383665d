"""When a member stops by itself, and what it tells at its end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.clock import Clock
from streams.engine.assignment import Assignment
from streams.engine.elsewhere import ANSWER_WITHIN_S, Elsewhere
from streams.engine.partition import PartitionState
from streams.errors import BrokerError
from streams.kafka.consumer import GroupConsumer
from streams.record import Partition

_TRIES: Final = 20
_AGAIN_S: Final = 0.1
"""A topic that was made a moment ago may be unknown to one broker of several."""


RESTART: Final = "an operator had it restarted"
"""Why a member ended that is to begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """How long a member runs; by default until it is told to stop."""

    empty: bool = False
    """Stop once the ends of the topics, read at the start, are passed and nothing is due."""
    settled: bool = False
    """As `empty`, and wait for retries too, those of other members included."""
    max_records: int | None = None
    """Stop after reading this many."""
    max_time_s: float | None = None
    """Stop after this many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a member's run ended."""

    reason: str
    read: int
    """Records read and admitted."""
    left: int
    """Records of these that have not settled: they run again at the next start."""
    retrying: int
    """Records of these that waited for another attempt."""
    parked: int = 0
    """Records that wait in retry and parked topics, settled in the source."""
    drained: bool
    """Everything that ran had ended in time."""
    committed: bool
    """Everything that settled is committed."""
    places: tuple[str, ...] = field(default=())
    """Where work was still going on at the end: topic/partition/offset."""


class Emptiness:
    """Knows whether the ends that were read at the start are passed, in the whole group.

    A partition that another member owns counts too, with its chain where all
    is to be settled: were that member dead, both would come here once the
    group has noticed.
    """

    def __init__(
        self,
        consumer: GroupConsumer,
        topics: Iterable[str],
        elsewhere: Elsewhere,
        clock: Clock,
        ends: Mapping[Partition, int] | None = None,
    ) -> None:
        """Take *ends*, or read those of *topics* as they are now."""
        self._elsewhere = elsewhere
        self._clock = clock
        self._ends: dict[Partition, int] = dict(ends or {})
        """Of all partitions; 0 for those that hold nothing."""
        for topic in topics if ends is None else ():
            for partition in _partitions_of(consumer, topic):
                low, high = consumer.watermarks(partition, ANSWER_WITHIN_S)
                self._ends[partition] = high if low < high else 0

    def is_reached(self, assignment: Assignment, *, settled: bool) -> bool:
        """Say whether nothing is left to do, and with *settled* nothing waits either."""
        if not assignment.has_joined:
            return False
        states = assignment.all()
        is_tried = any(state.tenure.is_suspected for state in states)  # then all stand still for a while only
        for state in states:
            if state.is_suspended and not settled and not is_tried:
                continue  # what it holds waits, and what it has not read as well
            if state.ledger.position < self._ends.get(state.partition, 0) or self._is_at_work(state, settled=settled):
                return False
        others = {place: end for place, end in self._ends.items() if assignment.get(place) is None and (end or settled)}
        return self._elsewhere.is_done(others, settled=settled)

    def _is_at_work(self, state: PartitionState, *, settled: bool) -> bool:
        chain = state.chain
        if settled:
            return state.outstanding > 0 or len(chain.index) > chain.blocked
        if state.outstanding > state.retrying + state.behind or chain.moving:
            return True
        return chain.outstanding > 0 and chain.has_runnable(int(self._clock.now() * 1000))


def _partitions_of(consumer: GroupConsumer, topic: str) -> list[Partition]:
    """List the partitions of *topic*; none means that the broker has not heard of it yet, and is asked again.

    Raises:
        BrokerError: It does not hear of it.
    """
    for _ in range(_TRIES):
        found = consumer.partitions_of(topic, ANSWER_WITHIN_S)
        if found:
            return found
        time.sleep(_AGAIN_S)
    raise BrokerError(f"the broker tells of no partition of {topic}, so nobody can say when all of it is done")
