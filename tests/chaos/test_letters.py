"""Operators' commands are carried out once, whatever moment the owner of the partition dies at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from streams.config import Settings
from streams.deadletter.act import act, commands
from streams.deadletter.edit import Amendment, askings, first_of, keep
from streams.deadletter.letter import Filter
from streams.deadletter.read import each, letter_topics
from streams.engine.command import Command, Verb, control_topic
from streams.engine.desk import Who, prepare
from streams.kafka.admin import Admin
from streams.kafka.witness import ends_of, messages_of
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.chaos.crew import ROOT
from tests.chaos.failpoints import EXIT, VARIABLE
from tests.cli.shell import Shell
from tests.waiting import eventually

_CHAOS = pytest.mark.chaos
_PARTITIONS = 2
_RECORDS = 12


class Ward:
    """A group with dead letters, and the processes that are its members."""

    def __init__(self, kafka: Kafka, topic: str, group: str, folder: Path, dead_letters: str) -> None:
        self.kafka, self.topic, self.group, self.folder = kafka, topic, group, folder
        self.settings = Settings(group=group, bootstrap=kafka.bootstrap)
        self.streams = Shell(kafka.bootstrap)
        self._environment = os.environ | {
            "CHAOS_TOPIC": topic,
            "CHAOS_GROUP": group,
            "CHAOS_JOURNAL": str(folder),
            "CHAOS_DEAD_LETTERS": dead_letters,
            "STREAMS_BOOTSTRAP": kafka.bootstrap,
            "STREAMS_SESSION_TIMEOUT_S": "6",
            "STREAMS_COMMIT_EVERY_S": "0.2",
        }
        self._log = (folder / "log").open("ab")
        self.members: list[subprocess.Popen[bytes]] = []

    def start(self, failpoint: str | None = None) -> subprocess.Popen[bytes]:
        """Start a member; with *failpoint* it ends there."""
        chosen = {} if failpoint is None else {VARIABLE: failpoint}
        line = [sys.executable, "-m", "streams", "run", "tests.chaos.letters_app:app"]
        self.members.append(
            subprocess.Popen(line, env=self._environment | chosen, cwd=ROOT, stdout=self._log, stderr=self._log)
        )
        return self.members[-1]

    def stop(self, member: subprocess.Popen[bytes]) -> None:
        """Tell a member to stop, and wait until it has."""
        member.terminate()
        assert member.wait(60) == 0, (self.folder / "log").read_text()[-4_000:]

    def mend(self) -> None:
        """The service is there from now on."""
        (self.folder / "up").touch()

    @property
    def served(self) -> list[tuple[str, int, int]]:
        """What was served, in the order of its time: key, partition, offset."""
        return [one[:3] for one in self.payloads]

    @property
    def payloads(self) -> list[tuple[str, int, int, str]]:
        """The same, with the value that the handler got."""
        with suppress(FileNotFoundError):
            lines = (self.folder / "served").read_text().splitlines()
            return [(key, int(number), int(offset), value) for key, number, offset, value in map(str.split, lines)]
        return []

    @property
    def letters(self) -> int:
        """Dead letters that the group has."""
        with Admin(self.settings) as admin:
            return sum(1 for _ in each(admin, letter_topics(admin, group=self.group), Filter()))

    @property
    def fates(self) -> Counter[str]:
        """What the audit says became of letters."""
        answers: list[dict[str, Any]] = self.streams(f"audit {self.group} --limit 1000 --json").json["answers"]
        return Counter(one["fate"] for one in chain.from_iterable(answer["letters"] for answer in answers))

    @property
    def is_at_rest(self) -> bool:
        """Nothing of the group waits, and all it has read is committed."""
        (row,) = [one for one in self.streams("status --json").json["groups"] if one["group"] == self.group]
        return not (row["outstanding"] or row["waiting"] or row["parked"])

    def wanted(self, verb: Verb) -> list[Command]:
        """Commands for every letter, two a command."""
        with Admin(self.settings) as admin:
            prepare(admin, self.group)
            letters = each(admin, letter_topics(admin, group=self.group), Filter())
            return list(commands(letters, verb, Who("test", "chaos"), most=2))

    def edits(self) -> list[Command]:
        """A command for every letter that gives it a value of its own; what it was is kept."""
        with Admin(self.settings) as admin:
            prepare(admin, self.group)
            found = list(each(admin, letter_topics(admin, group=self.group), Filter()))
            edits = [Amendment.of(one, _mended(one.source.number, one.header.offset), Who("test")) for one in found]
            for edit in edits:
                keep(admin, edit.kept)
            return [edit.command for edit in edits]

    def originals(self, asked: Sequence[Command]) -> set[bytes | None]:
        """What the audit keeps of the records that were edited."""
        with Admin(self.settings) as admin:
            kept = [
                first_of(askings(admin, self.group, Partition(one.topic, one.partition), one.letters[0].origin), None)
                for one in asked
            ]
        return {None if one is None else one.value for one in kept}

    def say(self, asked: Sequence[Command]) -> None:
        """Put commands to the group, and wait for nothing."""
        with Admin(self.settings) as admin:
            act(admin, self.group, asked)

    def end(self) -> None:
        """End what still runs."""
        for member in self.members:
            if member.poll() is None:
                member.kill()
                member.wait(10)
        self._log.close()


@pytest.fixture
def wards(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Callable[[str], Ward]]:
    """Give a ward in which everything has died once; its members end with the test."""
    made: list[Ward] = []

    def open_ward(dead_letters: str) -> Ward:
        ward = Ward(kafka, topic(partitions=_PARTITIONS), group("letters"), tmp_path, dead_letters)
        made.append(ward)
        for at in range(_RECORDS):
            kafka.write(ward.topic, b"{}", f"key-{at % 4}".encode())
        member = ward.start()
        dead = _RECORDS if dead_letters == "continue" else 4
        eventually(lambda: ward.letters == dead, within_s=60, every_s=0.5)
        ward.stop(member)
        return ward

    yield open_ward
    for ward in made:
        ward.end()


_MOMENTS = ["after-copy", "copied-before-commit", "answer-on-its-way", "answered-before-commit"]


@pytest.mark.parametrize(
    ("moment", "dead_letters"),
    [
        ("after-copy", "continue"),
        ("answered-before-commit", "continue"),
        *(pytest.param(moment, "continue", marks=_CHAOS) for moment in _MOMENTS[1:3]),
        *(pytest.param(moment, "hold", marks=_CHAOS) for moment in _MOMENTS),
    ],
)
def test_letters_are_retried_once_whenever_their_owner_dies(
    moment: str, dead_letters: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice; each command comes twice, and once more in another order: nothing lost or doubled."""
    ward = wards(dead_letters)
    ward.mend()
    asked = ward.wanted("retry")
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    before = Counter(ward.served)
    member = ward.start()
    ward.say(asked[::-1])
    expected = 3 * sum(len(one.letters) for one in asked)
    eventually(lambda: ward.fates.total() >= expected and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    served = Counter(ward.served)
    tell(f"{moment}, {dead_letters}: {len(asked)} commands three times, served {served.total()}, {dict(ward.fates)}")

    assert codes == [EXIT, EXIT]
    assert len(served) == _RECORDS
    assert all(times <= 1 + len(codes) for times in served.values())  # what ran when it died, or was not committed
    assert all(served[one] <= before[one] + 1 for one in served)
    assert ward.letters == 0
    for key in {one[0] for one in served}:
        firsts = list(dict.fromkeys(offset for one, _, offset in ward.served if one == key))
        assert firsts == sorted(firsts)


@pytest.mark.parametrize(
    ("moment", "dead_letters"),
    [
        ("after-copy", "continue"),
        *(pytest.param(moment, "continue", marks=_CHAOS) for moment in ("copy-on-its-way", *_MOMENTS[1:])),
        *(pytest.param(moment, "hold", marks=_CHAOS) for moment in ("copy-on-its-way", *_MOMENTS)),
    ],
)
def test_letters_are_edited_once_whenever_their_owner_dies(
    moment: str, dead_letters: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice, and each command comes three times: all run with their new value, none as it was."""
    ward = wards(dead_letters)
    ward.mend()
    asked = ward.edits()
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    before = Counter(ward.served)
    member = ward.start()
    ward.say(asked[::-1])
    eventually(lambda: ward.fates.total() >= 3 * len(asked) and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    served = Counter(ward.served)
    tell(f"{moment}, edit, {dead_letters}: {len(asked)} edits, served {served.total()}, {dict(ward.fates)}")
    edited = {(one.partition, one.letters[0].origin) for one in asked}

    assert codes == [EXIT, EXIT]
    assert len(served) == _RECORDS
    assert all(served[one] <= before[one] + 1 for one in served)
    assert {value for _, *place, value in ward.payloads if tuple(place) not in edited} <= {"{}"}
    assert all(
        value == _mended(number, offset).decode()
        for _, number, offset, value in ward.payloads
        if (number, offset) in edited
    )
    assert ward.letters == 0
    assert ward.originals(asked) == {b"{}"}
    for key in {one[0] for one in served}:
        firsts = list(dict.fromkeys(offset for one, _, offset in ward.served if one == key))
        assert firsts == sorted(firsts)


def _mended(number: int, offset: int) -> bytes:
    return b'{"mended":[%d,%d]}' % (number, offset)


@pytest.mark.parametrize("moment", ["answer-on-its-way", "answered-before-commit"])
@_CHAOS
def test_letters_are_forgotten_whenever_their_owner_dies(
    moment: str, wards: Callable[[str], Ward], tell: Callable[[str], None]
) -> None:
    """Dead at that moment, twice, and each command comes twice: none of them ever runs, and none is left."""
    ward = wards("continue")
    ward.mend()
    asked = ward.wanted("forget")
    ward.say([*asked, *asked])
    codes = [ward.start(moment).wait(60) for _ in range(2)]
    member = ward.start()
    expected = 2 * sum(len(one.letters) for one in asked)
    eventually(lambda: ward.fates.total() >= expected and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    tell(f"{moment}, forget: {len(asked)} commands twice, {dict(ward.fates)}")

    assert codes == [EXIT, EXIT]
    assert ward.served == []
    assert ward.letters == 0
    assert len(list(messages_of(ward.kafka.client(), control_topic(ward.group)))) == 2 * len(asked)


def test_the_journal_shows_a_record_that_runs_twice(wards: Callable[[str], Ward]) -> None:
    """The control: a letter that is asked for again after it has died again is served, and so is what came before."""
    ward = wards("continue")
    first = ward.wanted("retry")
    ward.say(first)
    member = ward.start()
    eventually(lambda: ward.fates["retried"] == _RECORDS and ward.letters == _RECORDS, within_s=60, every_s=0.5)
    ward.mend()
    ward.say(ward.wanted("retry"))
    eventually(lambda: ward.fates["retried"] == 2 * _RECORDS and ward.is_at_rest, within_s=60, every_s=0.5)
    ward.stop(member)
    late = ends_of(ward.kafka.client(), control_topic(ward.group))

    assert sum(late.values()) == 2 * len(first)
    assert len(ward.served) == _RECORDS
