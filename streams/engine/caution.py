"""Finds the record that kills its process.

A record whose handler takes the process with it (a crash in native code, all
memory, a watchdog) would do so in every owner.  Each owner counts in its
commits how many before it began at the same place and died.  After too many
of them this room takes over: everything else in the process stands still, and
the records of the suspected partition run one at a time, each named in an
acknowledged commit before it starts.  Who is named when the process dies
again, twice, becomes a dead letter without another run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streams.clock import Clock
from streams.engine.commit import Committer
from streams.engine.partition import Item, PartitionState, Run
from streams.errors import RecordError
from streams.kafka.consumer import GroupConsumer
from streams.observer import Observer, PauseReason

NAMED_DEATHS: Final = 2
"""Deaths with the same record named after which it is given up: one may be chance."""


class ProcessKilledError(RecordError):
    """Each time this record ran alone, its process died."""


class Caution:
    """Runs the records of suspected partitions one at a time.

    Owned by the poll thread.

    Always true: while it is active at most one record runs in this process,
    and the broker has acknowledged a commit that names it.
    """

    def __init__(
        self,
        *,
        consumer: GroupConsumer,
        committer: Committer,
        give_up: Callable[[Item, Exception], None],
        enough: int,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Suspect nothing yet.

        Args:
            consumer: Commits.
            committer: Says what stands in a commit.
            give_up: Makes a record a dead letter.
            enough: Records of a partition after which it is no longer suspected: no owner has more under way.
            clock: Where the time comes from.
            observer: Hears of it.
        """
        self._consumer = consumer
        self._committer = committer
        self._give_up = give_up
        self._enough = enough
        self._clock = clock
        self._observer = observer
        self._out: Item | None = None
        self.is_active = False
        """Records run one at a time."""

    def begin(self, states: Sequence[PartitionState]) -> None:
        """Let nothing of *states* start by itself; those suspected are tried."""
        self.is_active = True
        for state in states:
            state.suspend()
            if state.is_suspected:
                self._observer.suspected(state.partition, state.starts, state.blamed)

    def turn(self, states: Sequence[PartitionState], *, is_running: bool) -> Run | None:
        """Give the next record that is to run alone; None while one does, or once all that is suspected was tried."""
        self._forget_dropped()
        for state in states:
            state.suspend()
        if is_running or self._out is not None:
            return None
        now_s = self._clock.monotonic()
        for state in states:
            if state.is_suspected:
                run = self._next(state, now_s)
                if run is not None:
                    return run
        if not any(state.is_suspected for state in states):
            self._end(states)
        return None

    def ended(self, item: Item) -> None:
        """Note that the run of *item* came back, however it ended."""
        out, self._out = self._out, None
        if out is not None and out is item:
            state = item[4]
            state.tested += 1
            state.named = -1
            if state.blamed == _offset(item):
                state.blamed, state.deaths = -1, 0

    def reason(self, state: PartitionState) -> PauseReason | None:
        """Say why the intake of *state* is to be paused; None where it is not."""
        return "caution" if self.is_active and not state.is_suspected else None

    def _next(self, state: PartitionState, now_s: float) -> Run | None:
        run = state.probe(now_s)
        if run is None:
            if state.tested >= self._enough or self._is_through(state, now_s):
                self._acquit(state)
            return None
        item = run[0]
        if state.deaths >= NAMED_DEATHS and state.blamed == _offset(item):
            state.permits.clear()
            cause = ProcessKilledError(
                f"{state.starts - 1} processes that began at its place died, {state.deaths} of them while it ran alone"
            )
            self._acquit(state)
            self._give_up(item, cause)
            return None
        state.named = _offset(item)
        self._committer.commit_now(self._consumer, [state])
        if not self._committer.is_current(state):  # refused for now: what is not written down does not start
            state.permits.clear()
            state.postpone(item)
            return None
        self._out = item
        return run

    def _is_through(self, state: PartitionState, now_s: float) -> bool:
        """Say whether all that could run has run."""
        return (
            now_s <= state.granted_until
            and state.has_caught_up
            and state.outstanding <= state.retrying + state.behind
            and not state.chain.is_held_up
            and not state.chain.has_runnable(int(self._clock.now() * 1000))
        )

    def _acquit(self, state: PartitionState) -> None:
        """Let *state* go on as any other: its killer was found, or it has none."""
        state.acquit()
        self._observer.acquitted(state.partition)

    def _end(self, states: Sequence[PartitionState]) -> None:
        self.is_active = False
        for state in states:
            state.resume()

    def _forget_dropped(self) -> None:
        if self._out is not None and self._out[4].is_dropped:
            self._out = None


def _offset(item: Item) -> int:
    offset = item[0].offset()
    return -1 if offset is None else offset
