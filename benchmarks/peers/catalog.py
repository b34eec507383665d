"""The frameworks that are run, what each one promises in its own words, and the settings it is run with."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["python", "java", "ours"]


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
    def environment(self) -> str:
        """Name of its environment, and of the file of its requirements."""
        return self.shares or self.name


OURS: Final = tuple(
    Peer(
        f"streams, {mode}",
        "by key" if mode != "inline" else "by key, one at a time",
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
        "by partition, one at a time",
        "at least once: enable_auto_commit=False, commit() after each batch",
        program="on_aiokafka",
    ),
    Peer(
        "faststream",
        "by partition, one at a time",
        "at least once: confluent, ack_policy=NACK_ON_ERROR",
        program="on_faststream",
    ),
    Peer(
        "faststream-default",
        "by partition, one at a time",
        "at most once: confluent, ack_policy=ACK_FIRST, the default",
        program="on_faststream",
        mode="ack-first",
        shares="faststream",
    ),
    Peer(
        "faust-streaming",
        "by partition, one at a time",
        'at least once: processing_guarantee="at_least_once", the default',
        program="on_faust",
    ),
    Peer(
        "quixstreams",
        "by partition, one at a time",
        'at least once: processing_guarantee="at-least-once", the default',
        program="on_quixstreams",
    ),
    Peer(
        "arroyo",
        "by partition, one at a time",
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
