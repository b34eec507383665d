"""Which topics a group needs beside a source topic, and what is wrong with those that are there.

Sans I/O: what exists is handed in.  `topics create` makes them, `topics check`
and a member's start compare them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams.engine.chain import delay_of, dlq_topic, parked_topic, retry_topic
from streams.engine.policy import DEFAULT_POLICY, OrderPolicy
from streams.kafka.shape import NewTopic, Topic
from streams.observer import ChainKind
from streams.retry import label

HEADROOM_BYTES: Final = 64 * 1024
"""What a copy may be larger than its source record: the headers that tell where it came from and why."""

_DLQ: Final = ".dlq"
_PARKED: Final = ".parked"
_NAME_LIMIT: Final = 249
_DEFAULT_MAX_BYTES: Final = 1_048_588
_IN_SYNC: Final = "min.insync.replicas"
_RETENTION: Final = "retention.ms"
_AT_LEAST: Final = frozenset({"max.message.bytes", _IN_SYNC, _RETENTION})
_APPENDED: Final = "message.timestamp.type"
_FOR_EVER: Final = "-1"
_TIER_DELAYS: Final = 4
"""A tier keeps what is in it for as many of its delays at least: what ages is moved only once it is due."""


@dataclass(frozen=True, slots=True)
class ChainTopic:
    """A topic of the chain as it has to be."""

    name: str
    source: str
    group: str
    partitions: int
    """As many as the source: a record keeps its partition's number."""
    replication: int
    """As many as the source: a copy is worth as much as its record."""
    config: Mapping[str, str]
    options: str
    """What says on the command line which topics this chain has."""
    is_old: bool = False
    """An earlier policy made it, and the present one does not name it: it is emptied and not written."""

    def as_new(self) -> NewTopic:
        """Give what to make."""
        return NewTopic(self.name, self.partitions, self.replication, self.config)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a group has beside one source, as a member finds it at its start.

    Always true: every topic of it exists, with the source's partitions and the settings it needs.
    """

    topic_id: str
    """Of the source."""
    tiers: tuple[float, ...]
    """Delays of the tiers that are written, in seconds, ascending."""
    old_tiers: tuple[float, ...]
    """Delays of tiers that an earlier policy left: emptied, never written."""
    has_parked: bool
    """There is a parked topic: the policy's, or one that an earlier policy left."""


def chain_topics(
    source: Topic,
    group: str,
    policy: OrderPolicy = DEFAULT_POLICY,
    tiers: Iterable[float] = (),
    *,
    existing: Collection[str] = (),
    retention_s: float = 0.0,
) -> list[ChainTopic]:
    """Say which topics *group* has beside *source*: tiers, parked, dead letters.

    Args:
        source: The source topic; its settings must have been looked up.
        group: The consumer group.
        policy: ``park`` has a parked topic, and ``block`` no tiers.
        tiers: Delays of the policy's tiers, in seconds.
        existing: Names of topics in the cluster; what an earlier policy left among them belongs to the chain too.
        retention_s: How long they keep what is in them, as `Settings.chain_retention_s` declares it; 0: for ever.
    """
    written = () if policy == "block" else tuple(sorted(tiers))
    old = old_tiers(existing, source.name, group, written)
    parked = parked_topic(source.name, group)
    options = chain_options(source.name, group, policy, written)

    def one(name: str, config: Mapping[str, str], *, is_old: bool = False) -> ChainTopic:
        return ChainTopic(name, source.name, group, source.partitions, source.replication, config, options, is_old)

    kept = _kept(source, retention_s)
    found = [
        one(retry_topic(source.name, group, delay_s), _tier(source, retention_s, delay_s), is_old=delay_s in old)
        for delay_s in sorted((*written, *old))
    ]
    if policy == "park" or parked in existing:
        found.append(one(parked, kept, is_old=policy != "park"))
    return [*found, one(dlq_topic(source.name, group), kept)]


def chain_of(source: Topic, group: str, topics: Iterable[ChainTopic]) -> Chain:
    """Sum up *topics*, which `chain_topics` gave for *source* and *group*."""
    delays = [(delay, topic.is_old) for topic in topics if (delay := delay_of(topic.name)) is not None]
    return Chain(
        topic_id=source.topic_id,
        tiers=tuple(delay_s for delay_s, is_old in delays if not is_old),
        old_tiers=tuple(delay_s for delay_s, is_old in delays if is_old),
        has_parked=parked_topic(source.name, group) in {topic.name for topic in topics},
    )


def chain_options(source: str, group: str, policy: OrderPolicy, tiers: Collection[float]) -> str:
    """Give what names a chain on the command line of ``streams topics create`` and ``check``."""
    waits = "".join(f" --retry {label(delay_s)}" for delay_s in tiers) or " --retry none"
    return f"{source} --group {group} --policy {policy}{'' if policy == 'block' else waits}"


def chain_names(names: Iterable[str], group: str | None = None) -> dict[str, tuple[str, str]]:
    """Find the topics of chains among *names*, tiers, parked and dead letters: name to source and group.

    Only by their names: the group is what stands between an existing source
    and the end.  Where two sources fit, the longer one counts, unless *group*
    is given: then only its topics are found, and their sources are certain.
    """
    known = set(names)
    found = {name: _split(stem, known, group) for name in known if (stem := _stem(name)) is not None}
    return {name: pair for name, pair in found.items() if pair is not None}


def kind_of(name: str) -> ChainKind:
    """Say what a topic of a chain holds, by its *name*."""
    return "dlq" if name.endswith(_DLQ) else "parked" if name.endswith(_PARKED) else "tier"


def dlq_names(names: Iterable[str], group: str | None = None) -> dict[str, tuple[str, str]]:
    """Find the dead-letter topics alone, as `chain_names` does."""
    return {name: pair for name, pair in chain_names(names, group).items() if name.endswith(_DLQ)}


def old_tiers(names: Iterable[str], source: str, group: str, tiers: Iterable[float]) -> tuple[float, ...]:
    """Give the delays of tiers among *names* that are none of *tiers*: seconds, ascending.

    They were made for an earlier policy of *group* on *source*, and may hold records.
    """
    written = {retry_topic(source, group, delay_s) for delay_s in tiers}
    delays = {name: delay_s for name in names if (delay_s := delay_of(name)) is not None and name not in written}
    return tuple(sorted(delay_s for name, delay_s in delays.items() if name == retry_topic(source, group, delay_s)))


def missing(existing: Mapping[str, Topic], wanted: Iterable[ChainTopic]) -> list[ChainTopic]:
    """Give those of *wanted* that do not exist."""
    return [topic for topic in wanted if topic.name not in existing]


def name_faults(wanted: Iterable[ChainTopic]) -> list[str]:
    """Say which topics can't be made, as Kafka takes no such names."""
    return [
        f"topic {topic.name}: its name is {excess} characters too long for Kafka; choose a shorter group name"
        for topic in wanted
        if (excess := len(topic.name) - _NAME_LIMIT) > 0
    ]


def all_faults(existing: Mapping[str, Topic], wanted: Iterable[ChainTopic]) -> list[str]:
    """Give every difference between what exists and what is wanted, one sentence each."""
    return [fault for topic in wanted for fault in faults(existing.get(topic.name), topic)]


def faults(existing: Topic | None, wanted: ChainTopic) -> list[str]:
    """Give what is wrong with one topic of the chain; each sentence names the command that mends it.

    Args:
        existing: The topic with its settings; None where there is none.
        wanted: What it has to be.
    """
    unnameable = name_faults([wanted])
    if unnameable:
        return unnameable
    if existing is None:
        return [f"topic {wanted.name} is missing. Make it: {make_command(wanted)}"]
    return [*_partition_faults(existing, wanted), *_config_faults(existing, wanted)]


def config_differences(existing: Topic, wanted: ChainTopic) -> dict[str, str]:
    """Give the settings that have to change, with the values they need."""
    return {
        name: value for name, value in wanted.config.items() if not _suffices(name, existing.config.get(name), value)
    }


def make_command(wanted: ChainTopic) -> str:
    """Give the command that makes *wanted*."""
    return f"streams topics create {wanted.options}"


def mend_command(wanted: ChainTopic) -> str:
    """Give the command that changes what exists into *wanted*."""
    return f"streams topics check {wanted.options} --fix"


def kept_s(retention_s: float, delay_s: float) -> float:
    """Give how long a topic keeps what is in it where *retention_s* is declared and copies wait *delay_s* in it."""
    return max(retention_s, _TIER_DELAYS * delay_s) if retention_s else 0.0


def _kept(source: Topic, retention_s: float) -> dict[str, str]:
    """Give the settings of every chain topic: kept long enough, room for the headers, as safe as the source.

    A record that waits, for its time or for a person, must not age away: where
    it can, its owner moves it in time.
    """
    max_bytes = int(source.config.get("max.message.bytes", _DEFAULT_MAX_BYTES)) + HEADROOM_BYTES
    in_sync = {name: value for name, value in source.config.items() if name == _IN_SYNC}
    return {
        "cleanup.policy": "delete",  # a compacted one would lose all copies of a key but the newest
        _RETENTION: str(round(retention_s * 1000)) if retention_s else _FOR_EVER,
        "retention.bytes": _FOR_EVER,
        "max.message.bytes": str(max_bytes),
        **in_sync,
        **({_APPENDED: "LogAppendTime"} if retention_s else {}),
    }


def _tier(source: Topic, retention_s: float, delay_s: float) -> dict[str, str]:
    """Give those of a tier: a record is due its delay after the broker took it, whatever a member's clock says."""
    return {**_kept(source, kept_s(retention_s, delay_s)), _APPENDED: "LogAppendTime"}


def _stem(name: str) -> str | None:
    """Give *name* without the end that tells a chain topic; None where it has none."""
    for end in (_DLQ, _PARKED):
        if name.endswith(end):
            return name.removesuffix(end)
    delay_s = delay_of(name)
    return None if delay_s is None else name.removesuffix(f".retry.{label(delay_s)}")


def _split(stem: str, known: set[str], group: str | None) -> tuple[str, str] | None:
    if group is not None:
        source = stem.removesuffix(f".{group}")
        return (source, group) if source != stem and source in known else None
    parts = stem.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        source, owner = ".".join(parts[:cut]), ".".join(parts[cut:])
        if source in known and owner:
            return source, owner
    return None


def _partition_faults(existing: Topic, wanted: ChainTopic) -> Iterator[str]:
    has, needs = existing.partitions, wanted.partitions
    if has < needs:
        yield (
            f"topic {wanted.name} has {has} partition(s), its source {wanted.source} has {needs}."
            f" Widen it: {mend_command(wanted)}"
        )
    elif has > needs:
        yield (
            f"topic {wanted.name} has {has} partition(s), its source {wanted.source} has {needs}. A topic can't lose"
            f" partitions. When nothing in it is needed, delete it and make it anew: {make_command(wanted)}"
        )


def _config_faults(existing: Topic, wanted: ChainTopic) -> Iterator[str]:
    for name, value in config_differences(existing, wanted).items():
        least = "at least " if name in _AT_LEAST and value != _FOR_EVER else ""
        has = existing.config.get(name, "nothing")
        yield f"topic {wanted.name}: {name} is {has}, it must be {least}{value}. Set it: {mend_command(wanted)}"


def _suffices(name: str, has: str | None, needs: str) -> bool:
    if has is None:
        return False
    if name == _RETENTION and _FOR_EVER in (has, needs):
        return has == _FOR_EVER
    return int(has) >= int(needs) if name in _AT_LEAST else has == needs
