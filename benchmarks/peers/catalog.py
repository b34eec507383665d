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
    """What its documentation gives for at-least-once, and is set here."""
    kind: Kind = "python"
    program: str = ""
    """Its worker, in ``benchmarks.peers.workers``."""
    mode: str = ""
    """For a worker with several ways: which one."""

    @property
    def requirement(self) -> str:
        """Name of the file of its requirements."""
        return f"{self.name}.txt"


OURS: Final = tuple(
    Peer(
        f"streams, {mode}",
        "by key" if mode != "inline" else "by key, one at a time",
        "as it comes",
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
        "enable_auto_commit=False; commit() after each batch",
        program="on_aiokafka",
    ),
    Peer(
        "faststream",
        "by partition, one at a time",
        "confluent; ack_policy=NACK_ON_ERROR (the default, ACK_FIRST, is at most once)",
        program="on_faststream",
    ),
    Peer(
        "faust-streaming",
        "by partition, one at a time",
        'processing_guarantee="at_least_once", the default',
        program="on_faust",
    ),
    Peer(
        "quixstreams",
        "by partition, one at a time",
        'processing_guarantee="at-least-once", the default',
        program="on_quixstreams",
    ),
    Peer(
        "arroyo",
        "by partition, one at a time",
        "RunTask, CommitOffsets: the defaults",
        program="on_arroyo",
    ),
    Peer(
        "parallel-consumer",
        "by key",
        "0.5.3.3, Java: ordering=KEY, PERIODIC_CONSUMER_ASYNCHRONOUS each second, 16 threads; warmed up",
        kind="java",
    ),
)
