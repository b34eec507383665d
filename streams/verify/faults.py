"""What is done to a run: each fault is a function that breaks one thing while records are under way.

A further one is a function here and a line in `FAULTS`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streams.kafka.witness import leader_of
from streams.verify.trial import Trial

_TAKEN_OVER_WITHIN_S: Final = 60.0
_GOES_ON_WITHIN_S: Final = 60.0
_FURTHER: Final = 100
"""Runs that end after a fault before the next thing happens."""


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
    begun = {topic: set(victim.journals[topic].in_flight) for topic in trial.tracks}
    trial.note_end("SIGSTOP", victim)
    others = [worker for worker in trial.crew.present if worker is not victim]

    def is_taken_over() -> bool:
        journals = ((topic, worker.journals[topic]) for topic in trial.tracks for worker in others)
        return any(begun[topic] & journal.started_since(trial.stopped_ns) for topic, journal in journals)

    missed = ""
    if not trial.under_load(is_taken_over, within_s=_TAKEN_OVER_WITHIN_S):
        missed = f"nobody took over within {_TAKEN_OVER_WITHIN_S:g} s"
    elif not trial.heal(but=victim):
        missed = "what was taken over was not finished"
    trial.read()
    trial.crew.resume(victim, trial.stopped_ns)
    ended = victim.ended + in_flight
    if not trial.under_load(lambda: victim.ended > ended, within_s=_GOES_ON_WITHIN_S):
        missed = missed or "it got no work again"
    return Injected("sigstop", (victim.number,), in_flight, missed)


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
    cluster = trial.require_cluster()
    track = trial.rng.choice(list(trial.tracks.values()))
    number = trial.rng.randrange(trial.partitions)
    since = trial.read()
    trial.under_load(lambda: trial.in_flight > 0, within_s=_GOES_ON_WITHIN_S)
    in_flight = trial.in_flight
    node = leader_of(track.client, track.topic, number)
    next(one for one in cluster.brokers if one.node == node).kill()
    goes_on = trial.go_on(_FURTHER)
    cluster.heal()
    goes_on = trial.go_on(_FURTHER) and goes_on
    members = trial.crew.refresh()
    for worker in members:
        trial.note_end(f"death of broker {node} in the sight", worker, since)
    missed = "" if goes_on else f"work did not go on within {_GOES_ON_WITHIN_S:g} s"
    return Injected("broker", tuple(worker.number for worker in members), in_flight, missed)


FAULTS: Final[Mapping[str, Callable[[Trial], Injected]]] = {
    "sigkill": sigkill,
    "sigterm": sigterm,
    "sigstop": sigstop,
    "rebalance": rebalance,
    "broker": broker,
}
"""By the name that the command line knows."""
