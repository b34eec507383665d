"""Bringing the topics of a source and its groups into being, and into shape."""

from __future__ import annotations

from collections.abc import Sequence

from streams.cli.scope import Scope
from streams.engine.topics import ChainTopic, all_faults, config_differences, missing, name_faults
from streams.errors import TopicError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import add_partitions, create_topics, find_topics, list_topics, require_topics, set_config


def provision(admin: Admin, scope: Scope, shape: NewTopic | None) -> list[tuple[Topic, str]]:
    """Make the topics of *scope* that are missing, and say of each what was done; those that exist must be as wanted.

    Args:
        admin: The connection.
        scope: Sources and groups.
        shape: What a source is like, its name aside; None where they must exist already.

    Raises:
        TopicError: One exists in another shape, or the broker refuses; those before it are made.
    """
    results = _make_sources(admin, scope.sources, shape)
    wanted = chains(admin, scope) if scope.groups else []
    _require_nameable(wanted)
    there = find_topics(admin, [topic.name for topic in wanted], with_config=True)
    faults = all_faults(there, [topic for topic in wanted if topic.name in there])
    if faults:
        raise TopicError(wanted[0].name, "\n".join(faults))
    absent = missing(there, wanted)
    create_topics(admin, [topic.as_new() for topic in absent], may_exist=True)
    results |= dict.fromkeys(there, "exists, as wanted") | {topic.name: "made" for topic in absent}
    found = require_topics(admin, results)
    return [(found[name], result) for name, result in results.items()]


def planned(admin: Admin, scope: Scope, shape: NewTopic | None) -> list[NewTopic]:
    """Give what `provision` would make, without making it.

    Raises:
        TopicError: A source does not exist, and no shape is given.
    """
    there = find_topics(admin, scope.sources, with_config=True)
    new = [_source(name, shape) for name in scope.sources if name not in there]
    sources = there | {topic.name: _as_if_made(topic) for topic in new}
    existing = set(list_topics(admin))
    wanted = scope.chain(sources, existing, admin.settings.chain_retention_s)
    _require_nameable(wanted)
    return [*new, *(topic.as_new() for topic in wanted if topic.name not in existing)]


def chains(admin: Admin, scope: Scope) -> list[ChainTopic]:
    """Give every topic of the chains of *scope*, whose sources must exist.

    Raises:
        TopicError: A source does not exist.
    """
    sources = require_topics(admin, scope.sources, with_config=True)
    return scope.chain(sources, set(list_topics(admin)), admin.settings.chain_retention_s)


def mend(admin: Admin, wanted: Sequence[ChainTopic]) -> list[str]:
    """Make, widen and set what differs from *wanted*, and say what was done."""
    _require_nameable(wanted)
    there = find_topics(admin, [topic.name for topic in wanted], with_config=True)
    absent = missing(there, wanted)
    create_topics(admin, [topic.as_new() for topic in absent], may_exist=True)
    done = [f"made {topic.name}" for topic in absent]
    for topic in wanted:
        if topic.name in there:
            done += _reshape(admin, there[topic.name], topic)
    return done


def _reshape(admin: Admin, existing: Topic, wanted: ChainTopic) -> list[str]:
    done = []
    if existing.partitions < wanted.partitions:
        add_partitions(admin, wanted.name, wanted.partitions)
        done.append(f"widened {wanted.name} to {wanted.partitions} partitions")
    if config := config_differences(existing, wanted):
        set_config(admin, wanted.name, config)
        done += [f"set {name}={value} on {wanted.name}" for name, value in config.items()]
    return done


def _make_sources(admin: Admin, names: Sequence[str], shape: NewTopic | None) -> dict[str, str]:
    there = find_topics(admin, names, with_config=True)
    if shape is not None:
        differences = [text for topic in there.values() for text in _differences(topic, shape)]
        if differences:
            raise TopicError(next(iter(there)), "\n".join(differences))
    create_topics(admin, [_source(name, shape) for name in names if name not in there])
    exists = "exists" if shape is None else "exists, as wanted"
    return {name: exists if name in there else "made" for name in names}


def _source(name: str, shape: NewTopic | None) -> NewTopic:
    if shape is None:
        raise TopicError(
            name,
            f"topic {name!r} does not exist yet; say how many partitions it gets:"
            f" streams topics create {name} --partitions 6",
        )
    return NewTopic(name, shape.partitions, shape.replication, shape.config)


def _as_if_made(topic: NewTopic) -> Topic:
    return Topic(topic.name, "", topic.partitions, topic.replication, topic.config)


def _differences(topic: Topic, shape: NewTopic) -> list[str]:
    found = []
    if topic.partitions != shape.partitions:
        found.append(f"{topic.partitions} partition(s), not {shape.partitions}")
    if shape.replication not in {-1, topic.replication}:
        found.append(f"{topic.replication} replica(s), not {shape.replication}")
    found += [
        f"{name}={topic.config.get(name, '')}, not {value}"
        for name, value in shape.config.items()
        if topic.config.get(name) != value
    ]
    return [
        f"topic {topic.name!r} exists already and has {text}; it was left as it is."
        " Take another name, or ask for what it is."
        for text in found
    ]


def _require_nameable(wanted: Sequence[ChainTopic]) -> None:
    found = name_faults(wanted)
    if found:
        raise TopicError(wanted[0].name, "\n".join(found))
