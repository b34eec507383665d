"""Bringing the topics of a source and its groups into being, and into shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from streams.cli.connect import is_app, load_app
from streams.engine.topics import ChainTopic, all_faults, chain_topics, config_differences, missing
from streams.errors import TopicError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic, Topic
from streams.kafka.topics import add_partitions, create_topics, find_topics, require_topics, set_config

_TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
_GROUP_NAME = re.compile(r"[A-Za-z0-9._-]{1,120}")


@dataclass(frozen=True)
class Scope:
    """Which source topics a command is about, and which groups read them."""

    sources: Sequence[str]
    groups: Sequence[str]

    @classmethod
    def of(cls, name: str | None, groups: Sequence[str], app: str | None) -> Scope:
        """Read the command line: a topic, its groups, or an app that names both.

        Raises:
            UsageError: A name can't be one, or nothing is named.
        """
        sources = [] if name is None else [name]
        named = list(groups)
        if app is not None:
            loaded = load_app(app)
            sources += [topic for topic in loaded.routes if topic not in sources]
            named += [loaded.group] if loaded.group not in named else []
        if not sources:
            raise UsageError("name a topic, or an app with --app module:app")
        _check_names("topic", sources, _TOPIC_NAME)
        _check_names("group", named, _GROUP_NAME)
        return cls(sources, named)

    @classmethod
    def named(cls, name: str, groups: Sequence[str]) -> Scope:
        """Read one argument that is either ``module:app`` or a topic."""
        return cls.of(None, groups, name) if is_app(name) else cls.of(name, groups, None)

    def chain(self, sources: Mapping[str, Topic]) -> list[ChainTopic]:
        """Give every topic of the chain that the groups need beside *sources*."""
        return [topic for name in self.sources for group in self.groups for topic in chain_topics(sources[name], group)]


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
    wanted = scope.chain(require_topics(admin, scope.sources, with_config=True)) if scope.groups else []
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
    wanted = scope.chain(sources)
    existing = find_topics(admin, [topic.name for topic in wanted])
    return [*new, *(topic.as_new() for topic in missing(existing, wanted))]


def mend(admin: Admin, wanted: Sequence[ChainTopic]) -> list[str]:
    """Make, widen and set what differs from *wanted*, and say what was done."""
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


def _check_names(kind: str, names: Iterable[str], pattern: re.Pattern[str]) -> None:
    for name in names:
        if not pattern.fullmatch(name):
            raise UsageError(f"{kind} {name!r}: a name has letters, digits, dots, dashes and underscores, nothing else")
