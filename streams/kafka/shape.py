"""What a topic is like, as a value: as it stands in the cluster, and as it is to be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.record import Partition


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that exists."""

    name: str
    topic_id: str
    """Made anew when a topic is deleted and created again."""
    partitions: int
    replication: int
    """Replicas of the partition that has fewest."""
    config: Mapping[str, str] = field(default_factory=dict)
    """Every setting in force, defaults included; empty where it was not asked for."""
    is_internal: bool = False
    offline: tuple[int, ...] = ()
    """Partitions that have no leader now: nobody can read or write them."""

    @property
    def all_partitions(self) -> tuple[Partition, ...]:
        """Its partitions, in order."""
        return tuple(Partition(self.name, number) for number in range(self.partitions))


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic that is to be made."""

    name: str
    partitions: int
    replication: int = -1
    """-1 leaves it to the cluster's default."""
    config: Mapping[str, str] = field(default_factory=dict)
    """What is to differ from the cluster's defaults."""
