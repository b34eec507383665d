"""The operators' side of commands: they are put to a group, and what its members answer is heard.

Nothing here touches what a group owns: the owner of a partition alone may, and
does in its own time.  A command that nobody has carried out yet waits in the
control topic, also while no member runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streams.engine.command import Answer, Command, audit_topic, control_topic, read_answer
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
_AT_ONCE: Final = 1_000


class Who(NamedTuple):
    """Who wants it, and why; it stands in the audit."""

    name: str
    reason: str = ""


def prepare(admin: Admin, group: str) -> None:
    """Make the group's control and audit topics, where they are missing.

    Raises:
        TopicError: This user may not.
    """
    wanted = [NewTopic(control_topic(group), 1, -1, _CONTROL), NewTopic(audit_topic(group), 1, -1, _AUDIT)]
    there = find_topics(admin, [topic.name for topic in wanted])
    create_topics(admin, [topic for topic in wanted if topic.name not in there], may_exist=True)


def write_down(admin: Admin, group: str, told: Sequence[Answer]) -> None:
    """Have the audit of *group*, for which `prepare` was called, keep *told*.

    Raises:
        BrokerError: It is not known that the broker has all of it.
    """
    topic = await_topics(admin, [audit_topic(group)])[audit_topic(group)]
    sender = BulkSender(admin.settings, topic)
    refused = [
        sender.send(number, f"{one.topic}/{one.partition}".encode(), one.pack()) for number, one in enumerate(told)
    ]
    failed = sender.finish(_SENT_WITHIN_S) or any(refused) or sender.failed
    if failed:
        reason = next(iter([*filter(None, refused), *(one.reason for one in sender.failed)]), "no answer")
        raise BrokerError(f"the audit, {topic.name}, did not take what was to be kept: {reason}. Nothing was changed")


class Desk:
    """Sends commands to one group, for which `prepare` was called, and listens for their answers."""

    def __init__(self, admin: Admin, group: str) -> None:
        """Listen from now on."""
        topic = await_topics(admin, [control_topic(group)])[control_topic(group)]
        place = Partition(audit_topic(group), 0)
        self.sent = 0
        """Commands that the broker has."""
        self._open: set[str] = set()
        self._tail = Tail(admin.settings, place)
        self._tail.begin(ends(admin, [place])[place])
        self._topic: Topic = topic
        self._sender = BulkSender(admin.settings, topic)

    @property
    def unanswered(self) -> int:
        """Commands of which nothing has been heard yet."""
        return len(self._open)

    def send(self, command: Command) -> None:
        """Have the broker take *command*.

        Raises:
            BrokerError: It is not known that the broker has it.
        """
        refused = self._sender.send(self.sent, command.key, command.pack())
        if refused or self._sender.finish(_SENT_WITHIN_S) or self._sender.failed:
            reason = refused or next((one.reason for one in self._sender.failed), "no answer")
            raise BrokerError(
                f"the command was not taken by {self._topic.name}: {reason}. Those before it were: {self.sent:,}"
            )
        self._open.add(command.id)
        self.sent += 1

    def hear(self) -> list[Answer]:
        """Give the answers to these commands that have come since the last call, the first to each."""
        found = [answer for message in self._tail.take(_AT_ONCE) if (answer := answer_in(message.value())) is not None]
        mine = []
        for answer in found:
            if answer.id in self._open:
                self._open.discard(answer.id)
                mine.append(answer)
        return mine

    def close(self) -> None:
        """Let go of the connections."""
        self._tail.close()


def answers(admin: Admin, group: str, limit: int | None = None) -> list[Answer | Directive]:
    """Give the last entries in the audit of *group*, at most *limit*, oldest first; none where it has no audit.

    Answers to commands, and directives as they were given.
    """
    place = Partition(audit_topic(group), 0)
    if place.topic not in find_topics(admin, [place.topic]):
        return []
    mark = watermarks(admin, [place])[place]
    start = mark.low if limit is None else max(mark.low, mark.high - limit)
    found = (read_entry(message.value()) for message in read(admin.settings, {place: Stretch(start, mark.high)}))
    return [one for one in found if one is not None]


def answer_in(value: bytes | None) -> Answer | None:
    """Read the answer in a record of the audit; None where it is something else."""
    try:
        return read_answer(value)
    except LedgerError:
        return None


def read_entry(value: bytes | None) -> Answer | Directive | None:
    """Read a record of the audit; None where it is nothing that this program knows."""
    answer = answer_in(value)
    if answer is not None:
        return answer
    try:
        return read_directive(value or b"")
    except LedgerError:
        return None
