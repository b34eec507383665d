"""Lag as other scalers count it, to be shown beside a hint: it needs no members, and knows little.

Source: the Kafka scaler of KEDA 2 (https://keda.sh/docs/latest/scalers/apache-kafka/).
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.engine.standing import Progress


def keda_lag(partitions: Iterable[Progress], *, starts_at: str = "latest") -> int:
    """Add up what KEDA's Kafka scaler calls lag: each partition's end less its committed offset.

    Transaction markers, compacted offsets, records that retention has removed, and what is settled above the committed
    offset all count.  A partition without a committed offset counts 1 where the group *starts_at* ``latest``, and its
    whole end where it starts at ``earliest``, whatever is still there.
    """
    return sum(_lag(one, starts_at) for one in partitions)


def _lag(one: Progress, starts_at: str) -> int:
    if one.committed is None:
        return 1 if starts_at == "latest" else one.end
    return max(0, one.end - one.committed)
