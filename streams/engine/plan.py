"""What the chain of one route looks like: its topics, whose it is, and what it does to a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.engine.chain import dlq_topic, parked_topic, retry_topic
from streams.engine.chainstate import ChainState, Lineage
from streams.engine.copies import Stage
from streams.engine.policy import DeadLetterPolicy, OrderPolicy
from streams.engine.replay import Undone
from streams.engine.sweep import Home
from streams.engine.topics import Chain
from streams.record import Partition


@dataclass(frozen=True, slots=True)
class ChainPlan:
    """The chain of one source topic, the same for all its partitions."""

    source: str
    group: str
    topic_id: str
    """Of the source: a recreated topic is another lineage."""
    stages: tuple[Stage, ...]
    policy: OrderPolicy
    dead_letters: DeadLetterPolicy
    chain_class: type[ChainState[Any]] = ChainState

    def begin(
        self, number: int, assignment_id: bytes, replay_id: str = "", undone: Undone | None = None
    ) -> ChainState[Any]:
        """Make the state of one partition's chain, which knows of nothing yet; the arguments are those of that."""
        return self.chain_class(
            self.stages,
            Lineage(Partition(self.source, number), self.topic_id, self.group),
            assignment_id=assignment_id,
            after_death=self.dead_letters,
            is_ordered=self.policy != "unordered",
            replay_id=replay_id,
            undone=undone,
        )

    def places(self, number: int, *, with_dead_letters: bool = True) -> list[Partition]:
        """Give the partitions of the chain of source partition *number*, in its order."""
        return [Partition(one.topic, number) for one in self.stages if with_dead_letters or one.kind != "dlq"]

    def homes(self) -> dict[str, Home]:
        """Give each topic's place in the chain."""
        return {stage.topic: Home(self.source, number) for number, stage in enumerate(self.stages)}


def plan_of(source: str, group: str, chain: Chain, policy: OrderPolicy, dead_letters: DeadLetterPolicy) -> ChainPlan:
    """Lay out the chain that exists for *source*, as *policy* uses it."""
    tiers = [Stage(retry_topic(source, group, delay_s), "tier", delay_s) for delay_s in chain.tiers]
    old = [Stage(retry_topic(source, group, delay_s), "tier", delay_s, is_old=True) for delay_s in chain.old_tiers]
    parked = [Stage(parked_topic(source, group), "parked", is_old=policy != "park")] if chain.has_parked else []
    stages = (*tiers, *old, *parked, Stage(dlq_topic(source, group), "dlq"))
    return ChainPlan(source, group, chain.topic_id, stages, policy, dead_letters)
