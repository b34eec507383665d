"""What the cluster and the members tell of a group's work: the signals that a hint is made from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.engine.chain import delay_of
from streams.engine.standing import Progress, Standing, standing
from streams.kafka.admin import Admin
from streams.kafka.reader import Stretch, first_records
from streams.monitor.report import Report, reports
from streams.record import Partition
from streams.scaling.signals import Signals

_LEAST_S: Final = 1.0
"""Two looks this far apart tell what comes a second; closer ones tell too little."""
_MOST_S: Final = 120.0
"""Looks further apart than this tell nothing of now."""
_GAPS: Final = 1_000
"""Offsets of a partition that may all be transaction markers or compacted; with more of them some are records."""


@dataclass(slots=True)
class _Known:
    """What outlives the members that told it."""

    service_per_s: float | None = None
    startup_s: float | None = None


@dataclass(slots=True)
class Gauge:
    """Reads one group's signals, look by look.

    Owned by one thread.
    """

    group: str
    clock: Callable[[], float] = time.time
    """Seconds since 1970-01-01 UTC."""
    _known: _Known = field(default_factory=_Known)
    _looked_s: float = float("-inf")
    _ends: Mapping[Partition, int] = field(default_factory=dict)

    def look(self, admin: Admin) -> Signals:
        """Ask the broker.

        Raises:
            BrokerError: It does not answer.
        """
        return self.read(admin, standing(admin, self.group), reports(admin, self.group))

    def read(self, admin: Admin, found: Standing, told: Mapping[str, Report]) -> Signals:
        """Give what *found* and the members, by what they *told*, say; asks the broker for single records only."""
        now_s = self.clock()
        living = _living(found, told, int(now_s * 1000))
        works = [one.work for one in living if one.work is not None]
        speaks_for_all = len(works) == len(found.group.members) > 0
        for name in ("service_per_s", "startup_s"):
            values = [value for work in works if (value := getattr(work, name)) is not None]
            if values:
                setattr(self._known, name, sum(values) / len(values))
        came = self._came(found, now_s)
        arrivals = _sum(work.arrivals_per_s for work in works) if speaks_for_all else came
        due, busy = self._due(admin, found, sum(work.due for work in works) if speaks_for_all else None)
        return Signals(
            at_s=now_s,
            replicas=len(found.group.members),
            partitions=len(found.progress),
            busy_partitions=busy,
            due_records=due,
            waiting_records=found.in_chain("tier") or 0,
            parked_records=found.in_chain("parked") or 0,
            next_due_s=None if found.group.members else next_due_s(admin, found, now_s),
            arrivals_per_s=came if arrivals is None else arrivals,
            service_per_s=self._known.service_per_s,
            busy_ratio=_mean(work.busy for work in works) if speaks_for_all else None,
            oldest_due_s=_oldest_s(admin, found, now_s) if due else None if due is None else 0.0,
            key_work_s=max((work.key_s or 0.0 for work in works), default=0.0),
            held_by=_held_by(living),
            startup_s=self._known.startup_s,
        )

    def _came(self, found: Standing, now_s: float) -> float | None:
        """Give what came a second since the look before; None at the first look."""
        before, passed_s = self._ends, now_s - self._looked_s
        ends = {place: one.end for place, one in found.progress.items()}
        if passed_s >= _LEAST_S:
            self._looked_s, self._ends = now_s, ends
        if not _LEAST_S <= passed_s <= _MOST_S:
            return None
        return sum(max(0, ends[place] - before[place]) for place in ends.keys() & before.keys()) / passed_s

    def _due(self, admin: Admin, found: Standing, told: int | None) -> tuple[int | None, int | None]:
        """Give the records that could run now, and the partitions that have any.

        Members know what of theirs waits in memory; where they do not speak for all, it is what is not settled.
        """
        if not found.is_known:
            return None, None
        open_ones = [one for one in found.progress.values() if one.outstanding]
        if told is not None:
            unowned = [one for one in open_ones if one.partition not in found.owners]
            due = told + sum(one.outstanding for one in unowned)
            return due, len(open_ones) if due else 0
        real = _without_gaps(admin, open_ones)
        return sum(one.outstanding for one in real), len(real)


def next_due_s(admin: Admin, found: Standing, now_s: float) -> float | None:
    """Give the seconds until the first record in a retry topic of *found* falls due; None where none waits.

    Below 0 where it is due already.

    Raises:
        BrokerError: The broker does not answer.
    """
    waiting = {
        place: Stretch(one.start, one.end)
        for place, one in found.links.items()
        if one.outstanding and delay_of(place.topic) is not None
    }
    due_s = [
        message.timestamp()[1] / 1000 + (delay_of(place.topic) or 0.0)
        for place, message in (first_records(admin.settings, waiting) if waiting else {}).items()
    ]
    return min(due_s) - now_s if due_s else None


def _living(found: Standing, told: Mapping[str, Report], now_ms: int) -> Sequence[Report]:
    """Give the reports of members that the group has, and that are not overdue."""
    present = {member.member_id for member in found.group.members}
    return [one for name, one in told.items() if name in present and not one.is_silent(now_ms)]


def _without_gaps(admin: Admin, open_ones: Sequence[Progress]) -> list[Progress]:
    """Leave out partitions that have nothing but offsets without a record: transaction markers, and what was compacted.

    Of few offsets that is asked; where there are many, some are records.
    """
    few = {one.partition: Stretch(one.start, one.end) for one in open_ones if one.outstanding <= _GAPS}
    held = first_records(admin.settings, few) if few else {}
    return [one for one in open_ones if one.partition not in few or one.partition in held]


def _oldest_s(admin: Admin, found: Standing, now_s: float) -> float | None:
    """Give the age of the oldest record that is not settled; None where there is none, or it bears no time."""
    stretches = {place: Stretch(one.start, one.end) for place, one in found.progress.items() if one.outstanding}
    heads = first_records(admin.settings, stretches).values() if stretches else ()
    stamps = [stamp for message in heads if (stamp := message.timestamp()[1]) >= 0]
    return max(0.0, now_s - min(stamps) / 1000) if stamps else None


def _held_by(living: Iterable[Report]) -> str:
    """Say what keeps all of the group's work from being done, whatever its members are."""
    for report in living:
        for one in report.circuits:
            if one.state != "closed":
                return f"the {one.kind} of {one.name} is {one.state.replace('_', '-')}"
    paused = [part.paused for report in living for part in report.troubled]
    return "an operator paused it" if paused and all(reason == "operator" for reason in paused) else ""


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if any(one is None for one in known) else sum(one for one in known if one is not None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None
