"""Topics as the cluster has them: looked up, made, widened, set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Node, TopicCollection, TopicPartitionInfo
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its types do not mark them as public
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
    TopicDescription,
)
from confluent_kafka.cimpl import NewPartitions
from confluent_kafka.cimpl import NewTopic as ClientNewTopic

from streams.errors import BrokerError, TopicError
from streams.kafka import faults
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic, Topic

_LOOKING: Final = "looking up topics"
_NEWS_WITHIN_S: Final = 2.0
"""Brokers replicate what the controller decides; a loaded one is a second behind, rarely more."""


def list_topics(admin: Admin) -> list[str]:
    """Name every topic that this user may see; the cluster's own (`__consumer_offsets`) are left out."""
    admin.ask(partial(admin.client.describe_cluster, request_timeout=admin.timeout_s), "listing the topics")
    try:
        found = admin.client.list_topics(timeout=admin.timeout_s).topics
    except KafkaException as error:
        raise admin.fault(error, "listing the topics") from error
    return sorted(name for name in found if not name.startswith("__"))


def find_topics(admin: Admin, names: Iterable[str], *, with_config: bool = False) -> dict[str, Topic]:
    """Look up those of *names* that exist; the others are not in the answer.

    Args:
        admin: The connection.
        names: Topics.
        with_config: Their settings too; takes the right to describe them.
    """
    asked = sorted(set(names))
    if not asked:
        return {}
    wanted = TopicCollection(asked)
    answers = admin.ask_each(
        lambda: admin.client.describe_topics(wanted, request_timeout=admin.look_s), _LOOKING, is_try=True
    )
    found = {name: answer for name, answer in answers.items() if not _is_absent(answer)}
    for name, answer in found.items():
        if isinstance(answer, KafkaException):
            raise admin.fault(answer, _LOOKING, topic=name)
    configs = topic_configs(admin, found) if with_config else {}
    return {name: _topic(answer, configs.get(name, {})) for name, answer in found.items()}


def require_topics(admin: Admin, names: Iterable[str], *, with_config: bool = False) -> dict[str, Topic]:
    """Look up *names*, all of which must exist.

    Raises:
        TopicError: One does not, as far as any broker has heard; says how to make it.
    """
    asked = list(names)
    found = await_topics(admin, asked, with_config=with_config, within_s=news_within_s(admin))
    for name in asked:
        if name not in found:
            raise faults.unknown_topic(name, admin.settings)
    return found


def await_topics(
    admin: Admin, names: Iterable[str], *, with_config: bool = True, within_s: float | None = None
) -> dict[str, Topic]:
    """Look up *names*, some of which the broker that answers may not have heard of yet.

    Each answer may come from another broker, and one that knows less is asked
    again; what nobody knows in time is not in the answer.

    Args:
        admin: The connection.
        names: Topics that are there, or should be.
        with_config: Their settings too; takes the right to describe them.
        within_s: How long to ask; None: as long as any call may take.
    """
    asked = set(names)
    end = monotonic() + (admin.timeout_s if within_s is None else within_s)
    found: dict[str, Topic] = {}
    while True:
        found |= _known(admin, asked - set(found), with_config=with_config)
        if asked <= set(found) or monotonic() >= end:
            return found
        admin.client.poll(0.05)


def news_within_s(admin: Admin) -> float:
    """Give how long it may take until each broker has heard what one of them knows: for a single one no time."""
    cluster = admin.ask(
        lambda: admin.client.describe_cluster(request_timeout=admin.timeout_s), "asking who is in the cluster"
    )
    return _NEWS_WITHIN_S if len(cluster.nodes) > 1 else 0.0


def _known(admin: Admin, names: Iterable[str], *, with_config: bool) -> dict[str, Topic]:
    try:
        return find_topics(admin, names, with_config=with_config)
    except TopicError:  # known to the broker that described it, not to the one asked for its settings
        return {}


def topic_configs(admin: Admin, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Give every setting in force of topics that exist."""
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in sorted(set(names))]
    if not asked:
        return {}
    doing = "reading the settings of topics"
    answers = admin.ask_each(lambda: admin.client.describe_configs(asked, request_timeout=admin.timeout_s), doing)
    configs = {}
    for resource, answer in answers.items():
        if isinstance(answer, KafkaException):
            raise admin.fault(answer, doing, topic=resource.name)
        configs[resource.name] = {name: entry.value for name, entry in answer.items() if entry.value is not None}
    return configs


def create_topics(admin: Admin, wanted: Sequence[NewTopic], *, may_exist: bool = False) -> None:
    """Make topics; each can be written and read when this returns.

    Args:
        admin: The connection.
        wanted: What to make.
        may_exist: One that exists by now, of whatever shape, is no error: somebody else was making it too.

    Raises:
        TopicError: One exists already, or the broker refuses its name or a setting.
    """
    for topic in wanted:
        new = ClientNewTopic(topic.name, topic.partitions, topic.replication, config=dict(topic.config))
        try:
            _change(admin, topic.name, "making", partial(admin.client.create_topics, [new]))
        except TopicError as error:
            if not (may_exist and _answers(error, KafkaError.TOPIC_ALREADY_EXISTS)):
                raise
    _await_leaders(admin, dict.fromkeys((topic.name for topic in wanted), 1))


def add_partitions(admin: Admin, name: str, total: int, *, may_be_wide: bool = False) -> None:
    """Widen topic *name* to *total* partitions; each can be written and read when this returns.

    Args:
        admin: The connection.
        name: Which.
        total: Partitions it is to have.
        may_be_wide: One that has as many by now, or more, is no error: somebody else was widening it too.

    Raises:
        TopicError: The broker refuses.
    """
    try:
        _change(admin, name, "widening", partial(admin.client.create_partitions, [NewPartitions(name, total)]))
    except TopicError as error:
        if not (may_be_wide and _answers(error, KafkaError.INVALID_PARTITIONS)):
            raise
    _await_leaders(admin, {name: total})


def delete_topics(admin: Admin, names: Iterable[str]) -> None:
    """Remove topics with all their records.

    Raises:
        TopicError: One does not exist, or the broker refuses.
    """
    for name in names:
        _change(admin, name, "removing", partial(admin.client.delete_topics, [name]))


def set_config(admin: Admin, name: str, config: Mapping[str, str]) -> None:
    """Change settings of topic *name*; those not named stay.  They are in force when this returns, or soon after.

    Raises:
        TopicError: The broker refuses.
    """
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    _change(admin, name, "setting", partial(admin.client.incremental_alter_configs, [resource]))
    end = monotonic() + admin.timeout_s
    while not config.items() <= topic_configs(admin, [name])[name].items() and monotonic() < end:
        admin.client.poll(0.05)  # the broker that answers may hear of it a moment after the controller


def _change(admin: Admin, name: str, verb: str, change: Callable[..., Mapping[Any, Future[Any]]]) -> None:
    doing = f"{verb} topic {name!r}"
    try:
        admin.answer(lambda: next(iter(change(request_timeout=admin.timeout_s).values())), doing)
    except KafkaException as error:
        inner = faults.client_error(error)
        if inner is not None and inner.code() in _REFUSALS:
            raise TopicError(name, f"{admin.settings.bootstrap} refuses, while {doing}: {inner.str()}") from error
        raise admin.fault(error, doing, topic=name) from error


def _answers(error: TopicError, code: int) -> bool:
    cause = None if error.__cause__ is None else faults.client_error(error.__cause__)
    return cause is not None and cause.code() == code


def _await_leaders(admin: Admin, widths: Mapping[str, int]) -> None:
    """Wait until each topic has that many partitions at least, and all of them have a leader."""
    end = monotonic() + admin.timeout_s
    while True:
        found = find_topics(admin, widths)
        waiting = [name for name, width in widths.items() if name not in found or not _is_ready(found[name], width)]
        if not waiting:
            return
        if monotonic() > end:
            raise BrokerError(
                f"made, but not usable after {admin.timeout_s:g} s: {', '.join(waiting)}. Some partitions have no"
                f" leader yet; look again with: streams topics describe {waiting[0]}",
            )
        admin.client.poll(0.05)


def _is_ready(topic: Topic, width: int) -> bool:
    return topic.partitions >= width and not topic.offline


def _is_absent(answer: object) -> bool:
    error = faults.client_error(answer) if isinstance(answer, KafkaException) else None
    return error is not None and faults.is_unknown_topic(error)


def _has_leader(part: TopicPartitionInfo) -> bool:
    leader: Node | None = part.leader  # None where nobody leads, whatever the client's types say
    return leader is not None and leader.id >= 0


def _topic(described: TopicDescription, config: Mapping[str, str]) -> Topic:
    parts = described.partitions
    return Topic(
        name=described.name,
        topic_id=str(described.topic_id),
        partitions=len(parts),
        replication=min((len(part.replicas) for part in parts), default=0),
        config=config,
        is_internal=described.is_internal,
        offline=tuple(part.id for part in parts if not _has_leader(part)),
    )


_REFUSALS: Final = frozenset(
    {
        KafkaError.TOPIC_ALREADY_EXISTS,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_REQUEST,
        KafkaError.POLICY_VIOLATION,
    },
)
"""What the broker holds against the topic itself; its text says what."""
