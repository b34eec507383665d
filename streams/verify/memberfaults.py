"""What is done to members: they are killed, stopped, suspended, cut off, and join others or leave them."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Final

from streams.verify.crew import Worker
from streams.verify.history import Place
from streams.verify.injected import FURTHER, GOES_ON_WITHIN_S, Injected
from streams.verify.proxy import Where
from streams.verify.trial import Trial

_TAKEN_OVER_WITHIN_S: Final = 60.0
_ENDS_WITHIN_S: Final = 60.0
_AT_ONCE: Final = 130
"""The exit code of a member that was told to stop twice."""
_IN_A_STORM: Final = 9
_AT_A_TIME: Final = 3


def sigkill(trial: Trial) -> Injected:
    """Kill a member with work in flight; another one comes."""
    victim = trial.victim(ends=True)
    in_flight = trial.catch(victim)
    victim.kill()
    trial.note_end("sigkill", victim)
    trial.reinforce()
    return Injected("sigkill", (victim.number,), in_flight)


def sigterm(trial: Trial) -> Injected:
    """Tell a member with work in flight to stop; it has to end well, and nothing runs again."""
    victim = trial.victim(ends=True)
    in_flight = trial.catch(victim)
    victim.tell(signal.SIGTERM)
    victim.tell(signal.SIGCONT)
    ended = trial.under_load(lambda: not victim.is_running, within_s=_ENDS_WITHIN_S)
    trial.exit_codes.append(victim.await_end(1) if ended else -1)
    trial.reinforce()
    return Injected("sigterm", (victim.number,), in_flight)


def sigterm2(trial: Trial) -> Injected:
    """Tell a member with work in flight to stop, and again while it does: it ends at once, as if it were killed."""
    victim = trial.victim(ends=True)
    in_flight = trial.catch(victim)
    victim.tell(signal.SIGTERM)
    victim.tell(signal.SIGCONT)

    def is_gone() -> bool:
        if victim.is_running:
            victim.tell(signal.SIGTERM)
        return not victim.is_running

    code = victim.await_end(1) if trial.under_load(is_gone, within_s=_ENDS_WITHIN_S) else -1
    trial.note_end("sigterm2", victim)
    trial.exit_codes += [] if code == _AT_ONCE else [code]
    trial.reinforce()
    missed = "it had stopped before it was told again" if code == 0 else ""
    return Injected("sigterm2", (victim.number,), in_flight, missed)


def sigstop(trial: Trial) -> Injected:
    """Suspend a member until others have finished what it had, then wake it: a zombie, which soon owns something again.

    What it still starts, sends or commits as the owner it no longer is shows now, or at the next change of owner.
    """
    victim = trial.victim()
    in_flight = trial.catch(victim)
    trial.note_end("sigstop", victim)
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
    trial.note_end(fault, victim, since)
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
    is_back = trial.under_load(lambda: victim.ended > enough, within_s=GOES_ON_WITHIN_S)
    return "" if is_back else "it got no work again"


def rebalance(trial: Trial) -> Injected:
    """Have a member join while records are in flight, and leave again."""
    members = trial.crew.present
    newcomer = trial.crew.start()
    in_flight = 0

    def has_joined() -> bool:
        nonlocal in_flight
        in_flight = max(in_flight, sum(worker.in_flight for worker in members))
        return newcomer.ended > FURTHER

    works = trial.under_load(has_joined, within_s=GOES_ON_WITHIN_S)
    in_flight = in_flight if works else 0
    newcomer.tell(signal.SIGTERM)
    gone = trial.under_load(lambda: not newcomer.is_running, within_s=_ENDS_WITHIN_S)
    trial.exit_codes.append(newcomer.await_end(1) if gone else -1)
    trial.go_on(FURTHER)
    missed = "" if works else "the newcomer got no work"
    return Injected("rebalance", tuple(worker.number for worker in members), in_flight, missed)


def storm(trial: Trial) -> Injected:
    """Have members come, several at a time, and each leave in order as soon as it has worked; nothing may run again."""
    members = trial.crew.present
    coming: list[Worker] = []
    going: list[Worker] = []
    in_flight = 0

    def is_over() -> bool:
        nonlocal in_flight
        in_flight = max(in_flight, sum(worker.in_flight for worker in members))
        for worker in [one for one in coming if one.ended]:
            worker.tell(signal.SIGTERM)
            coming.remove(worker)
            going.append(worker)
        while len(coming) < _AT_A_TIME and len(coming) + len(going) < _IN_A_STORM:
            coming.append(trial.crew.start())
        return not coming and not any(worker.is_running for worker in going)

    is_whole = trial.under_load(is_over, within_s=_IN_A_STORM * GOES_ON_WITHIN_S)
    for worker in coming:
        worker.tell(signal.SIGTERM)
    trial.exit_codes += [worker.await_end() for worker in [*coming, *going]]
    goes_on = trial.go_on(FURTHER)
    missed = "" if is_whole and goes_on else "a newcomer got no work" if goes_on else "work did not go on"
    return Injected("storm", tuple(worker.number for worker in members), in_flight, missed)
