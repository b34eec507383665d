"""Async handlers on one event loop in its own thread, shared by all async routes.

Runner tasks take runs from one deque.  A further runner starts only once the
earlier ones have suspended, so handlers that never wait cost no task each.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any, Final

from streams.engine.executors.executor import LONG_RUN_S, NOT_STARTED, Interruption, NotStarted, lease_of, sort_out
from streams.engine.executors.whole import RAISED, Alone, Cost, Verdict, Whole, Wholes, begin, item_of, runs_in
from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, Run
from streams.engine.route import Ended, Route
from streams.engine.slot import CURRENT, Slot
from streams.errors import HandlerTimeoutError
from streams.outcome import Stop

_WATCH_S: Final = 0.05
"""How often runs are compared with their timeout, at the most."""
_HOG_S: Final = 0.005
"""How long handlers that never wait may have the loop to themselves."""


_REPORT_EVERY: Final = 64
"""Records after which a runner tells what they cost."""


class EventLoop:
    """An asyncio loop in a thread of its own."""

    def __init__(self) -> None:
        """Start the thread."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="streams-event-loop", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run *coroutine* on the loop; the future is for the calling thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """End the loop; what still runs on it is cancelled."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=2)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()


class _Runner(Slot):
    """One task's slot."""

    __slots__ = ("is_late", "task")

    def __init__(self) -> None:
        super().__init__()
        self.task: asyncio.Task[None] | None = None
        self.is_late = False
        """The watch cancelled this run because its time was over."""

    def forget_cancellation(self) -> None:
        """Take the watch's cancellation back once its run has ended: the next one begins anew."""
        self.is_late = False
        if self.task is not None:
            self.task.uncancel()


class AsyncExecutor:
    """Runs a route's async handlers on an `EventLoop`.

    The poll thread puts runs into `_ready` and takes results out; everything
    else happens on the loop's thread.  The order of the writes is that of
    `ThreadExecutor`: slot before lease, result before the slot is let go.
    """

    def __init__(self, route: Route, loop: EventLoop) -> None:
        """Run handlers of *route* on *loop*."""
        self.route = route
        self.capacity = route.concurrency
        self._loop = loop.loop
        self._ready: deque[Run] = deque()
        self._finished: deque[Run] = deque()
        self._interrupted: deque[Interruption] = deque()
        self._cost = Cost()
        self._wholes = Wholes(route, self._cost, self._submit_whole)
        self._chunks: deque[Whole | Alone] = deque()
        self._runners: dict[_Runner, None] = {}
        self._first = 0
        """Runs that are ready and go before the next whole chunk: neither is to wait for ever."""
        self._burst = 1
        self._is_armed = False
        self._closed = False
        self._runs = Slot()  # the counts of all runners
        self._loop.call_soon_threadsafe(self._watch)

    def take(self, state: PartitionState, chunk: Chunk) -> None:
        """Hand *chunk* to the loop: as a whole where runs are quick, else its lanes."""
        self.submit(self._wholes.take(state, chunk))

    def submit(self, runs: Sequence[Run], *, ahead: bool = False) -> None:
        """Hand *runs* to the loop: one wake-up for all of them."""
        if runs:
            self._ready.extendleft(reversed(runs)) if ahead else self._ready.extend(runs)
            self._arm()

    def _submit_whole(self, one: Whole | Alone) -> None:
        self._chunks.append(one)
        self._arm()

    def _arm(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            self._loop.call_soon_threadsafe(self._start_runners)

    def finished(self) -> list[Run]:
        """Give the runs that ended well since the last call."""
        wholes = self._wholes
        self.submit(wholes.collect())
        return wholes.take_finished() + [self._finished.popleft() for _ in range(len(self._finished))]

    def take_settled(self) -> int:
        """Count what was settled since the last call as part of whole chunks."""
        return self._wholes.take_settled()

    def interrupted(self) -> list[Interruption]:
        """Give the runs that did not, since the last call."""
        return self._wholes.take_interrupted() + [self._interrupted.popleft() for _ in range(len(self._interrupted))]

    def slots(self) -> Sequence[Slot]:
        """Give the slots of all runners, and one that holds their counts."""
        return [self._runs, *list(self._runners)]

    def close(self) -> None:
        """Stop watching and starting."""
        self._closed = True

    # -- on the loop's thread -----------------------------------------------------------------

    def _start_runners(self) -> None:
        """Start a few runners, then look again once they have suspended or ended."""
        self._is_armed = False
        count = min(len(self._ready) + len(self._chunks), self.capacity - len(self._runners), self._burst)
        if count <= 0 or self._closed:
            self._burst = 1
            return
        for _ in range(count):
            runner = _Runner()
            self._runners[runner] = None
            runner.task = self._loop.create_task(self._work(runner))
        self._burst *= 2
        self._is_armed = True
        self._loop.call_soon(self._start_runners)

    async def _work(self, runner: _Runner) -> None:
        CURRENT.set(runner)
        resumed = time.monotonic()
        latest_s, latest = 0.0, 0
        try:
            while (self._ready or self._chunks) and not self._closed:
                started = time.monotonic()
                if started - resumed > _HOG_S:
                    await asyncio.sleep(0)
                    resumed = time.monotonic()
                    continue  # what was ready may be another runner's now
                if self._chunks and (self._first <= 0 or not self._ready):
                    await self._whole(self._chunks.popleft(), runner)
                    self._first = len(self._ready)
                    continue
                run = self._ready.popleft()
                self._first -= 1
                if self.route.batch:
                    self._sort(await self._batch(self._fill(run), runner))
                else:
                    done, ended = await self._records(run, runner)
                    if ended is None:
                        self._finished.append(run)
                        self._runs.runs += done
                    else:
                        self._sort([Interruption(run, done, ended)])
                spent_s = time.monotonic() - started
                self._runs.spent_s += spent_s
                latest_s += spent_s
                latest += len(runner.batch) or len(run)
                if latest >= _REPORT_EVERY:
                    self._cost.learn(latest_s / latest)
                    latest_s, latest = 0.0, 0
                runner.item = None
        finally:
            if latest:
                self._cost.learn(latest_s / latest)
            del self._runners[runner]

    async def _whole(self, one: Whole | Alone, runner: _Runner) -> None:
        """Run a whole chunk, or what was left alone."""
        started = time.monotonic()
        if isinstance(one, Alone):
            done, ended = await self._records(one.run[one.done :], runner)
            self._sort([Interruption(one.run, one.done + done, ended)])
            self._runs.runs -= one.done
            runner.item = None
        else:
            done, verdict = await (self._whole_batch if self.route.batch else self._whole_records)(one, runner)
            self._wholes.ended.append((one, done, verdict))
            runner.whole = None
            runs = runs_in(done, verdict)
            self._runs.runs += runs
            self._cost.learn((time.monotonic() - started) / (runs or 1))
        self._runs.spent_s += time.monotonic() - started

    async def _whole_records(self, whole: Whole, runner: _Runner) -> tuple[int, Verdict]:
        """As `perform_whole`."""
        route, clock, state, chunk, indexes = self.route, time.monotonic, whole.state, whole.chunk, whole.indexes
        is_bare, decode, handler = route.is_bare, route.decode, route.handler
        too_long, at = begin(whole, runner), -1
        ended: Ended
        for at, message in enumerate(whole.source):
            runner.since = now = clock()
            if now > too_long or now > state.lease_until:
                return at, NOT_STARTED
            try:
                if is_bare:
                    result = await handler(decode(message))
                    ended = None if result is None else route.outcome(result)
                else:
                    ended = await route.invoke_async(item_of(message, chunk, indexes[at], state))
                if runner.is_late:  # it ended its work all the same
                    runner.forget_cancellation()
            except Stop as stop:
                ended = route.outcome(stop.outcome)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
                return at, route.failure(self._reason(error, runner), message)
            if ended is not None:
                return at, ended
        return at + 1, None

    async def _whole_batch(self, whole: Whole, runner: _Runner) -> tuple[int, Verdict]:
        """As `perform_whole_batch`."""
        too_long, done = begin(whole, runner), 0
        while part := list(islice(whole.source, whole.width)):
            runner.since = now = time.monotonic()
            whole.at = done
            if now > too_long or now > whole.state.lease_until:
                return done, NOT_STARTED
            try:
                outcomes = await self.route.call_batch_async(part)
                if runner.is_late:
                    runner.forget_cancellation()
            except BaseException as error:  # noqa: BLE001  # each record's own outcome is found out by itself
                self._reason(error, runner)
                return done, RAISED
            if outcomes.count(None) < len(outcomes):
                return done, outcomes
            done += len(part)
        return done, None

    def _sort(self, performed: list[Interruption]) -> None:
        for one in performed:
            self._runs.runs += one.runs
            if one.outcome is None:
                self._finished.append(one.run)
            else:
                self._interrupted.append(one)

    def _fill(self, run: Run) -> list[Run]:
        """Give *run* and what else is ready, up to a batch."""
        runs, records = [run], len(run)
        while self._ready and records < (self.route.batch or 1):
            runs.append(self._ready.popleft())
            records += len(runs[-1])
        return runs

    async def _records(self, run: Run, runner: _Runner) -> tuple[int, Ended | NotStarted]:
        route, clock = self.route, time.monotonic
        is_bare, decode, handler = route.is_bare, route.decode, route.handler
        ended: Ended
        done, too_long = 0, 0.0
        for item in run:
            runner.since = now = clock()
            runner.item = item
            if not done:
                too_long = now + LONG_RUN_S
            if now > too_long or (now > item[4].lease_until and not item[4].lets_probe(item[3], now)):
                return done, NOT_STARTED
            try:
                if is_bare:
                    result = await handler(decode(item[0]))
                    ended = None if result is None else route.outcome(result)
                else:
                    ended = await route.invoke_async(item)
                if runner.is_late:  # it ended its work all the same
                    runner.forget_cancellation()
            except Stop as stop:
                ended = route.outcome(stop.outcome)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
                return done, route.failure(self._reason(error, runner), item[0])
            if ended is not None:
                return done, ended
            done += 1
        return done, None

    async def _batch(self, runs: list[Run], runner: _Runner) -> list[Interruption]:
        items = list(chain.from_iterable(runs))
        runner.batch = items
        runner.since = now = time.monotonic()
        runner.item = items[0]
        if now > lease_of(runs):  # not one of them starts, unless it is a probe
            return [Interruption(run, *await self._records(run, runner)) for run in runs]
        try:
            outcomes = await self.route.invoke_batch_async(items)
            if runner.is_late:
                runner.forget_cancellation()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            self._reason(error, runner)
            return [Interruption(run, *await self._records(run, runner)) for run in runs]
        return sort_out(runs, outcomes)

    def _reason(self, error: BaseException, runner: _Runner) -> BaseException:
        """Give what stands for *error*: cancelled by the watch is a timeout; by the end of the loop it goes on."""
        if not isinstance(error, asyncio.CancelledError):
            return error
        if not runner.is_late:
            if self._closed and runner.task is not None and runner.task.cancelling():
                raise error
            return error
        runner.forget_cancellation()
        return HandlerTimeoutError(
            f"handler {self.route.name} ran past its {self.route.timeout_s:g} s and was cancelled"
        )

    def _watch(self) -> None:
        """Cancel what runs past its time."""
        now = time.monotonic()
        for runner in self._overdue(now):
            if runner.task is not None and not runner.is_late:
                runner.is_late = True
                runner.task.cancel()
        if not self._closed:
            self._loop.call_later(min(1.0, max(_WATCH_S, self.route.timeout_s / 4)), self._watch)

    def _overdue(self, now: float) -> Iterator[_Runner]:
        return (
            runner for runner in list(self._runners) if now - runner.since > self.route.timeout_s and runner.running()
        )
