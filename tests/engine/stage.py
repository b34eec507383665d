"""The engine without a broker: records, partitions, routes and an ear, as tests want them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from streams.app import App
from streams.engine.chainstate import ChainState, Lineage
from streams.engine.copies import Stage
from streams.engine.ledger import Ledger
from streams.engine.partition import Item, PartitionState
from streams.engine.plan import ChainPlan, plan_of
from streams.engine.policy import DeadLetterPolicy
from streams.engine.replay import Undone
from streams.engine.retries import Retries
from streams.engine.route import Route
from streams.engine.topics import Chain
from streams.kafka.message import Message, make_message
from streams.observer import Observer
from streams.record import Headers, Partition
from streams.retry import RetryPolicy

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)
FOREVER = float("inf")

QUICK = RetryPolicy(delays=(1, 10), jitter=0)
"""Three runs, one second and ten seconds apart."""

TIERED = RetryPolicy(delays=(1, 60, 600), jitter=0)
"""Four runs; the first wait passes in memory, the others in tiers of one and of ten minutes."""

TOPIC_ID: Final = "id-of-orders"
DLQ = Stage("orders.billing.dlq", "dlq")
PARKED = Stage("orders.billing.parked", "parked")
MINUTE = Stage("orders.billing.retry.1m", "tier", 60.0)
TEN_MINUTES = Stage("orders.billing.retry.10m", "tier", 600.0)
PARK = (MINUTE, TEN_MINUTES, PARKED, DLQ)
"""The whole chain of a route that parks; the places below are its numbers."""
AT_MINUTE, AT_TEN_MINUTES, AT_PARKED, AT_DLQ = range(4)


def message(
    offset: int,
    key: bytes | None = b"a",
    value: bytes | None = b"{}",
    *,
    partition: Partition = ORDERS,
    headers: Headers | None = None,
    timestamp_ms: int = 0,
) -> Message:
    """One record as the client delivers it."""
    return make_message(
        partition.topic, partition.number, offset, key=key, value=value, headers=headers, timestamp_ms=timestamp_ms
    )


def messages(*places: tuple[int, bytes | None], partition: Partition = ORDERS) -> list[Message]:
    """Several records of one partition, each an offset and a key."""
    return [message(offset, key, partition=partition) for offset, key in places]


def state(
    partition: Partition = ORDERS,
    *,
    committed: int = 0,
    restored: Iterable[range] = (),
    policy: RetryPolicy = QUICK,
    lease_until: float = FOREVER,
    chain: ChainState[Item] | None = None,
    cls: type[PartitionState] = PartitionState,
) -> PartitionState:
    """A partition in the hands of its owner, who holds the lease and has scanned its chain."""
    made = cls(
        partition=partition,
        assignment_id=b"assigned",
        ledger=Ledger(committed, restored),
        retries=Retries(policy, random.Random(7)),
        chain=chain_state(partition) if chain is None else chain,
        lease_until=lease_until,
        granted_until=lease_until,
    )
    made.begin_chain()
    return made


def chain_state(
    partition: Partition = ORDERS,
    stages: Sequence[Stage] = (DLQ,),
    *,
    assignment_id: bytes = b"assigned",
    after_death: DeadLetterPolicy = "continue",
    is_ordered: bool = True,
    replay_id: str = "",
    undone: Undone | None = None,
) -> ChainState[Item]:
    """The chain of *partition*, which nothing is known of yet: dead letters alone, unless *stages* say more."""
    return ChainState(
        stages,
        Lineage(partition, TOPIC_ID, "billing"),
        assignment_id=assignment_id,
        after_death=after_death,
        is_ordered=is_ordered,
        replay_id=replay_id,
        undone=undone,
    )


def plan(chosen: Route, group: str = "billing", chain_class: type[ChainState[Item]] = ChainState) -> ChainPlan:
    """The chain of *chosen* where all of its topics exist and no others."""
    topics = Chain(TOPIC_ID, chosen.tiers, (), has_parked=chosen.policy == "park")
    return replace(plan_of(chosen.topic, group, topics, chosen.policy, chosen.dead_letters), chain_class=chain_class)


def route(handler: Callable[..., Any], **options: Any) -> Route:
    """The route that an app makes of *handler* on ``orders``."""
    app = App("billing")
    app.on("orders", **options)(handler)
    return app.routes["orders"]


class Heard(Observer):
    """Writes down everything that it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        for name in vars(Observer):
            if not name.startswith("_"):
                setattr(self, name, partial(self._note, name))

    def _note(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.events.append((name, args, kwargs))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """What was told of one kind, in order."""
        return [args for heard, args, _ in self.events if heard == name]
