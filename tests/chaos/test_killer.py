"""Real processes and a record that kills them: it is found and given up, everything else is done, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka import Producer

from streams.engine.chain import dlq_topic
from streams.kafka.witness import messages_of
from tests.brokers import Kafka, Topics
from tests.chaos.crew import ROOT
from tests.faults.figures import Injected
from tests.waiting import eventually

KILLS: Final = b"kills"
KILLS_LATER: Final = b"fails once, then kills"
EXIT: Final = 9
"""As in `tests.chaos.killer`."""
MAX_DEATHS: Final = 3
_WITHIN_S: Final = 120


class Run(NamedTuple):
    """One start of a handler, or its end."""

    step: str
    pid: int
    partition: int
    offset: int
    key: str


class Group:
    """The processes of one group, one after the other, and what they did."""

    def __init__(self, kafka: Kafka, topic: str, name: str, folder: Path) -> None:
        self.kafka, self.topic, self.name, self.folder = kafka, topic, name, folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.work_s = 0.0
        self.protocol = "classic"

    def write(self, count: int, *, killer: bytes | None = None) -> None:
        """Write *count* records of ten keys to each of two partitions; in the middle of the first one *killer*."""
        producer = Producer(self.kafka.client(enable_idempotence=True))
        for partition in (0, 1):
            for number in range(count):
                value = killer if killer and (partition, number) == (0, count // 2) else b"%d" % number
                producer.produce(self.topic, value, b"%d" % (number % 10), partition)
        assert producer.flush(30) == 0

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a process; a classic one has a static name and need not wait for the session of the one before."""
        said = {"KILLER_TOPIC": self.topic, "KILLER_GROUP": self.name, "KILLER_JOURNAL": str(self.folder)}
        said |= {"KILLER_WORK_S": str(self.work_s), "STREAMS_SUPERVISOR_PID": str(os.getpid())}
        said |= {"STREAMS_BOOTSTRAP": self.kafka.bootstrap, "STREAMS_MAX_DEATHS": str(MAX_DEATHS)}
        said |= {"STREAMS_INSTANCE_ID": "one"} if self.protocol == "classic" else {}
        said |= {"STREAMS_SESSION_TIMEOUT_S": "6", "STREAMS_PROTOCOL": self.protocol}
        command = [sys.executable, "-m", "streams", "run", "tests.chaos.killer:app", *options]
        with (self.folder / f"log-{len(self.processes)}").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | said, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def deploy(self) -> int:
        """Let a process do what is there, tell it to stop, and give its exit code."""
        ended = len(self.done)
        process = self.start()
        eventually(lambda: len(self.done) > ended, within_s=_WITHIN_S)
        process.send_signal(signal.SIGTERM)
        return process.wait(_WITHIN_S)

    def kill_after(self, records: int) -> None:
        """Start a process, and kill it when so many further records have ended."""
        process, goal = self.start(), len(self.done) + records
        eventually(lambda: len(self.done) >= goal, within_s=_WITHIN_S)
        process.kill()
        process.wait(10)

    def deaths(self) -> int:
        """Start process after process until one has settled everything; give how many died."""
        for died in range(10):
            code = self.start("--until-settled").wait(_WITHIN_S)
            if code == 0:
                return died
            assert code == EXIT, (self.folder / f"log-{len(self.processes) - 1}").read_text()
        return 10

    @property
    def runs(self) -> list[Run]:
        """Everything that was written down."""
        file = self.folder / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        words = (line.split() for line in lines)
        return [Run(step, int(pid), int(number), int(offset), key) for step, pid, number, offset, key in words]

    @property
    def done(self) -> set[tuple[int, int]]:
        """The records of which a run has ended."""
        return {(run.partition, run.offset) for run in self.runs if run.step == "END"}

    @property
    def dead_letters(self) -> list[bytes | None]:
        """The values of the group's dead letters."""
        return [letter.value() for letter in messages_of(self.kafka.client(), dlq_topic(self.topic, self.name))]

    def end(self) -> None:
        """Make sure that no process is left."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)


@pytest.fixture
def group_of_two(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Group]:
    """A group that reads a topic of two partitions."""
    made = Group(kafka, topic(partitions=2), group("killer"), tmp_path)
    yield made
    made.end()


def repeated(runs: list[Run]) -> int:
    """How many runs were not their record's first."""
    count = Counter((run.partition, run.offset) for run in runs if run.step == "END")
    return sum(count.values()) - len(count)


def is_in_order(runs: list[Run]) -> bool:
    """Whether within each process the records of each key started in the order of their offsets."""
    latest: dict[tuple[int, int, str], int] = {}
    for run in runs:
        if run.step == "START":
            lane = run.pid, run.partition, run.key
            if latest.get(lane, -1) > run.offset:
                return False
            latest[lane] = run.offset
    return True


@pytest.mark.parametrize("killer", [KILLS, KILLS_LATER], ids=["in the source", "in a tier"])
def test_a_killer_is_given_up_after_so_many_deaths(group_of_two: Group, killer: bytes, injected: Injected) -> None:
    """A deploy before counts for nothing, all else is done, and only the first death repeats more than one record."""
    check_that_it_is_found(group_of_two, killer)
    started = {(run.pid, run.partition, run.offset) for run in group_of_two.runs if run.step == "START"}
    cut = started - {(run.pid, run.partition, run.offset) for run in group_of_two.runs if run.step == "END"}
    injected(24, times=MAX_DEATHS, members=MAX_DEATHS, in_flight=len(cut))


@pytest.mark.chaos
def test_so_it_is_in_a_consumer_group_whose_sessions_end(group_of_two: Group) -> None:
    """Each successor waits for the group to notice the death of the one before."""
    group_of_two.protocol = "consumer"
    check_that_it_is_found(group_of_two, KILLS)


def check_that_it_is_found(group_of_two: Group, killer: bytes) -> None:
    """A deploy, a killer, as many deaths as may be, and then the peace that follows."""
    group_of_two.write(20)
    code = group_of_two.deploy()
    group_of_two.write(40, killer=killer)
    deaths = group_of_two.deaths()
    first = {group_of_two.processes[number].pid for number in (0, 1)}

    assert (code, deaths, group_of_two.dead_letters) == (0, MAX_DEATHS, [killer])
    assert len(group_of_two.done) == 2 * 60 - 1
    assert repeated([run for run in group_of_two.runs if run.pid not in first]) <= deaths
    assert is_in_order(group_of_two.runs)


@pytest.mark.chaos
def test_kills_from_outside_give_up_nothing(group_of_two: Group) -> None:
    """More of them than a record may cause, each at other records: all is done, and nothing is a dead letter."""
    group_of_two.write(100)
    group_of_two.work_s = 0.02
    for _ in range(MAX_DEATHS + 2):
        group_of_two.kill_after(10)
    deaths = group_of_two.deaths()

    assert (deaths, group_of_two.dead_letters) == (0, [])
    assert len(group_of_two.done) == 200
    assert is_in_order(group_of_two.runs)
