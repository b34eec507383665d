"""A member of the group that owns nothing, and commits what another one had: a former owner's request, arriving late.

The broker takes a commit of whoever is a member, for any partition.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from streams.config import Settings
from streams.kafka.admin import Admin
from streams.kafka.commits import Entry
from streams.kafka.consumer import GroupConsumer
from streams.kafka.protocol import resolve_protocol
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics
from streams.record import Partition

_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.1


class Stranger:
    """Joins the group of *settings* for a topic of its own; owned by one thread.

    Always true: it is assigned no partition of anybody else's topic.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        """Make *topic*, if it is not there, and join."""
        with Admin(settings) as admin:
            create_topics(admin, [NewTopic(topic, 1)], may_exist=True)
        self.has_joined = False
        self._consumer = GroupConsumer(settings, resolve_protocol(settings)[0], on_commit=lambda _: None)
        self._consumer.subscribe([topic], self)

    def __enter__(self) -> Self:
        """Give itself; it leaves the group in the end."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the group."""
        self._consumer.close(_WITHIN_S)

    def turn(self) -> bool:
        """Do what a member has to do now and then; say whether it is one."""
        self._consumer.poll(1, _POLL_S)
        return self.has_joined

    def commit(self, entries: Sequence[Entry]) -> str:
        """Commit *entries* as a member; say why it could not, or ""."""
        give_up = time.monotonic() + _WITHIN_S
        while (answer := self._consumer.commit_now(entries)).code is not None:
            if time.monotonic() > give_up:
                return f"the commit was refused: {answer.error}"
            self.turn()  # the group was about to change
        return ""

    def granted(self, partitions: list[Partition]) -> None:
        """Take what nobody else wants."""
        self.has_joined = True
        self._consumer.assign(dict.fromkeys(partitions, 0))

    def revoked(self, partitions: list[Partition]) -> None:
        """Give it back."""
        self._consumer.unassign(partitions)

    def lost(self, partitions: list[Partition]) -> None:
        """Give it back, too."""
        self.revoked(partitions)
