"""Handlers on the poll thread: the fastest way for short work that never waits.

While a handler runs nothing else does: no poll, no commit.  Handlers that wait
for anything belong in threads or on the event loop.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from typing import Any, Final

from streams.engine.executors.executor import NOT_STARTED, Interruption, NotStarted, next_batch, perform, perform_batch
from streams.engine.executors.whole import MOST_ROUNDS, Alone, Cost, Whole, Wholes, perform_chunk
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, Run
from streams.engine.route import Ended, Route
from streams.engine.slot import CURRENT, Slot
from streams.outcome import Stop

_TURN_S: Final = 0.1
"""Runs that have come to wait begin for this long in a turn of the loop; the rest goes on in the next ones.

Thousands can become free to run at once: when the lease comes, when an outage ends.
"""


class InlineExecutor:
    """Runs a route's handlers where the records are read.

    Owned by the poll thread.
    """

    capacity = 1

    def __init__(self, route: Route) -> None:
        """Run handlers of *route*."""
        self.route = route
        self._slot = Slot()
        self._settled = 0
        self._wholes = Wholes(route, Cost(0.0), self._perform)
        self._ready: deque[Run] = deque()
        self._finished: list[Run] = []
        self._interrupted: list[Interruption] = []

    def take(self, state: PartitionState, chunk: Chunk) -> None:
        """Run *chunk*, but for the records whose lanes are busy; settle it as a whole where every run ends well.

        Where one does not it gets its lane, and the rest goes on without it; after many of them it goes by lanes.
        """
        if not self.route.is_bare:
            self.submit(self._wholes.take(state, chunk))
            return
        if time.monotonic() > state.lease_until:
            self.submit(state.enlane(chunk))
            return
        CURRENT.set(self._slot)
        started = time.monotonic()
        while True:
            if state.lanes:
                state.enlane_busy(chunk)
            count = len(chunk.messages)
            done, ended = self._run_chunk(state, chunk)
            self._slot.runs += done
            self._settled += done
            if done == count:
                state.settle_chunk(chunk)
                break
            state.settle_first(chunk, done)
            self._sort([Interruption(run, 0, ended) for run in state.enlane(chunk, 1)])
            chunk.rounds += 1
            if ended is NOT_STARTED or chunk.rounds > MOST_ROUNDS:
                self.submit(state.enlane(chunk))
                break
        self._slot.spent_s += time.monotonic() - started
        del ended  # an error in it holds this frame: the two would hold the chunk until the collector comes

    def _run_chunk(self, state: PartitionState, chunk: Chunk) -> tuple[int, Ended | NotStarted]:
        """Run records of *chunk* while they end well; give how many did, and what became of the next one."""
        count = len(chunk.messages)
        source = iter(chunk.messages)
        values = self.route.values(source)
        self._slot.source = chunk.messages, source
        try:
            while True:
                try:
                    ended = self._run_values(values, state.lease_until)
                except Stop as stop:
                    ended = self.route.outcome(stop.outcome)
                    if ended is None:
                        continue
                if ended is None:
                    return count, None
                return count - length_hint(source) - 1, ended
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            failed = count - length_hint(source) - 1
            return failed, self.route.failure(error, chunk.messages[failed])
        finally:
            self._slot.source = None

    def _run_values(self, values: Iterator[Any], lease_until: float) -> Ended | NotStarted:
        """Run the handler on *values*; give what the first ended in that did not end well, None where all did."""
        handler, clock, outcome = self.route.handler, time.monotonic, self.route.outcome
        for value in values:
            if clock() > lease_until:
                return NOT_STARTED
            if (result := handler(value)) is not None and (ended := outcome(result)) is not None:
                return ended
        return None

    def _perform(self, one: Whole | Alone) -> None:
        """Run a whole chunk, or what was left alone."""
        slot, started = self._slot, time.monotonic()
        CURRENT.set(slot)
        if isinstance(one, Alone):
            done, ended = perform(self.route, one.run[one.done :], slot)
            self._sort((Interruption(one.run, one.done + done, ended),))
            slot.runs -= one.done
            slot.item = None
        else:
            slot.runs += perform_chunk(self._wholes, one, slot)
        slot.spent_s += time.monotonic() - started

    def submit(self, runs: Sequence[Run], *, ahead: bool = False) -> None:
        """Have *runs* run one after the other, from the next look at what has finished."""
        self._ready.extendleft(reversed(runs)) if ahead else self._ready.extend(runs)

    def _work(self) -> None:
        """Run what is ready, for a moment."""
        slot, ready, clock = self._slot, self._ready, time.monotonic
        CURRENT.set(slot)
        started = clock()
        ends_at = started + _TURN_S
        route, runs = self.route, 0
        while ready:
            if route.batch:
                self._sort(perform_batch(route, next_batch(ready, route.batch), slot))
            else:
                run = ready.popleft()
                done, ended = perform(route, run, slot)
                runs += done
                if ended is None:
                    self._finished.append(run)
                else:
                    runs += ended is not NOT_STARTED
                    self._interrupted.append(Interruption(run, done, ended))
                del ended  # an error in it holds this frame
            if clock() >= ends_at:
                break
        slot.runs += runs
        slot.item = None
        slot.spent_s += clock() - started

    def _sort(self, performed: Iterable[Interruption]) -> None:
        for one in performed:
            self._slot.runs += one.runs
            if one.outcome is None:
                self._finished.append(one.run)
            else:
                self._interrupted.append(one)

    def finished(self) -> list[Run]:
        """Run what is ready; give the runs that ended well since the last call."""
        self.submit(self._wholes.collect())
        if self._ready:
            self._work()
        finished, self._finished = self._wholes.take_finished() + self._finished, []
        return finished

    def take_settled(self) -> int:
        """Count what was settled as part of whole chunks since the last call."""
        settled, self._settled = self._settled + self._wholes.take_settled(), 0
        return settled

    def interrupted(self) -> list[Interruption]:
        """Give the runs that did not, since the last call."""
        interrupted, self._interrupted = self._wholes.take_interrupted() + self._interrupted, []
        return interrupted

    def slots(self) -> Sequence[Slot]:
        """Give the one slot."""
        return (self._slot,)

    def close(self) -> None:
        """Nothing runs between two calls of the loop."""
