"""Which topics a group needs beside a source topic, and what is wrong with those that are there.

Sans I/O: what exists is handed in.  `topics create` makes them, `topics check`
and a member's start compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams.engine.chain import dlq_topic
from streams.kafka.shape import NewTopic, Topic

HEADROOM_BYTES: Final = 64 * 1024
"""What a copy may be larger than its source record: the headers that tell where it came from and why."""

_DLQ: Final = ".dlq"
_NAME_LIMIT: Final = 249
_DEFAULT_MAX_BYTES: Final = 1_048_588
_AT_LEAST: Final = frozenset({"max.message.bytes"})


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

    def as_new(self) -> NewTopic:
        """Give what to make."""
        return NewTopic(self.name, self.partitions, self.replication, self.config)


def chain_topics(source: Topic, group: str) -> list[ChainTopic]:
    """Say which topics *group* needs beside *source*, whose settings must have been looked up."""
    max_bytes = int(source.config.get("max.message.bytes", _DEFAULT_MAX_BYTES)) + HEADROOM_BYTES
    config = {
        "cleanup.policy": "delete",  # a compacted one would lose all dead letters of a key but the newest
        "retention.ms": "-1",  # a record that waits for a person must not age away
        "retention.bytes": "-1",
        "max.message.bytes": str(max_bytes),
    }
    name = dlq_topic(source.name, group)
    return [ChainTopic(name, source.name, group, source.partitions, source.replication, config)]


def chain_names(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Find the dead-letter topics among *names*: name to source and group.

    Only by their names: the group is what stands between an existing source
    and the end.  Where two sources fit, the longer one counts.
    """
    known = set(names)
    return {name: pair for name in known if name.endswith(_DLQ) and (pair := _split(name, known)) is not None}


def missing(existing: Mapping[str, Topic], wanted: Iterable[ChainTopic]) -> list[ChainTopic]:
    """Give those of *wanted* that do not exist."""
    return [topic for topic in wanted if topic.name not in existing]


def all_faults(existing: Mapping[str, Topic], wanted: Iterable[ChainTopic]) -> list[str]:
    """Give every difference between what exists and what is wanted, one sentence each."""
    return [fault for topic in wanted for fault in faults(existing.get(topic.name), topic)]


def faults(existing: Topic | None, wanted: ChainTopic) -> list[str]:
    """Give what is wrong with one topic of the chain; each sentence names the command that mends it.

    Args:
        existing: The topic with its settings; None where there is none.
        wanted: What it has to be.
    """
    if len(wanted.name) > _NAME_LIMIT:
        excess = len(wanted.name) - _NAME_LIMIT
        return [f"topic {wanted.name}: its name is {excess} characters too long for Kafka; choose a shorter group name"]
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
    return f"streams topics create {wanted.source} --group {wanted.group}"


def mend_command(wanted: ChainTopic) -> str:
    """Give the command that changes what exists into *wanted*."""
    return f"streams topics check {wanted.source} --group {wanted.group} --fix"


def _split(name: str, known: set[str]) -> tuple[str, str] | None:
    parts = name.removesuffix(_DLQ).split(".")
    for cut in range(len(parts) - 1, 0, -1):
        source, group = ".".join(parts[:cut]), ".".join(parts[cut:])
        if source in known and group:
            return source, group
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
        least = "at least " if name in _AT_LEAST else ""
        has = existing.config.get(name, "nothing")
        yield f"topic {wanted.name}: {name} is {has}, it must be {least}{value}. Set it: {mend_command(wanted)}"


def _suffices(name: str, has: str | None, needs: str) -> bool:
    if has is None:
        return False
    return int(has) >= int(needs) if name in _AT_LEAST else has == needs
