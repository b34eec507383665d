"""Which routes stand still, and why: the one room that knows.

A route stands still while a dependency that it needs is down (`Breaker`) or
its dead letters have become too many (`Tripwire`).  Nothing of it starts then,
what comes back unstarted or failed by the dependency is held with no attempt
counted, and its intake is paused.  Once the wait is over a few held records
try, heads first; the rest goes on when they ended well.

It stands beside the router, which tells how runs ended and asks before a dead
letter, and beside the loop, which tells what ended well and runs the probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from streams.clock import Clock
from streams.engine.breaker import Breaker
from streams.engine.circuit import Probe, Verdict
from streams.engine.context import Sends
from streams.engine.executors.executor import NotStarted
from streams.engine.guard import Tripwire
from streams.engine.partition import Item, Run
from streams.engine.route import Ended, Route
from streams.errors import HandlerTimeoutError
from streams.observer import CircuitState, Observer, PauseReason
from streams.outcome import DeadLetter, Retry
from streams.record import Partition

Gate: TypeAlias = Breaker | Tripwire
"""Something that a route can stand still for."""

RESUMED: Final = "an operator resumed it"


class Standing(Protocol):
    """What is asked of a partition whose route stands still.  Called by the poll thread; nothing blocks."""

    partition: Partition
    is_dropped: bool
    """Not ours any more."""

    def suspend(self) -> None:
        """Start nothing from now on, whatever the lease says; a second call changes nothing."""

    def resume(self) -> None:
        """Start again what the lease allows; a call without `suspend` changes nothing."""

    def can_probe(self, now_s: float) -> bool:
        """Say whether a record is held that could start now, were the route not standing still."""

    def probe(self, now_s: float) -> Run | None:
        """Give such a record as a run of its own that may start all the same, the one held longest first."""


class Trial(NamedTuple):
    """A held record that was let through: it speaks for every gate that was not closed."""

    state: Standing
    probes: Sequence[tuple[Gate, Probe]]


class Suspension:
    """The breakers and guards of a member, and what they mean for its partitions.

    Owned by the poll thread.

    Always true:

    * A record that is held was not settled, not moved and not charged an attempt for the run that held it.
    * While a route stands still no record of it starts but the probes that every open gate of it has room for.
    * A dependency has one breaker, however many routes need it, and stops no route that does not.
    """

    def __init__(self, routes: Mapping[str, Route], clock: Clock, observer: Observer) -> None:
        """Let every one of *routes* go on, and tell so."""
        self._clock = clock
        self._observer = observer
        self._timeouts = {topic: route.timeout_s for topic, route in routes.items()}
        named = {one.name: Breaker(one) for route in routes.values() for one in route.needs}
        self._breakers = {topic: [named[one.name] for one in route.needs] for topic, route in routes.items()}
        self._tripwires = {topic: Tripwire(route.guard) for topic, route in routes.items() if route.guard is not None}
        self._trials: dict[tuple[object, object], Trial] = {}
        """By partition and lane: of a lane one record runs at a time."""
        self._told: dict[Gate, CircuitState] = {}
        self._gates: list[Gate] = [*named.values(), *self._tripwires.values()]
        self._topics: dict[Gate, str] = {gate: topic for topic, gate in self._tripwires.items()}
        self._halted: Mapping[str, str] = {}
        self.is_active = False
        """`turn` has something to do: a route stands still, or goes on from now."""
        self._tell_turns()

    # -- how runs and records ended ---------------------------------------------------------

    def passed(self, topic: str, runs: Sequence[Run], records: int) -> None:
        """Note that *records* of *topic* ended well, once a turn; *runs* are those that did as a whole."""
        tripwire = self._tripwires.get(topic)
        if tripwire is not None:
            tripwire.passed(records)
        breakers = self._breakers[topic]
        if breakers:
            now_s = self._clock.monotonic()
            for breaker in breakers:
                breaker.passed(records, now_s)
        if self._trials:
            for run in runs:
                self._end(self._trial_of(run[0]), lambda _: "well")

    def minds(self, topic: str) -> bool:
        """Say whether a failure on *topic* may mean more than that its record runs again."""
        return bool(self._trials or self._breakers[topic])

    def takes(self, item: Item, outcome: Ended | NotStarted) -> bool:
        """Note how a run of *item* ended; say whether it is to be held, its attempt not counted."""
        topic = item[4].partition.topic
        trial = self._trial_of(item) if self._trials else None
        match outcome:
            case Retry(cause) | DeadLetter(cause):
                return self._failed(topic, cause, trial)
            case NotStarted():
                self._end(trial, lambda _: "void")
            case Sends():
                self._end(trial, lambda _: "well")
                self.passed(topic, (), 1)
            case _:  # nothing was to be done: that says something of the record, and nothing of a dependency
                self._end(trial, lambda gate: "well" if isinstance(gate, Tripwire) else "void")
                if topic in self._tripwires:
                    self._tripwires[topic].passed(1)
        return False

    def refuses(self, topic: str, error: BaseException | None = None) -> bool:
        """Say whether a record of *topic* that would be a dead letter now, of *error*, is to be held instead."""
        tripwire = self._tripwires.get(topic)
        if tripwire is None or tripwire.letter(self._clock.monotonic(), error):
            return False
        self._tell_turns()
        return True

    def resume(self, topic: str) -> bool:
        """Let *topic* go on although its dead letters were too many; say whether it stood still for them."""
        tripwire = self._tripwires.get(topic)
        if tripwire is None or tripwire.circuit.is_closed:
            return False
        tripwire.circuit.close(RESUMED)
        self._tell_turns()
        return True

    def halt(self, topics: Mapping[str, str]) -> None:
        """Let *topics* stand still, each for that reason, whatever else says they may go on; and all others go on."""
        self.is_active = self.is_active or dict(topics) != self._halted
        self._halted = dict(topics)

    # -- what follows -----------------------------------------------------------------------

    def turn(self, states: Sequence[Standing]) -> list[Run]:
        """Stop and let go on what *states*, all that are owned, have to; give the probes that are to run now."""
        now_s = self._clock.monotonic()
        for gate in self._gates:
            gate.circuit.look(now_s)
        self._forget_dropped()
        self._tell_turns()
        runs = []
        for state in states:
            is_halted = state.partition.topic in self._halted
            if not (is_halted or self._shut(state.partition.topic)):
                state.resume()
                continue
            state.suspend()
            run = None if is_halted else self._probe(state, now_s)
            if run is not None:
                runs.append(run)
        self.is_active = bool(self._halted) or any(not gate.circuit.is_closed for gate in self._gates)
        return runs

    def reason(self, state: Standing) -> PauseReason | None:
        """Say why the intake of *state* is to be paused; None where it is not.

        While probes are wanted and none of its records could be one, it reads on.
        """
        if not self.is_active:
            return None
        if state.partition.topic in self._halted:
            return "operator"
        shut = self._shut(state.partition.topic)
        if not shut or (self._has_room(shut) and not state.can_probe(self._clock.monotonic())):
            return None
        return "guard" if any(isinstance(gate, Tripwire) for gate in shut) else "breaker"

    def why(self, topic: str) -> str | None:
        """Say why *topic* stands still, in a sentence for people; None while it does not."""
        told = [f"{_spelled(gate)} is {gate.circuit.state}: {gate.circuit.why}" for gate in self._shut(topic)]
        if topic in self._halted:
            told.insert(0, self._halted[topic])
        return "; ".join(told) or None

    # -- inside -----------------------------------------------------------------------------

    def _failed(self, topic: str, cause: Exception, trial: Trial | None) -> bool:
        """Note a failure with the breakers that it concerns; whether it is a dead letter the guard hears later."""
        breakers = self._breakers[topic]
        behind = [one for one in breakers if one.dependency.is_behind(cause) or _hangs(one, trial, cause)]
        now_s = self._clock.monotonic() if behind else 0.0
        is_held = [breaker.failed(cause, now_s) for breaker in behind]
        self._end(trial, lambda gate: "failed" if gate in behind else "void")
        if any(is_held):
            self._tell_turns()
        return any(is_held)

    def _trial_of(self, item: Item) -> Trial | None:
        return self._trials.pop((item[4], item[3]), None)

    def _end(self, trial: Trial | None, verdict: Callable[[Gate], Verdict]) -> None:
        if trial is None:
            return
        now_s = self._clock.monotonic()
        for gate, probe in trial.probes:
            gate.circuit.end(probe, verdict(gate), now_s)
        self._tell_turns()

    def _probe(self, state: Standing, now_s: float) -> Run | None:
        topic = state.partition.topic
        shut = self._shut(topic)
        if not self._has_room(shut):
            return None
        run = state.probe(now_s)
        if run is not None:
            probes = [(gate, gate.circuit.let(now_s, self._timeouts[topic])) for gate in shut]
            self._trials[state, run[0][3]] = Trial(state, probes)
        return run

    def _shut(self, topic: str) -> list[Gate]:
        """Give the gates of *topic* that are not closed circuits."""
        return [gate for gate in self._gates_of(topic) if not gate.circuit.is_closed]

    def _gates_of(self, topic: str) -> Iterator[Gate]:
        yield from self._breakers[topic]
        if topic in self._tripwires:
            yield self._tripwires[topic]

    def _has_room(self, shut: Sequence[Gate]) -> bool:
        return all(gate.circuit.room for gate in shut)

    def _forget_dropped(self) -> None:
        """Take back the probes of partitions that went: nobody will tell how they end."""
        for key in [key for key, trial in self._trials.items() if trial.state.is_dropped]:
            self._end(self._trials.pop(key), lambda _: "void")

    def _tell_turns(self) -> None:
        """Tell what has turned since the last call."""
        for gate in self._gates:
            circuit = gate.circuit
            if self._told.get(gate) == circuit.state:
                continue
            self._told[gate] = circuit.state
            self.is_active = self.is_active or not circuit.is_closed
            if isinstance(gate, Breaker):
                self._observer.breaker_turned(gate.dependency.name, circuit.state, circuit.why)
            else:
                self._observer.guard_turned(self._topics[gate], circuit.state, circuit.why)


def _hangs(breaker: Breaker, trial: Trial | None, cause: Exception) -> bool:
    """Say whether a run that was to try *breaker* ran past its time: what is down often just does not answer."""
    return (
        isinstance(cause, HandlerTimeoutError)
        and trial is not None
        and any(gate is breaker for gate, _ in trial.probes)
    )


def _spelled(gate: Gate) -> str:
    if isinstance(gate, Breaker):
        return f"the breaker of dependency {gate.dependency.name}"
    return "the guard before its dead letters"
