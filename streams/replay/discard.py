"""Removing a shadow group with all that it made, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import Final

from streams.engine.shadow import shadow_topic
from streams.engine.topics import chain_names
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.groups import delete_group, describe_group, require_stopped
from streams.kafka.topics import delete_topics, find_topics, list_topics
from streams.replay.shadow import Definition, Discarded, internal_topics, look_up, note

_AGAIN_S: Final = 0.05


@dataclass(frozen=True)
class Remains:
    """What a shadow group has in the cluster."""

    definition: Definition
    topics: tuple[str, ...]
    """Its own: its chain's, those it made to send to, those of any group."""
    foreign: tuple[str, ...]
    """They begin with its prefix, and it did not make them: they stay."""


def remains(admin: Admin, group: str) -> Remains:
    """Say what removing the shadow group *group* would remove.

    Raises:
        BrokerError: It is no shadow group, by what the broker has; or it has members.
    """
    register = look_up(admin, group)
    if register is None:
        raise BrokerError(
            f"group {group!r} is no shadow group: topic {shadow_topic(group)}, which would say so, is not there or"
            f" says nothing. Nothing was changed"
        )
    require_stopped(describe_group(admin, group))
    definition, existing = register.definition, set(list_topics(admin))
    chain = chain_names(existing | set(definition.topics), group)
    outputs = find_topics(admin, register.made)
    own = [name for name, topic in outputs.items() if topic.topic_id == register.made[name]]
    chained = [name for name, (source, _) in chain.items() if source in definition.topics]
    topics = {*own, *chained, *(name for name in internal_topics(group) if name in existing)}
    foreign = {name for name in existing if name.startswith(definition.prefix)} - topics
    return Remains(definition, tuple(sorted(topics)), tuple(sorted(foreign)))


def discard(admin: Admin, found: Remains) -> None:
    """Remove what was *found*; what is broken off may be begun again.

    Raises:
        BrokerError: It has members by now, or the broker refuses.
    """
    group = found.definition.group
    note(admin, group, Discarded())  # from now on no member starts
    delete_group(admin, group)
    there = find_topics(admin, found.topics)
    delete_topics(admin, [name for name in found.topics if name in there])
    register = shadow_topic(group)
    delete_topics(admin, [register])  # last: until then it says what is left to do
    end = monotonic() + admin.timeout_s
    while find_topics(admin, [register]) and monotonic() < end:
        admin.client.poll(_AGAIN_S)  # the broker that answers may hear of it a moment after the controller
