"""All rooms of a member tied together as for a real one, but for the client."""

from __future__ import annotations

import time
from typing import Any

from streams.app import App
from streams.config import Settings
from streams.engine.assignment import Assignment
from streams.engine.caution import Caution
from streams.engine.chainstate import ChainState
from streams.engine.commit import Committer
from streams.engine.executors.eventloop import EventLoop
from streams.engine.intake import Intake
from streams.engine.loop import ConsumerLoop
from streams.engine.member import executor_for
from streams.engine.partition import Item, PartitionState
from streams.engine.recovery import Recovery
from streams.engine.relief import Relief
from streams.engine.relocation import Relocator
from streams.engine.router import Router
from streams.engine.suspension import Suspension
from streams.engine.sweep import Sweeper
from streams.engine.watch import Watch
from streams.kafka.consumer import Event
from streams.kafka.message import Message
from streams.kafka.session import Session
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, ScriptedConsumer, ScriptedProducer, ScriptedReader
from tests.engine.stage import ORDERS, Heard, plan


class Member:
    """A member whose broker is the test.

    Its clock starts ahead of the machine's, by which executors look at leases:
    a lease that was given holds.
    """

    def __init__(  # noqa: PLR0913  # each names one thing
        self,
        app: App,
        event_loop: EventLoop | None = None,
        *,
        consumer: ScriptedConsumer | None = None,
        producer: ScriptedProducer | None = None,
        reader: ScriptedReader | None = None,
        clock: ManualClock | None = None,
        state_class: type[PartitionState] = PartitionState,
        chain_class: type[ChainState[Item]] = ChainState,
        relief: Relief | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or ManualClock(monotonic_s=time.monotonic() + 1_000_000)
        self.heard = Heard()
        self.consumer = consumer or ScriptedConsumer()
        self.producer = producer or ScriptedProducer(ChainLog(self.clock))
        self.reader = reader or ScriptedReader(self.producer.log)
        self._answered = 0
        chosen = Settings(bootstrap="localhost:9092", group=app.group, **settings)
        routes = app.routes
        plans = {topic: plan(route, app.group, chain_class) for topic, route in routes.items()}
        executors = {topic: executor_for(route, event_loop) for topic, route in routes.items()}
        committer = Committer(chosen, Session(45, 3), self.clock, self.heard)
        self.consumer.answered = committer.answered
        intake = Intake(chosen, committer, self.clock, self.heard)
        suspension = Suspension(routes, self.clock, self.heard)
        relocator = Relocator(self.producer)
        router = Router(
            routes=routes,
            relocator=relocator,
            intake=intake,
            suspension=suspension,
            clock=self.clock,
            observer=self.heard,
        )
        caution = Caution(
            consumer=self.consumer,
            committer=committer,
            give_up=router.give_up,
            enough=chosen.partition_in_flight,
            clock=self.clock,
            observer=self.heard,
        )
        caution.stands_still = lambda state: suspension.why(state.partition.topic) is not None
        caution.timeout_of = lambda topic: routes[topic].timeout_s
        intake.standing = lambda state: caution.reason(state) or suspension.reason(state)
        self.assignment = Assignment(
            settings=chosen,
            executors=executors,
            plans=plans,
            consumer=self.consumer,
            committer=committer,
            recovery=Recovery(self.reader, self.producer.log.marks, self.clock, self.heard),
            clock=self.clock,
            observer=self.heard,
            state_class=state_class,
        )
        self.loop = ConsumerLoop(
            settings=chosen,
            executors=executors,
            consumer=self.consumer,
            assignment=self.assignment,
            intake=intake,
            suspension=suspension,
            caution=caution,
            router=router,
            relocator=relocator,
            sweeper=Sweeper(
                self.reader,
                {topic: home for one in plans.values() for topic, home in one.homes().items()},
                lambda: intake.free(self.assignment.all()),
                self.clock,
                self.heard,
                relief=relief,
            ),
            committer=committer,
            watch=Watch(
                executors=executors,
                consumer=self.consumer,
                intake=intake,
                committer=committer,
                clock=self.clock,
                observer=self.heard,
            ),
            clock=self.clock,
            observer=self.heard,
        )

    def grant(self, *partitions: Partition) -> None:
        """The group gives *partitions*, and the broker takes their first commits."""
        self.assignment.granted(list(partitions))
        self.answer()

    def answer(self) -> None:
        """The broker takes every commit that it has not answered yet."""
        commits, self._answered = self.consumer.commits[self._answered :], len(self.consumer.commits)
        for commit in commits:
            self.consumer.answer(commit)

    def turn(self, *read: Message, events: list[Event] | None = None) -> None:
        """One turn of the loop, in which *read* and *events* arrive."""
        self.consumer.batches.append((list(read), events or []))
        self.loop.run_once()
        self.consumer.batches.clear()

    def commit(self) -> None:
        """A second passes, and the broker takes what is committed then."""
        self.answer()
        self.clock.advance(1)
        self.turn()
        self.answer()

    def state(self, partition: Partition = ORDERS) -> PartitionState:
        """What is owned of *partition*."""
        state = self.assignment.get(partition)
        assert state is not None
        return state
