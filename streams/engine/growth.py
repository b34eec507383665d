"""Sees that a source and its chain still fit together while members run.

A live topic may be widened: what its chain lacks is made, where this user may;
where not, the new partition waits (protocol, rule 18).  And it may be deleted
and made anew: another topic under the old name is another lineage, and ends
the member before the two are mixed (rule 17).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from streams.engine.plan import ChainPlan
from streams.engine.topics import ChainTopic, chain_options, faults
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
        wanted = {topic.name: topic for plan in plans for topic in _wanted(plan, found, partitions)}
        if answers := self._widen(found, wanted.values()):
            found = find_topics(self._admin, found)
        return {
            partition: " ".join(lacks)
            for partition in partitions
            if (lacks := _lacks(self._plans[partition.topic], partition, found, wanted, answers))
        }

    def _widen(self, found: Mapping[str, Topic], wanted: Iterable[ChainTopic]) -> dict[str, str]:
        """Widen what is too narrow; give the names of those topics, each with what the cluster answered to it."""
        answers = {}
        for topic in wanted:
            if topic.name in found and found[topic.name].partitions < topic.partitions:
                answers[topic.name] = ""
                try:
                    add_partitions(self._admin, topic.name, topic.partitions, may_be_wide=True)
                except BrokerError as error:
                    answers[topic.name] = str(error)
        return answers


def _names(plan: ChainPlan) -> list[str]:
    return [plan.source, *(stage.topic for stage in plan.stages)]


def _require_same(plan: ChainPlan, source: Topic | None) -> None:
    if source is not None and source.topic_id != plan.topic_id:
        raise ChainError(
            f"topic {plan.source} was deleted and made anew while this member ran: what it holds now are other records."
            f" Nothing further is started. Start the members of group {plan.group} again; should records of the earlier"
            f" topic still wait in its chain, they are named at that start, with what to do about them."
        )


def _wanted(plan: ChainPlan, found: Mapping[str, Topic], partitions: Iterable[Partition]) -> list[ChainTopic]:
    """Give the topics of the chain as the source needs them now."""
    source = found.get(plan.source)
    highest = max(partition.number for partition in partitions if partition.topic == plan.source)
    width = max(highest + 1, 0 if source is None else source.partitions)
    tiers = [stage.delay_s for stage in plan.stages if stage.kind == "tier" and not stage.is_old]
    options = chain_options(plan.source, plan.group, plan.policy, tiers)
    return [ChainTopic(stage.topic, plan.source, plan.group, width, -1, {}, options) for stage in plan.stages]


def _lacks(
    plan: ChainPlan,
    partition: Partition,
    found: Mapping[str, Topic],
    wanted: Mapping[str, ChainTopic],
    answers: Mapping[str, str],
) -> list[str]:
    """Say what the chain lacks of *partition*, one sentence or two a topic."""
    told = []
    for stage in plan.stages:
        topic = found.get(stage.topic)
        if topic is None or topic.partitions <= partition.number:
            told += [*faults(topic, wanted[stage.topic]), *filter(None, [answers.get(stage.topic)])]
    return told
