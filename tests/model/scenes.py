"""The engines that are looked at: which keys, which policy, which topics in the chain."""

from __future__ import annotations

from streams.engine.plan import plan_of
from streams.engine.policy import DeadLetterPolicy, OrderPolicy
from streams.engine.topics import Chain
from streams.retry import RetryPolicy
from tests.model.owner import Engine


def engine(
    keys: str, dead_letters: DeadLetterPolicy = "continue", *, delay: str = "1m", policy: OrderPolicy = "park"
) -> Engine:
    """Give an engine for a source whose records have *keys*, a letter each.

    Args:
        keys: As many records as letters.
        dead_letters: What becomes of a key after one.
        delay: Between attempts; beyond ten seconds it is waited out in a tier. Several: ``10s 1m``.
        policy: What becomes of a key's later records.
    """
    retry = RetryPolicy(delays=tuple(delay.split()), jitter=0)
    chain = Chain("id", retry.tiers, (), policy == "park")
    return Engine(plan_of("s", "g", chain, policy, dead_letters), retry, tuple(key.encode() for key in keys))
