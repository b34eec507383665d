"""What follows a run that did not simply end well: the one place that turns outcomes into the next step."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from streams.clock import Clock
from streams.engine.context import Sends
from streams.engine.executors.executor import Interruption, NotStarted
from streams.engine.intake import Intake
from streams.engine.letters import copies, letter
from streams.engine.parking import relieve
from streams.engine.partition import Bury, Item, Move, PartitionState, Run, Withheld, offset_of
from streams.engine.relocation import Errand, Relocator
from streams.engine.retries import Hold
from streams.engine.route import Ended, Route
from streams.engine.suspension import Suspension
from streams.errors import RecordError, SendError
from streams.observer import Failure, Observer
from streams.outcome import Ack, DeadLetter, Retry, Skip
from streams.record import Partition
from streams.retry import GiveUp

_TRY_AGAIN_S: Final = 5.0
"""Wait before a copy that the broker refused is sent again."""


class Router:
    """Owned by the poll thread.

    Always true: a record leaves here settled, held in its lane, or on its way
    to the broker; nothing else becomes of it.
    """

    def __init__(
        self,
        *,
        routes: Mapping[str, Route],
        relocator: Relocator,
        intake: Intake,
        suspension: Suspension,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Route the outcomes of *routes*.

        Args:
            routes: By topic.
            relocator: Produces what outcomes lead to.
            intake: Stopped for a partition whose dead letters are refused.
            suspension: Hears how runs ended, and says what is to be held.
            clock: Where the time comes from.
            observer: Hears what became of records.
        """
        self._routes = routes
        self._relocator = relocator
        self._intake = intake
        self._suspension = suspension
        self._clock = clock
        self._observer = observer
        self._refused: list[tuple[float, int, Move]] = []
        self._untaken: dict[PartitionState, set[Move]] = {}
        """Copies that the broker has refused and not taken since."""
        self._unknown: dict[Partition, str] = {}
        self._retried: Counter[str] = Counter()
        self._failures: dict[PartitionState, list[Failure]] = {}
        self._sequence = 0

    def route(self, topic: str, interruptions: Sequence[Interruption]) -> list[Run]:
        """Decide what follows each of *interruptions*, runs of *topic*; give the next runs of lanes that go on."""
        is_minded = self._suspension.minds(topic)
        failures: defaultdict[PartitionState, list[tuple[Item, Retry]]] = defaultdict(list)
        followers, ended_well = list[Run](), 0
        for interruption in interruptions:
            run, done, outcome = interruption.run, interruption.done, interruption.outcome
            item = run[0]
            state = item[4]
            if len(run) > 1:
                item = state.interrupt(run, done)
            if done:
                ended_well += done
                self._suspension.passed(topic, (), done)
            if state.is_dropped:
                continue
            if type(outcome) is Retry and not is_minded:
                failures[state].append((item, outcome))
                continue
            follower = self._go_on(item, outcome)
            if follower is not None:
                followers.append(follower)
        if ended_well:
            self._observer.finished(topic, "done", ended_well)
        for state, failed in failures.items():
            self._fail(state, failed)
        self._tell_retries()
        return followers

    def _go_on(self, item: Item, outcome: Ended | NotStarted) -> Run | None:
        """Decide what follows a run of *item*; give the lane's next run where it may go on at once."""
        state = item[4]
        if self._suspension.takes(item, outcome):
            self._hold(item)
            return None
        match outcome:
            case NotStarted():
                state.postpone(item)
            case Sends():
                self._relocator.send(item, outcome)
            case Retry():
                self._fail(state, [(item, outcome)])
            case DeadLetter():
                self._bury(item, outcome.cause)
            case Skip() | Ack() | None:
                self._observer.finished(state.partition.topic, "skipped", 1)
                return state.settle(item)
        return None

    def acknowledged(self) -> Iterator[tuple[Item, Run | None]]:
        """Settle what the broker has acknowledged; give each record with its lane's next run."""
        self._try_again()
        tickets = self._relocator.acknowledged()
        for state, moves in self._relocator.arrived().items():
            if not state.is_dropped:  # rule 10: what was sent under another assignment id is not ours
                self._tell(state, moves)
                yield from state.moved(moves)
        for ticket in tickets:
            state, move = ticket.item[4], ticket.move
            if state.is_dropped:
                continue
            if ticket.fate == "stored":
                self._observer.finished(state.partition.topic, "done", 1)
                yield ticket.item, state.settle(ticket.item)
            elif ticket.fate == "unknown":  # rule 9: nobody may guess
                what = "what a handler sent" if move is None else "a copy"
                self._unknown.setdefault(state.partition, f"the fate of {what} is unknown: {ticket.error}")
            elif move is None:
                error = SendError(f"the broker refused what the handler sent: {ticket.error}")
                self._fail(state, [(ticket.item, Retry(error))])
            else:
                self._hold_copy(move, ticket.error)
        self._tell_retries()

    def unknown(self) -> Mapping[Partition, str]:
        """Give the partitions, since the last call, for which it is unknown what the broker has, and of what."""
        unknown, self._unknown = self._unknown, {}
        return unknown

    def _hold(self, item: Item) -> None:
        """Put *item* back: its run counts for nothing, as the route stands still."""
        self._retried[item[4].partition.topic] += 1
        item[4].postpone(item)

    def give_up(self, item: Item, cause: Exception) -> None:
        """Make *item* a dead letter without a run."""
        self._bury(item, cause)

    def _bury(self, item: Item, cause: Exception) -> None:
        refuses = self._suspension.refuses
        match item[4].bury(item, cause, _given_up(cause), self._clock.monotonic(), self._wall_ms(), refuses):
            case Bury() as bury:
                self.move(item[4], [bury])
            case Withheld():
                self._retried[item[4].partition.topic] += 1

    def _fail(self, state: PartitionState, failed: Sequence[tuple[Item, Retry]]) -> None:
        now_s, delays = self._clock.monotonic(), [part.stage.delay_s for part in state.chain.parts]
        decisions = state.fail_all(failed, now_s, self._wall_ms(), self._suspension.refuses)
        failures, moves = list[Failure](), list[Move]()
        for (item, outcome), decision in zip(failed, decisions, strict=True):
            offset: int = item[0].offset()  # type: ignore[assignment]  # a delivered record has one
            if type(decision) is Move:
                moves.append(decision)
                failures.append(Failure(offset, decision.attempts, delays[decision.number], outcome.cause))
            elif isinstance(decision, Bury):
                moves.append(decision)
            elif isinstance(decision, Hold):
                failures.append(Failure(offset, decision.attempt, decision.due_s - now_s, outcome.cause))
            else:
                self._retried[state.partition.topic] += 1
        if failures:
            self._failures.setdefault(state, []).extend(failures)
        if moves:
            self.move(state, moves)

    def _tell_retries(self) -> None:
        """Tell what of a turn runs again."""
        for state, failures in self._failures.items():
            self._retried[state.partition.topic] += len(failures)
            self._observer.retrying(state.partition, failures)
        for topic, records in self._retried.items():
            self._observer.finished(topic, "retried", records)
        self._failures.clear()
        self._retried.clear()

    def relieve(self, state: PartitionState, *, is_forced: bool = False) -> None:
        """Move what waits in memory behind keys in trouble into the chain: what has waited long, or everything."""
        self.move(state, relieve(state, self._clock.monotonic(), is_forced=is_forced))

    def move(self, state: PartitionState, moves: Sequence[Move]) -> None:
        """Have the copies of *moves*, of one partition, produced."""
        dead = [move for move in moves if move.number == state.chain.dlq]
        waiting = [move for move in moves if move.number != state.chain.dlq] if dead else moves
        self._relocator.relocate(state, copies(state, waiting))
        self._relocator.relocate(state, [self._letter(move) for move in dead])

    def _letter(self, move: Move) -> Errand:
        handler = self._routes[move.item[4].partition.topic].name
        return letter(move, handler=handler, wall_ms=self._wall_ms())

    def _hold_copy(self, move: Move, error: str) -> None:
        """The broker refused a copy: its partition reads nothing further until it is taken."""
        state = move.item[4]
        self._intake.blocked[state] = "dead_letter_topic" if move.number == state.chain.dlq else "retry_topic"
        self._untaken.setdefault(state, set()).add(move)
        self._observer.letter_refused(state.partition, offset_of(move.item), error)
        self._sequence += 1
        heapq.heappush(self._refused, (self._clock.monotonic() + _TRY_AGAIN_S, self._sequence, move))

    def _try_again(self) -> None:
        for gone in [state for state in self._untaken if state.is_dropped]:
            del self._untaken[gone]
        while self._refused and self._refused[0][0] <= self._clock.monotonic():
            _, _, move = heapq.heappop(self._refused)
            if not move.item[4].is_dropped:
                self.move(move.item[4], [move])

    def _tell(self, state: PartitionState, moves: Sequence[Move]) -> None:
        """Tell which copies of a turn the broker has."""
        if state in self._untaken:
            self._unblock(state, moves)
        moved = Counter([move.number for move in moves])
        for bury in [move for move in moves if isinstance(move, Bury)] if state.chain.dlq in moved else ():
            moved[bury.number] -= 1
            self._observer.finished(state.partition.topic, "dead_lettered", 1)
            self._observer.dead_lettered(state.partition, offset_of(bury.item), bury.attempts, bury.cause)
        for number, records in (+moved).items():
            self._observer.relocated(state.partition, state.chain.parts[number].stage.kind, records)

    def _unblock(self, state: PartitionState, taken: Sequence[Move]) -> None:
        """Let the partition go on once none of its copies is refused any more."""
        untaken = self._untaken[state]
        untaken.difference_update(taken)
        if not untaken:
            del self._untaken[state]
            self._intake.blocked.pop(state, None)

    def _wall_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _given_up(cause: Exception) -> GiveUp:
    """Say who gave a record up: the handler, or what is wrong with the record itself."""
    if isinstance(cause, RecordError):
        return GiveUp(f"{type(cause).__name__} is not retried: the same bytes would give it again")
    return GiveUp("the handler gave it up")
