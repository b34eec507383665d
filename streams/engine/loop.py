"""The loop of a member: poll, admit, run, settle, route what failed, commit.

This is a record's way, on one screen.  Each step hands values down or back;
nothing below knows anything above.  The poll thread runs all of it and owns
everything it touches; handlers run where their route's executor puts them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from streams.clock import Clock
from streams.config import Settings
from streams.engine.assignment import Assignment
from streams.engine.commit import Committer
from streams.engine.executors.executor import Executor
from streams.engine.intake import Intake
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, finish
from streams.engine.relocation import Relocator
from streams.engine.router import Router
from streams.engine.watch import Watch
from streams.errors import BrokerError
from streams.kafka.consumer import ClientTrouble, EndReached, Event, GroupConsumer, OutOfRange
from streams.kafka.message import PARTITION, TOPIC, Message
from streams.observer import Observer
from streams.record import Partition

_IDLE_WAIT_S: Final = 0.1
"""How long a poll waits for a record while nothing is under way."""
_BUSY_WAIT_S: Final = 0.005
"""The same while handlers or acknowledgements are: their results are taken between polls."""
_FULL_WAIT_S: Final = 0.001
"""How long to wait for room."""


class ConsumerLoop:
    """Moves records through the engine.

    Owned by the poll thread, as is everything it is made of.
    """

    def __init__(  # noqa: PLR0913 - the rooms that a record passes
        self,
        settings: Settings,
        executors: Mapping[str, Executor],
        consumer: GroupConsumer,
        assignment: Assignment,
        intake: Intake,
        router: Router,
        relocator: Relocator,
        committer: Committer,
        watch: Watch,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Tie the rooms together."""
        self._executors = executors
        self._consumer = consumer
        self._assignment = assignment
        self._intake = intake
        self._router = router
        self._relocator = relocator
        self._committer = committer
        self._watch = watch
        self._clock = clock
        self._observer = observer
        self._settings = settings
        self.admitted = 0
        """Records admitted, ever."""
        self.limit: int | None = None
        """Records to admit in all; None for no end."""
        self.beat: Callable[[], None] = lambda: None
        """Called wherever the poll thread waits: it lives."""
        assignment.drain = self.drain

    def run_once(self) -> None:
        """Move every record one step, then commit what settled."""
        messages, events = self.poll()
        for state, chunk in self.admit(messages):
            self._executors[state.partition.topic].take(state, chunk)
        self.hear(events)

        self.settle_finished()
        self.route_interrupted()
        self.settle_acknowledged()
        self.run_due()

        self._committer.commit_if_due(self._consumer)
        self.begin_anew()
        self._watch.look(self._assignment.all())

    def poll(self) -> tuple[list[Message], list[Event]]:
        """Read what there is room for; changes of ownership happen inside.

        The events are older than none of the messages: an end that was reached
        counts only once the records before it are admitted.
        """
        states = self._assignment.all()
        room = self._intake.room(states)
        if self.limit is not None:
            room = min(room, self.limit - self.admitted)
            self._intake.is_closed = self._intake.is_closed or self.is_spent
        if not room and not self._intake.is_stalled:
            time.sleep(_FULL_WAIT_S)
            return [], []
        if self._intake.is_closed and len(self._intake.paused) < len(states):
            self._intake.regulate(self._consumer, states)
        return self._consumer.poll(max(room, 1), self._wait_s(states))

    def admit(self, messages: list[Message]) -> Iterator[tuple[PartitionState, Chunk]]:
        """Note what was read, partition by partition; give what is to run."""
        self.admitted += len(messages)
        self._committer.count(len(messages))
        for partition, part in by_partition(messages):
            state = self._assignment.get(partition)
            if state is None:
                continue  # taken away since it was fetched: its new owner reads it
            before = state.ledger.position
            chunk = state.admit(part)
            if chunk is not None:
                if chunk.base > before:
                    self._look_for_expired(partition, before, chunk.base)
                self._observer.consumed(partition, len(part), sum(map(len, part)))
                yield state, chunk
                if state.trouble and state.waiting > self._settings.waiting_records:
                    self._watch.regulate(self._assignment.all())

    def hear(self, events: list[Event]) -> None:
        """Take in what the client told beside records."""
        for event in events:
            match event:
                case EndReached(partition, offset):
                    state = self._assignment.get(partition)
                    if state is not None:
                        state.reach(offset)
                case OutOfRange(partition):
                    self._assignment.recover_range(partition)
                case ClientTrouble(text, is_fatal):
                    self._observer.broker_error(text, fatal=is_fatal)
                    if is_fatal:
                        raise BrokerError(
                            f"the client can't go on: {text}. Records since the last commit run again elsewhere."
                        )

    def settle_finished(self) -> None:
        """Settle the runs that ended well, and start what waited behind them."""
        for topic, executor in self._executors.items():
            runs = executor.finished()
            done = executor.take_settled() + sum(map(len, runs))
            if runs:
                executor.submit(list(finish(runs)))
                oldest_ms = runs[0][0][0].timestamp()[1]
                self._observer.settled(runs[0][0][4].partition, self._clock.now() - oldest_ms / 1000, done)
            if done:
                self._observer.finished(topic, "done", done)

    def route_interrupted(self) -> None:
        """Decide what follows the runs that did not simply end well."""
        for topic, executor in self._executors.items():
            for interruption in executor.interrupted():
                if interruption.done:
                    self._observer.finished(topic, "done", interruption.done)
                follower = self._router.route(interruption)
                if follower is not None:
                    executor.submit([follower])

    def settle_acknowledged(self) -> None:
        """Settle what the broker has taken, and start what waited behind it."""
        for item, follower in self._router.acknowledged():
            if follower is not None:
                self._executors[item[4].partition.topic].submit([follower])

    def run_due(self) -> None:
        """Start again what has waited long enough."""
        now = self._clock.monotonic()
        for state in self._assignment.all():
            runs = state.due(now) if state.has_waiting else None
            if runs:
                self._executors[state.partition.topic].submit(runs)

    def begin_anew(self) -> None:
        """Begin the assignment of partitions anew for which it is unknown what the broker has stored."""
        for partition, cause in (*self._router.unknown(), *self._committer.failed()):
            self._assignment.restart(partition, cause)

    def drain(self, states: Sequence[PartitionState], budget_s: float) -> None:
        """Wait until nothing of *states*, which are closed, is running or on its way to the broker."""
        end = self._clock.monotonic() + budget_s
        while self.is_busy(states) and self._clock.monotonic() < end:
            self.beat()
            self._relocator.push(_BUSY_WAIT_S)
            time.sleep(_FULL_WAIT_S)
            self.collect()
        self.collect()

    @property
    def is_spent(self) -> bool:
        """As many records were read as there were to be."""
        return self.limit is not None and self.admitted >= self.limit

    def collect(self) -> None:
        """Take the results of what runs, without reading further."""
        self.settle_finished()
        self.route_interrupted()
        self.settle_acknowledged()

    def is_busy(self, states: Sequence[PartitionState]) -> bool:
        """Say whether anything of *states* is running or on its way to the broker."""
        return not self._relocator.is_idle or bool(self.places(states))

    def places(self, states: Sequence[PartitionState]) -> list[str]:
        """Name the records of *states* whose handlers are running."""
        items = [slot.item for executor in self._executors.values() for slot in executor.slots()]
        return [f"{item[4].partition}/{item[0].offset()}" for item in items if item is not None and item[4] in states]

    def _wait_s(self, states: Sequence[PartitionState]) -> float:
        if self._relocator.is_idle and not any(state.outstanding for state in states):
            return _IDLE_WAIT_S
        return _BUSY_WAIT_S

    def _look_for_expired(self, partition: Partition, expected: int, found: int) -> None:
        """Tell a hole that retention made from one that compaction or transactions made."""
        low, _ = self._consumer.known_watermarks(partition)
        if low > expected:
            self._observer.expired(partition, min(low, found) - expected)


def by_partition(messages: list[Message]) -> Iterator[tuple[Partition, list[Message]]]:
    """Divide a batch by partition, keeping its order; most batches are of one."""
    if not messages:
        return
    numbers = list(map(PARTITION, messages))
    topics = list(map(TOPIC, messages))
    count = len(messages)
    if numbers.count(numbers[0]) == count and topics.count(topics[0]) == count:
        yield Partition(topics[0] or "", numbers[0] or 0), messages
        return
    start = 0
    for (topic, number), group in groupby(zip(topics, numbers, strict=True)):
        end = start + len(list(group))
        yield Partition(topic or "", number or 0), messages[start:end]
        start = end
