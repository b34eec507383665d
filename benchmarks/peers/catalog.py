"""The frameworks that are run, what each one promises in its own words, and the settings it is run with."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["python", "java", "ours"]


ONE_AT_A_TIME: Final = "one at a time"
"""What an order ends in under which no two records run side by side in a process."""


class Peer(NamedTuple):
    """One way to run handlers, ours or another's."""

    name: str
    order: str
    """The order that it promises to keep, and what may run side by side."""
    settings: str
    """How often it handles a record when all goes wrong, and which of its settings give that; the rest is default."""
    kind: Kind = "python"
    program: str = ""
    """Its worker, in ``benchmarks.peers.workers``."""
    mode: str = ""
    """For a worker with several ways: which one."""
    shares: str = ""
    """Name of the one whose environment it shares."""

    @property
    def goes_one_at_a_time(self) -> bool:
        """One record after the other in each process, so that handlers that wait do so in turn."""
        return self.order.endswith(ONE_AT_A_TIME)

    @property
    def environment(self) -> str:
        """Name of its environment, and of the file of its requirements."""
        return self.shares or self.name


OURS: Final = tuple(
    Peer(
        f"streams, {mode}",
        "by key" if mode != "inline" else f"by key, {ONE_AT_A_TIME}",
        "at least once, always",
        kind="ours",
        program="on_streams",
        mode=mode,
    )
    for mode in ("inline", "threads", "asyncio", "batch")
)

PEERS: Final = (
    Peer(
        "aiokafka",
        f"by partition, {ONE_AT_A_TIME}",
        "at least once: enable_auto_commit=False, commit() after each batch",
        program="on_aiokafka",
    ),
    Peer(
        "faststream",
        f"by partition, {ONE_AT_A_TIME}",
        "at least once: confluent, ack_policy=NACK_ON_ERROR",
        program="on_faststream",
    ),
    Peer(
        "faststream-default",
        f"by partition, {ONE_AT_A_TIME}",
        "at most once: confluent, ack_policy=ACK_FIRST, the default",
        program="on_faststream",
        mode="ack-first",
        shares="faststream",
    ),
    Peer(
        "faust-streaming",
        f"by partition, {ONE_AT_A_TIME}",
        'at least once: processing_guarantee="at_least_once", the default',
        program="on_faust",
    ),
    Peer(
        "quixstreams",
        f"by partition, {ONE_AT_A_TIME}",
        'at least once: processing_guarantee="at-least-once", the default',
        program="on_quixstreams",
    ),
    Peer(
        "arroyo",
        f"by partition, {ONE_AT_A_TIME}",
        "at least once: RunTask, CommitOffsets, the defaults",
        program="on_arroyo",
    ),
    Peer(
        "parallel-consumer",
        "by key",
        "at least once: 0.5.3.3, Java, warmed up; ordering=KEY, PERIODIC_CONSUMER_ASYNCHRONOUS each second, 16 threads",
        kind="java",
    ),
)
