"""Engines that are broken on purpose: negative controls for whoever checks the promise.

Chosen by the environment, ``STREAMS_BREAK=<name>``; never otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from streams.engine.chainstate import ChainState
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState
from streams.engine.snapshot import Snapshot, encode
from streams.errors import UsageError
from streams.kafka.commits import Entry, Request
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


class CommitBeforeWork(PartitionState):
    """Commits what was read, done or not: a crash loses what was under way."""

    def snapshot(self) -> tuple[int, str, bool]:
        """Give the end of what was read as the offset to commit."""
        return self.ledger.position, encode(Snapshot(self.assignment_id, process=self.tenure.process)), True


class NoLease(PartitionState):
    """Takes the first lease for one that never ends: what sleeps past its session goes on as if nothing were."""

    def renew(self, until_s: float) -> None:
        """Allow records to start from now on."""
        PartitionState.renew(self, float("inf"))


class ChangedOnly(PartitionState):
    """Commits of the chain only the ledgers that changed: what others committed meanwhile stays beside them."""

    def snapshots(self) -> tuple[Request, bool]:
        """Give the source, and of its chain what differs from the last time."""
        request, is_complete = PartitionState.snapshots(self)
        before: frozenset[Entry] = getattr(self, "_before", frozenset())
        self._before = frozenset(request)
        changed = [entry for entry in request[1:] if entry not in before]
        return (request[0], *changed), is_complete


class ReverseOrder(PartitionState):
    """Runs what was read together backwards: nothing is lost, and the order of keys is gone."""

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read, and turn them round."""
        chunk = PartitionState.admit(self, messages)
        if chunk is not None:
            chunk.messages = chunk.messages[::-1]
            chunk.indexes = chunk.indexes[::-1]
        return chunk


class NoIndex(ChainState[Any]):
    """Indexes records and no keys: what fails waits alone, and the later ones of its key go on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Know of nothing, and of no order."""
        ChainState.__init__(self, *args, **kwargs | {"is_ordered": False})


class NoFence(ChainState[Any]):
    """Takes every copy that is not settled for one that counts, whoever wrote it and when."""

    def restore(self, number: int, committed: int | None, snapshot: Snapshot | None, marks: range) -> range:
        """Begin the ledger of one topic, and forget what its commit says of late copies."""
        stretch = ChainState.restore(self, number, committed, snapshot, marks)
        self._fences[number] = None
        return stretch


_BREAKS: Final[Mapping[str, tuple[type[PartitionState], type[ChainState[Any]]]]] = {
    "settle-before-ack": (SettleBeforeAck, ChainState),
    "commit-before-work": (CommitBeforeWork, ChainState),
    "no-lease": (NoLease, ChainState),
    "changed-only": (ChangedOnly, ChainState),
    "reverse-order": (ReverseOrder, ChainState),
    "no-index": (PartitionState, NoIndex),
    "no-fence": (PartitionState, NoFence),
}

NAMES: Final = tuple(_BREAKS)
"""Every one there is."""


def state_class(environment: Mapping[str, str]) -> type[PartitionState]:
    """Give the partition state to run with: the sound one, unless *environment* asks for a broken one.

    Raises:
        UsageError: It asks for one that does not exist.
    """
    name = environment.get(VARIABLE)
    chosen, _ = _classes(name)
    if name:
        _log.critical(
            "%s=%s: this member is broken on purpose and WILL LOSE RECORDS OR THEIR ORDER; use it for tests only",
            VARIABLE,
            name,
        )
    return chosen


def chain_class(environment: Mapping[str, str]) -> type[ChainState[Any]]:
    """Give the state of a partition's chain to run with; as `state_class`."""
    return _classes(environment.get(VARIABLE))[1]


def _classes(name: str | None) -> tuple[type[PartitionState], type[ChainState[Any]]]:
    if not name:
        return PartitionState, ChainState
    if name not in _BREAKS:
        raise UsageError(f"{VARIABLE}={name!r} is none of {', '.join(_BREAKS)}")
    return _BREAKS[name]
