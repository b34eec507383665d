"""Engines that are broken on purpose: negative controls for whoever checks the promise.

Chosen by the environment, ``STREAMS_BREAK=<name>``; never otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from streams.engine.backlog import LaneKey
from streams.engine.chainstate import ChainState
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, Run
from streams.engine.snapshot import Snapshot
from streams.errors import UsageError
from streams.kafka.message import Message

VARIABLE: Final = "STREAMS_BREAK"

_log = logging.getLogger(__name__)


class SettleBeforeAck(PartitionState):
    """Settles a record when it is read, before its work is done: a crash loses what was under way."""

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read, and call them done."""
        chunk = PartitionState.admit(self, messages)
        if chunk is not None:
            chunk.settled[:] = b"\x01" * len(chunk.settled)
        return chunk


class ReverseOrder(PartitionState):
    """Runs what was read together backwards: nothing is lost, and the order of keys is gone."""

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read, and turn them round."""
        chunk = PartitionState.admit(self, messages)
        if chunk is not None:
            chunk.messages = chunk.messages[::-1]
            chunk.indexes = chunk.indexes[::-1]
        return chunk


class NoIndex(PartitionState):
    """Runs what waits of a key although an older record of it stands in the chain: nothing is lost but the order."""

    def advance(self, key: LaneKey) -> Run | None:
        """Give what of *key* waits in memory, whatever is older."""
        waiting = self.lanes.get(key)
        if not waiting:
            return PartitionState.advance(self, key)
        self.lanes[key] = None
        return waiting


class NoFence(ChainState[Any]):
    """Takes every copy that is not settled for one that counts, whoever wrote it and when."""

    def restore(self, number: int, committed: int | None, snapshot: Snapshot | None, marks: range) -> range:
        """Begin the ledger of one topic, and forget what its commit says of late copies."""
        stretch = ChainState.restore(self, number, committed, snapshot, marks)
        self._fences[number] = None
        return stretch


_BREAKS: Final[Mapping[str, type[PartitionState]]] = {
    "settle-before-ack": SettleBeforeAck,
    "reverse-order": ReverseOrder,
    "no-index": NoIndex,
    "no-fence": PartitionState,
}


def state_class(environment: Mapping[str, str]) -> type[PartitionState]:
    """Give the partition state to run with: the sound one, unless *environment* asks for a broken one.

    Raises:
        UsageError: It asks for one that does not exist.
    """
    name = environment.get(VARIABLE)
    if not name:
        return PartitionState
    if name not in _BREAKS:
        raise UsageError(f"{VARIABLE}={name!r} is none of {', '.join(_BREAKS)}")
    _log.critical(
        "%s=%s: this member is broken on purpose and WILL LOSE RECORDS OR THEIR ORDER; use it for tests only",
        VARIABLE,
        name,
    )
    return _BREAKS[name]


def chain_class(environment: Mapping[str, str]) -> type[ChainState[Any]]:
    """Give the state of a partition's chain to run with: the sound one, or the broken one."""
    return NoFence if environment.get(VARIABLE) == "no-fence" else ChainState
