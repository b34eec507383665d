"""Where a shadow group sends to: topics of its own beside those of the live one, made where they are missing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from streams.config import Settings
from streams.errors import RightsError, TopicError, UsageError
from streams.kafka.admin import START_WITHIN_S, Admin
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import await_topics, create_topics, find_topics
from streams.replay.shadow import Definition, Made, note

_NAME_LIMIT: Final = 249
_COPIED: Final = ("cleanup.policy", "max.message.bytes", "min.insync.replicas", "message.timestamp.type")
"""Settings that an output has from the topic it stands beside."""


class Outputs:
    """The topics that one member of a shadow group sends to.

    Called by any thread.

    Always true: a topic is given only once it exists; one that was made here is noted as the shadow's.
    """

    def __init__(self, settings: Settings, definition: Definition) -> None:
        """Send beside what the live group of *definition* sends."""
        self._settings = settings
        self._definition = definition
        self._names: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, topic: str) -> str:
        """Give the topic that is sent to in place of *topic*; at its first record it is looked up, or made.

        Raises:
            UsageError: No topic can have its name.
            BrokerError: It can't be made.
        """
        return self._names.get(topic) or self._provide(topic)

    def prepare(self, topics: Iterable[str]) -> None:
        """Provide for *topics* now.

        Raises:
            TopicError: Some are missing and can't be made; names all of them.
        """
        faults: list[str] = []
        for topic in topics:
            try:
                self(topic)
            except (TopicError, UsageError) as error:
                faults.append(str(error))
        if faults:
            raise TopicError(self._definition.prefix, "\n".join(faults))

    def _provide(self, topic: str) -> str:
        name = self._definition.prefix + topic
        if len(name) > _NAME_LIMIT:
            raise UsageError(f"{name!r} is longer than a topic's name can be: take a shorter --prefix")
        with self._lock, Admin(self._settings, timeout_s=START_WITHIN_S) as admin:
            if topic not in self._names:
                there = find_topics(admin, [name, topic], with_config=True)
                if name not in there:
                    self._make(admin, _beside(name, there.get(topic)))
                self._names[topic] = name
        return name

    def _make(self, admin: Admin, wanted: NewTopic) -> None:
        try:
            create_topics(admin, [wanted])
        except TopicError as error:
            if wanted.name in find_topics(admin, [wanted.name]):
                return  # another member was quicker
            raise _plea(wanted.name, str(error)) from error
        except RightsError as error:
            raise _plea(wanted.name, str(error)) from error
        found = await_topics(admin, [wanted.name], with_config=False)[wanted.name]
        note(admin, self._definition.group, Made(topic=wanted.name, topic_id=found.topic_id))


def _beside(name: str, live: Topic | None) -> NewTopic:
    """Shape an output as the topic it stands beside, so that its keys are where they are there."""
    if live is None:
        return NewTopic(name, -1)
    config = {key: live.config[key] for key in _COPIED if key in live.config}
    return NewTopic(name, live.partitions, live.replication, config)


def _plea(name: str, why: str) -> TopicError:
    return TopicError(
        name, f"topic {name}, which the shadow group sends to, is missing and can't be made: {why} Have it made."
    )
