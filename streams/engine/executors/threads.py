"""Handlers in threads: for work that waits on the network, the disk, a lock.

Workers take runs one by one from one deque, so a slow record delays its own
lane and nothing else.  A sleeping worker costs 25 to 40 us to wake, and work
that never waits is not done faster by more threads: as many are woken as there
is work for, by the measured cost of a run, and one more where nothing moves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue
from typing import Final, TypeVar

from streams.engine.executors.executor import NOT_STARTED, Interruption, perform, perform_batch
from streams.engine.executors.whole import Alone, Cost, Whole, Wholes, perform_chunk
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, Run
from streams.engine.route import Route
from streams.engine.slot import CURRENT, Slot

_T = TypeVar("_T")

_WORTH_WAKING_S: Final = 0.0002
"""Work that justifies one more awake thread."""

_LITTLE_S: Final = 0.00002
"""A run that costs less is not worth telling from one that costs nothing."""

_UNKNOWN_COST_S: Final = 0.001
"""What a run is taken to cost before the first has been measured."""

_REPORT_EVERY: Final = 64
_REPORT_AFTER_S: Final = 0.25
"""Runs, or seconds, after which a busy worker adds to its counts."""


class _Worker(Slot):
    """One thread's slot, and the bell that wakes it."""

    __slots__ = ("bell",)

    def __init__(self) -> None:
        super().__init__()
        self.bell: SimpleQueue[None] = SimpleQueue()


class ThreadExecutor:
    """Runs a route's handlers in its own threads.

    The poll thread puts runs into `_ready` and takes results out; workers do
    the reverse.  Every exchange is one atomic deque operation.

    Always true:

    * A worker announces that it sleeps before it looks at `_ready` a last
      time, and the poll thread adds to `_ready` before it looks who sleeps:
      no run is left lying while all workers sleep, and none for longer than
      two turns of the loop while one of them sleeps and the others are held up.
    * A worker reports a run before it lets go of its slot, and sets its slot
      before it looks at the lease: whoever closes a partition and then sees
      no slot on it has every result.
    """

    def __init__(self, route: Route) -> None:
        """Start the threads of *route*."""
        self.route = route
        self.capacity = route.concurrency
        self._ready: deque[Run] = deque()
        self._finished: deque[Run] = deque()
        self._interrupted: deque[Interruption] = deque()
        self._asleep: deque[_Worker] = deque()
        self._cost_s = _UNKNOWN_COST_S
        self._cost = Cost()
        self._wholes = Wholes(route, self._cost, self._submit_whole)
        self._chunks: deque[Whole | Alone] = deque()
        self._submitted = 0
        self._taken = 0
        self._closed = False
        self._workers = [_Worker() for _ in range(route.concurrency)]
        for number, worker in enumerate(self._workers):
            name = f"streams-{route.name}-{number}"
            threading.Thread(target=self._work, args=(worker,), name=name, daemon=True).start()

    def take(self, state: PartitionState, chunk: Chunk) -> None:
        """Hand *chunk* to a worker as a whole where runs are quick, else its lanes to the workers."""
        self.submit(self._wholes.take(state, chunk))

    def submit(self, runs: Sequence[Run], *, ahead: bool = False) -> None:
        """Hand *runs* to the workers."""
        if runs:
            self._ready.extendleft(reversed(runs)) if ahead else self._ready.extend(runs)
            self._submitted += len(runs)
            self._wake(self._useful() - (self.capacity - len(self._asleep)))

    def _submit_whole(self, one: Whole | Alone) -> None:
        self._chunks.append(one)
        if len(self._asleep) == self.capacity:
            self._wake(1)

    def finished(self) -> list[Run]:
        """Give the runs that ended well since the last call; wake one more thread where work is left lying."""
        wholes = self._wholes
        self.submit(wholes.collect())
        if (self._ready or self._chunks) and self._asleep and not self._has_moved():
            self._wake(1)
        return wholes.take_finished() + _drain(self._finished)

    def take_settled(self) -> int:
        """Count what was settled since the last call as part of whole chunks."""
        return self._wholes.take_settled()

    def interrupted(self) -> list[Interruption]:
        """Give the runs that did not, since the last call."""
        return self._wholes.take_interrupted() + _drain(self._interrupted)

    def slots(self) -> Sequence[Slot]:
        """Give each thread's slot."""
        return self._workers

    def close(self) -> None:
        """Let the threads end once they are idle."""
        self._closed = True
        for worker in self._workers:
            worker.bell.put(None)

    def _useful(self) -> int:
        """Give how many threads are worth being awake for the runs that are ready; at least one."""
        return max(1, min(len(self._ready), int(len(self._ready) * self._cost_s / _WORTH_WAKING_S)))

    def _has_moved(self) -> bool:
        """Say whether any run was taken since this was last asked; if none was, all who are awake are held up."""
        before, self._taken = self._taken, self._submitted - len(self._ready)
        return self._wholes.has_moved() | (self._taken != before)

    def _wake(self, count: int) -> None:
        while count > 0 and self._asleep:
            try:
                self._asleep.pop().bell.put(None)
            except IndexError:  # the last sleeper woke by itself
                return
            count -= 1

    def _work(self, worker: _Worker) -> None:
        CURRENT.set(worker)
        while not self._closed:
            self._sleep(worker)
            self._drain_ready(worker)

    def _sleep(self, worker: _Worker) -> None:
        self._asleep.append(worker)
        if not self._ready and not self._chunks:
            worker.bell.get()
            return
        try:
            self._asleep.remove(worker)
        except ValueError:  # the poll thread has just rung
            worker.bell.get()

    def _drain_ready(self, worker: _Worker) -> None:
        route, ready, chunks, finish = self.route, self._ready, self._chunks, self._finished.append
        started, runs, first = time.monotonic(), 0, 0
        while ready or chunks:
            if chunks and (first <= 0 or not ready):
                self._count(worker, started, runs)
                self._whole(worker)
                started, runs, first = time.monotonic(), 0, len(ready)  # what waits now goes before the next chunk
                continue
            try:
                run = ready.popleft()
            except IndexError:  # another worker was faster
                continue
            first -= 1
            if route.batch:
                runs += self._batch(run, worker)
            else:
                done, ended = perform(route, run, worker)
                runs += done
                if ended is None:
                    finish(run)
                else:
                    self._interrupted.append(Interruption(run, done, ended))
                    runs += ended is not NOT_STARTED
            worker.item = None
            if runs >= _REPORT_EVERY or worker.since - started > _REPORT_AFTER_S:
                started, runs = self._count(worker, started, runs), 0
        self._count(worker, started, runs)

    def _whole(self, worker: _Worker) -> None:
        """Run the next whole chunk, or what was left alone."""
        started = time.monotonic()
        try:
            one = self._chunks.popleft()
        except IndexError:  # another worker was faster
            return
        if isinstance(one, Alone):
            done, ended = perform(self.route, one.run[one.done :], worker)
            if ended is None:
                self._finished.append(one.run)
            else:
                self._interrupted.append(Interruption(one.run, one.done + done, ended))
            worker.item = None
            worker.runs += done + (ended is not None and ended is not NOT_STARTED)
            worker.spent_s += time.monotonic() - started
            return
        runs = perform_chunk(self._wholes, one, worker)
        spent_s = time.monotonic() - started
        worker.runs += runs
        worker.spent_s += spent_s
        self._cost.learn(spent_s / (runs or 1))

    def _batch(self, run: Run, worker: _Worker) -> int:
        """Run *run* and what else is ready, up to a batch, in one call."""
        runs, records = [run], len(run)
        while self._ready and records < (self.route.batch or 1):
            try:
                runs.append(self._ready.popleft())
            except IndexError:  # another worker was faster
                break
            records += len(runs[-1])
        for one in perform_batch(self.route, runs, worker):
            if one.outcome is None:
                self._finished.append(one.run)
            else:
                self._interrupted.append(one)
        return records

    def _count(self, worker: _Worker, started: float, runs: int) -> float:
        now = time.monotonic()
        if runs:
            worker.runs += runs
            worker.spent_s += now - started
            self._cost.learn((now - started) / runs)
            self._learn((now - worker.since) / (len(worker.batch) or 1))
        return now

    def _learn(self, cost_s: float) -> None:
        """Note what one run cost, here and there.

        A run that stood still while other threads had the interpreter seems to
        cost milliseconds: one such alone changes little.  Workers learn side by
        side, and may forget what another one has just learnt.
        """
        before = self._cost_s  # one look: out of two could come less than zero, and less and less from there
        self._cost_s = before + (min(cost_s, 8 * before + _LITTLE_S) - before) * 0.2


def _drain(source: deque[_T]) -> list[_T]:
    return [source.popleft() for _ in range(len(source))]
