"""The run from outside: a Kafka, topics, workers, what happens on the stage, and the count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from examples.demo.chain import GROUP, TOPIC, in_short
from examples.demo.count import Count, count
from examples.demo.history import read
from examples.demo.screen import Screen
from examples.demo.stage import Stage
from examples.demo.workers import Crew
from examples.flights.app import app
from examples.flights.timetable import Flight
from streams.config import Settings
from streams.dev import KAFKA_VERSION, DevCluster, this_process
from streams.engine.topics import chain_topics
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, require_topics

PARTITIONS: Final = 6


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
    waiting: int
    """Events that waited in retry topics of its partitions then."""
    parked: int
    """Events that were parked behind them."""
    seconds: float
    bootstrap: str


def play(options: Options, flights: Iterable[Flight], screen: Screen) -> Result:
    """Run the demo and count.

    Raises:
        DemoError: It could not be played to its end.
        StreamsError: Kafka could not be started.
    """
    with kafka(options, screen) as bootstrap:
        beside = make_topics(bootstrap)
        screen.say(f"topic [b]{TOPIC}[/], {PARTITIONS} partitions; beside it, for group {GROUP}: {beside}")
        with crew(options, bootstrap) as workers:
            stage = Stage(bootstrap, workers, screen, accepted=options.folder / "accepted.jsonl", seed=options.seed)
            stage.open()
            stage.feed(islice(flights, options.rows))
            with screen.progress("events handled", stage.total) as stage.tell:
                victim, plight = stage.kill_one()
                stage.settle()
        screen.say("all settled, and the workers stopped in order; now somebody else counts")
        counted = count(read(options.folder, bootstrap))
        return Result(
            counted,
            str(victim),
            len(victim.in_flight),
            plight.waiting,
            plight.parked,
            screen.seconds,
            bootstrap,
        )


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


def make_topics(bootstrap: str) -> str:
    """Make the source topic, and what the group needs beside it; give the short names of these."""
    route = app.routes[TOPIC]
    with Admin(Settings(bootstrap=bootstrap)) as admin:
        create_topics(admin, [NewTopic(TOPIC, PARTITIONS, config={"retention.ms": "-1"})])  # the flights are of 2013
        source = require_topics(admin, [TOPIC], with_config=True)[TOPIC]
        beside = [topic.as_new() for topic in chain_topics(source, GROUP, route.policy, route.tiers)]
        create_topics(admin, beside)
    return ", ".join(in_short(topic.name) for topic in beside)


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
