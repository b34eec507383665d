"""The run, step by step: a Kafka, two workers, the events, a kill, and the wait until all is settled."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from examples.demo.count import Count, count
from examples.demo.history import GROUP, TOPIC, read
from examples.demo.producer import Feed
from examples.demo.screen import Screen
from examples.demo.workers import Crew, DemoError, Worker
from examples.flights.events import events, timeline
from examples.flights.timetable import Flight
from streams.config import Settings
from streams.dev import KAFKA_VERSION, DevCluster, this_process
from streams.engine.chain import dlq_topic
from streams.engine.topics import chain_topics
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.kafka.offsets import committed
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, require_topics

PARTITIONS: Final = 6
IN_FLIGHT_AT_LEAST: Final = 50
"""Events that must be under way in a worker before it is killed."""

_WORKERS: Final = 2
_LOOK_S: Final = 0.01
_NO_COMMIT_S: Final = 1.0
_ANSWER_S: Final = 30.0
_STUCK_S: Final = 60.0


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    folder: Path
    """Where files, logs and Kafka's data go."""
    seed: int
    """Decides which calls fail, who is killed, and when."""
    rows: int | None = None
    """Only so many flights."""
    broken: str = ""
    """A fault that is built in on purpose, by its name."""
    keep: bool = False
    """Leave Kafka running."""


@dataclass(frozen=True)
class Result:
    """What it came to."""

    count: Count
    killed: str
    in_flight: int
    """Events under way in the worker when it was killed."""
    seconds: float
    bootstrap: str


def play(options: Options, flights: Iterable[Flight], screen: Screen) -> Result:
    """Run the demo and count.

    Raises:
        DemoError: It could not be played to its end.
        StreamsError: Kafka could not be started.
    """
    with kafka(options, screen) as bootstrap:
        make_topics(bootstrap)
        screen.say(
            f"topic [b]{TOPIC}[/], {PARTITIONS} partitions; what is refused goes to [b]{dlq_topic(TOPIC, GROUP)}[/]"
        )
        with crew(options, bootstrap) as workers:
            stage = Stage(options, bootstrap, workers, screen)
            stage.open()
            stage.feed(islice(flights, options.rows))
            with screen.progress("events handled", stage.total) as stage.tell:
                killed = stage.kill_one()
                stage.settle()
        screen.say("all settled, and the workers stopped in order; now somebody else counts")
        counted = count(read(options.folder, bootstrap))
        return Result(counted, str(killed), len(killed.in_flight), screen.seconds, bootstrap)


@contextmanager
def kafka(options: Options, screen: Screen) -> Iterator[str]:
    """Give the address of a Kafka of our own; it ends with the demo, unless all went well and it is to be kept."""
    screen.say("starting a Kafka, for this demo and on this machine only")
    data = options.folder / "kafka"
    with screen.console.status("") as status:
        cluster = DevCluster.start(data, lives_with=None if options.keep else this_process(), say=status.update)
    screen.say(f"Apache Kafka {KAFKA_VERSION} answers at {cluster.bootstrap}")
    with contextlib.ExitStack() as ending:
        ending.callback(cluster.down)
        yield cluster.bootstrap
        if options.keep:
            ending.pop_all()


def make_topics(bootstrap: str) -> None:
    """Make the source topic, and what the group needs beside it."""
    with Admin(Settings(bootstrap=bootstrap), timeout_s=_ANSWER_S) as admin:
        create_topics(admin, [NewTopic(TOPIC, PARTITIONS, config={"retention.ms": "-1"})])  # the flights are of 2013
        source = require_topics(admin, [TOPIC], with_config=True)[TOPIC]
        create_topics(admin, [topic.as_new() for topic in chain_topics(source, GROUP)])


@contextmanager
def crew(options: Options, bootstrap: str) -> Iterator[Crew]:
    """Give the workers; none is left afterwards."""
    environment = {
        "STREAMS_BOOTSTRAP": bootstrap,
        "STREAMS_COMMIT_EVERY_S": "0.2",  # the moment to kill is right after a commit: let there be many
        "FLIGHTS_SEED": str(options.seed),
    }
    workers = Crew(options.folder, environment | ({"STREAMS_BREAK": options.broken} if options.broken else {}))
    try:
        yield workers
    finally:
        workers.end()


class Stage:
    """Where it happens.

    Sees what anybody can see from outside: the workers' files, the group as
    its coordinator describes it, and the committed offsets.
    """

    def __init__(self, options: Options, bootstrap: str, workers: Crew, screen: Screen) -> None:
        self._luck = random.Random(options.seed)
        self._feed = Feed(bootstrap, options.folder / "accepted.jsonl")
        self._admin = Admin(Settings(bootstrap=bootstrap), timeout_s=_ANSWER_S)
        self._workers = workers
        self._screen = screen
        self.total = 0
        """Events that go in."""
        self.tell: Callable[[int], None] = lambda _: None
        """Hears how many events were handled."""
        self._committed: dict[int, int] = {}
        """The group's committed offsets, as of the last look."""
        self._moved_at = 0.0
        """When those of the worker to be killed last moved."""

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

    def kill_one(self) -> Worker:
        """Kill one worker in the middle of its work, and start another one in its place.

        The moment is the worst one: it has many records under way, and the
        group has just committed.  Whoever commits before the work is done
        loses them.
        """
        victim = self._luck.choice(self._workers.present)
        enough = int(self.total * self._luck.uniform(0.30, 0.45))
        self._wait("the workers did not get on", lambda: self._workers.ended >= enough)
        self._wait("there was no moment to kill a worker", partial(self._is_bad_moment, victim))
        self._workers.kill(victim)
        self._screen.say(f"[red]kill -9[/] {victim}, with [b]{len(victim.in_flight)}[/] records in flight")
        members = self._members()
        self._screen.say(f"{self._workers.start()} starts in its place")
        self._wait("the new worker did not join its group", lambda: bool(self._members() - members))
        return victim

    def settle(self) -> None:
        """Wait until the group has settled everything, then stop the workers."""
        self._wait("the events did not all go in", lambda: self._feed.is_done)
        self._feed.result()
        self._screen.say("all events are in, each acknowledged")
        self._wait("the group does not get on", self._is_settled)
        self._workers.stop()

    def _is_bad_moment(self, victim: Worker) -> bool:
        """Say whether *victim* has much under way, and has just committed; where no commit comes, that is no matter.

        Raises:
            DemoError: It will never come, as all is done.
        """
        before, self._committed = self._committed, self._offsets()
        moved = {number for number, offset in self._committed.items() if before and offset != before.get(number)}
        if not before or moved & victim.partitions:
            self._moved_at = time.monotonic()
        if self._workers.ended >= self.total:
            raise DemoError("the workers were done before one of them could be killed: give them more --rows")
        victim.look()
        waited_s = time.monotonic() - self._moved_at
        has_just_committed = bool(moved & victim.partitions) or waited_s > _NO_COMMIT_S
        return len(victim.in_flight) >= IN_FLIGHT_AT_LEAST and has_just_committed

    def _offsets(self) -> dict[int, int]:
        places = committed(self._admin, GROUP)
        return {place.number: stored.offset for place, stored in places.items() if place.topic == TOPIC}

    def _is_settled(self) -> bool:
        return self._offsets() == self._feed.result() and self._workers.are_idle

    def _members(self) -> set[str]:
        """Give the ids of the members that have joined and got partitions."""
        return {member.member_id for member in describe_group(self._admin, GROUP).members if member.partitions}

    def _wait(
        self, complaint: str, condition: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for *condition*, as long as the workers get on.

        Raises:
            DemoError: With *complaint*: nothing moved for a minute.
        """
        ended, since = -1, time.monotonic()
        while not condition():
            self._workers.look()
            self.tell(self._workers.ended)
            if self._workers.ended != ended:
                ended, since = self._workers.ended, time.monotonic()
            elif time.monotonic() - since > _STUCK_S:
                raise DemoError(
                    f"{complaint}: nothing happened for {_STUCK_S:g} s. Logs: {self._workers.started[0].log.parent}"
                )
            time.sleep(_LOOK_S)
