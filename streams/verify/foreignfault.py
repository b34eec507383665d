"""The commit of a former owner that arrives after those of its successor, and is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from streams.kafka.commits import Entry
from streams.verify.crew import Worker
from streams.verify.evidence import committed
from streams.verify.injected import Injected
from streams.verify.stranger import Stranger
from streams.verify.track import Track
from streams.verify.trial import Trial
from streams.verify.waiting import eventually

_MENDED_WITHIN_S: Final = 60.0


def foreign(trial: Trial) -> Injected:
    """Kill a member with records in retry topics; when they are done, its last commit arrives; then its successor dies.

    The successor's next commit has to mend all that the late one spoilt.
    """
    track = trial.rng.choice(list(trial.tracks.values()))
    with Stranger(trial.settings, f"{track.topic}.aside") as stranger:
        joined = trial.under_load(stranger.turn, within_s=_MENDED_WITHIN_S)
        victim = trial.victim(ends=True)
        in_flight = trial.catch(victim)
        number, late = _commit_of(trial, track, victim)
        victim.kill()
        trial.note_end("foreign", victim)
        missed = "" if joined and late else "nothing of its partitions was in retry topics"
        missed = missed or ("" if trial.heal() else "what it had was not finished")
        trial.read()
        missed = missed or stranger.commit(late) or _mended(track, number, late[0])
    successor = None if missed else _owner(trial, track, number)
    if successor is not None and successor is not trial.spared:
        successor.kill()
        trial.note_end("foreign", successor)
        trial.reinforce()
    trial.reinforce()
    return Injected("foreign", (victim.number,), in_flight, missed)


def _commit_of(trial: Trial, track: Track, owner: Worker) -> tuple[int, Sequence[Entry]]:
    """Give the partition of *owner* with most records in retry topics, and what is committed of it and its chain."""
    stored = track.chain.stored()
    waiting = Counter(place.partition for place in track.chain.reading().waiting)
    own = [number for number, _ in waiting.most_common() if _owner(trial, track, number) is owner]
    if not own:
        return 0, ()
    entries = [Entry(at, offset, words or "") for at, offset, words in stored if at.number == own[0]]
    return own[0], sorted(entries, key=lambda entry: entry.partition.topic != track.topic)


def _owner(trial: Trial, track: Track, number: int) -> Worker:
    """Give the member that ran something of partition *number* last."""
    return max(trial.crew.workers, key=lambda worker: worker.journals[track.topic].last_start_ns(number))


def _mended(track: Track, number: int, late: Entry) -> str:
    """Wait until the successor has committed over *late*; say that it has not, or ""."""
    former = committed(late.offset, late.metadata).owner

    def is_over() -> bool:
        now = track.chain.reading().committed.get(number)
        return now is not None and now.owner != former

    return "" if eventually(is_over, within_s=_MENDED_WITHIN_S, every_s=0.25) else "the successor did not commit again"
