"""What is done to brokers and to the network before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from streams.dev import Broker
from streams.verify.injected import FURTHER, GOES_ON_WITHIN_S, Injected
from streams.verify.proxy import Where
from streams.verify.trial import Trial

_SESSIONS: Final = 2
"""Brokers and connections are away for so many sessions: past the deadline of a request too."""
_LONG_SESSIONS: Final = 10
_SLOW_S: Final = 0.2
"""That bytes take longer, each way."""
_RESETS: Final = 3


def broker(trial: Trial) -> Injected:
    """Kill the broker that leads a partition; others take over, and it comes back."""
    return _killed(trial, "broker", trial.leader())


def failover(trial: Trial) -> Injected:
    """Kill the broker that coordinates the group, and takes its commits; another one does, and it comes back."""
    return _killed(trial, "failover", trial.coordinator())


def _killed(trial: Trial, fault: str, broken: Broker) -> Injected:
    def strike() -> str:
        broken.kill()
        goes_on = trial.go_on(FURTHER)
        trial.require_cluster().heal()
        return "" if goes_on else f"work did not go on within {GOES_ON_WITHIN_S:g} s"

    return _strike_all(trial, fault, strike)


def rolling(trial: Trial) -> Injected:
    """Restart all brokers in order, one after the other, each once work goes on without it."""
    cluster = trial.require_cluster()

    def strike() -> str:
        stuck = []
        for one in cluster.brokers:
            one.stop()
            stuck += [] if trial.go_on(FURTHER) else [f"broker {one.node}"]
            cluster.heal()
            trial.go_on(FURTHER)
        return f"work did not go on without {', '.join(stuck)}" if stuck else ""

    return _strike_all(trial, "rolling", strike)


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
        goes_on = trial.go_on(FURTHER)
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
            trial.go_on(FURTHER)
            trial.keep_on(trial.rng.random())
        return "" if all(broken) else "there was no connection"

    return _strike_all(trial, "reset", strike)


def halfopen(trial: Trial) -> Injected:
    """Have the broker that leads a partition take connections and answer nothing; the other brokers reach it."""
    return _silenced(trial, "halfopen", trial.leader(), _SESSIONS)


def headless(trial: Trial) -> Injected:
    """Have the broker that coordinates the group answer no member for long: nobody can commit."""
    return _silenced(trial, "headless", trial.coordinator(), _LONG_SESSIONS)


def _silenced(trial: Trial, fault: str, silent: Broker, sessions: int) -> Injected:
    network = trial.require_network()

    def strike() -> str:
        links = network.silence(Where(broker=silent.node))
        trial.keep_on(sessions * trial.session_s)
        network.calm()
        return "" if links else "it had no connection"

    return _strike_all(trial, fault, strike)


def _strike_all(trial: Trial, fault: str, strike: Callable[[], str], *, may_repeat: bool = True) -> Injected:
    """Do to all members what *strike* does, which says why it does not count, or ""; work has to go on after it."""
    since = trial.read()
    trial.under_load(lambda: trial.in_flight > 0, within_s=GOES_ON_WITHIN_S)
    in_flight = trial.in_flight
    missed = strike()
    if not trial.go_on(FURTHER):
        missed = missed or f"work did not go on within {GOES_ON_WITHIN_S:g} s"
    members = trial.crew.refresh()
    for worker in members if may_repeat else ():
        trial.note_end(fault, worker, since)
    return Injected(fault, tuple(worker.number for worker in members), in_flight, missed)
