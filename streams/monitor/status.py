"""Reports how this member stands to its group's status topic: every few seconds, and never in anybody's way."""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Final
from uuid import uuid4

from streams.clock import Clock, SystemClock
from streams.engine.chain import text_of
from streams.engine.command import status_topic
from streams.kafka.producer import EngineProducer, Parcel
from streams.monitor.report import MOST_FAILING, MOST_TROUBLED, Circuit, Failing, Held, Report, Running, Troubled, Work
from streams.observer import CircuitState, Failure, HeldView, MemberView, Observer, PartitionView, RunView
from streams.record import Partition
from streams.scaling.load import Load

_log = logging.getLogger(__name__)

_LOADED_S: Final = time.monotonic()
"""When this program was loaded: a start takes from here until there are partitions."""
_UNANSWERED_S: Final = 60.0
"""While a report is on its way no other one is sent, for so long."""
_LEAVE_WITHIN_S: Final = 1.0
_FAILS_MS: Final = 60_000
_MOST_KINDS: Final = 100
_ERROR_CHARS: Final = 200
_SAMPLE: Final = 50
"""Records in memory from which a key's share of all is told."""


class StatusObserver(Observer):
    """Writes the reports of one member.

    Owned by the poll thread.

    Always true: at most two reports are on their way; a broker that does not
    take them costs nothing but the reports.
    """

    def __init__(
        self,
        group: str,
        producer: Callable[[], EngineProducer[None]],
        *,
        every_s: float,
        load: Callable[[], Load] = Load,
        clock: Clock | None = None,
    ) -> None:
        """Report nothing yet.

        Args:
            group: Whose member.
            producer: Makes what the reports are sent with, when the first one is.
            every_s: Seconds between two of them.
            load: Gives this member's load, as of now.
            clock: Where the time comes from.
        """
        self._topic = status_topic(group)
        self._make_producer = producer
        self._producer: EngineProducer[None] | None = None
        self._every_s = every_s
        self._load = load
        self._startup_s: float | None = None
        self._clock = clock or SystemClock()
        self._key = uuid4().hex
        self._started_ms = self._now_ms()
        self._told_at = self._sent_at = float("-inf")
        self._is_under_way = self._has_complained = self._is_stopping = False
        self._followed = 0
        self._circuits: dict[tuple[str, str], Circuit] = {}
        self._failing: dict[tuple[str, type[BaseException]], Failing] = {}

    def breaker_turned(self, dependency: str, state: CircuitState, why: str) -> None:
        """Note it, and report soon."""
        self._turned(Circuit("breaker", dependency, state, why))

    def guard_turned(self, topic: str, state: CircuitState, why: str) -> None:
        """Note it, and report soon."""
        self._turned(Circuit("guard", topic, state, why))

    def retrying(self, partition: Partition, failures: Sequence[Failure]) -> None:
        """Note what they failed of."""
        last = {type(one.error): one.error for one in failures}
        for cls, runs in Counter(type(one.error) for one in failures).items():
            self._failed(partition.topic, last[cls], runs)

    def dead_lettered(self, partition: Partition, offset: int, attempts: int, error: BaseException) -> None:
        """Note what it died of."""
        self._failed(partition.topic, error, 1)

    def followed(self, offset: int) -> None:
        """Note it, and report soon: somebody waits for that."""
        self._followed, self._told_at = offset, float("-inf")

    def stopping(self) -> None:
        """Report that it leaves."""
        self._is_stopping, self._told_at = True, float("-inf")

    def viewed(self, view: MemberView) -> None:
        """Report, if it is time."""
        self._hear()
        now = self._clock.monotonic()
        if now - self._told_at < self._every_s or not view.member_id:
            return
        if self._is_under_way and now - self._sent_at < _UNANSWERED_S:
            return
        self._told_at = self._sent_at = now
        self._send(self.report(view).pack())

    def report(self, view: MemberView) -> Report:
        """Say what *view* shows."""
        now_ms = self._now_ms()
        return Report(
            member=view.member_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            release=version("streams"),
            started_ms=self._started_ms,
            time_ms=now_ms,
            every_s=self._every_s,
            is_stopping=self._is_stopping,
            partitions=len(view.partitions),
            running=view.running,
            capacity=view.capacity,
            outstanding=view.outstanding,
            outstanding_bytes=view.outstanding_bytes,
            stuck=view.stuck,
            troubled=tuple(_troubled(view))[:MOST_TROUBLED],
            runs=tuple(_running(one, now_ms) for one in view.runs),
            held=tuple(_held(one, now_ms) for one in view.held),
            directives=self._followed,
            circuits=tuple(self._circuits.values()),
            failing=self._failures(now_ms),
            work=self._work(view),
        )

    def close(self) -> None:
        """Take the report away: this member has left."""
        if self._producer is not None:
            self._send(None)
            self._producer.push(_LEAVE_WITHIN_S)

    def _work(self, view: MemberView) -> Work:
        load = self._load()
        if self._startup_s is None and view.partitions:
            self._startup_s = round(time.monotonic() - _LOADED_S, 3)
        return Work(
            load=_known(load.replicas),
            due=load.backlog,
            arrivals_per_s=_known(load.arrivals_per_s),
            service_per_s=_known(load.service_per_s),
            busy=_known(load.busy_ratio),
            run_s=_known(load.run_s),
            startup_s=self._startup_s,
            key_s=_known(max((_key_s(one, load.run_s) for one in view.partitions), default=0.0)),
        )

    def _failed(self, topic: str, error: BaseException, runs: int) -> None:
        """Count *runs* that failed of *error*; of kinds beyond a bound nothing is kept."""
        kind, now_ms = (topic, type(error)), self._now_ms()
        before = self._failing.get(kind)
        if before is None and len(self._failing) >= _MOST_KINDS:
            return
        count, first_ms = (0, now_ms) if before is None else (before.runs, before.first_ms)
        name, message = type(error).__name__, text_of(error)[:_ERROR_CHARS]
        self._failing[kind] = Failing(topic, name, message, count + runs, first_ms, now_ms)

    def _failures(self, now_ms: int) -> tuple[Failing, ...]:
        """Give what has failed lately, the most frequent first, and forget what has not."""
        for kind in [kind for kind, one in self._failing.items() if now_ms - one.last_ms > _FAILS_MS]:
            del self._failing[kind]
        return tuple(sorted(self._failing.values(), key=lambda one: -one.runs)[:MOST_FAILING])

    def _turned(self, circuit: Circuit) -> None:
        if circuit.state == "closed":
            self._circuits.pop((circuit.kind, circuit.name), None)
        else:
            self._circuits[circuit.kind, circuit.name] = circuit
        self._told_at = float("-inf")

    def _send(self, value: bytes | None) -> None:
        self._producer = self._producer or self._make_producer()
        parcel = Parcel[None](self._topic, 0, self._key.encode(), value, [], None)
        self._is_under_way = self._producer.produce([parcel]) == 1

    def _hear(self) -> None:
        for parcel in () if self._producer is None else self._producer.acknowledge():
            self._is_under_way = False
            if parcel.fate != "stored" and not self._has_complained:
                self._has_complained = True
                _log.warning(
                    "the status topic takes no report: 'streams why' can't tell what this member has in hand; look at "
                    "that topic and the right to write it",
                    extra={"topic": self._topic, "code": parcel.error},
                )

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _known(number: float) -> float | None:
    return None if math.isnan(number) else round(number, 6)


def _key_s(one: PartitionView, run_s: float) -> float:
    """Give the seconds that the records of one key of this partition take at least, one after the other.

    What is in memory is taken for a fair sample of what stands unread behind it.
    """
    if one.outstanding < _SAMPLE or one.longest < 2:  # noqa: PLR2004 - one record stands behind nothing
        return 0.0
    return one.longest / one.outstanding * (one.outstanding + (one.unread or 0)) * run_s


def _troubled(view: MemberView) -> Iterator[Troubled]:
    """Give the partitions of which something does not simply run, those that stand still first."""
    for one in sorted(view.partitions, key=_is_calm):
        if one.paused or one.retrying or one.behind or one.in_trouble or one.blocked:
            yield Troubled(*one.partition, one.paused or "", one.retrying, one.behind, one.in_trouble, one.blocked)


def _is_calm(one: PartitionView) -> tuple[bool, bool]:
    return one.paused is None, not one.blocked


def _running(one: RunView, now_ms: int) -> Running:
    return Running(*one.partition, one.offset, one.records, now_ms - int(one.running_s * 1000), one.timeout_s)


def _held(one: HeldView, now_ms: int) -> Held:
    return Held(*one.partition, one.offset, one.attempts, now_ms + int(one.due_s * 1000), one.error)
