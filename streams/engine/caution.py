"""Finds the record that kills its process.

A record whose handler takes the process with it (a crash in native code, all
memory, a watchdog) would do so in every owner.  Each owner counts in its
commits how many before it began at the same place and died.  After too many
of them this room takes over: everything else in the process stands still, and
the records of the suspected partition run one at a time, each named in an
acknowledged commit before it starts.  Who is named when the process dies
again, twice, becomes a dead letter without another run.

It ends: with the killer, with the last record that can run, with as many
records as an owner has in memory, or with its time.  What it could not try by
then goes on with all its deaths counted, and is suspected at the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streams.clock import Clock
from streams.engine.backlog import MOVING
from streams.engine.commit import Committer
from streams.engine.partition import Item, PartitionState, Run
from streams.errors import ProcessKilledError
from streams.kafka.consumer import GroupConsumer
from streams.observer import Observer, PauseReason

_QUIET_S: Final = 10.0
"""How long a suspected partition may give nothing to try before it is let go: something else holds it."""
_AT_MOST_S: Final = 300.0
"""How long the process stands still for it at most; only a run that is under way then may end within its timeout."""


class Caution:
    """Runs the records of suspected partitions one at a time.

    Owned by the poll thread.

    Always true:

    * While it is active at most one record runs in this process, and the
      broker has acknowledged a commit that names it.
    * Before anything else starts again the broker is told that nobody is named any more.
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
        self._out_since = 0.0
        self._leaving: Item | None = None
        """The killer, on its way to the dead letters."""
        self._active_at: dict[PartitionState, float] = {}
        """Those that are tried, and when something of each last ran or could not."""
        self._until = 0.0
        self.is_active = False
        """Records run one at a time."""
        self.stands_still: Callable[[PartitionState], bool] = lambda _: False
        """Whether a partition's route stands still, so that nothing of it can be tried; the suspension knows."""
        self.timeout_of: Callable[[str], float] = lambda _: _AT_MOST_S
        """How long a run of a topic may take; the routes know."""

    def begin(self, states: Sequence[PartitionState]) -> None:
        """Let nothing of *states* start by itself; those suspected are tried."""
        now_s = self._clock.monotonic()
        self.is_active = True
        self._until = now_s + _AT_MOST_S
        for state in states:
            state.suspend()
            if state.tenure.is_suspected and state not in self._active_at:
                self._active_at[state] = now_s
                self._observer.suspected(state.partition, state.tenure.starts, state.tenure.blamed)

    def turn(self, states: Sequence[PartitionState], *, is_running: bool) -> Run | None:
        """Give the next record that is to run alone; None while one does, or once all that is suspected was tried."""
        self._forget_dropped()
        for state in states:
            state.suspend()
        now_s = self._clock.monotonic()
        if self._is_over(now_s):
            self._leaving = None
            self._let_go([state for state in states if _is_to_try(state)], "its time was over")
        elif is_running or self._out is not None or self._waits_for_letter(now_s):
            return None
        for state in states:
            run = self._next(state, now_s) if _is_to_try(state) else None
            if run is not None:
                return run
        if self._leaving is None and not any(map(_is_to_try, states)):
            self._end(states)
        return None

    def ended(self, item: Item) -> None:
        """Note that the run of *item* came back, however it ended."""
        if self._out is not item:
            return
        self._out = None
        item[4].tenure.survived(_offset(item))

    def reason(self, state: PartitionState) -> PauseReason | None:
        """Say why the intake of *state* is to be paused; None where it is not."""
        return "caution" if self.is_active and not state.tenure.is_suspected else None

    # -- one record after the other -----------------------------------------------------------

    def _next(self, state: PartitionState, now_s: float) -> Run | None:
        if self.stands_still(state):
            self._let_go([state], "its route stands still")
        elif state.tenure.tested >= self._enough:
            self._acquit(state, f"{state.tenure.tested} records ran alone and did no harm")
        else:
            _free(state)
            run = state.probe(now_s)
            if run is not None:
                self._active_at[state] = now_s
                return self._try(state, run, now_s)
            self._look_at_quiet(state, now_s)
        return None

    def _try(self, state: PartitionState, run: Run, now_s: float) -> Run | None:
        item = run[0]
        if state.tenure.is_killer(_offset(item)):
            state.permits.clear()
            self._condemn(state, item)
            return None
        state.tenure.named = _offset(item)
        self._committer.commit_now(self._consumer, [state])
        if not self._committer.is_current(state):  # refused for now: what is not written down does not start
            state.permits.clear()
            state.postpone(item)
            return None
        self._out, self._out_since = item, now_s
        return run

    def _condemn(self, state: PartitionState, item: Item) -> None:
        """Make *item* a dead letter; until it is one its deaths stay counted."""
        times = state.tenure.deaths
        self._give_up(item, ProcessKilledError(f"it ran alone {times} times, and each time its process died"))
        if _is_leaving(item):
            self._leaving = item
        else:
            self._let_go([state], "no dead letter is written now")

    def _waits_for_letter(self, now_s: float) -> bool:
        if self._leaving is None:
            return False
        state = self._leaving[4]
        if not _is_leaving(self._leaving):
            self._leaving = None
            self._acquit(state, "its killer was found and is a dead letter")
        elif now_s - self._active_at[state] > _QUIET_S:
            self._leaving = None
            self._let_go([state], "its killer was found; the dead letter is not taken yet")
        return self._leaving is not None

    # -- how it ends --------------------------------------------------------------------------

    def _is_over(self, now_s: float) -> bool:
        if now_s < self._until:
            return False
        return self._out is None or now_s - self._out_since > self.timeout_of(self._out[4].partition.topic)

    def _look_at_quiet(self, state: PartitionState, now_s: float) -> None:
        if now_s > state.granted_until:
            self._active_at[state] = now_s
        elif self._is_through(state):
            self._acquit(state, "all that could run ran alone and did no harm")
        elif now_s - self._active_at[state] > _QUIET_S:
            self._let_go([state], f"nothing of it could run for {_QUIET_S:g} s")

    def _is_through(self, state: PartitionState) -> bool:
        """Say whether all that could run has run."""
        return (
            state.has_caught_up
            and state.outstanding <= state.waiting
            and not state.chain.is_held_up
            and not state.chain.has_runnable(int(self._clock.now() * 1000))
        )

    def _acquit(self, state: PartitionState, why: str) -> None:
        """Let *state* go on as any other: its killer was found, or it has none."""
        state.tenure.acquit()
        self._release([state], why)

    def _let_go(self, states: Sequence[PartitionState], why: str) -> None:
        """Let *states* go on untried: what is counted stays, and the next owner is as careful."""
        for state in states:
            state.tenure.let_go()
        self._release(states, why)

    def _release(self, states: Sequence[PartitionState], why: str) -> None:
        self._committer.commit_now(self._consumer, states)
        for state in states:
            self._active_at.pop(state, None)
            self._observer.acquitted(state.partition, why)

    def _end(self, states: Sequence[PartitionState]) -> None:
        self.is_active, self._out = False, None
        self._active_at.clear()
        for state in states:
            if not self.stands_still(state):
                state.resume()

    def _forget_dropped(self) -> None:
        if self._out is not None and self._out[4].is_dropped:
            self._out = None
        if self._leaving is not None and self._leaving[4].is_dropped:
            self._leaving = None
        for gone in [state for state in self._active_at if state.is_dropped]:
            del self._active_at[gone]


def _is_to_try(state: PartitionState) -> bool:
    return state.tenure.is_suspected and not state.is_closed


def _is_leaving(item: Item) -> bool:
    """Say whether a copy of *item* is on its way to the broker."""
    backlog = item[4].chain.index.get(item[3])
    return backlog is not None and backlog.place(_offset(item)) == MOVING


def _free(state: PartitionState) -> None:
    """Hold what was waiting for the source to be read past it; as all that is held it runs alone."""
    for key in state.chain.passed(state.ledger.position):
        run = state.advance(key)
        if run is not None:
            state.postpone(state.interrupt(run, 0))


def _offset(item: Item) -> int:
    offset = item[0].offset()
    return -1 if offset is None else offset
