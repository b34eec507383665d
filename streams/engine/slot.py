"""Where one handler runs at a time, and what runs there now.

A slot is written by the one thread or task that runs in it and read by the
poll thread.  Log processors find the record that the current code works on
through `current_message`, at no cost on the record's path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from operator import length_hint
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.engine.partition import Item
    from streams.record import Message


class ManyInHand(Protocol):
    """A whole chunk under way."""

    @property
    def place(self) -> int:
        """Where in `messages` the call that is under way begins."""

    @property
    def messages(self) -> Sequence[Message]:
        """All of it."""

    def in_hand(self) -> Sequence[Item]:
        """Give the records of that call."""


class Slot:
    """One place in which runs follow each other."""

    __slots__ = ("batch", "item", "runs", "since", "source", "spent_s", "whole")

    def __init__(self) -> None:
        """Begin idle."""
        self.item: Item | None = None
        """The record whose handler is running, of a batch the first; None between runs."""
        self.batch: Sequence[Item] = ()
        """All records of the batch; set before `item`, for good in slots of batch handlers."""
        self.source: tuple[Sequence[Message], Iterator[Message]] | None = None
        """A whole chunk under way, and how far it is read: an inline executor's, instead of `item`."""
        self.whole: ManyInHand | None = None
        """A whole chunk under way in another thread, instead of `item`."""
        self.since = 0.0
        """Monotonic time at which it started; set before `item`, so that nobody takes a new run for an old one."""
        self.runs = 0
        """Handler runs that ended in this slot, ever."""
        self.spent_s = 0.0
        """Seconds they took together."""

    def running(self) -> Sequence[Item]:
        """Give the records of the call that is under way; none between runs."""
        item, whole = self.item, self.whole
        if whole is not None:
            return whole.in_hand()
        return () if item is None else self.batch or (item,)


CURRENT: ContextVar[Slot | None] = ContextVar("streams_slot", default=None)
"""The slot in which the current code runs; set once for each thread or task."""


def current_message() -> Message | None:
    """Give the record that the current code works on; None outside handlers."""
    slot = CURRENT.get()
    if slot is None:
        return None
    if slot.source is not None:
        messages, source = slot.source
        return messages[len(messages) - length_hint(source) - 1]
    if slot.whole is not None:
        return slot.whole.messages[slot.whole.place]
    return None if slot.item is None else slot.item[0]
