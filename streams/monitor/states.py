"""The log lines of a member's life: one for each change of state, none for each record above DEBUG.

What may happen often (broker errors, retries, dead letters) is said when it
first happens, and after that once a minute with the number of times.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

from streams.clock import Clock, SystemClock
from streams.monitor.repeats import Repeats
from streams.observer import CircuitState, Failure, MemberView, Observer, PauseReason
from streams.record import Partition

_NUMBER: Final = re.compile(r"\d+")
_ERROR_CHARS: Final = 300
_ORDINARY: Final = frozenset({"in_flight", "partition", "bytes", "draining", "replay", "end"})
"""Pauses that are back-pressure, a stop, a replay or the end of a shadow doing its work."""

ADVICE: Final[dict[PauseReason, str]] = {
    "in_flight": "as many records are in flight as may be; reading goes on when half of them have settled",
    "partition": "as many of its records are in flight as may be; reading goes on when half of them have settled",
    "bytes": "as many bytes are in flight as may be; reading goes on when half of them have settled",
    "ledger": "its oldest record holds back the commit; see which one runs or waits for its retry",
    "lane": "too many records wait behind one key; see which record of it runs or waits for its retry",
    "draining": "a stop or a rebalance has begun",
    "lease": "no commit was acknowledged for almost a session; nothing starts until one is; look at the broker",
    "dead_letter_topic": "its dead-letter topic can't be written; nothing is dropped; look at the topic and its rights",
    "retry_topic": "a topic that its failing records move to can't be written; nothing is dropped; look at its rights",
    "chain": "as many records wait in its chain as may; reading goes on when half of them ended; see what they fail of",
    "chain_topic": "a topic of its chain lacks the partition; nothing of it starts until that is made",
    "key": "as many records of one key wait in its chain as may; reading goes on when half of them ended; see that key",
    "breaker": "a dependency that its handler needs is down; nothing starts, no attempt is counted; look at it",
    "guard": "too many of its records would be dead letters; none is written; see what changed, then restart",
    "caution": "a record of another partition may be what kills processes; nothing else runs until that is known",
    "operator": "an operator paused it; nothing starts until it is resumed: streams groups resume",
    "replay": "it comes to rest for a replay, or has read as much of one as its cap allows: streams replay status",
    "end": "a shadow group has read all that it is to read of it",
}

_TOO_MANY: Final = (
    "too many dead letters: the topic stands still, no further one is written and its records wait; "
    "see what changed (a deploy, a schema, a dependency), mend it, restart the members"
)

_KILLER: Final = (
    "processes that began here died again and again: a record may have killed them; records of the partition run one "
    "at a time and the rest of this process stands still until it is found or cleared"
)


class LogObserver(Observer):
    """Writes the log of one member.

    Owned by the poll thread.
    """

    def __init__(self, group: str, *, clock: Clock | None = None, window_s: float = 60.0) -> None:
        """Write for a member of *group*, and say equal events at most once in *window_s*."""
        self._log = logging.getLogger("streams.member")
        self._group = {"group": group}
        self._clock = clock or SystemClock()
        self._repeats = Repeats(window_s)
        self._troubled: set[Partition] = set()
        self._level = logging.getLogger().level

    # ------------------------------------------------------------------ partitions come and go

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Say which partitions came."""
        self._write(logging.INFO, "partitions assigned", _named(partitions))

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """Say which partitions went, and how."""
        self._troubled.difference_update(partitions)
        if lost:
            self._write(
                logging.WARNING,
                "partitions lost: the group gave them away without asking; "
                "what was not committed runs again at their new owner",
                _named(partitions),
            )
        else:
            self._write(
                logging.INFO,
                "partitions revoked: nothing new starts, what runs may end, then the commit",
                _named(partitions),
            )

    def restarted(self, partition: Partition, cause: str) -> None:
        """Say why an assignment began anew."""
        self._write(
            logging.WARNING,
            "assignment begun anew from the committed offset; what was not committed runs again",
            {**_place(partition), "cause": cause},
        )

    def expired(self, partition: Partition, records: int) -> None:
        """Say what retention took."""
        self._write(
            logging.ERROR,
            "records expired: retention removed them before they were read, they were never processed; "
            "lengthen the topic's retention or add members",
            {**_place(partition), "records": records},
        )

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._write(logging.INFO, "stopping: nothing further is read, what runs may end, then the commit", {})
        self.close()

    # ------------------------------------------------------------------ the chain

    def recovered(self, partition: Partition, copies: int, keys: int, fenced: int, took_s: float) -> None:
        """Say what former owners left."""
        self._write(
            logging.INFO,
            "chain recovered: what waits in it goes on where it was",
            {**_place(partition), "copies": copies, "keys": keys, "fenced": fenced, "took_s": round(took_s, 3)},
        )

    def suspect(self, partition: Partition, keys: int) -> None:
        """Say that nobody knows what of a chain is done."""
        self._write(
            logging.ERROR,
            "keys stand still: the commit that tells what of them was finished is lost, and to run their records again "
            "could undo what came after; decide which are to run and which to be forgotten",
            {**_place(partition), "keys": keys},
        )

    def lacking(self, partition: Partition, cause: str) -> None:
        """Say what has to be made."""
        self._say(
            logging.ERROR,
            "partition waits: a topic of its chain lacks it; nothing of it starts, the others go on, "
            "and it begins by itself once that is mended",
            partition,
            {**_place(partition), "cause": cause},
        )

    def unheard(self, partitions: Sequence[Partition]) -> None:
        """Say that a word of the group was missed, and what is done about it."""
        self._write(
            logging.WARNING,
            "partitions kept that the group wants elsewhere: the client has missed that; leaving and joining anew",
            _named(partitions),
        )

    def not_deleted(self, topic: str, code: str) -> None:
        """Say that a topic grows, and that this is all."""
        self._write(
            logging.WARNING,
            "settled records can't be deleted: the topic grows, nothing else changes; "
            "grant the right to delete in it, or have somebody delete below the group's committed offsets",
            {"topic": topic, "code": code},
        )

    # ------------------------------------------------------------------ intake

    def paused(self, partition: Partition, reason: PauseReason) -> None:
        """Say that intake stopped; in a low voice if that is how it should be."""
        fields = {**_place(partition), "reason": reason, "why": ADVICE.get(reason, "")}
        if reason in _ORDINARY:
            self._write(logging.DEBUG, "intake paused", fields)
        else:
            self._troubled.add(partition)
            self._say(logging.WARNING, "intake paused", (partition, reason), fields)

    def resumed(self, partition: Partition) -> None:
        """Say that intake goes on, as loudly as that it had stopped."""
        if partition in self._troubled:
            self._troubled.discard(partition)
            self._say(logging.INFO, "intake resumed", partition, _place(partition))
        else:
            self._write(logging.DEBUG, "intake resumed", _place(partition))

    # ------------------------------------------------------------------ commits

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        """Say that a commit is stored."""
        self._write(logging.DEBUG, "committed", {**_place(partition, offset), "took_s": round(took_s, 4)})

    def commit_failed(self, partition: Partition, code: str) -> None:
        """Say that a commit is not stored."""
        self._say(
            logging.WARNING,
            "commit failed; it is sent again while the partition is ours",
            (partition.topic, code),
            {**_place(partition), "code": code},
        )

    def ledger_cut(self, partition: Partition) -> None:
        """Say that a commit can't tell all."""
        self._write(
            logging.WARNING,
            "ledger cut: more records settled out of order than a commit can name; "
            "after a crash those left out run again; see which old record holds the partition back",
            _place(partition),
        )

    def ledger_unreadable(self, partition: Partition, cause: str) -> None:
        """Say that the commit of a former owner can't be read."""
        self._write(
            logging.WARNING,
            "ledger unreadable: what settled above the committed offset runs again, in order",
            {**_place(partition), "cause": cause},
        )

    # ------------------------------------------------------------------ records in trouble

    def retrying(self, partition: Partition, failures: Sequence[Failure]) -> None:
        """Say that runs fail: each one at DEBUG, and above it now and then."""

        def fields(failure: Failure) -> dict[str, object]:
            told = {"attempt": failure.attempt, "delay_s": round(failure.delay_s, 3), "error": _told(failure.error)}
            return {**_place(partition, failure.offset), **told}

        if self._log.isEnabledFor(logging.DEBUG):
            for failure in failures:
                self._write(logging.DEBUG, "run failed; the record runs again", fields(failure))
        for cls, times in Counter([type(failure.error) for failure in failures]).items():
            last = next(failure for failure in reversed(failures) if type(failure.error) is cls)
            key = partition.topic, cls
            self._say(logging.WARNING, "records fail and run again", key, partial(fields, last), times)

    def dead_lettered(self, partition: Partition, offset: int, attempts: int, error: BaseException) -> None:
        """Say that records are given up: each one at DEBUG, and above it now and then."""
        fields = {**_place(partition, offset), "attempts": attempts, "error": _told(error)}
        self._write(logging.DEBUG, "dead letter written", fields)
        self._say(
            logging.WARNING,
            "records dead-lettered; see them with 'streams dlq list'",
            (partition.topic, type(error)),
            fields,
        )

    def letter_refused(self, partition: Partition, offset: int, code: str) -> None:
        """Say that a dead letter has no place to go."""
        self._say(
            logging.ERROR,
            "dead letter refused by the broker: nothing is dropped, its partition reads nothing further until it is "
            "taken; look at the dead-letter topic, its settings and the right to write it",
            (partition, code),
            {**_place(partition, offset), "code": code},
        )

    # ------------------------------------------------------------------ operators

    def misheard(self, offset: int | None, cause: str) -> None:
        """Say that commands can't be read, or one of them can't."""
        what = "operators' commands can't be read" if offset is None else "no command of an operator: it is passed over"
        self._say(logging.WARNING, what, (cause,), {"cause": cause} | ({} if offset is None else {"offset": offset}))

    def obeyed(self, partition: Partition, verb: str, fates: Mapping[str, int]) -> None:
        """Say what an operator had done."""
        self._say(
            logging.INFO,
            "a command of an operator was carried out",
            (partition,),
            {**_place(partition), "verb": verb, **fates},
        )

    def directed(self, offset: int, kind: str, topic: str, value: str, *, is_lifted: bool) -> None:
        """Say what an operator wants for as long as it stands; a log level holds from this line on."""
        fields = {"directive": kind, "topic": topic or "all", "offset": offset} | ({"value": value} if value else {})
        self._write(logging.WARNING, "a directive is lifted" if is_lifted else "a directive is followed", fields)
        if kind == "log_level":
            logging.getLogger().setLevel(self._level if is_lifted else value)

    def unanswered(self, command: str, code: str) -> None:
        """Say that the audit lacks an answer."""
        self._say(
            logging.ERROR,
            "the audit topic does not take an answer: it is sent again; look at that topic and the right to write it",
            (code,),
            {"command": command, "code": code},
        )

    # ------------------------------------------------------------------ routes that stand still

    def breaker_turned(self, dependency: str, state: CircuitState, why: str) -> None:
        """Say that a dependency is down, is tried, is back; nothing at the start."""
        events = {
            "open": (logging.WARNING, "dependency down: the topics that need it stand still, no attempt is counted"),
            "half_open": (logging.INFO, "dependency tried: a few records run"),
            "closed": (logging.INFO, "dependency back: the topics that need it go on"),
        }
        if why:
            self._say(*events[state], key=(dependency, state), fields={"dependency": dependency, "cause": why})

    def guard_turned(self, topic: str, state: CircuitState, why: str) -> None:
        """Say that a topic's dead letters are too many, and when that is over; nothing at the start."""
        events = {
            "open": (logging.ERROR, _TOO_MANY),
            "half_open": (logging.INFO, "guard of the dead letters: a few records try again"),
            "closed": (logging.INFO, "guard of the dead letters: the topic goes on"),
        }
        if why:
            self._say(*events[state], key=(topic, state), fields={"topic": topic, "cause": why})

    # ------------------------------------------------------------------ records that kill

    def suspected(self, partition: Partition, starts: int, blamed: int) -> None:
        """Say that a killer is looked for, and which record it may be."""
        fields = {**_place(partition), "owners": starts, "blamed": None if blamed < 0 else blamed}
        self._write(logging.WARNING, _KILLER, fields)

    def acquitted(self, partition: Partition, why: str) -> None:
        """Say that it is over, and how."""
        event = "the look for a record that kills is over; its partition goes on"
        self._write(logging.WARNING, event, {**_place(partition), "cause": why})

    # ------------------------------------------------------------------ handlers that hang

    def stuck(self, partition: Partition, offset: int, running_s: float) -> None:
        """Say that a handler does not return."""
        self._say(
            logging.WARNING,
            "handler past its timeout: it can't be stopped and keeps its key until it returns; "
            "give what it calls a timeout of its own",
            partition.topic,
            {**_place(partition, offset), "running_s": round(running_s, 1)},
        )

    # ------------------------------------------------------------------ the client

    def broker_error(self, text: str, *, fatal: bool) -> None:
        """Say what the client says."""
        if fatal:
            self._write(logging.ERROR, "the client can't go on; this member ends and others take over", {"error": text})
        else:
            what = _NUMBER.sub("#", text)
            self._say(logging.WARNING, "broker trouble; the client goes on trying", what, {"error": text})

    def viewed(self, view: MemberView) -> None:
        """Say how often the lines were meant that were held back."""
        self._repeats.flush(self._clock.monotonic())

    def close(self) -> None:
        """Say what is still held back; a stop does, and who wants the drain's counts too calls it at the very end."""
        self._repeats.flush(self._clock.monotonic(), ending=True)

    def _write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        self._log.log(level, event, extra={**fields, **self._group})

    def _say(
        self,
        level: int,
        event: str,
        key: Hashable,
        fields: Mapping[str, object] | Callable[[], Mapping[str, object]],
        times: int = 1,
    ) -> None:
        """Write now, or once a window with the number of times and the fields of the last one."""

        def line(times: int) -> None:
            told = fields() if callable(fields) else fields
            self._write(level, event, {**told, "times": times} if times > 1 else told)

        self._repeats.happened((event, key), self._clock.monotonic(), line, times)


def _named(partitions: Sequence[Partition]) -> dict[str, object]:
    return {"count": len(partitions), "partitions": spelled(partitions)}


def _place(partition: Partition, offset: int | None = None) -> dict[str, object]:
    place: dict[str, object] = {"topic": partition.topic, "partition": partition.number}
    return place if offset is None else place | {"offset": offset}


def _told(error: BaseException) -> str:
    """Give class and text of *error*, shortened; an error whose text fails is known by its class."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001  # a user's class may raise anything, and a log line must not
        text = f"(its text failed: {type(fault).__name__})"
    return f"{name}: {text}"[:_ERROR_CHARS] if text else name


def spelled(partitions: Iterable[Partition]) -> str:
    """Give *partitions* in few words: ``orders/0-3,7 payments/1``."""
    words = []
    for topic, group in groupby(sorted(set(partitions)), key=attrgetter("topic")):
        runs: list[list[int]] = []
        for partition in group:
            if runs and partition.number == runs[-1][-1] + 1:
                runs[-1] = [runs[-1][0], partition.number]
            else:
                runs.append([partition.number])
        words.append(f"{topic}/" + ",".join("-".join(map(str, run)) for run in runs))
    return " ".join(words)
