"""What happens on the stage: two workers work, one is killed, another takes its place, all that waited comes back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from examples.demo import chain
from examples.demo.chain import GROUP, TOPIC, in_short, kind_of
from examples.demo.plight import Plight, plight_of
from examples.demo.producer import Feed
from examples.demo.screen import Screen
from examples.demo.workers import Crew, DemoError, Worker
from examples.flights.events import events, timeline
from examples.flights.timetable import Flight
from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.offsets import committed, ends

IN_FLIGHT_AT_LEAST: Final = 50
"""Events that must be under way in a worker when it is killed."""

_WORKERS: Final = 2
_LOOK_S: Final = 0.01
_NO_COMMIT_S: Final = 1.0
_PATIENT_UP_TO: Final = 0.6
"""The share of the events up to which the kill waits for a commit; later any moment will do that is bad enough."""

_STUCK_S: Final = 60.0


class Kill(NamedTuple):
    """Who was killed, and what it left."""

    victim: Worker
    plight: Plight
    """What waited in the chain of its partitions."""


class Stage:
    """Where it happens.

    Sees what anybody can see from outside: the workers' files, the group as
    its coordinator describes it, and the committed offsets.
    """

    def __init__(self, bootstrap: str, workers: Crew, screen: Screen, *, accepted: Path, seed: int) -> None:
        self._bootstrap = bootstrap
        self._luck = random.Random(seed)
        self._feed = Feed(bootstrap, accepted)
        self._admin = Admin(Settings(bootstrap=bootstrap))
        self._workers = workers
        self._screen = screen
        self.total = 0
        """Events that go in."""
        self.tell: Callable[[int], None] = lambda _: None
        """Hears how many events were handled."""
        self._committed: dict[int, int] = {}
        """The group's committed offsets, as of the last look."""
        self._moved_at = time.monotonic()
        """When those of the worker to be killed last moved."""
        self._plight: Plight | None = None
        """What waited in the chain when the worker was killed; None once the aircraft is back."""
        self._ended_before = 0
        """Events that had ended then."""

    def open(self) -> None:
        """Start the workers, and wait until each has its partitions."""
        started = [self._workers.start() for _ in range(_WORKERS)]
        self._wait("the workers did not join their group", lambda: len(self._members()) == _WORKERS)
        self._screen.say(f"{' and '.join(map(str, started))} share them as group [b]{GROUP}[/]")

    def feed(self, flights: Iterable[Flight]) -> None:
        """Begin to put the events in; the workers work meanwhile."""
        moments = timeline(flights)
        self.total = len(moments)
        self._feed.start(events(moments))
        self._screen.say(f"{self.total:,} events begin to go in; the aircraft is the key")

    def kill_one(self) -> Kill:
        """Kill one worker in the middle of its work, and start another one in its place.

        The moment is a bad one: it has many records under way, others wait in
        retry topics and parked, and it has just committed.  Whoever commits
        before the work is done loses them.
        """
        victim = self._luck.choice(self._workers.present)
        enough = int(self.total * self._luck.uniform(0.30, 0.45))
        self._wait("the workers did not get on", lambda: self._workers.ended >= enough)
        self._wait("there was no moment to kill a worker", partial(self._is_bad_moment, victim))
        self._workers.kill(victim)
        kill = self._tell_of_kill(victim)
        members = self._members()
        self._screen.say(f"{self._workers.start()} starts in its place")
        self._wait("the new worker did not join its group", lambda: bool(self._members() - members))
        return kill

    def settle(self) -> None:
        """Wait until the group has settled everything, then stop the workers."""
        self._wait("the events did not all go in", lambda: self._feed.is_done)
        self._feed.result()
        self._screen.say("all events are in, each acknowledged")
        self._wait("the group does not get on", self._is_settled)
        self._workers.look()
        self._tell_of_return()
        self._workers.stop()

    def _is_bad_moment(self, victim: Worker) -> bool:
        """Say whether *victim* has much under way, and stop it there; it goes on where it has too little.

        Raises:
            DemoError: It never will, as all is done.
        """
        if self._workers.ended >= self.total:
            raise DemoError("the workers were done before one of them could be killed: give them more --rows")
        has_just_committed = self._has_just_committed(victim)
        victim.look()
        if not has_just_committed or len(victim.in_flight) < IN_FLIGHT_AT_LEAST:
            return False
        victim.suspend()  # so that the numbers that are told are those at its death
        victim.look()
        self._plight = self._plight_of(victim) if len(victim.in_flight) >= IN_FLIGHT_AT_LEAST else None
        if self._plight is None:
            victim.resume()
        return self._plight is not None

    def _plight_of(self, worker: Worker) -> Plight | None:
        """Say what waits in the chain of *worker*'s partitions."""
        standing = chain.read(self._bootstrap).standing().values()
        return plight_of(copy for copy in standing if copy.place[1] in worker.partitions)

    def _tell_of_kill(self, victim: Worker) -> Kill:
        plight = self._plight
        assert plight is not None, "the moment was a bad one"  # noqa: S101  # _is_bad_moment says so
        self._ended_before = self._workers.ended
        self._workers.awaited |= plight.events
        self._screen.say(
            f"the radar lost [b]{plight.tail}[/]: an event waits in {in_short(plight.where)},"
            f" {plight.behind} later ones are parked behind it, the others fly on"
        )
        self._screen.say(
            f"[red]kill -9[/] {victim}: [b]{len(victim.in_flight)}[/] records in flight,"
            f" [b]{plight.waiting}[/] in retry topics, [b]{plight.parked}[/] parked"
        )
        return Kill(victim, plight)

    def _tell_of_return(self) -> None:
        """Say so once all that waited of the aircraft in trouble has ended."""
        if self._plight is None or self._workers.awaited:
            return
        events = len(self._plight.events)
        others = self._workers.ended - self._ended_before - events
        self._screen.say(
            f"[b]{self._plight.tail}[/] is back: its {events} events are done, and {others:,} others since the kill"
        )
        self._plight = None

    def _has_just_committed(self, victim: Worker) -> bool:
        """Say whether *victim* committed since the last call.

        That is no matter where no commit comes for a second, nor once the events run short.
        """
        if self._workers.ended > self.total * _PATIENT_UP_TO:
            return True
        before, self._committed = self._committed, self._offsets()
        moved = {number for number, offset in self._committed.items() if offset != before.get(number)}
        has_moved = bool(moved & victim.partitions)
        if has_moved:
            self._moved_at = time.monotonic()
        return (has_moved and bool(before)) or time.monotonic() - self._moved_at > _NO_COMMIT_S

    def _offsets(self) -> dict[int, int]:
        places = committed(self._admin, GROUP)
        return {place.number: stored.offset for place, stored in places.items() if place.topic == TOPIC}

    def _is_settled(self) -> bool:
        """Say whether nothing is left to do, in the source and in the chain: committed up to the end."""
        stored = {
            place: at.offset for place, at in committed(self._admin, GROUP).items() if kind_of(place.topic) != "dead"
        }
        source = {place.number: offset for place, offset in stored.items() if place.topic == TOPIC}
        beside = {place: offset for place, offset in stored.items() if place.topic != TOPIC}
        return source == self._feed.result() and beside == ends(self._admin, beside) and self._workers.are_idle

    def _members(self) -> set[str]:
        """Give the ids of the members that have joined and got partitions."""
        return {member.member_id for member in describe_group(self._admin, GROUP).members if member.partitions}

    def _wait(self, complaint: str, condition: Callable[[], bool]) -> None:
        """Wait for *condition*, as long as the workers get on.

        Raises:
            DemoError: With *complaint*: nothing moved for a minute.
        """
        ended, since = -1, time.monotonic()
        while not self._holds(condition):
            self._workers.look()
            self.tell(self._workers.ended)
            self._tell_of_return()
            if self._workers.ended != ended:
                ended, since = self._workers.ended, time.monotonic()
            elif time.monotonic() - since > _STUCK_S:
                raise DemoError(f"{complaint}: nothing happened for {_STUCK_S:g} s; the workers' logs may say why")
            time.sleep(_LOOK_S)

    def _holds(self, condition: Callable[[], bool]) -> bool:
        """Ask; a broker that is too busy to answer is asked again, over a new connection."""
        try:
            return condition()
        except BrokerError:
            self._admin.close()
            return False
