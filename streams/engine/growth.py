"""Sees that a source and its chain still fit together while members run.

A live topic may be widened: what its chain lacks is made, where this user may;
where not, the new partition waits (protocol, rule 18).  And it may be deleted
and made anew: another topic under the old name is another lineage, and ends
the member before the two are mixed (rule 17).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from streams.engine.plan import ChainPlan
from streams.engine.topics import chain_options
from streams.errors import BrokerError, ChainError
from streams.kafka.admin import Admin
from streams.kafka.shape import Topic
from streams.kafka.topics import add_partitions, find_topics
from streams.record import Partition


class Growth:
    """Compares sources with their chains, and makes partitions that are missing.

    Owned by the thread that owns its connection.
    """

    def __init__(self, plans: Mapping[str, ChainPlan], admin: Admin) -> None:
        """Look after the chains of *plans*, by source, over *admin*."""
        self._plans = plans
        self._admin = admin

    def lacking(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Make what the chains of *partitions* lack; give those that lack something still: what, and what mends it.

        Raises:
            BrokerError: The cluster does not answer.
            ChainError: A source is another topic than it was when this member started.
        """
        plans = [self._plans[source] for source in sorted({partition.topic for partition in partitions})]
        found = find_topics(self._admin, [name for plan in plans for name in _names(plan)])
        for plan in plans:
            _require_same(plan, found.get(plan.source))
        narrow = [wanted for plan in plans for wanted in _narrow(plan, found, partitions)]
        refusals = [refusal for name, width in narrow if (refusal := self._widen(name, width))]
        if narrow:
            found = find_topics(self._admin, found)
        return {
            partition: _cause(self._plans[partition.topic], lacks, refusals)
            for partition in partitions
            if (lacks := _lacks(self._plans[partition.topic], partition, found))
        }

    def _widen(self, name: str, width: int) -> str:
        """Widen one topic of a chain; give what the cluster has against it."""
        try:
            add_partitions(self._admin, name, width, may_be_wide=True)
        except BrokerError as error:
            return str(error)
        return ""


def _names(plan: ChainPlan) -> list[str]:
    return [plan.source, *(stage.topic for stage in plan.stages)]


def _require_same(plan: ChainPlan, source: Topic | None) -> None:
    if source is not None and source.topic_id != plan.topic_id:
        raise ChainError(
            f"topic {plan.source} was deleted and made anew while this member ran: what it holds now are other records."
            f" Nothing further is started. Start the members of group {plan.group} again; should records of the earlier"
            f" topic still wait in its chain, they are named at that start, with what to do about them."
        )


def _narrow(plan: ChainPlan, found: Mapping[str, Topic], partitions: Iterable[Partition]) -> Iterator[tuple[str, int]]:
    """Give the topics of a chain that have fewer partitions than their source, and how many they need."""
    source = found.get(plan.source)
    highest = max(partition.number for partition in partitions if partition.topic == plan.source)
    width = max(highest + 1, 0 if source is None else source.partitions)
    for stage in plan.stages:
        if stage.topic in found and found[stage.topic].partitions < width:
            yield stage.topic, width


def _lacks(plan: ChainPlan, partition: Partition, found: Mapping[str, Topic]) -> list[str]:
    """Name the topics of the chain that have no such partition."""
    topics = {stage.topic: found.get(stage.topic) for stage in plan.stages}
    return [name for name, topic in topics.items() if topic is None or topic.partitions <= partition.number]


def _cause(plan: ChainPlan, lacks: Sequence[str], refusals: Sequence[str]) -> str:
    """Say what is missing, why it could not be made, and what makes it."""
    tiers = [stage.delay_s for stage in plan.stages if stage.kind == "tier" and not stage.is_old]
    options = chain_options(plan.source, plan.group, plan.policy, tiers)
    because = f" {refusals[0]}" if refusals else ""
    return (
        f"{len(lacks)} topic(s) of its chain lack the partition: {', '.join(lacks)}.{because}"
        f" Have somebody who may run: streams topics check {options} --fix"
    )
