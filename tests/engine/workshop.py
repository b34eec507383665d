"""An executor at work without the loop around it: hands it records, takes what it gives back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from streams.engine.executors.eventloop import EventLoop
from streams.engine.executors.executor import NOT_STARTED, Executor, Interruption
from streams.engine.ledger import Chunk
from streams.engine.member import executor_for
from streams.engine.partition import PartitionState, finish
from streams.engine.route import Route
from streams.kafka.message import Message
from streams.outcome import Skip
from streams.record import Record
from tests.engine.stage import FOREVER, route
from tests.waiting import eventually

Mode = Literal["inline", "threads", "async"]
MODES: tuple[Mode, ...] = ("inline", "threads", "async")

Work = Callable[[Record], Any]
"""What a handler does with a record; an awaitable it gives back is awaited, where that can be."""


def route_for(mode: Mode, work: Work, **options: Any) -> Route:
    """A route whose handler does *work*, in *mode*."""

    def handle(record: Record) -> Any:
        return work(record)

    async def handle_async(record: Record) -> Any:
        result = work(record)
        return await result if inspect.isawaitable(result) else result

    if mode == "inline":
        return route(handle, run="inline", **options)
    return route(handle_async if mode == "async" else handle, **options)


def batch_route_for(mode: Mode, work: Callable[[list[Record]], Any], size: int, **options: Any) -> Route:
    """A route whose handler does *work* on up to *size* records at once, in *mode*."""

    def handle(records: list[Record]) -> Any:
        return work(records)

    async def handle_async(records: list[Record]) -> Any:
        result = work(records)
        return await result if isinstance(result, Awaitable) else result

    if mode == "inline":
        return route(handle, run="inline", batch=size, **options)
    return route(handle_async if mode == "async" else handle, batch=size, **options)


def go_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have chunks run whole from the first one on, whatever they cost, and split at once."""
    monkeypatch.setattr("streams.engine.executors.whole._QUICK_S", math.inf)
    monkeypatch.setattr("streams.engine.executors.whole._QUICK_BATCH_S", math.inf)
    monkeypatch.setattr("streams.engine.executors.whole._PATIENCE_S", 0.0)


class Workshop:
    """One executor, and everything that came out of it.

    Runs that ended well, or in a `Skip`, settle and let their lanes go on;
    every other end is kept for the test to look at.
    """

    def __init__(self, chosen: Route, event_loop: EventLoop | None = None) -> None:
        self.executor: Executor = executor_for(chosen, event_loop)
        self.settled: list[int | None] = []
        """Offsets, in the order in which they were reported."""
        self._chunks: list[Chunk] = []
        self.stopped: list[Interruption] = []
        self.handed_back = 0
        """Runs that took so long that the rest was handed back."""

    def give(self, state: PartitionState, *read: Message) -> None:
        """Hand over what was read together."""
        chunk = state.admit(list(read))
        assert chunk is not None
        self._chunks.append(chunk)
        self.executor.take(state, chunk)
        self._note_settled()

    def turn(self) -> None:
        """Take what has ended since the last turn, and let the lanes go on."""
        runs = self.executor.finished()
        self._note_settled()
        self.settled += [item[0].offset() for run in runs for item in run]
        self.executor.submit(list(finish(runs)))
        for one in self.executor.interrupted():
            self.settled += [item[0].offset() for item in one.run[: one.done]]
            state = one.run[0][4]
            if isinstance(one.outcome, Skip):
                item = state.interrupt(one.run, one.done)
                self.settled.append(item[0].offset())
                follower = state.settle(item)
                self.executor.submit([] if follower is None else [follower])
            elif one.outcome is NOT_STARTED and state.lease_until == FOREVER:
                self.handed_back += 1
                state.postpone(state.interrupt(one.run, one.done))
                self.executor.submit(state.due(0.0), ahead=True)
            else:
                self.stopped.append(one)

    def _note_settled(self) -> None:
        """Take in what the executor settled itself, in the order of the log."""
        count = self.executor.take_settled()
        if count:
            known = set(self.settled)
            ended = [
                chunk.offset_at(index)
                for chunk in self._chunks
                for index, is_settled in enumerate(chunk.settled)
                if is_settled and chunk.offset_at(index) not in known
            ]
            assert len(ended) == count
            self.settled += ended
            self._chunks = [chunk for chunk in self._chunks if not chunk.is_settled]

    @property
    def started(self) -> int:
        """Handler runs that were reported."""
        unstarted = sum(one.outcome is NOT_STARTED for one in self.stopped)
        return len(self.settled) + len(self.stopped) - unstarted

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until *condition* holds and every slot is idle."""

        def holds() -> bool:
            self.turn()
            return bool(condition()) and self.is_idle

        eventually(holds, every_s=0)

    def settle_all(self, *states: PartitionState) -> None:
        """Turn until nothing is outstanding in *states*."""
        self.until(lambda: not any(state.outstanding for state in states))

    def stop_at(self, count: int = 1) -> list[Interruption]:
        """Turn until *count* runs have stopped, and give them."""
        self.until(lambda: len(self.stopped) >= count)
        return self.stopped

    @property
    def is_idle(self) -> bool:
        """No slot holds a record."""
        return not any(slot.running() for slot in self.executor.slots())

    def works_on(self, state: PartitionState) -> bool:
        """A slot holds a record of *state*."""
        return any(item[4] is state for slot in self.executor.slots() for item in slot.running())

    def counted(self) -> int:
        """Handler runs that the slots have counted."""
        return sum(slot.runs for slot in self.executor.slots())
