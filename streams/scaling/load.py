"""One member's work, in replicas: the number behind ``streams_scale_load``.

    load = (arrivals + retries + backlog / drain) / service

* *arrivals*: records a second that producers append to the partitions this
  member owns; a mean over `ARRIVAL_WINDOW_S`, weighted towards now, kept for
  each partition, so that it leaves with the partition.
* *retries*: records a second that failed and run again, in the same mean.
* *backlog*: records that could run now: unread ones, and those in memory that
  wait neither for an attempt's time nor behind a record of their own key, for
  more members would run neither sooner.
* *drain*: the time in which a backlog should be worked off.
* *service*: records a second that this member ends while it has work: runs
  ended by busy time, over the last `SERVICE_WINDOW_S` in which any ended.

The sum over a group's members is the number of replicas its work needs: two
members at 0.5 fit into one.  A quiet member's load is 0; where service is not
known yet, or no partition's end is, the load is NaN, never a guess.

Busy time of an interval is all of it if handlers ran and more records than it
ended stood unread, at its start and at its end: whatever held the member back
then, it was not a lack of work.  Otherwise it is the fuller of its two bounds:
handler seconds by the runs it may have under way at once, and CPU seconds by
the cores it can use (one, for Python under the interpreter lock).  An interval
in which nothing ended and work was lacking measures nothing, so a broker's
outage leaves service as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from streams.observer import MemberView, PartitionView
from streams.record import Partition

DRAIN_S: Final = 60.0
"""Seconds in which a backlog should be worked off; shorter asks for more replicas, sooner."""

ARRIVAL_WINDOW_S: Final = 30.0
"""Time constant of the arrival and retry means, in seconds; an older second weighs less by e for each such span."""

SERVICE_WINDOW_S: Final = 60.0
"""Time constant of the service mean, in seconds in which records ended."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a member has done since its start; no field ever falls."""

    records: int = 0
    """Records whose run ended, whatever the outcome; one that ran three times counts three."""

    retries: int = 0
    """Of these, the ones that run again."""

    handler_s: float = 0.0
    """Seconds spent in handlers, all runs added up."""

    cpu_s: float = 0.0
    """CPU seconds of the process; stays 0 where nobody measures it."""

    def since(self, earlier: Work) -> Work:
        """Give what was done after *earlier*."""
        return Work(
            self.records - earlier.records,
            self.retries - earlier.retries,
            self.handler_s - earlier.handler_s,
            self.cpu_s - earlier.cpu_s,
        )


@dataclass(frozen=True, slots=True)
class Load:
    """One member's work at one moment, and what it was computed from; NaN where unknown."""

    replicas: float = math.nan
    """The load: this many members like this one would be just busy with its work."""

    arrivals_per_s: float = math.nan
    """Records appended, and records that run again, a second."""

    service_per_s: float = math.nan
    """Records this member ends a second while it has work."""

    backlog: int = 0
    """Records that could run now."""

    busy_ratio: float = math.nan
    """Share of its time in which it had work, 0 to 1; older seconds weigh less."""

    run_s: float = math.nan
    """A handler's run took so long, in the mean of the same time as service."""


class LoadEstimator:
    """Tells a member's load from its views and counts; time is an argument.

    Owned by the thread that makes the views.

    Always true: what is unknown is NaN, and a member without work has load 0.
    """

    def __init__(self, *, drain_s: float = DRAIN_S, cores: float = 1.0) -> None:
        """Estimate for a member that should work off a backlog in *drain_s* and can use *cores*."""
        self._drain_s = drain_s
        self._arrivals = _Arrivals()
        self._service = _Service(cores)
        self._last: tuple[float, MemberView, Work] | None = None
        self._load = Load()

    def update(self, now_s: float, view: MemberView, work: Work) -> Load:
        """Give the load at *now_s*, monotonic seconds; call it about once a second.

        Args:
            now_s: When *view* was made.
            view: The member at that moment.
            work: What it has done since its start.
        """
        if self._last is None:
            self._arrivals.begin(view.partitions)
            self._load = self._estimate(view, measured=False)
        else:
            earlier_s, earlier, before = self._last
            elapsed_s = now_s - earlier_s
            if elapsed_s <= 0:
                return self._load
            done = work.since(before)
            self._arrivals.measure(elapsed_s, view.partitions, done.retries)
            self._service.measure(elapsed_s, earlier, view, done)
            self._load = self._estimate(view, measured=True)
        self._last = (now_s, view, work)
        return self._load

    def _estimate(self, view: MemberView, *, measured: bool) -> Load:
        arrivals, service, backlog = self._arrivals.per_s, self._service.per_s, due(view.partitions)
        had = self._service.busy_ratio, self._service.run_s
        if view.partitions and not (measured and any(one.unread is not None for one in view.partitions)):
            return Load(math.nan, math.nan, service, backlog, *had)
        demand_per_s = arrivals + backlog / self._drain_s
        return Load(demand_per_s / service if demand_per_s else 0.0, arrivals, service, backlog, *had)


def due(partitions: Iterable[PartitionView]) -> int:
    """Count the records of *partitions* that could run now; partitions whose end is unknown count what is in memory.

    Of a route that stands still none could, however many members there were.
    """
    return sum(
        (one.unread or 0) + max(0, one.outstanding - one.retrying - one.behind)
        for one in partitions
        if one.paused not in ("breaker", "guard")
    )


class _Mean:
    """Amounts by seconds, in which older ones weigh less; the first seconds are a plain mean, not a guess."""

    def __init__(self) -> None:
        self._amount = 0.0
        self._span_s = 0.0

    @property
    def per_s(self) -> float:
        """The mean; NaN before there was anything to measure."""
        return self._amount / self._span_s if self._span_s else math.nan

    def add(self, amount: float, span_s: float, *, kept: float) -> None:
        """Add *amount* in *span_s*, and let *kept* of the weight of all before stand."""
        self._amount = self._amount * kept + amount
        self._span_s = self._span_s * kept + span_s


class _Arrivals:
    """Records that become due a second: a mean for each owned partition, and one for retries."""

    def __init__(self) -> None:
        self._ends: dict[Partition, int] = {}
        self._rates: dict[Partition, _Mean] = {}
        self._retries = _Mean()

    @property
    def per_s(self) -> float:
        """All of them together; a partition that is not measured yet adds nothing."""
        rates = [mean.per_s for mean in (*self._rates.values(), self._retries)]
        return sum(rate for rate in rates if not math.isnan(rate))

    def begin(self, partitions: Sequence[PartitionView]) -> None:
        """Note where *partitions* end, to measure from there, and forget all others."""
        self._ends = {one.partition: one.high_watermark for one in partitions if one.high_watermark >= 0}
        self._rates = {one.partition: self._rates.get(one.partition) or _Mean() for one in partitions}

    def measure(self, elapsed_s: float, partitions: Sequence[PartitionView], retries: int) -> None:
        """Add what came in *elapsed_s*; partitions that are no longer owned take their rate with them."""
        ends, kept = self._ends, math.exp(-elapsed_s / ARRIVAL_WINDOW_S)
        self.begin(partitions)
        for partition in self._ends.keys() & ends.keys():
            came = max(0, self._ends[partition] - ends[partition])
            self._rates[partition].add(came, elapsed_s, kept=kept)
        self._retries.add(retries, elapsed_s, kept=kept)


class _Service:
    """Records that a member ends in a second of busy time."""

    def __init__(self, cores: float) -> None:
        self._cores = cores
        self._mean = _Mean()
        self._busy = _Mean()
        self._runs = _Mean()

    @property
    def per_s(self) -> float:
        """Records by busy seconds; NaN before a record ended."""
        return self._mean.per_s or math.nan

    @property
    def busy_ratio(self) -> float:
        """Busy seconds by seconds; NaN before there was an interval."""
        return min(1.0, self._busy.per_s)

    @property
    def run_s(self) -> float:
        """Handler seconds by record; NaN before one ended."""
        return self._runs.per_s

    def measure(self, elapsed_s: float, earlier: MemberView, view: MemberView, done: Work) -> None:
        """Add an interval of *elapsed_s* from *earlier* to *view*, if it had work."""
        if _backed_up(earlier, done.records) and _backed_up(view, done.records):
            busy_s = elapsed_s
        elif done.records:
            busy_s = max(done.handler_s / max(1, view.capacity), min(done.cpu_s / self._cores, elapsed_s))
        else:
            self._busy.add(0.0, elapsed_s, kept=math.exp(-elapsed_s / ARRIVAL_WINDOW_S))
            return
        self._busy.add(busy_s, elapsed_s, kept=math.exp(-elapsed_s / ARRIVAL_WINDOW_S))
        kept = math.exp(-elapsed_s / SERVICE_WINDOW_S) if done.records else 1.0
        if done.records:
            self._runs.add(done.handler_s, done.records, kept=kept)
        self._mean.add(done.records, busy_s, kept=kept)


def _backed_up(view: MemberView, ended: int) -> bool:
    """Tell whether handlers ran and more than *ended* records stood unread."""
    return view.running > 0 and sum(one.unread or 0 for one in view.partitions) > ended
