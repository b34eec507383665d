"""Looks after what no record triggers: pauses, stuck handlers, and the view that status and metrics show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import islice
from typing import Final

from streams.clock import Clock
from streams.engine.commit import Committer
from streams.engine.executors.executor import Executor
from streams.engine.intake import Intake
from streams.engine.partition import NEVER, PartitionState, offset_of
from streams.engine.slot import Slot
from streams.kafka.consumer import GroupConsumer
from streams.observer import MOST_HELD, MOST_RUNS, HeldView, MemberView, Observer, PartitionView, RunView

_REGULATE_EVERY_S: Final = 0.1
_VIEW_EVERY_S: Final = 1.0


class Watch:
    """Owned by the poll thread."""

    def __init__(
        self,
        *,
        executors: Mapping[str, Executor],
        consumer: GroupConsumer,
        intake: Intake,
        committer: Committer,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Look after a member."""
        self._executors = executors
        self._consumer = consumer
        self._intake = intake
        self._committer = committer
        self._clock = clock
        self._observer = observer
        self._regulate_at = NEVER
        self._view_at = NEVER
        self._told: dict[Slot, float] = {}
        self._counted: dict[str, tuple[int, float]] = {}
        self._fenced: dict[PartitionState, int] = {}

    def look(self, states: Sequence[PartitionState]) -> None:
        """Do what is due; costs one clock reading when nothing is."""
        self.tell_settled(states)
        now = self._clock.monotonic()
        if now >= self._regulate_at:
            self.regulate(states)
        if now >= self._view_at:
            self._view_at = now + _VIEW_EVERY_S
            self.tell(states)

    def regulate(self, states: Sequence[PartitionState]) -> None:
        """Compare every partition with its bounds, now."""
        self._regulate_at = self._clock.monotonic() + _REGULATE_EVERY_S
        self._intake.regulate(self._consumer, states)

    def tell(self, states: Sequence[PartitionState]) -> None:
        """Tell how this member stands."""
        self._tell_handled()
        self._tell_fenced(states)
        self._observer.viewed(self.view(states, self._clock.monotonic()))

    def view(self, states: Sequence[PartitionState], now: float) -> MemberView:
        """Give the state of this member."""
        running = [
            (executor, slot) for executor in self._executors.values() for slot in executor.slots() if slot.running()
        ]
        self._told = {slot: since for slot, since in self._told.items() if slot.running()}
        return MemberView(
            partitions=[self._partition_view(state, now) for state in states],
            running=len(running),
            capacity=sum(executor.capacity for executor in self._executors.values()),
            outstanding=sum(state.outstanding for state in states),
            outstanding_bytes=sum(state.outstanding_bytes for state in states),
            stuck=sum(self._tell_stuck(executor, slot, now) for executor, slot in running),
            member_id=self._consumer.member_id,
            runs=_oldest(running, now),
            held=list(islice((one for state in states for one in _held(state, now)), MOST_HELD)),
        )

    def _partition_view(self, state: PartitionState, now: float) -> PartitionView:
        committed, committed_at, used = self._committer.stored(state.partition)
        _, high = self._consumer.known_watermarks(state.partition)
        chain = state.chain
        return PartitionView(
            partition=state.partition,
            position=state.ledger.position,
            committed=committed,
            high_watermark=high,
            outstanding=state.outstanding,
            retrying=state.retrying,
            behind=state.behind,
            longest=state.longest,
            oldest_ms=state.ledger.oldest_ms,
            ledger_used=used,
            commit_age_s=now - committed_at if committed_at > NEVER else float("nan"),
            paused=self._intake.paused.get(state),
            caught_up=state.has_caught_up,
            in_tiers=sum(part.outstanding for part in chain.parts if part.is_tier),
            parked=sum(part.outstanding for part in chain.parts if part.stage.kind == "parked"),
            moving=chain.moving,
            in_trouble=len(chain.index),
            blocked=chain.blocked,
            dead=sum(part.outstanding for part in chain.parts if part.stage.kind == "dlq"),
        )

    def _tell_stuck(self, executor: Executor, slot: Slot, now: float) -> bool:
        since = slot.since
        if now - since <= executor.route.timeout_s or not (running := slot.running()):
            return False
        if self._told.get(slot) != since:
            self._told[slot], item = since, running[0]
            self._observer.stuck(item[4].partition, item[0].offset() or 0, now - since)
        return True

    def tell_settled(self, states: Sequence[PartitionState]) -> None:
        """Tell what has settled since the last call, and how old one of the latest records was."""
        wall_s = self._clock.now()
        for state in states:
            settled = state.settled
            if settled > state.told and state.latest is not None:
                age_s = wall_s - state.latest.timestamp()[1] / 1000
                self._observer.settled(state.partition, age_s, settled - state.told)
                state.told = settled

    def _tell_fenced(self, states: Sequence[PartitionState]) -> None:
        told, self._fenced = self._fenced, {state: state.chain.fenced for state in states}
        for state, copies in self._fenced.items():
            if copies > told.get(state, 0):
                self._observer.fenced(state.partition, copies - told.get(state, 0))

    def _tell_handled(self) -> None:
        for topic, executor in self._executors.items():
            runs = sum(slot.runs for slot in executor.slots())
            spent_s = sum(slot.spent_s for slot in executor.slots())
            before_runs, before_s = self._counted.get(topic, (0, 0.0))
            self._counted[topic] = runs, spent_s
            if runs > before_runs:
                self._observer.handled(topic, runs - before_runs, spent_s - before_s)


def _oldest(running: Sequence[tuple[Executor, Slot]], now: float) -> list[RunView]:
    """Give the runs in *running* that have gone on the longest."""
    views = []
    for executor, slot in running:
        since, items = slot.since, slot.running()
        if items:
            place, offset = items[0][4].partition, items[0][0].offset() or 0
            views.append(RunView(place, offset, len(items), max(0.0, now - since), executor.route.timeout_s))
    return nlargest(MOST_RUNS, views, key=lambda view: view.running_s)


def _held(state: PartitionState, now: float) -> Iterator[HeldView]:
    """Give records of *state* that wait in memory, from the top of the heap: the first is the next one."""
    for due_s, _, key in state.retries.held[:MOST_HELD]:
        trouble = state.trouble.get(key)
        if trouble is not None:
            error = trouble.history[-1].error if trouble.history else ""
            yield HeldView(state.partition, offset_of(trouble.item), trouble.attempts, max(0.0, due_s - now), error)
