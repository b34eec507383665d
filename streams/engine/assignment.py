"""The partitions this member owns: taken, given back, lost, begun anew.  Rebalance has this one room.

Taken: read the committed ledgers, begin a `PartitionState`, scan its chain,
read from its offset, send the first commit; records start once that is
acknowledged.
Asked back: let nothing start, wait for what runs, commit, drop.
Lost: drop.
Begun anew, after an outcome that leaves open what the broker has: drop, and
take again from the committed ledger.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from streams.clock import Clock
from streams.config import Settings
from streams.engine.chainstate import ChainState
from streams.engine.commit import Committer
from streams.engine.executors.executor import Executor
from streams.engine.ledger import Ledger
from streams.engine.partition import NO_LIMIT, Item, PartitionState
from streams.engine.plan import ChainPlan
from streams.engine.recovery import Recovery
from streams.engine.replay import AS_COMMITTED, Beginning
from streams.engine.retries import Retries
from streams.engine.snapshot import Snapshot, decode
from streams.engine.tenure import Tenure
from streams.errors import BrokerError, ChainError, LedgerError, NewerLedgerError
from streams.kafka.consumer import SOMEWHERE, GroupConsumer, Stored
from streams.observer import Observer
from streams.record import Partition
from streams.retry import seconds

_READ_WITHIN_S: Final = 60.0
"""Time to read the committed offsets at a rebalance; past it the process ends."""
_ATTEMPT_S: Final = 5.0
_AGAIN_S: Final = 0.2

PROCESS: Final = os.urandom(6)
"""Names this process: what it begins again after a rebalance is no death."""

_Answer = TypeVar("_Answer")


class Assignment:
    """What this member owns, by topic and partition number.

    Owned by the poll thread.

    Always true:

    * A partition is here exactly while it is assigned to the consumer.
    * Each stay of a partition has a `PartitionState` and an assignment id of its own.
    * A partition starts nothing while a run of its former stay in this process goes on.
    * A partition that its chain lacks is neither read nor committed: it waits (protocol, rule 18).
    """

    def __init__(  # noqa: PLR0913  # each names one thing
        self,
        *,
        settings: Settings,
        executors: Mapping[str, Executor],
        plans: Mapping[str, ChainPlan],
        consumer: GroupConsumer,
        committer: Committer,
        recovery: Recovery,
        clock: Clock,
        observer: Observer,
        state_class: Callable[..., PartitionState] = PartitionState,
    ) -> None:
        """Own nothing yet."""
        self._settings = settings
        self._executors = executors
        self._plans = plans
        self._recovery = recovery
        self._consumer = consumer
        self._committer = committer
        self._clock = clock
        self._observer = observer
        self._state_class = state_class
        self._rng = random.Random()
        self._former: dict[Partition, list[PartitionState]] = {}
        self.states: dict[str, dict[int, PartitionState]] = {topic: {} for topic in executors}
        """Topic, then partition number."""
        self.has_joined = False
        """The group has answered at least once, with or without partitions."""
        self.has_suspects = False
        """A partition was taken at which too many owners have died; the loop looks after it."""
        self.is_leaving = False
        """What is granted from now on starts nothing: this member goes."""
        self.drain: Callable[[Sequence[PartitionState], float], None] = lambda _states, _budget: None
        """Waits for what runs, bounded; given by the loop."""
        self.lacking: Callable[[Sequence[Partition]], Mapping[Partition, str]] = lambda _: {}
        """Makes what the chains of partitions lack, and says what could not be made; given by the member."""
        self.begun: Callable[[], None] = lambda: None
        """Called after stays have begun; given by the member."""
        committer.may_start = self._may_start

    def all(self) -> list[PartitionState]:
        """Give every owned partition's state, as a list."""
        return [state for numbers in self.states.values() for state in numbers.values()]

    def get(self, partition: Partition) -> PartitionState | None:
        """Give the state of *partition*, None where it is not owned."""
        return self.states.get(partition.topic, {}).get(partition.number)

    # -- called by the consumer inside poll ---------------------------------------------------

    def granted(self, partitions: list[Partition]) -> None:
        """Take *partitions*."""
        self.has_joined = True
        self._observer.assigned(partitions)
        self._take(partitions)

    def revoked(self, partitions: list[Partition]) -> None:
        """Give *partitions* back: nothing starts, what runs ends within the budget, all that settled is committed."""
        states = [state for partition in partitions if (state := self.get(partition)) is not None]
        if states:
            self._observer.revoked(partitions, lost=False)
            self.settle_down(states, self._settings.drain_s)
            self._release(partitions)

    def lost(self, partitions: list[Partition]) -> None:
        """Drop *partitions*: they are another member's."""
        if any(self.get(partition) for partition in partitions):
            self._observer.revoked(partitions, lost=True)
            self._release(partitions)

    # -- called by the loop ---------------------------------------------------------------------

    def settle_down(self, states: Sequence[PartitionState], budget_s: float) -> None:
        """Let nothing of *states* start, wait for what runs, at most *budget_s*, and commit."""
        for state in states:
            state.close()
        self.drain(states, budget_s)
        for state in states:
            state.tenure.end_gracefully()
        self._committer.commit_now(self._consumer, states)

    def leave(self) -> None:
        """Drop everything, as the last thing before the consumer closes: what it still calls back finds nothing."""
        for numbers in self.states.values():
            for state in numbers.values():
                state.drop()
                self._committer.drop(state.partition)
            numbers.clear()

    def restart(self, partition: Partition, cause: str, beginning: Beginning = AS_COMMITTED) -> None:
        """End the stay of *partition* and begin a new one, from its committed ledger but for what *beginning* says.

        With an epoch in it the client looks whether the log still has what was read below its start.
        """
        state = self.get(partition)
        if state is None:
            return
        self._observer.restarted(partition, cause)
        self._release([partition])
        self._take([partition], beginning, uncommitted=state.tenure.began_at)

    def complete(self, partition: Partition) -> None:
        """Begin with *partition*, which waited for its chain, as it is there now."""
        state = self.get(partition)
        if state is not None and state.lacks:
            self._release([partition])
            self._take([partition], uncommitted=state.tenure.began_at)

    def recover_range(self, partition: Partition, cut: int | None = None) -> None:
        """Go on where the log begins (or ends, as declared), after the broker had no record at the position.

        A log that was cut off at *cut* is read on there: what it holds from
        there on, if anything, was written later.
        """
        state = self.get(partition)
        if state is None:
            return
        low, high = self._patiently(lambda: self._consumer.watermarks(partition, _ATTEMPT_S))
        position = state.ledger.position
        if low <= position <= high and (cut is None or cut >= position):
            self._go_on(state, position)
            return
        is_cut = cut is not None or position > high
        if self._settings.on_expired == "stop":
            what = (
                "a part that this group had read was cut off, by brokers that lost it"
                if is_cut
                else "records were removed unread"
            )
            remedy = "See why brokers lost records" if is_cut else "Raise the topic's retention"
            raise BrokerError(
                f"{partition}/{position}: the log now holds {low} to {high}; {what}. Nothing was"
                f" skipped. {remedy}; to go on, set on_expired=earliest or move the group with"
                f" 'streams replay start'"
            )
        target = low if self._settings.on_expired == "earliest" else high
        if is_cut:
            if cut is None and state.ledger.epoch >= 0:
                target = high  # in range: there the client finds out where the log was cut off
            elif cut is not None and cut != SOMEWHERE:
                target = max(low, cut)
            known = max(state.tenure.began_at, self._committer.stored(partition)[0])
            cause = f"the log was cut off before the {position} that was read; going on at {min(known, target)}"
            epoch = -1 if cut == SOMEWHERE else state.ledger.epoch
            self.restart(partition, cause, Beginning(min(known, target), epoch))
        else:
            self._observer.expired(partition, target - position)
            self._go_on(state, target)

    # -- inside ---------------------------------------------------------------------------------

    def _take(
        self,
        partitions: list[Partition],
        beginning: Beginning = AS_COMMITTED,
        uncommitted: int | None = None,
    ) -> None:
        """Take *partitions*, as *beginning* or their ledgers say, and those without one at *uncommitted*."""
        if not partitions:
            return
        chained = [place for partition in partitions for place in self._chain_places(partition)]
        stored = self._patiently(lambda: self._consumer.committed([*partitions, *chained], _ATTEMPT_S))
        states = []
        for partition in partitions:
            found, how = stored[partition], beginning
            if how.start is None and found.offset is None:
                how = how._replace(start=uncommitted)
            state = self._begin(partition, found, how)
            if self.is_leaving:
                state.close()
            states.append(state)
        lacking = self._patiently(lambda: self._recover(states, stored))
        whole = [state for state in states if state.partition not in lacking]
        for state in states:
            self.states[state.partition.topic][state.partition.number] = state
        self.has_suspects = self.has_suspects or any(state.tenure.is_suspected for state in whole)
        self._consumer.assign(
            {state.partition: state.ledger.position for state in states},
            {state.partition: state.ledger.epoch for state in states},
        )
        self._consumer.resume(partitions)  # a pause survives in the client from one stay to the next
        for state in whole:
            self._committer.begin(self._consumer, state)
        for partition, cause in lacking.items():
            self._hold(self.states[partition.topic][partition.number], cause)
        self.begun()

    def _recover(self, states: Sequence[PartitionState], stored: Mapping[Partition, Stored]) -> Mapping[Partition, str]:
        """Scan the chains of *states* that are whole; give what the others lack.

        Both in one step: a topic may go between the look and the scan.
        """
        lacking = self.lacking([state.partition for state in states])
        whole = [state for state in states if state.partition not in lacking]
        self._recovery.restore(whole, stored, self._snapshot, self._fresh_chain)
        return lacking

    def _hold(self, state: PartitionState, cause: str) -> None:
        """Let *state* wait until its chain is whole: it is ours, and nothing of it is read, run or committed."""
        state.lacks = cause
        state.close()
        self._consumer.pause([state.partition])
        self._observer.lacking(state.partition, cause)

    def _chain_places(self, partition: Partition) -> list[Partition]:
        return [Partition(stage.topic, partition.number) for stage in self._plans[partition.topic].stages]

    def _fresh_chain(self, state: PartitionState) -> ChainState[Item]:
        chain = state.chain
        return self._plans[state.partition.topic].begin(
            state.partition.number, state.assignment_id, chain.replay_id, chain.undone
        )

    def _go_on(self, state: PartitionState, target: int) -> None:
        """Read on at *target*; what was read before stays: it stands nowhere but in memory."""
        self._consumer.unassign([state.partition])
        self._consumer.assign({state.partition: target})
        state.ledger.reach(target)

    def _begin(self, partition: Partition, stored: Stored, beginning: Beginning) -> PartitionState:
        snapshot = self._snapshot(partition, stored)
        offset, restored, tenure = stored.offset, list[range](), Tenure(process=PROCESS)
        if beginning.start is not None:
            offset = beginning.start
            if snapshot is not None:
                tenure.control, tenure.replay = snapshot.control, snapshot.replay
        elif offset is None:
            low, high = self._patiently(lambda: self._consumer.watermarks(partition, _ATTEMPT_S))
            offset = high if self._settings.start_at == "latest" and not self._is_added(partition) else low
        elif snapshot is not None:
            restored = list(snapshot.settled(offset))
            tenure = Tenure.after(snapshot, PROCESS, self._settings.max_deaths)
        if beginning.before is not None:
            offset, joined = beginning.before.joined(offset, restored)
            restored = list(joined)
        if beginning.control is not None:
            tenure.control, tenure.replay = beginning.control, beginning.replay
        route = self._executors[partition.topic].route
        assignment_id = os.urandom(8)
        return self._state_class(
            partition=partition,
            assignment_id=assignment_id,
            chain=self._plans[partition.topic].begin(
                partition.number, assignment_id, tenure.replay_id, beginning.undone
            ),
            park_after_s=seconds(route.retry.memory_up_to),
            key_limit=self._settings.key_records if self._settings.on_key_full == "dead_letter" else NO_LIMIT,
            ledger=Ledger(offset, restored, stored.epoch if offset == stored.offset else beginning.epoch),
            retries=Retries(route.retry, self._rng),
            tenure=tenure,
        )

    def _is_added(self, partition: Partition) -> bool:
        """Say whether *partition* was added to a topic that the group was at already: then all of it is to be done."""
        older = [Partition(partition.topic, number) for number in range(partition.number)]
        stored = self._patiently(lambda: self._consumer.committed(older, _ATTEMPT_S)) if older else {}
        return any(found.offset is not None for found in stored.values())

    def _snapshot(self, partition: Partition, stored: Stored) -> Snapshot | None:
        try:
            return decode(stored.metadata)
        except NewerLedgerError as error:
            raise NewerLedgerError(f"{partition}: {error}") from None
        except LedgerError as error:
            self._observer.ledger_unreadable(partition, str(error))
            return None

    def _patiently(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask the broker again and again for a minute: without the answer nothing may start."""
        deadline = self._clock.monotonic() + _READ_WITHIN_S
        while True:
            try:
                return ask()
            except ChainError:
                raise  # to ask again would change nothing
            except BrokerError as error:
                if self._clock.monotonic() > deadline:
                    raise BrokerError(f"{error}; gave up after {_READ_WITHIN_S:g} s, nothing was started") from error
                self._observer.broker_error(str(error), fatal=False)
                time.sleep(_AGAIN_S)

    def _release(self, partitions: Sequence[Partition]) -> None:
        owned = [partition for partition in partitions if self.get(partition) is not None]
        for partition in owned:
            state = self.states[partition.topic].pop(partition.number)
            state.drop()
            self._committer.drop(partition)
            if self._is_running(state):
                self._former.setdefault(partition, []).append(state)
        if owned:
            self._consumer.unassign(owned)

    def _may_start(self, state: PartitionState) -> bool:
        former = self._former.get(state.partition)
        if former is None:
            return True
        going_on = [one for one in former if self._is_running(one)]
        if going_on:
            self._former[state.partition] = going_on
            return False
        del self._former[state.partition]
        return True

    def _is_running(self, state: PartitionState) -> bool:
        slots = self._executors[state.partition.topic].slots()
        return any(item[4] is state for slot in slots for item in slot.running())
