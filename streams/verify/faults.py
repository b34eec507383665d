"""What is done to a run: each fault is a function that breaks one thing while records are under way.

A further one is a function here and a name in `FAULTS`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streams.verify.crew import Worker
from streams.verify.history import Place
from streams.verify.proxy import Where
from streams.verify.trial import Trial

_TAKEN_OVER_WITHIN_S: Final = 60.0
_GOES_ON_WITHIN_S: Final = 60.0
_FURTHER: Final = 100
"""Runs that end after a fault before the next thing happens."""
_SESSIONS: Final = 2
"""Brokers and connections are away for so many sessions: past the deadline of a request too."""
_SLOW_S: Final = 0.2
"""That bytes take longer, each way."""
_RESETS: Final = 3


class Injected(NamedTuple):
    """One fault as it was done."""

    fault: str
    members: tuple[int, ...]
    """Numbers of the members that were hit."""
    in_flight: int
    """Records that had started and not ended there."""
    missed: str = ""
    """Why it does not count; "" where it does."""

    @property
    def has_hit(self) -> bool:
        """A member was hit, and records were in flight."""
        return bool(self.members) and self.in_flight > 0 and not self.missed


def sigkill(trial: Trial) -> Injected:
    """Kill a member with work in flight; another one comes."""
    victim = trial.victim()
    in_flight = trial.catch(victim)
    victim.kill()
    trial.note_end("SIGKILL", victim)
    trial.reinforce()
    return Injected("sigkill", (victim.number,), in_flight)


def sigterm(trial: Trial) -> Injected:
    """Tell a member with work in flight to stop; it has to end well, and nothing runs again."""
    victim = trial.victim()
    in_flight = trial.catch(victim)
    victim.tell(signal.SIGTERM)
    victim.tell(signal.SIGCONT)
    ended = trial.under_load(lambda: not victim.is_running, within_s=60)
    trial.exit_codes.append(victim.await_end(1) if ended else -1)
    trial.reinforce()
    return Injected("sigterm", (victim.number,), in_flight)


def sigstop(trial: Trial) -> Injected:
    """Suspend a member until others have finished what it had, then wake it: a zombie, which soon owns something again.

    What it still starts, sends or commits as the owner it no longer is shows now, or at the next change of owner.
    """
    victim = trial.victim()
    in_flight = trial.catch(victim)
    trial.note_end("SIGSTOP", victim)
    missed = _replaced(trial, victim, _begun(trial, victim))
    trial.read()
    trial.crew.resume(victim, trial.stopped_ns)
    return Injected("sigstop", (victim.number,), in_flight, missed or _back_at_work(trial, victim))


def cutoff(trial: Trial) -> Injected:
    """Cut a member off from all brokers until others have finished what it had: a zombie that goes on.

    What it had sent on its way passes when the network is whole again.
    """
    return _cut_off(trial, "cutoff", None)


def coordinator(trial: Trial) -> Injected:
    """Cut a member off from the broker that coordinates the group: it reads on from others, and can't commit."""
    return _cut_off(trial, "coordinator", trial.coordinator().node)


def _cut_off(trial: Trial, fault: str, node: int | None) -> Injected:
    """Cut a member off from broker *node*, or from all."""
    network, victim = trial.require_network(), trial.victim()
    in_flight = trial.catch(victim)
    begun = _begun(trial, victim)
    links = network.silence(Where(node, victim.client_id))
    victim.tell(signal.SIGCONT)
    since = trial.read()
    trial.keep_on(trial.session_s)  # for so long it may take itself for the owner, and start more
    trial.note_end("cutting off", victim, since)
    missed = "" if links else "it had no connection"
    missed = missed or _replaced(trial, victim, begun)
    trial.read()
    network.calm()
    return Injected(fault, (victim.number,), in_flight, missed or _back_at_work(trial, victim))


def _begun(trial: Trial, victim: Worker) -> dict[str, set[Place]]:
    return {topic: set(victim.journals[topic].in_flight) for topic in trial.tracks}


def _replaced(trial: Trial, victim: Worker, begun: Mapping[str, set[Place]]) -> str:
    """Wait until others have finished what *victim* had *begun* when it stood still; say why they have not, or ""."""
    others = [worker for worker in trial.crew.present if worker is not victim]

    def is_taken_over() -> bool:
        journals = ((topic, worker.journals[topic]) for topic in trial.tracks for worker in others)
        return any(begun[topic] & journal.started_since(trial.stopped_ns) for topic, journal in journals)

    if not trial.under_load(is_taken_over, within_s=_TAKEN_OVER_WITHIN_S):
        return f"nobody took over within {_TAKEN_OVER_WITHIN_S:g} s"
    return "" if trial.heal(but=victim) else "what was taken over was not finished"


def _back_at_work(trial: Trial, victim: Worker) -> str:
    """Wait until *victim* does something new; say why it does not, or ""."""
    enough = victim.ended + victim.in_flight
    is_back = trial.under_load(lambda: victim.ended > enough, within_s=_GOES_ON_WITHIN_S)
    return "" if is_back else "it got no work again"


def rebalance(trial: Trial) -> Injected:
    """Have a member join while records are in flight, and leave again."""
    members = trial.crew.present
    newcomer = trial.crew.start()
    in_flight = 0

    def has_joined() -> bool:
        nonlocal in_flight
        in_flight = max(in_flight, sum(worker.in_flight for worker in members))
        return newcomer.ended > _FURTHER

    works = trial.under_load(has_joined, within_s=_GOES_ON_WITHIN_S)
    in_flight = in_flight if works else 0
    newcomer.tell(signal.SIGTERM)
    gone = trial.under_load(lambda: not newcomer.is_running, within_s=60)
    trial.exit_codes.append(newcomer.await_end(1) if gone else -1)
    trial.go_on(_FURTHER)
    missed = "" if works else "the newcomer got no work"
    return Injected("rebalance", tuple(worker.number for worker in members), in_flight, missed)


def broker(trial: Trial) -> Injected:
    """Kill the broker that leads a partition; others take over, and it comes back."""
    broken = trial.leader()

    def strike() -> str:
        broken.kill()
        goes_on = trial.go_on(_FURTHER)
        trial.require_cluster().heal()
        return "" if goes_on else f"work did not go on within {_GOES_ON_WITHIN_S:g} s"

    return _strike_all(trial, "broker", strike)


def suspend(trial: Trial) -> Injected:
    """Suspend the broker that leads a partition: its connections stay and nothing is answered; then it goes on."""
    suspended = trial.leader()

    def strike() -> str:
        suspended.suspend()
        trial.keep_on(_SESSIONS * trial.session_s)
        trial.require_cluster().heal()
        return ""

    return _strike_all(trial, "suspend", strike)


def outage(trial: Trial) -> Injected:
    """Kill all brokers; they come back."""
    cluster = trial.require_cluster()

    def strike() -> str:
        for one in cluster.brokers:
            one.kill()
        trial.keep_on(_SESSIONS * trial.session_s)
        cluster.heal()
        return ""

    return _strike_all(trial, "outage", strike)


def delay(trial: Trial) -> Injected:
    """Slow down all that passes between members and brokers, by less than a session; nothing may run again."""
    network = trial.require_network()

    def strike() -> str:
        links = network.delay(_SLOW_S)
        trial.keep_on(_SESSIONS * trial.session_s)
        goes_on = trial.go_on(_FURTHER)
        network.calm()
        return "" if links and goes_on else "no work went on while it was slow"

    return _strike_all(trial, "delay", strike, may_repeat=False)


def reset(trial: Trial) -> Injected:
    """Break off all connections of members while records are in flight; again, once work goes on, at some moment."""
    network = trial.require_network()

    def strike() -> str:
        broken = []
        for _ in range(_RESETS):
            broken.append(network.reset())
            trial.go_on(_FURTHER)
            trial.keep_on(trial.rng.random())
        return "" if all(broken) else "there was no connection"

    return _strike_all(trial, "reset", strike)


def halfopen(trial: Trial) -> Injected:
    """Have the broker that leads a partition take connections and answer nothing; the other brokers reach it."""
    network, silent = trial.require_network(), trial.leader()

    def strike() -> str:
        links = network.silence(Where(broker=silent.node))
        trial.keep_on(_SESSIONS * trial.session_s)
        network.calm()
        return "" if links else "it had no connection"

    return _strike_all(trial, "halfopen", strike)


def _strike_all(trial: Trial, fault: str, strike: Callable[[], str], *, may_repeat: bool = True) -> Injected:
    """Do to all members what *strike* does, which says why it does not count, or ""; work has to go on after it."""
    since = trial.read()
    trial.under_load(lambda: trial.in_flight > 0, within_s=_GOES_ON_WITHIN_S)
    in_flight = trial.in_flight
    missed = strike()
    if not trial.go_on(_FURTHER):
        missed = missed or f"work did not go on within {_GOES_ON_WITHIN_S:g} s"
    members = trial.crew.refresh()
    for worker in members if may_repeat else ():
        trial.note_end(f"{fault} in the sight", worker, since)
    return Injected(fault, tuple(worker.number for worker in members), in_flight, missed)


FAULTS: Final[Mapping[str, Callable[[Trial], Injected]]] = {
    one.__name__: one
    for one in (
        sigkill,
        sigterm,
        sigstop,
        rebalance,
        broker,
        suspend,
        outage,
        delay,
        reset,
        halfopen,
        cutoff,
        coordinator,
    )
}
"""By the name that the command line knows."""

OF_A_NETWORK: Final = frozenset({"delay", "reset", "halfopen", "cutoff", "coordinator"})
"""Those that need something between members and brokers."""

OF_THREE_BROKERS: Final = frozenset({"broker", "suspend", "halfopen", "coordinator"})
"""Those that leave some brokers whole."""

OF_THE_CLUSTER: Final = OF_A_NETWORK | OF_THREE_BROKERS | {"outage"}
"""Those that break what other people may use, if it is not the run's own."""
