"""The engine without a broker: records, partitions, routes and an ear, as tests want them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from streams.app import App
from streams.engine.ledger import Ledger
from streams.engine.partition import PartitionState
from streams.engine.route import Route
from streams.kafka.message import Message, make_message
from streams.observer import Observer
from streams.record import Headers, Partition
from streams.retry import RetryPolicy

ORDERS = Partition("orders", 0)
OTHER = Partition("orders", 1)
FOREVER = float("inf")

QUICK = RetryPolicy(delays=(1, 10), jitter=0)
"""Three runs, one second and ten seconds apart."""


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
    cls: type[PartitionState] = PartitionState,
) -> PartitionState:
    """A partition in the hands of its owner, who holds the lease."""
    return cls(
        partition=partition,
        assignment_id=b"assigned",
        ledger=Ledger(committed, restored),
        policy=policy,
        rng=random.Random(7),
        starts=1,
        lease_until=lease_until,
    )


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
