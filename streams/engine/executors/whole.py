"""Chunks that run whole: one slot takes a chunk's records from the first to the last, and no lanes are made of them.

Lanes are what slow handlers need: each key goes on while another one waits.
They cost more than a quick handler does, and where handlers are quick nothing
waits but what is behind a record that failed.  So chunks run whole while a run
costs next to nothing, one at a time of a partition, but for the records whose
lanes are busy.  Where one ends in anything but success it gets its lane, the
later ones of its key wait there, and what is left begins anew; where that
happens too often, or a record takes long, the chunk is *split*: what the slot
has not begun goes into lanes.

The slot takes records from an iterator, and whoever splits the chunk takes
all that are left from the same one: each is a single step of the interpreter,
so no record is had by both.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import compress, islice
from operator import length_hint
from typing import Final, NamedTuple, TypeAlias

from streams.engine.executors.executor import LONG_RUN_S, NOT_STARTED, Interruption, NotStarted, first_trouble
from streams.engine.ledger import Chunk
from streams.engine.partition import Item, PartitionState, Run
from streams.engine.route import Ended, Route
from streams.engine.slot import Slot
from streams.kafka.message import KEY, Message
from streams.outcome import Outcome, Stop

_QUICK_S: Final = 0.00002
"""A run that costs less is cheaper than the lane that it would run in."""
_QUICK_BATCH_S: Final = 0.00001
"""The same for one record of a batch; a call costs its share, so that small ones are no quick ones."""
_UNKNOWN_COST_S: Final = 0.001
"""What a run is taken to cost before the first has been measured."""
_LATEST: Final = 8
"""Averages that are kept."""
MOST_ROUNDS: Final = 16
"""A chunk begins anew so often: each time the lanes of what is left of it are looked at."""
_LEAST_REST: Final = 32
"""And with so many records: less is not worth handing over."""
_PATIENCE_S: Final = 0.01
"""How long a run may hold up the later ones of its partition; to wait for the interpreter takes 5 ms already."""


class Raised:
    """A call with a batch raised: its records are to run one by one."""


RAISED: Final = Raised()

Verdict: TypeAlias = "Ended | NotStarted | Raised | list[Outcome | None]"
"""What a whole chunk stopped at; None: nothing, all of it ended well.  A list has one outcome for each of a call."""


class Cost:
    """What a run of a route costs, in seconds: the lowest of the latest averages.

    Runs that stood still while other threads had the interpreter, or the
    machine, seem to cost more than they do, never less.
    """

    def __init__(self, seconds: float | None = None) -> None:
        """Begin with *seconds*; None: nothing is known."""
        self._latest = [_UNKNOWN_COST_S if seconds is None else seconds] * _LATEST
        self._at = 0

    def learn(self, seconds: float) -> None:
        """Note what a run cost on average, of some that followed each other in one slot."""
        self._at = at = (self._at + 1) % _LATEST
        self._latest[at] = seconds

    @property
    def seconds(self) -> float:
        """What a run costs."""
        return min(self._latest)


class Whole:
    """A chunk on its way through one slot.

    The slot takes from `source`, and writes `at` where it calls for several at once; all else is the poll thread's.
    """

    __slots__ = (
        "at",
        "behind",
        "chunk",
        "count",
        "heads",
        "indexes",
        "messages",
        "slot",
        "source",
        "state",
        "stop",
        "width",
    )

    def __init__(self, state: PartitionState, chunk: Chunk, behind: deque[Chunk], width: int) -> None:
        """Have *chunk*, *width* records a call, and what has come *behind* it wait."""
        self.state = state
        self.chunk = chunk
        self.behind = behind
        self.width = width
        self.messages: Sequence[Message] = chunk.messages
        self.indexes: Sequence[int] = chunk.indexes
        self.count = self.stop = len(chunk.messages)
        """How many records it had, and how many of them the slot has got, or will get."""
        self.source: Iterator[Message] = iter(chunk.messages)
        self.at = 0
        """Where the call with a batch that is under way begins; of the latest one between two of them."""
        self.slot: Slot | None = None
        """Where it runs, once it does."""
        self.heads: Sequence[Run] | None = None
        """The lanes of what the slot had in hand, once it is split."""

    @property
    def place(self) -> int:
        """Where what is in the slot's hands begins; of the latest call between two of them."""
        return self.at if self.width > 1 else max(0, self.stop - length_hint(self.source) - 1)

    def take_back(self) -> int:
        """Take what the slot has not got yet, so that it gets no more; give how many it has got."""
        self.stop = self.count - len(list(self.source))
        return self.stop

    def in_hand(self) -> list[Item]:
        """Give the records of the call that is under way, for people and watchers."""
        at = self.place
        here = zip(self.messages[at : at + self.width], self.indexes[at : at + self.width], strict=True)
        return [item_of(one, self.chunk, index, self.state) for one, index in here]


class Alone(NamedTuple):
    """The rest of a lane that was in a call that raised: it runs record by record."""

    run: Run
    done: int
    """Records at its beginning that have ended well."""


class Wholes:
    """Which chunks of a route run whole; owned by the poll thread, but for `ended`.

    Always true: while a chunk of a partition runs whole no record of its keys
    is anywhere else; what is read meanwhile waits behind it.
    """

    def __init__(self, route: Route, cost: Cost, start: Callable[[Whole | Alone], None]) -> None:
        """Have chunks of *route* run whole while its *cost* is small; *start* gives one to a slot."""
        self.route = route
        self._cost = cost
        self._quick_s = _QUICK_BATCH_S if route.batch else _QUICK_S
        self._start = start
        self._under_way: dict[PartitionState, Whole] = {}
        self._progress = (0, 0)
        self._ended = 0
        self.ended: deque[tuple[Whole, int, Verdict]] = deque()
        """What slots report: a chunk, how many of its records ended well before the call it stopped at, and why."""
        self._settled = 0
        self._finished: list[Run] = []
        self._interrupted: list[Interruption] = []

    def take(self, state: PartitionState, chunk: Chunk) -> Sequence[Run]:
        """Have *chunk* run whole, now or after the one before it; or give its lanes' runs."""
        before = self._under_way.get(state)
        if before is not None:
            before.behind.append(chunk)
            return ()
        return self._begin(state, deque([chunk]))

    def _begin(self, state: PartitionState, chunks: deque[Chunk]) -> list[Run]:
        """Start the first of *chunks*; where it does not go whole give the runs of all of them."""
        runs = list[Run]()
        while chunks:
            chunk = chunks.popleft()
            if runs or not self._goes_whole(state, chunk):
                runs += state.enlane(chunk)
                continue
            if state.lanes:
                state.enlane_busy(chunk)
            if chunk.messages:
                whole = Whole(state, chunk, chunks, self.route.batch or 1)
                self._under_way[state] = whole
                state.is_whole = True
                self._start(whole)
                break
        return runs

    def _goes_whole(self, state: PartitionState, chunk: Chunk) -> bool:
        return (
            self._cost.seconds < self._quick_s
            and time.monotonic() <= state.lease_until
            and not state.chain.asked
            and (not chunk.rounds or (chunk.rounds <= MOST_ROUNDS and len(chunk.messages) >= _LEAST_REST))
        )

    def collect(self) -> list[Run]:
        """Take what slots have reported, and split what takes long; give the runs that may start."""
        runs = list[Run]()
        while self.ended:
            whole, done, verdict = self.ended.popleft()
            self._ended += 1
            if whole.heads is not None:
                self._tell(whole.heads, whole.indexes[done:], verdict)
            elif verdict is None:
                self._settled += whole.count
                whole.state.settle_chunk(whole.chunk)
                runs += self._go_on(whole)
            else:
                runs += self._go_round(whole, done, verdict)
            del verdict  # an error in it holds frames
        if self._under_way:
            late = time.monotonic() - _PATIENCE_S
            for whole in [one for one in self._under_way.values() if one.slot is not None and one.slot.since < late]:
                runs += self._split(whole)
        return runs

    def take_settled(self) -> int:
        """Count what was settled since the last call."""
        settled, self._settled = self._settled, 0
        return settled

    def take_finished(self) -> list[Run]:
        """Give, since the last call, what was in hand at a split and ended well."""
        finished, self._finished = self._finished, []
        return finished

    def take_interrupted(self) -> list[Interruption]:
        """Give what did not."""
        interrupted, self._interrupted = self._interrupted, []
        return interrupted

    def has_moved(self) -> bool:
        """Say whether any record has begun since this was last asked."""
        before = self._progress
        self._progress = self._ended, sum(whole.place for whole in self._under_way.values())
        return self._progress != before

    def _go_on(self, whole: Whole) -> list[Run]:
        """Give way to what has come behind *whole*."""
        self._end(whole.state)
        return [] if whole.state.is_dropped else self._begin(whole.state, whole.behind)

    def _end(self, state: PartitionState) -> None:
        """Note that nothing of *state* runs without a lane any more."""
        del self._under_way[state]
        state.is_whole = False

    def _go_round(self, whole: Whole, done: int, verdict: Verdict) -> list[Run]:
        """Put into lanes what *whole* has stopped at, and go on with the rest."""
        state, chunk = whole.state, whole.chunk
        state.settle_first(chunk, done)
        self._settled += done
        stop = done + (len(verdict) if isinstance(verdict, list) else min(whole.width, whole.count - done))
        indexes = whole.indexes[done:stop]
        if isinstance(verdict, list):
            indexes, verdict = self._settle_well(state, chunk, indexes, verdict)
        self._tell(state.enlane(chunk, len(indexes)), indexes, verdict)
        chunk.rounds += 1
        whole.behind.appendleft(chunk)
        return self._go_on(whole)

    def _settle_well(
        self, state: PartitionState, chunk: Chunk, indexes: Sequence[int], outcomes: list[Outcome | None]
    ) -> tuple[Sequence[int], list[Outcome | None]]:
        """Settle what of a call ended well, but for keys with another outcome; give what is left of both."""
        keys = state.keys_of(chunk)[: len(outcomes)]
        troubled = {key for key, outcome in zip(keys, outcomes, strict=True) if outcome is not None}
        is_left = [key in troubled for key in keys]
        state.settle_picked(chunk, [not one for one in is_left])
        self._settled += is_left.count(False)
        return list(compress(indexes, is_left)), list(compress(outcomes, is_left))

    def _split(self, whole: Whole) -> list[Run]:
        """Put into lanes what the slot has not begun, and what it has in hand as lanes that are running."""
        state, chunk = whole.state, whole.chunk
        stop = whole.take_back()
        begun = whole.at if self.route.batch else max(0, stop - 1)
        state.settle_first(chunk, begun)
        self._settled += begun
        whole.heads = state.enlane(chunk, stop - begun)
        self._end(state)
        return [run for late in (chunk, *whole.behind) for run in state.enlane(late)]

    def _tell(self, heads: Sequence[Run], indexes: Sequence[int], verdict: Verdict) -> None:
        """Say what became of *heads*, lanes of what a slot had in hand; it stopped at the first of *indexes*."""
        outcomes = dict(zip(indexes, verdict, strict=False)) if isinstance(verdict, list) else {}
        for head in heads:
            if verdict is None:
                self._finished.append(head)
                continue
            if isinstance(verdict, list):
                one = first_trouble(head, [outcomes.get(item[2]) for item in head])
                if one.outcome is None:
                    self._finished.append(one.run)
                else:
                    self._interrupted.append(one)
                continue
            ended = sum(item[2] < indexes[0] for item in head)
            if isinstance(verdict, Raised):
                self._start(Alone(head, ended))
            elif ended == len(head):
                self._finished.append(head)
            else:
                self._interrupted.append(Interruption(head, ended, verdict))


def perform_chunk(wholes: Wholes, whole: Whole, slot: Slot) -> int:
    """Run *whole* in *slot*, and report it before the slot is let go; give how many handler runs ended."""
    route = wholes.route
    perform = perform_whole_batch if route.batch else perform_whole_bare if route.is_bare else perform_whole
    done, verdict = perform(route, whole, slot)
    wholes.ended.append((whole, done, verdict))
    slot.whole = None
    return runs_in(done, verdict)


def perform_whole(route: Route, whole: Whole, slot: Slot) -> tuple[int, Verdict]:
    """Run the records of *whole* in order; give how many ended well, and what stopped the next one."""
    clock, state, chunk, indexes = time.monotonic, whole.state, whole.chunk, whole.indexes
    too_long, at = begin(whole, slot), -1
    ended: Ended
    for at, message in enumerate(whole.source):
        slot.since = now = clock()
        if now > too_long or now > state.lease_until:
            return at, NOT_STARTED
        try:
            ended = route.invoke(item_of(message, chunk, indexes[at], state))
        except Stop as stop:
            ended = route.outcome(stop.outcome)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            return at, route.failure(error, message)
        if ended is not None:
            return at, ended
    return at + 1, None


def perform_whole_bare(route: Route, whole: Whole, slot: Slot) -> tuple[int, Verdict]:
    """As `perform_whole`, for a handler that takes a value and nothing else: it is called from here."""
    handler, clock, state = route.handler, time.monotonic, whole.state
    too_long, at, is_read = begin(whole, slot), -1, False
    values = route.values(whole.source)
    while True:
        try:
            for at, value in enumerate(values, at + 1):  # noqa: B020  # it goes on behind the one that raised
                is_read = True
                slot.since = now = clock()
                if now > too_long or now > state.lease_until:
                    return at, NOT_STARTED
                result = handler(value)
                if result is not None and (ended := route.outcome(result)) is not None:
                    return at, ended
                is_read = False
        except Stop as stop:
            at += not is_read
            is_read = False
            ended = route.outcome(stop.outcome)
            if ended is not None:
                return at, ended
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            at += not is_read
            return at, route.failure(error, whole.messages[at], is_read=is_read)
        else:
            return at + 1, None


def perform_whole_batch(route: Route, whole: Whole, slot: Slot) -> tuple[int, Verdict]:
    """Run *whole* in calls of a batch handler; give how many records ended well, and what stopped the next call."""
    too_long, done = begin(whole, slot), 0
    while part := list(islice(whole.source, whole.width)):
        slot.since = now = time.monotonic()
        whole.at = done
        if now > too_long or now > whole.state.lease_until:
            return done, NOT_STARTED
        try:
            outcomes = route.call_batch(part)
        except BaseException:  # noqa: BLE001  # each record's own outcome is found out by itself
            return done, RAISED
        if outcomes.count(None) < len(outcomes):
            return done, outcomes
        done += len(part)
    return done, None


def runs_in(done: int, verdict: Verdict) -> int:
    """Count the handler runs of a whole chunk that ended, *done* of them well."""
    if isinstance(verdict, list):
        return done + len(verdict)
    return done + (verdict is not None and verdict is not NOT_STARTED and verdict is not RAISED)


def item_of(message: Message, chunk: Chunk, index: int, state: PartitionState) -> Item:
    """Give the record at *index* of *chunk* as a handler's context wants it: it stands in no lane."""
    key = KEY(message)
    return message, chunk.settled, index, chunk.offset_at(index) if key is None else key, state


def begin(whole: Whole, slot: Slot) -> float:
    """Show *whole* in *slot*; give the time after which it hands back the rest."""
    slot.since = now = time.monotonic()
    whole.slot = slot
    slot.whole = whole
    return now + LONG_RUN_S
