"""Engines that are broken on purpose: negative controls for whoever checks the promise.

Chosen by the environment, ``STREAMS_BREAK=<name>``; never otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState
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


_BREAKS: Final[Mapping[str, type[PartitionState]]] = {
    "settle-before-ack": SettleBeforeAck,
    "reverse-order": ReverseOrder,
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
