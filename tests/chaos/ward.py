"""A group that operators act on, and the processes that are its members."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

from streams.config import Settings
from streams.deadletter.act import act, commands
from streams.deadletter.edit import Amendment, askings, first_of, keep
from streams.deadletter.letter import Filter
from streams.deadletter.read import each, letter_topics
from streams.engine.command import Command, Verb
from streams.engine.desk import Who, prepare
from streams.engine.standing import standing
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.observer import ChainKind
from streams.record import Partition
from tests.brokers import Kafka
from tests.chaos.crew import ROOT
from tests.chaos.failpoints import VARIABLE
from tests.cli.shell import Shell

_WAITING: Final[tuple[ChainKind, ...]] = ("tier", "parked")


class Ward:
    """A group with dead letters, and the processes that are its members."""

    app = "tests.chaos.letters_app:app"

    def __init__(self, kafka: Kafka, topic: str, group: str, folder: Path, **more: str) -> None:
        self.kafka, self.topic, self.group, self.folder = kafka, topic, group, folder
        self.settings = Settings(group=group, bootstrap=kafka.bootstrap)
        self.streams = Shell(kafka.bootstrap)
        self._environment = os.environ | {
            "CHAOS_TOPIC": topic,
            "CHAOS_GROUP": group,
            "CHAOS_JOURNAL": str(folder),
            "STREAMS_BOOTSTRAP": kafka.bootstrap,
            "STREAMS_SESSION_TIMEOUT_S": "6",
            "STREAMS_COMMIT_EVERY_S": "0.2",
        }
        self._environment |= more
        self._log = (folder / "log").open("ab")
        self.members: list[subprocess.Popen[bytes]] = []

    def start(self, failpoint: str | None = None) -> subprocess.Popen[bytes]:
        """Start a member; with *failpoint* it ends there."""
        chosen = {} if failpoint is None else {VARIABLE: failpoint}
        line = [sys.executable, "-m", "streams", "run", self.app]
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
        try:
            with Admin(self.settings) as admin:
                found = standing(admin, self.group)
        except BrokerError:  # one that has just begun
            return False
        waits = [found.in_chain(kind) or 0 for kind in _WAITING]
        return found.has_ledger and not (found.outstanding or any(waits))

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
            edits = [Amendment.of(one, mended(one.source.number, one.header.offset), Who("test")) for one in found]
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


def mended(number: int, offset: int) -> bytes:
    """The value that a record is to have."""
    return b'{"mended":[%d,%d]}' % (number, offset)
