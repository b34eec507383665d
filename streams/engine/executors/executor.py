"""What the loop asks of whatever runs handlers, and how one run is performed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Final, Protocol

import msgspec

from streams.engine.ledger import Chunk
from streams.engine.partition import PartitionState, Run
from streams.engine.route import Ended, Route
from streams.engine.slot import Slot
from streams.outcome import Outcome, Retry, Stop


class NotStarted:
    """The lease had ended, or the run had taken long enough: the record was not started."""


NOT_STARTED: Final = NotStarted()

LONG_RUN_S: Final = 0.1
"""A run that has taken this long hands back what it has done, so that it is committed; the rest is a new run."""


class Interruption(msgspec.Struct, frozen=True, gc=False):
    """A run that did not simply end well."""

    run: Run
    done: int
    """Records at its beginning that ended well."""
    outcome: Ended | NotStarted
    """What became of the next one."""

    @property
    def runs(self) -> int:
        """Count the handler runs in it: one that was not started is none."""
        return self.done + (self.outcome is not None and self.outcome is not NOT_STARTED)


class Executor(Protocol):
    """Runs handlers of one route.

    The poll thread calls every method.  None blocks, but for the inline
    executor, whose handlers run inside `take` and `finished`.
    """

    route: Route
    capacity: int
    """Handler runs that may be under way at once."""

    def take(self, state: PartitionState, chunk: Chunk) -> None:
        """Run what *chunk* holds, each lane in order."""

    def submit(self, runs: Sequence[Run], *, ahead: bool = False) -> None:
        """Run *runs*; their lanes are theirs.  With *ahead* they go before what is ready already."""

    def finished(self) -> list[Run]:
        """Give the runs that ended well since the last call."""

    def take_settled(self) -> int:
        """Count the records, since the last call, that this executor settled itself, as whole chunks."""

    def interrupted(self) -> list[Interruption]:
        """Give the runs that did not, since the last call."""

    def slots(self) -> Sequence[Slot]:
        """Give every slot that a handler may be running in."""

    def close(self) -> None:
        """Let nothing start any more; does not wait for what runs."""


def perform(route: Route, run: Run, slot: Slot) -> tuple[int, Ended | NotStarted]:
    """Run the records of *run* in order; give how many ended well, and what stopped the next one."""
    is_bare, decode, handler, clock = route.is_bare, route.decode, route.handler, time.monotonic
    ended: Ended
    done, too_long = 0, 0.0
    for item in run:
        slot.since = now = clock()
        slot.item = item
        if not done:
            too_long = now + LONG_RUN_S
        if now > too_long or (now > item[4].lease_until and not item[4].lets_probe(item[3], now)):
            return done, NOT_STARTED
        is_read = False
        try:
            if is_bare:
                value = decode(item[0])
                is_read = True
                result = handler(value)
                ended = None if result is None else route.outcome(result)
            else:
                ended = route.invoke(item)
        except Stop as stop:
            ended = route.outcome(stop.outcome)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            return done, route.failure(error, item[0], is_read=is_read)
        if ended is not None:
            return done, ended
        done += 1
    return done, None


def perform_batch(route: Route, runs: Sequence[Run], slot: Slot) -> list[Interruption]:
    """Run *runs* in one call of a batch handler; a call that raises is repeated one record at a time.

    Gives every run with what became of it; one that ended well has `done` equal to its length.
    """
    items = list(chain.from_iterable(runs))
    slot.batch = items
    slot.since = now = time.monotonic()
    slot.item = items[0]
    if now > lease_of(runs):  # not one of them starts, unless it is a probe
        return [Interruption(run, *perform(route, run, slot)) for run in runs]
    try:
        outcomes = route.invoke_batch(items)
    except BaseException:  # noqa: BLE001  # whatever it is, it is the record's outcome
        return [Interruption(run, *perform(route, run, slot)) for run in runs]
    return sort_out(runs, outcomes)


def lease_of(runs: Sequence[Run]) -> float:
    """Give the monotonic time until which all of *runs* may start."""
    return min(state.lease_until for state in {run[0][4] for run in runs})


def sort_out(runs: Sequence[Run], outcomes: Sequence[Outcome | None]) -> list[Interruption]:
    """Say what became of each of *runs*, given one outcome a record."""
    if outcomes.count(None) == len(outcomes):
        return [Interruption(run, len(run), None) for run in runs]
    rest = iter(outcomes)
    return [first_trouble(run, [next(rest) for _ in run]) for run in runs]


def first_trouble(run: Run, outcomes: list[Outcome | None]) -> Interruption:
    """Find where *run* stopped, given one outcome a record.

    Only a retry takes back what the call did for later records of the lane;
    behind a record that was skipped or given up, what ended well has ended.
    """
    stop = next((at for at, outcome in enumerate(outcomes) if outcome is not None), None)
    if stop is None:
        return Interruption(run, len(run), None)
    last = next((at for at, outcome in enumerate(outcomes) if isinstance(outcome, Retry)), len(run))
    ended = [run[at] for at in range(last) if outcomes[at] is None]
    left = [run[at] for at in range(stop + 1, len(run)) if at > last or outcomes[at] is not None]
    return Interruption([*ended, run[stop], *left], len(ended), outcomes[stop])


def next_batch(ready: deque[Run], size: int) -> list[Run]:
    """Take the first runs of *ready* that hold at most *size* records together; a longer run is a batch of its own."""
    part = [ready.popleft()]
    records = len(part[0])
    while ready and records + len(ready[0]) <= size:
        part.append(ready.popleft())
        records += len(part[-1])
    return part
