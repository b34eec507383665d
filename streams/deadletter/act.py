"""Acting on dead letters: what an operator wants is put to the group, whose members do it, and their answers are heard.

Nothing here touches a dead letter: the owner of its partition alone may, and
does in its own time.  A command that nobody has carried out yet waits in the
control topic, also while no member runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple
from uuid import uuid4

from streams.deadletter.letter import Letter
from streams.engine.command import (
    MOST_LETTERS,
    Answer,
    Command,
    Verb,
    Wanted,
    audit_topic,
    control_topic,
    read_answer,
)
from streams.engine.directive import Directive, read_directive
from streams.errors import BrokerError, LedgerError
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.offsets import ends, watermarks
from streams.kafka.reader import Stretch, read
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.tail import Tail
from streams.kafka.topics import await_topics, create_topics, find_topics
from streams.record import Partition

_DAY_MS: Final = 86_400_000
_CONTROL: Final = {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)}
"""What nobody has carried out within a week is not wanted any more."""
_AUDIT: Final = {"cleanup.policy": "delete", "retention.ms": str(365 * _DAY_MS)}
_SENT_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.05
_AT_ONCE: Final = 1_000


class Who(NamedTuple):
    """Who wants it, and why; it stands in the audit."""

    name: str
    reason: str = ""


@dataclass
class Outcome:
    """What has become of the letters that were named."""

    asked: int = 0
    """Letters named in commands that the broker has."""
    fates: Counter[str] = field(default_factory=Counter)
    """Of how many what became."""

    @property
    def missing(self) -> int:
        """Letters of which nothing has been heard yet."""
        return self.asked - self.fates.total()


def prepare(admin: Admin, group: str) -> None:
    """Make the group's control and audit topics, where they are missing.

    Raises:
        TopicError: This user may not.
    """
    wanted = [NewTopic(control_topic(group), 1, -1, _CONTROL), NewTopic(audit_topic(group), 1, -1, _AUDIT)]
    there = find_topics(admin, [topic.name for topic in wanted])
    create_topics(admin, [topic for topic in wanted if topic.name not in there], may_exist=True)


def commands(letters: Iterable[Letter], verb: Verb, who: Who, *, most: int = MOST_LETTERS) -> Iterator[Command]:
    """Put *letters* into commands, each of one partition and at most so many; memory is bounded by both."""
    waiting: dict[tuple[str, str, int], list[Wanted]] = {}
    for letter in letters:
        header = letter.header
        place = header.topic, header.topic_id, header.partition
        mine = waiting.setdefault(place, [])
        mine.append(Wanted(header.offset, header.redrives, letter.offset))
        if len(mine) >= most:
            yield _command(place, waiting.pop(place), verb, who)
    for place, mine in waiting.items():
        yield _command(place, mine, verb, who)


def act(
    admin: Admin,
    group: str,
    asked: Iterable[Command],
    *,
    rate: float | None = None,
    wait_s: float = 0.0,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Put *asked* to *group*, and hear what became of it.

    Args:
        admin: The connection.
        group: Which group; `prepare` was called for it.
        asked: The commands, in their order.
        rate: Letters a second at most; None: as fast as it goes.
        wait_s: How long to wait for answers after the last command; it begins anew with each answer.
        tell: Called now and then with how far it is.

    Raises:
        BrokerError: Commands could not be sent; those before them were.
    """
    desk = _Desk(admin, group, tell)
    try:
        for command in asked:
            desk.send(command)
            desk.pause(0 if rate is None else len(command.letters) / rate)
        desk.wait(wait_s)
    finally:
        desk.close()
    return desk.outcome


class _Desk:
    """Sends commands, and listens for their answers."""

    def __init__(self, admin: Admin, group: str, tell: Callable[[Outcome], None]) -> None:
        topic = await_topics(admin, [control_topic(group)])[control_topic(group)]
        place = Partition(audit_topic(group), 0)
        self.outcome = Outcome()
        self._tell = tell
        self._ids: dict[str, int] = {}
        self._tail = Tail(admin.settings, place)
        self._tail.begin(ends(admin, [place])[place])
        self._topic: Topic = topic
        self._sender = BulkSender(admin.settings, topic)

    def send(self, command: Command) -> None:
        """Have the broker take *command*."""
        number = len(self._ids)
        refused = self._sender.send(number, command.key, command.pack())
        if refused or self._sender.finish(_SENT_WITHIN_S) or self._sender.failed:
            reason = refused or next((one.reason for one in self._sender.failed), "no answer")
            raise BrokerError(
                f"the command was not taken by {self._topic.name}: {reason}. Those before it were, of"
                f" {self.outcome.asked:,} dead letter(s)"
            )
        self._ids[command.id] = len(command.letters)
        self.outcome.asked += len(command.letters)
        self._listen()

    def pause(self, seconds: float) -> None:
        """Let time pass, and listen."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_EVERY_S))
            self._listen()

    def wait(self, seconds: float) -> None:
        """Listen until everything is answered, or nothing has come for so long."""
        end = time.monotonic() + seconds
        while self.outcome.missing and time.monotonic() < end:
            time.sleep(_LOOK_EVERY_S)
            if self._listen():
                end = time.monotonic() + seconds

    def close(self) -> None:
        """Let go of the connections."""
        self._tail.close()

    def _listen(self) -> bool:
        """Take in answers; say whether there was one."""
        before = self.outcome.missing
        for message in self._tail.take(_AT_ONCE):
            answer = _answer(message.value())
            if answer is not None and self._ids.pop(answer.id, None) is not None:
                self.outcome.fates.update(fate for _, fate in answer.fates)
        self._tell(self.outcome)
        return self.outcome.missing < before


def answers(admin: Admin, group: str, limit: int) -> list[Answer | Directive]:
    """Give the last entries in the audit of *group*, at most *limit*, oldest first; none where it has no audit.

    Answers to commands, and directives as they were given.
    """
    place = Partition(audit_topic(group), 0)
    if place.topic not in find_topics(admin, [place.topic]):
        return []
    mark = watermarks(admin, [place])[place]
    start = max(mark.low, mark.high - limit)
    found = (_entry(message.value()) for message in read(admin.settings, {place: Stretch(start, mark.high)}))
    return list(islice((one for one in found if one is not None), limit))


def _entry(value: bytes | None) -> Answer | Directive | None:
    answer = _answer(value)
    if answer is not None:
        return answer
    try:
        return read_directive(value or b"")
    except LedgerError:
        return None


def _answer(value: bytes | None) -> Answer | None:
    try:
        return read_answer(value)
    except LedgerError:
        return None


def _command(place: tuple[str, str, int], letters: list[Wanted], verb: Verb, who: Who) -> Command:
    topic, topic_id, partition = place
    return Command(
        id=uuid4().hex,
        verb=verb,
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        letters=tuple(letters),
        who=who.name,
        why=who.reason,
        time_ms=int(time.time() * 1000),
    )
