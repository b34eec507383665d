"""A member of a shadow group: it takes a stretch of each partition, and sends beside what the live group sends.

A shadow group processes again what a live one has read, with the same
handlers, under a name of its own: its offsets, ledgers and chain are its own,
so the live one is not touched.  What is special about it stands here, in a
`PartitionState` and a `Context` of its own: other groups pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.engine.context import Context, Sends
from streams.engine.ledger import Chunk
from streams.engine.pace import Pace
from streams.engine.partition import Item, PartitionState
from streams.kafka.message import OFFSET, Message
from streams.observer import PauseReason
from streams.outcome import Outcome
from streams.record import Partition


def shadow_topic(group: str) -> str:
    """Name the topic that says what the shadow group *group* is; a group that has none is no shadow."""
    return f"streams.{group}.shadow"


@dataclass(eq=False, kw_only=True)
class Shadow:
    """What a member of a shadow group takes, and where it sends to."""

    ends: Mapping[Partition, int]
    """Of each partition the first offset that is not for it; one that is not named is not for it at all."""
    output: Callable[[str], str]
    """Gives the topic that is sent to in place of another; called by handlers' threads."""
    takes: Callable[[Message], bool] | None = None
    """Whether a record is to run; None: all are."""
    rate: float | None = None
    """Records a second that a member takes up at most; None: as many as it can."""
    left_out: int = 0
    """Records that this member has settled unrun, as `takes` does not want them."""

    @property
    def topics(self) -> set[str]:
        """Those it reads."""
        return {place.topic for place in self.ends}

    def reason(self, state: PartitionState) -> PauseReason | None:
        """Say why nothing more of *state* is to be read; None while there is."""
        return "end" if state.ledger.position >= self.ends.get(state.partition, 0) else None


@dataclass(slots=True, eq=False, kw_only=True)
class ShadowState(PartitionState):
    """One partition in the hands of a member of a shadow group.

    Always true: nothing at or above its end is admitted, and the ledger does not move past it.
    """

    shadow: Shadow
    pace: Pace | None = None
    end: int = field(init=False)

    def __post_init__(self) -> None:
        """Note where it ends."""
        PartitionState.__post_init__(self)  # a class with slots is made twice: `super()` would find the first one
        self.end = self.shadow.ends.get(self.partition, 0)

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read; give those that are to run, without those that are not wanted."""
        is_over = _offset(messages[-1]) >= self.end
        if is_over:
            messages = [message for message in messages if _offset(message) < self.end]
        chunk = PartitionState.admit(self, messages) if messages else None
        if is_over:
            self.reach(self.end)
        if chunk is not None:
            self._leave_out(chunk)
            if self.pace is not None:
                self.pace.spend(len(chunk.messages))
        return chunk

    def is_replayed(self, item: Item) -> bool:  # all of them are
        """Say that the record in *item* may have run before, in the live group."""
        return True

    def reach(self, end: int) -> None:
        """Note that the log holds nothing further below *end*."""
        PartitionState.reach(self, min(end, self.end))

    def _leave_out(self, chunk: Chunk) -> None:
        takes = self.shadow.takes
        if takes is None:
            return
        count, size = len(chunk.messages), chunk.size_bytes
        chunk.leave_out(lambda message: not takes(message))
        left_out = count - len(chunk.messages)
        self.admitted -= left_out
        self.outstanding -= left_out
        self.outstanding_bytes -= size - chunk.size_bytes
        self.shadow.left_out += left_out


class ShadowContext(Context):
    """One run of a handler in a shadow group: what it sends goes to topics of the shadow's own."""

    __slots__ = ("_output",)

    def __init__(self, item: Item, *, output: Callable[[str], str], **shared: Any) -> None:
        """Begin a run on *item*; *output* as in `Shadow`."""
        super().__init__(item, **shared)
        self._output = output

    def ended(self, outcome: Outcome | None) -> Outcome | Sends | None:
        """Give *outcome* with what was sent."""
        ended = super().ended(outcome)
        if not isinstance(ended, Sends):
            return ended
        records = [msgspec.structs.replace(one, topic=self._output(one.topic)) for one in ended.records]
        return Sends(ended.outcome, records)


def _offset(message: Message) -> int:
    offset: int = OFFSET(message)  # type: ignore[assignment]  # a delivered record has one
    return offset
