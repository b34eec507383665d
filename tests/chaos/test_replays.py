"""A group that runs goes back, and forth again, whatever moment its members die at: in key order, once, all of it."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer

from streams.engine.command import Answer, Command
from streams.engine.desk import Desk, Who, answers, prepare
from streams.kafka.admin import Admin
from streams.record import Partition
from streams.replay.live import Ending, beginnings, courses, endings
from streams.replay.run import plan_replay
from streams.replay.target import Target
from tests.brokers import Kafka, Topics
from tests.chaos.failpoints import EXIT
from tests.chaos.seeds import seeded
from tests.chaos.ward import Ward
from tests.faults.figures import Injected
from tests.waiting import eventually

_CHAOS = pytest.mark.chaos
_PARTITIONS = 2
_KEYS = 5
_MANY = 300
_WHO = Who("test", "chaos")


class Run(NamedTuple):
    """A run that ended well."""

    key: tuple[int, str]
    offset: int
    is_replay: bool


class Yard(Ward):
    """A group that is to go back."""

    app = "tests.chaos.replays_app:app"

    @property
    def steps(self) -> list[list[str]]:
        """What runs have noted, in order: start, done, failed or dead; key, partition, offset, whether again; pid."""
        with suppress(FileNotFoundError):
            return [line.split() for line in (self.folder / "runs").read_text().splitlines()]
        return []

    def in_flight(self, member: subprocess.Popen[bytes]) -> int:
        """Records that run in *member* now, or did when it died."""
        steps = [step for step, *_, pid in self.steps if int(pid) == member.pid]
        return 2 * steps.count("start") - len(steps)

    @property
    def runs(self) -> list[Run]:
        """What ran well, in the order of its end."""
        return [
            Run((int(number), key), int(offset), flag == "1")
            for step, key, number, offset, flag, _ in self.steps
            if step == "done"
        ]

    @property
    def left(self) -> int | None:
        """Records that are still to run again; None where no replay is known."""
        with Admin(self.settings) as admin:
            found = courses(admin, self.group)
        return sum(one.left for one in found) if found else None

    @property
    def turns(self) -> Counter[str]:
        """What became of commands about replays."""
        with Admin(self.settings) as admin:
            found = [one for one in answers(admin, self.group) if isinstance(one, Answer)]
        return Counter(one.rewound.turn for one in found if one.rewound is not None)

    def beginnings(self, target: int, rate: float = 0.0) -> list[Command]:
        """Commands that have every partition go to *target*."""
        with Admin(self.settings) as admin:
            prepare(admin, self.group)
            where = Target("offsets", offsets=dict.fromkeys(range(_PARTITIONS), target))
            planned = plan_replay(admin, self.group, where, topic=None, partitions=())
            return beginnings(admin, planned, _WHO, rate)

    def endings(self, verb: Ending) -> list[Command]:
        """Commands that end the replay of every partition."""
        with Admin(self.settings) as admin:
            return endings(admin, self.group, verb, courses(admin, self.group), _WHO)

    def say(self, asked: Sequence[Command]) -> None:
        with Admin(self.settings) as admin:
            desk = Desk(admin, self.group)
            try:
                for command in asked:
                    desk.send(command)
            finally:
                desk.close()

    def write(self, count: int) -> None:
        """So many records come to each partition."""
        producer = Producer(self.kafka.client(enable_idempotence=True))
        for at in range(count):
            for number in range(_PARTITIONS):
                producer.produce(self.topic, b"{}", f"key-{at % _KEYS}".encode(), partition=number)
        assert not producer.flush(60), "not all of it was acknowledged"

    def work_off(self, *, times: int = 1) -> None:
        """Members do what is there, and end."""
        members = [self.start() for _ in range(times)]
        self.rests()
        for member in members:
            self.stop(member)

    def rests(self, *, within_s: float = 90) -> None:
        """Wait until nothing waits, and all is committed."""
        eventually(lambda: self.is_at_rest, within_s=within_s, every_s=0.5)


@pytest.fixture
def yards(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Give a group with nothing to do; its members end with the test."""
    made: list[Yard] = []

    def open_yard(*, fails_every: int = 1_000_000, pause_s: float = 0.0) -> Yard:
        more = {"CHAOS_FAILS_EVERY": str(fails_every), "CHAOS_PAUSE_S": str(pause_s), "STREAMS_MAX_DEATHS": "1000"}
        yard = Yard(kafka, topic(partitions=_PARTITIONS), group("replays"), tmp_path, **more)
        made.append(yard)
        return yard

    yield open_yard
    for yard in made:
        yard.end()


def by_key(runs: Iterable[Run]) -> Mapping[tuple[int, str], list[int]]:
    """The offsets that ran of each key, in their order."""
    found = defaultdict[tuple[int, str], list[int]](list)
    for run in runs:
        found[run.key].append(run.offset)
    return found


def gone_back(offsets: Sequence[int]) -> int:
    """Count how often a key went back.

    Raises:
        AssertionError: It left something out: a younger record ran before an older one had.
    """
    times = 0
    for before, after in pairwise(offsets):
        assert after <= before + _KEYS, f"{after} ran after {before}: {offsets}"
        times += after <= before
    return times


_MOMENTS = ["answer-on-its-way", "answered-before-commit"]


@pytest.mark.parametrize("moment", [_MOMENTS[1], pytest.param(_MOMENTS[0], marks=_CHAOS)])
def test_a_replay_is_begun_once_whenever_its_owner_dies(
    moment: str, yards: Callable[..., Yard], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice; each command comes twice, and once more in another order: it goes back once."""
    yard = yards()
    yard.write(20)
    yard.work_off()
    first = len(yard.runs)
    asked = yard.beginnings(5)
    yard.say([*asked, *asked])
    codes = [yard.start(moment).wait(60) for _ in range(2)]
    between = len(yard.runs)
    member = yard.start()
    yard.say(asked[::-1])
    eventually(lambda: yard.turns["gone"] >= 2 * len(asked) and yard.left == 0, within_s=60, every_s=0.5)
    yard.rests()
    yard.stop(member)
    ran = Counter((run.key[0], run.offset) for run in yard.runs)
    tell(f"{moment}: {len(asked)} commands three times, {len(yard.runs)} runs, {dict(yard.turns)}")

    assert codes == [EXIT, EXIT]
    assert (first, between) == (20 * _PARTITIONS, 20 * _PARTITIONS)
    assert ran == {(number, offset): 1 + (offset >= 5) for number in range(_PARTITIONS) for offset in range(20)}
    assert [gone_back(offsets) for offsets in by_key(yard.runs).values()] == [1] * _KEYS * _PARTITIONS
    assert all(run.is_replay for run in yard.runs[first:])


@pytest.mark.parametrize("verb", ["undo", pytest.param("cancel", marks=_CHAOS)])
@pytest.mark.parametrize("moment", [_MOMENTS[1], pytest.param(_MOMENTS[0], marks=_CHAOS)])
def test_a_replay_is_ended_once_whenever_its_owner_dies(
    moment: str, verb: Ending, yards: Callable[..., Yard], tell: Callable[[str], None]
) -> None:
    """Nothing that was settled before it runs again then; undone, the dead letters that it made are gone too."""
    yard = yards()
    yard.write(40)
    yard.work_off()
    (yard.folder / "down").touch()
    yard.write(6)
    yard.work_off()
    letters = yard.letters
    member = yard.start()
    yard.say(yard.beginnings(0, rate=_PARTITIONS * 10.0))
    eventually(lambda: yard.left is not None and 0 < yard.left < 50 and yard.letters > letters, within_s=60)
    yard.stop(member)
    asked = yard.endings(verb)
    yard.say([*asked, *asked])
    codes = [yard.start(moment).wait(60) for _ in range(2)]
    (yard.folder / "down").unlink()
    during, before = yard.letters, len(yard.runs)
    member = yard.start()
    yard.say(asked[::-1])
    expected = {"undo": "undone", "cancel": "cancelled"}[verb]
    eventually(lambda: yard.turns["gone"] >= 2 * len(asked), within_s=60, every_s=0.5)
    yard.rests()
    after = len(yard.runs)
    yard.write(2)
    eventually(lambda: len(yard.runs) == after + 2 * _PARTITIONS, within_s=60)
    yard.stop(member)
    tell(f"{moment}, {verb}: letters {letters}, {during}, {yard.letters}; {dict(yard.turns)}")

    assert codes == [EXIT, EXIT]
    assert yard.turns[expected] >= len(asked)
    assert after == before
    assert letters < during
    assert yard.letters == (letters if verb == "undo" else during)


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=_CHAOS) for seed in (2, 3, 4))])
def test_members_die_while_a_group_goes_back(
    seed: int, yards: Callable[..., Yard], tell: Callable[[str], None], injected: Injected
) -> None:
    """Killed again and again, while some records wait for their second attempt: each key in order, and all of it."""
    yard, rng, kills = yards(fails_every=7, pause_s=0.05), random.Random(seeded(seed)), 4
    yard.write(_MANY)
    yard.work_off(times=2)
    first = len(yard.runs)
    members = [yard.start() for _ in range(2)]
    yard.say(yard.beginnings(rng.randrange(40)))
    cut = 0
    for _ in range(kills):
        eventually(lambda: any(map(yard.in_flight, members)), within_s=60, every_s=0.05)
        time.sleep(rng.uniform(0.0, 0.3))
        victim = max(range(len(members)), key=lambda at: yard.in_flight(members[at]))
        members[victim].kill()
        members[victim].wait(10)
        cut += yard.in_flight(members[victim])
        members[victim] = yard.start()
    eventually(lambda: yard.left == 0, within_s=120, every_s=0.5)
    yard.rests()
    for member in members:
        yard.stop(member)
    backs = {key: gone_back(offsets) for key, offsets in by_key(yard.runs).items()}
    again = Counter((run.key[0], run.offset) for run in yard.runs[first:])
    with Admin(yard.settings) as admin:
        starts = {one.partition: one.replay.start for one in courses(admin, yard.group)}
    injected(36, times=kills, members=kills, in_flight=cut)
    tell(f"seed {seed}: {first} runs, then {again.total()} in a replay with {kills} kills; {dict(yard.turns)}")

    assert starts.keys() == {Partition(yard.topic, number) for number in range(_PARTITIONS)}
    assert {place for place in again if place[1] < starts[Partition(yard.topic, place[0])]} == set()
    assert all(
        again[number, offset] >= 1
        for number in range(_PARTITIONS)
        for offset in range(starts[Partition(yard.topic, number)], _MANY)
    )
    assert all(1 <= times <= 1 + kills for times in backs.values())


def test_the_journal_shows_a_key_that_left_something_out() -> None:
    """The control: a younger record before an older one, though that comes later; going back is no such thing."""
    assert gone_back([0, 5, 10, 15]) == 0
    assert gone_back([0, 5, 10, 5, 10, 15]) == 1
    with pytest.raises(AssertionError, match="10 ran after 0"):
        gone_back([0, 10, 5, 15])
