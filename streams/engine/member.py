"""One member of a group, from joining to leaving: ties the rooms together and runs the loop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

from streams.clock import Clock, SystemClock
from streams.config import Settings
from streams.engine.assignment import Assignment
from streams.engine.caution import Caution
from streams.engine.command import control_topic
from streams.engine.commit import Committer
from streams.engine.control import Control
from streams.engine.directive import directive_topic, recorded
from streams.engine.directives import Directives
from streams.engine.elsewhere import Elsewhere
from streams.engine.ending import RESTART, Emptiness, RunReport, Until
from streams.engine.executors.eventloop import AsyncExecutor, EventLoop
from streams.engine.executors.executor import Executor
from streams.engine.executors.inline import InlineExecutor
from streams.engine.executors.threads import ThreadExecutor
from streams.engine.growth import Growth
from streams.engine.intake import Intake
from streams.engine.loop import ConsumerLoop
from streams.engine.pace import Pace, PacedIntake
from streams.engine.partition import Move, PartitionState
from streams.engine.plan import ChainPlan
from streams.engine.recovery import Recovery
from streams.engine.relief import Relief
from streams.engine.relocation import Relocator, Ticket
from streams.engine.rewinder import Rewinder
from streams.engine.route import Route
from streams.engine.router import Router
from streams.engine.shadow import Shadow, ShadowState
from streams.engine.suspension import Suspension
from streams.engine.sweep import Sweeper
from streams.engine.upkeep import Upkeep
from streams.engine.watch import Watch
from streams.engine.watchdog import within
from streams.kafka.admin import Admin
from streams.kafka.chainreader import ChainReader
from streams.kafka.commits import CommitAnswer
from streams.kafka.consumer import GroupConsumer
from streams.kafka.offsets import watermarks
from streams.kafka.producer import EngineProducer
from streams.kafka.session import Session
from streams.kafka.tail import Tail
from streams.observer import Observer
from streams.record import Partition

_CLOSE_WITHIN_S: Final = 10.0
_ENDS_WITHIN_S: Final = 30.0
"""To ask for the ends of the chain: a leader is away for 8 to 13 s after its death."""
_COMMIT_WITHIN_S: Final = 15.0
_LEAVE_BUDGET_S: Final = 60.0
"""Past the drain budget and this, the process ends itself."""
SECOND_SIGNAL_EXIT: Final = 130


class Member:
    """Runs the routes of one app as a member of their group.

    The thread that calls `run` is the poll thread.
    """

    def __init__(  # noqa: PLR0913  # each names one thing
        self,
        settings: Settings,
        routes: Mapping[str, Route],
        protocol: str,
        session: Session,
        *,
        plans: Mapping[str, ChainPlan],
        event_loop: EventLoop | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        beat: Callable[[], None] = lambda: None,
        state_class: type[PartitionState] = PartitionState,
        reader: ChainReader | None = None,
        producer: EngineProducer[Ticket | Move] | None = None,
        shadow: Shadow | None = None,
    ) -> None:
        """Prepare everything; nothing is joined yet.

        *reader* and *producer* are the edges of the chain.  With *shadow* the
        group is a shadow, and *routes* are those of its topics.
        """
        self._settings = settings
        self._shadow = shadow
        self._routes = routes
        self._plans = plans
        self._clock = clock or SystemClock()
        self._observer = observer or Observer()
        self.beat = beat
        """Called whenever the poll thread goes round or waits."""
        self._stop_reason: str | None = None
        self._until = Until()
        self._executors: dict[str, Executor] = {
            topic: executor_for(route, event_loop) for topic, route in routes.items()
        }
        self._reader, self._admin = reader or ChainReader(settings), Admin(settings, timeout_s=_ENDS_WITHIN_S)
        self._producer = producer
        self._committer = Committer(settings, session, self._clock, self._observer)
        self._consumer = GroupConsumer(settings, protocol, self._answered)
        pace = None if shadow is None or shadow.rate is None else Pace(shadow.rate, self._clock)
        bounds = settings, self._committer, self._clock, self._observer
        self._intake = Intake(*bounds) if pace is None else PacedIntake(pace, *bounds)
        listening = self._consumer if protocol == "consumer" else None
        self._upkeep = Upkeep(settings, plans, self._committer, self._clock, self._observer, consumer=listening)
        begins = state_class if shadow is None else partial(ShadowState, shadow=shadow, pace=pace)
        self._assignment = self._make_assignment(begins)
        self._rewinder = Rewinder(
            assignment=self._assignment,
            committer=self._committer,
            is_busy=lambda states: self._loop.is_busy(states),  # noqa: PLW0108  # the loop comes after it
            drain_s=settings.drain_s,
            clock=self._clock,
        )
        self._control = self._make_control()
        self._suspension = Suspension(routes, self._clock, self._observer)
        self._directives = self._make_directives()
        self._emptiness: Emptiness | None = None
        self._loop = self._make_loop()

    def _make_assignment(self, state_class: Callable[..., PartitionState]) -> Assignment:
        """Make the room for rebalances."""
        marks = partial(watermarks, self._admin)
        assignment = Assignment(
            settings=self._settings,
            executors=self._executors,
            plans=self._plans,
            consumer=self._consumer,
            committer=self._committer,
            recovery=Recovery(self._reader, marks, self._clock, self._observer),
            clock=self._clock,
            observer=self._observer,
            state_class=state_class,
        )
        assignment.lacking = Growth(self._plans, self._admin).lacking
        return assignment

    def _make_control(self) -> Control:
        """Make the room that hears what operators want."""
        group = self._settings.group
        return Control(
            group=group,
            plans=self._plans,
            source=Tail(self._settings, Partition(control_topic(group), 0)),
            producer=lambda: EngineProducer(self._settings),
            rewinder=self._rewinder,
            clock=self._clock,
            observer=self._observer,
        )

    def _make_directives(self) -> Directives:
        """Make the room that follows what operators want for as long as it stands."""
        group = self._settings.group
        return Directives(
            topics=self._routes,
            recorded=lambda: recorded(self._admin, group),
            source=Tail(self._settings, Partition(directive_topic(group), 0)),
            follower=self,
            clock=self._clock,
            observer=self._observer,
        )

    def _make_loop(self) -> ConsumerLoop:
        """Make the rooms that a record passes through, and the loop that goes round in them."""
        suspension = self._suspension
        relocator = Relocator(self._producer or EngineProducer(self._settings))
        router = Router(
            routes=self._routes,
            relocator=relocator,
            intake=self._intake,
            suspension=suspension,
            clock=self._clock,
            observer=self._observer,
        )
        caution = self._make_caution(router, suspension)
        self._intake.allowance = self._rewinder.allowance
        self._assignment.begun = self._pace
        rooms = (caution, suspension, self._rewinder)
        self._intake.standing = lambda state: next((why for room in rooms if (why := room.reason(state))), None)
        if (shadow := self._shadow) is not None:
            standing = self._intake.standing
            self._intake.standing = lambda state: standing(state) or shadow.reason(state)
        return ConsumerLoop(
            settings=self._settings,
            executors=self._executors,
            consumer=self._consumer,
            assignment=self._assignment,
            intake=self._intake,
            suspension=suspension,
            caution=caution,
            router=router,
            relocator=relocator,
            sweeper=self._make_sweeper(),
            committer=self._committer,
            watch=self._make_watch(),
            clock=self._clock,
            observer=self._observer,
            beat=self._tell_alive,
        )

    def _pace(self) -> None:
        """Look at the bounds before anything is read of stays that have begun, where one is to go slowly, or not yet.

        The client may give records in the very call in which it gave their partition.
        """
        states = self._assignment.all()
        if self._rewinder.begin(states):
            self._intake.regulate(self._consumer, states)

    def _make_caution(self, router: Router, suspension: Suspension) -> Caution:
        """Make the search for records that kill; it knows what stands still for another reason."""
        caution = Caution(
            consumer=self._consumer,
            committer=self._committer,
            give_up=router.give_up,
            enough=self._settings.partition_in_flight,
            clock=self._clock,
            observer=self._observer,
        )
        caution.stands_still = lambda state: suspension.why(state.partition.topic) is not None
        caution.timeout_of = lambda topic: self._routes[topic].timeout_s
        return caution

    def _make_sweeper(self) -> Sweeper:
        """Make what reads the chain back, as far as the bounds leave room."""
        homes = {topic: home for plan in self._plans.values() for topic, home in plan.homes().items()}
        return Sweeper(
            self._reader,
            homes,
            lambda: self._intake.free(self._assignment.all()),
            self._clock,
            self._observer,
            relief=Relief(self._settings.ledger_limit / 2),
        )

    def _make_watch(self) -> Watch:
        """Make what looks at runs that take too long, and tells how all goes."""
        return Watch(
            executors=self._executors,
            consumer=self._consumer,
            intake=self._intake,
            committer=self._committer,
            clock=self._clock,
            observer=self._observer,
        )

    @property
    def assignment(self) -> Assignment:
        """What this member owns; for the poll thread."""
        return self._assignment

    def stop(self, reason: str = "told to stop") -> None:
        """Ask the member to stop; from any thread, or from a signal handler."""
        self._stop_reason = self._stop_reason or reason

    def halt(self, topics: Mapping[str, str]) -> None:
        """Let *topics* stand still, each for that reason, and all others go on."""
        self._suspension.halt(topics)

    def resume(self, topics: Iterable[str]) -> None:
        """Let *topics* go on that a guard has stopped."""
        for topic in topics:
            self._suspension.resume(topic)

    def restart(self) -> None:
        """End in order, so that whoever runs this member begins anew."""
        self.stop(RESTART)

    def drain(self) -> None:
        """Finish what is there now, the chain included, and leave."""
        self._until = Until(settled=True)
        self._emptiness = self._make_emptiness()

    def run(self, until: Until | None = None) -> RunReport:
        """Join, work until told or until *until*, and leave in order.

        Raises:
            BrokerError: The client can't go on, or the group's offsets can't be read.
        """
        self._until = until = until or Until()
        topics = list(self._executors)
        self._emptiness = self._make_emptiness() if until.empty or until.settled else None
        self._loop.limit = until.max_records
        ends_at = None if until.max_time_s is None else self._clock.monotonic() + until.max_time_s
        try:
            self._directives.begin()
            self._consumer.subscribe(topics, self._assignment)
            while self._stop_reason is None:
                self._loop.run_once()
                self._upkeep.look(self._assignment)
                self._control.look(self._assignment.all())
                self._directives.look()
                self.beat()
                if ends_at is not None and self._clock.monotonic() >= ends_at:
                    self.stop("its time was over")
                elif self._loop.is_spent and not self._is_working():
                    self.stop(f"{self._loop.admitted} records were read")
                elif self._is_empty():
                    is_settled = self._until.settled
                    self.stop("all that was there is settled" if is_settled else "all that was there is done or waits")
            return self._leave()
        finally:
            self._close()

    def _is_empty(self) -> bool:
        """Say whether what is to end this member's run is passed."""
        emptiness = self._emptiness
        return emptiness is not None and emptiness.is_reached(self._assignment, settled=self._until.settled)

    def _make_emptiness(self) -> Emptiness:
        """Read where all topics end now, and make what knows when that is passed."""
        elsewhere = Elsewhere(self._consumer, self._plans, self._reader, self._clock)
        ends = None if self._shadow is None else self._shadow.ends
        return Emptiness(self._consumer, self._executors, elsewhere, self._clock, ends)

    def _leave(self) -> RunReport:
        """Let nothing start, wait for what runs while the group is still heard, commit, and go."""
        self._observer.stopping()
        self._intake.is_closed = self._assignment.is_leaving = True
        states = self._assignment.all()
        for state in states:
            state.close()
        ends_at = self._clock.monotonic() + self._settings.drain_s
        with within(self._settings.drain_s + _LEAVE_BUDGET_S, "leaving the group"):
            while self._loop.is_busy(states) and self._clock.monotonic() < ends_at:
                self._loop.run_once()
                self.beat()
            states = self._assignment.all()
            self._assignment.settle_down(states, max(0.0, ends_at - self._clock.monotonic()))
            drained, places = not self._loop.is_busy(states), self._loop.places(states)
            committed = self._await_commits()
            states = self._assignment.all()
            self._loop.watch.tell(states)
        return RunReport(
            reason=self._stop_reason or "",
            read=self._loop.admitted,
            left=sum(state.outstanding for state in states),
            retrying=sum(state.retrying for state in states),
            parked=sum(state.chain.outstanding for state in states),
            drained=drained,
            committed=committed,
            places=tuple(places),
        )

    def _await_commits(self) -> bool:
        """Poll on until all that settled is committed: in the middle of a rebalance commits are refused for a while."""
        ends_at = self._clock.monotonic() + _COMMIT_WITHIN_S
        while not (is_current := all(map(self._committer.is_current, self._assignment.all()))):
            if self._clock.monotonic() > ends_at:
                break
            self._loop.run_once()
            self.beat()
        return is_current

    def _close(self) -> None:
        self._assignment.leave()
        for executor in self._executors.values():
            executor.close()
        self._consumer.close(_CLOSE_WITHIN_S)
        for room in (self._reader, self._admin, self._upkeep, self._control, self._directives):
            room.close()

    def _is_working(self) -> bool:
        states = self._assignment.all()
        return self._loop.is_busy(states) or any(
            state.outstanding > state.waiting and (self._loop.caution.is_active or not state.is_suspended)
            for state in states
        )

    def _tell_alive(self) -> None:
        self.beat()

    def _answered(self, answer: CommitAnswer) -> None:
        self._committer.answered(answer)


def executor_for(route: Route, event_loop: EventLoop | None) -> Executor:
    """Make what runs the handlers of *route*."""
    match route.run:
        case "inline":
            return InlineExecutor(route)
        case "threads":
            return ThreadExecutor(route)
        case "async":
            assert event_loop is not None, "async routes come with a loop"  # noqa: S101  # the app made it
            return AsyncExecutor(route, event_loop)


@contextmanager
def stopped_by_signals(member: Member) -> Iterator[None]:
    """Stop *member* on SIGTERM and SIGINT; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def hear(number: int, _frame: FrameType | None) -> None:
        if told:
            os._exit(SECOND_SIGNAL_EXIT)
        told.append(number)
        member.stop(signal.Signals(number).name)

    before = {number: signal.signal(number, hear) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
