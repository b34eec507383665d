"""The loop of a member: poll, admit, run, settle, route what failed, commit.

This is a record's way, on one screen.  Each step hands values down or back;
nothing below knows anything above.  The poll thread runs all of it and owns
everything it touches; handlers run where their route's executor puts them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.clock import Clock
from streams.config import Settings
from streams.engine.assignment import Assignment
from streams.engine.caution import Caution
from streams.engine.commit import Committer
from streams.engine.executors.executor import Executor
from streams.engine.intake import Intake
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, finish
from streams.engine.relocation import Relocator
from streams.engine.router import Router
from streams.engine.suspension import Suspension
from streams.engine.sweep import Sweeper
from streams.engine.watch import Watch
from streams.errors import BrokerError
from streams.kafka.consumer import ClientTrouble, EndReached, Event, GroupConsumer, OutOfRange
from streams.kafka.message import Message, by_partition
from streams.observer import Observer
from streams.record import Partition

_IDLE_WAIT_S: Final = 0.1
"""How long a poll waits for a record while nothing is under way."""
_BUSY_WAIT_S: Final = 0.005
"""The same while handlers or acknowledgements are: their results are taken between polls."""
_FULL_WAIT_S: Final = 0.001
"""How long to wait for room."""

_REFUSED_TO_MIX: Final = "ConsumerGroupHeartbeat fatal error: Broker: The group id does not exist"
"""What the client hears of a broker that can't take members of KIP-848 into a group of the classic protocol: the
reason stands in the broker's own log alone."""
_MIXED: Final = (
    " Members of the classic protocol are in this group: stop all of them first, then start this one;"
    " or have it speak theirs, with --protocol classic."
)


@dataclass(eq=False, kw_only=True)
class ConsumerLoop:
    """Moves records through the engine: these are the rooms that a record passes.

    Owned by the poll thread, as is everything it is made of.
    """

    settings: Settings
    executors: Mapping[str, Executor]
    """By topic."""
    consumer: GroupConsumer
    assignment: Assignment
    intake: Intake
    suspension: Suspension
    caution: Caution
    router: Router
    relocator: Relocator
    sweeper: Sweeper
    committer: Committer
    watch: Watch
    clock: Clock
    observer: Observer
    beat: Callable[[], None] = field(default=lambda: None)
    """Called wherever the poll thread waits: it lives."""
    limit: int | None = None
    """Records to admit in all; None for no end."""
    admitted: int = 0
    """Records admitted, ever."""

    def __post_init__(self) -> None:
        """Let the assignment wait for what runs here."""
        self.assignment.drain = self.drain
        self._only_topic = next(iter(self.executors)) if len(self.executors) == 1 else None

    def run_once(self) -> None:
        """Move every record one step, then commit what settled."""
        messages, events = self.poll()
        self.stand_still()
        for state, chunk in self.admit(messages):
            self.executors[state.partition.topic].take(state, chunk)
        self.hear(events)

        self.settle_finished()
        self.route_interrupted()
        self.settle_acknowledged()
        self.run_due()
        self.sweep_chain()

        self.committer.commit_if_due(self.consumer)
        self.begin_anew()
        self.watch.look(self.assignment.all())

    def poll(self) -> tuple[list[Message], list[Event]]:
        """Read what there is room for; changes of ownership happen inside.

        The events are older than none of the messages: an end that was reached
        counts only once the records before it are admitted.
        """
        states = self.assignment.all()
        if self.intake.is_paced:
            self.watch.regulate(states)
        room = self.intake.room(states)
        if self.limit is not None:
            room = min(room, self.limit - self.admitted)
            self.intake.is_closed = self.intake.is_closed or self.is_spent
        if not room and not self.intake.is_stalled:
            time.sleep(_FULL_WAIT_S)
            return [], []
        if not room and len(self.intake.paused) < len(states):
            self.intake.regulate(self.consumer, states)
        messages, events = self.consumer.poll(max(room, 1), self._wait_s(states))
        if any(state.is_dropped for state in states):
            return self._sift(messages, events, states)
        return messages, events

    def admit(self, messages: list[Message]) -> Iterator[tuple[PartitionState, Chunk]]:
        """Note what was read, partition by partition; give what is to run."""
        self.admitted += len(messages)
        self.committer.count(len(messages))
        for partition, part in by_partition(messages, self._only_topic):
            state = self.assignment.get(partition)
            if state is None:
                continue  # taken away since it was fetched: its new owner reads it
            before = state.ledger.position
            chunk = state.admit(part)
            if chunk is not None:
                if chunk.base > before:
                    self._look_for_expired(partition, before, chunk.base)
                self.observer.consumed(partition, len(chunk.messages), chunk.size_bytes)
                yield state, chunk
                if (state.trouble or state.crowd) and self.intake.is_crowded(state):
                    self.router.relieve(state, is_forced=True)
                    self.watch.regulate(self.assignment.all())

    def hear(self, events: list[Event]) -> None:
        """Take in what the client told beside records."""
        for event in events:
            match event:
                case EndReached(partition, offset):
                    state = self.assignment.get(partition)
                    if state is not None:
                        state.reach(offset)
                case OutOfRange(partition, cut):
                    self.assignment.recover_range(partition, cut)
                case ClientTrouble(text, is_fatal):
                    self.observer.broker_error(text, fatal=is_fatal)
                    if is_fatal:
                        raise BrokerError(
                            f"the client can't go on: {text}. Records since the last commit run again elsewhere."
                            f"{_MIXED if _REFUSED_TO_MIX in text else ''}"
                        )

    def settle_finished(self) -> None:
        """Settle the runs that ended well, and start what waited behind them."""
        for topic, executor in self.executors.items():
            runs = executor.finished()
            done = executor.take_settled() + sum(map(len, runs))
            if runs:
                executor.submit(list(finish(runs)))
                if self.caution.is_active:
                    for run in runs:
                        self.caution.ended(run[0])
            if done:
                self.suspension.passed(topic, runs, done)
                self.observer.finished(topic, "done", done)

    def route_interrupted(self) -> None:
        """Decide what follows the runs that did not simply end well."""
        for topic, executor in self.executors.items():
            interruptions = executor.interrupted()
            if interruptions:
                if self.caution.is_active:
                    for one in interruptions:
                        self.caution.ended(one.run[one.done])
                executor.submit(self.router.route(topic, interruptions))

    def settle_acknowledged(self) -> None:
        """Settle what the broker has taken, and start what waited behind it."""
        for item, follower in self.router.acknowledged():
            if follower is not None:
                self.executors[item[4].partition.topic].submit([follower])

    def stand_still(self) -> None:
        """Stop the routes that are to stand still, let go on those that may again, and run what is to try."""
        if self.assignment.has_suspects:
            self.assignment.has_suspects = False
            self.caution.begin(self.assignment.all())
        if self.caution.is_active:
            states = self.assignment.all()
            alone = self.caution.turn(states, is_running=self.is_running)
            if alone is not None:
                self.executors[alone[0][4].partition.topic].submit([alone], ahead=True)
        if self.suspension.is_active and not self.caution.is_active:
            for run in self.suspension.turn(self.assignment.all()):
                self.executors[run[0][4].partition.topic].submit([run], ahead=True)

    def run_due(self) -> None:
        """Start again what has waited long enough, before what has just come."""
        self.stand_still()
        now = self.clock.monotonic()
        for state in self.assignment.all():
            runs = state.due(now) if state.has_waiting else None
            if runs:
                self.executors[state.partition.topic].submit(runs, ahead=True)

    def sweep_chain(self) -> None:
        """Move what has waited long in memory into the chain, and run what has become due or free there."""
        states = self.assignment.all()
        for state in states:
            if state.crowd and not state.is_closed:
                self.router.relieve(state)
        for state, runs, moves in self.sweeper.sweep(states):
            if runs:
                self.executors[state.partition.topic].submit(runs, ahead=True)
            if moves:
                self.router.move(state, moves)

    def begin_anew(self) -> None:
        """Begin the assignment of partitions anew for which it is unknown what the broker has stored."""
        for partition, cause in {**self.committer.failed(), **self.router.unknown(), **self.sweeper.failed()}.items():
            self.assignment.restart(partition, cause)

    def drain(self, states: Sequence[PartitionState], budget_s: float) -> None:
        """Wait until nothing of *states*, which are closed, is running or on its way to the broker."""
        end = self.clock.monotonic() + budget_s
        while self.collect_from(states) and self.clock.monotonic() < end:
            self.beat()
            self.relocator.push(_BUSY_WAIT_S)
            time.sleep(_FULL_WAIT_S)
        self.watch.tell_settled(states)

    @property
    def is_spent(self) -> bool:
        """As many records were read as there were to be."""
        return self.limit is not None and self.admitted >= self.limit

    def collect_from(self, states: Sequence[PartitionState]) -> bool:
        """Take the results of what runs, without reading further; say whether any of *states* is still at work.

        Whether handlers run is looked at first: what ends between the two looks
        has its results taken by the next call.
        """
        is_running = bool(self.places(states))
        self.settle_finished()
        self.route_interrupted()
        self.settle_acknowledged()
        return is_running or self.relocator.is_busy_with(states)

    def is_busy(self, states: Sequence[PartitionState]) -> bool:
        """Say whether anything of *states* is running or on its way to the broker."""
        return self.relocator.is_busy_with(states) or bool(self.places(states))

    @property
    def is_running(self) -> bool:
        """Whether any handler is running, of a former stay of a partition too."""
        return any(slot.running() for executor in self.executors.values() for slot in executor.slots())

    def places(self, states: Sequence[PartitionState]) -> list[str]:
        """Name the records of *states* whose handlers are running."""
        items = [item for executor in self.executors.values() for slot in executor.slots() for item in slot.running()]
        return [f"{item[4].partition}/{item[0].offset()}" for item in items if item[4] in states]

    def _sift(
        self, messages: list[Message], events: list[Event], before: Sequence[PartitionState]
    ) -> tuple[list[Message], list[Event]]:
        """Leave out what may belong to a former stay: of a partition that went and came back inside one poll.

        Nobody can tell which stay its records and its end were read for, and the
        new one must not be moved past what it has not seen: it is begun anew.
        """
        back = {state.partition for state in before if state.is_dropped} & {
            one.partition for one in self.assignment.all()
        }
        for partition in back:
            self.assignment.restart(partition, "the partition went and came back while it was read")
        return (
            [one for one in messages if Partition(one.topic() or "", one.partition() or 0) not in back],
            [event for event in events if isinstance(event, ClientTrouble) or event.partition not in back],
        )

    def _wait_s(self, states: Sequence[PartitionState]) -> float:
        if self.relocator.is_idle and not any(state.outstanding for state in states):
            return _IDLE_WAIT_S
        return _BUSY_WAIT_S

    def _look_for_expired(self, partition: Partition, expected: int, found: int) -> None:
        """Tell a hole that retention made from one that compaction or transactions made."""
        low, _ = self.consumer.known_watermarks(partition)
        if low > expected:
            self.observer.expired(partition, min(low, found) - expected)
