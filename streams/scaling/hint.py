"""How many replicas a group needs, and why: a rule without state, and one place that damps it.

The rule asks for as many as end what comes, and work off what is due within
the goal's time.  It counts what a replica costs before it helps: while it
starts, the backlog grows, and the time that is left is shorter.  It never asks
for replicas that could have no work.

Going up is at once: a burst waits for nobody.  Going down is to the most that
was wanted within `Goal.keep_for_s`, so that a quiet second between two bursts
costs no rebalance.  Whoever follows a hint damps it no further.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

from streams.errors import ConfigError
from streams.scaling.signals import Signals
from streams.wording import age

Bound: TypeAlias = Literal["minimum", "maximum", "partitions", "key", "dependency", "unknown", "kept"]
"""What a hint was held by.

``key``: the records of one key take longer than the goal's time, and replicas
beyond what the others need would wait with it.  ``kept``: more was wanted a
moment ago.
"""

_LEAST_SHARE: Final = 0.25
"""Of the goal's time, which is left for the work at least, however long a replica takes to start."""
_SOON_S: Final = 10.0
"""A record that falls due within this time, or the start-up time if that is longer, wants a replica now."""
_UNKNOWN_STARTUP_S: Final = 5.0
_MILLION: Final = 1_000_000
_POSITIVE: Final = frozenset({"drain_s", "max_replicas", "wake_every_s"})


@dataclass(frozen=True, slots=True)
class Goal:
    """What a group's replicas are to achieve, and how many there may be."""

    drain_s: float = 60.0
    """Seconds in which what is due should be worked off; shorter asks for more replicas, sooner."""
    min_replicas: int = 1
    """At least so many.  0 lets an idle group end, but for a replica now and then, see `wake_every_s`."""
    max_replicas: int = 100
    """At most so many; a topic's partitions and keys bound it anyway."""
    headroom: float = 0.1
    """Share of what comes that is kept free: room for the moment in which more comes."""
    keep_for_s: float = 60.0
    """Fewer replicas only once no more were wanted for so long; longer costs replicas, shorter costs rebalances."""
    wake_every_s: float = 86_400.0
    """A group without members gets one so often, in seconds: its first commit keeps what the group has done.  Brokers
    forget that of a group without members, after 7 days where ``offsets.retention.minutes`` says nothing else."""

    def checked(self) -> Goal:
        """Give this goal back if nothing is wrong with it.

        Raises:
            ConfigError: With every fault.
        """
        faults = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                faults.append(f"{spec.name}: {value!r} is no number")
            elif value < 0 or (spec.name in _POSITIVE and value <= 0):
                faults.append(f"{spec.name}: {value:g} is too small")
        if not faults and self.min_replicas > self.max_replicas:
            faults.append(f"min_replicas: {self.min_replicas} is more than max_replicas, {self.max_replicas}")
        if faults:
            raise ConfigError(faults)
        return self


@dataclass(frozen=True, slots=True)
class Hint:
    """How many replicas, and why."""

    desired: int | None
    """So many; None where nobody can tell: whoever follows leaves what there is."""
    wanted: float
    """What the work alone would take, before any bound; NaN where unknown."""
    reason: str
    """For people."""
    bounds: tuple[Bound, ...] = ()
    """What held it, in the order in which they did."""


def advise(signals: Signals, goal: Goal) -> Hint:
    """Say how many replicas *signals* ask for, as if nothing had been asked for before."""
    if signals.due_records is None or signals.arrivals_per_s is None:
        return _unknown(signals, goal)
    if not signals.due_records and not signals.arrivals_per_s:
        return _idle(signals, goal)
    if signals.held_by:
        kept = max(signals.replicas, goal.min_replicas, 1)
        reason = f"{signals.held_by}: more replicas would not help; {_replicas(kept)} as there are"
        return Hint(min(kept, goal.max_replicas), math.nan, reason, ("dependency",))
    if not signals.service_per_s:
        least = min(max(signals.replicas, goal.min_replicas, 1), goal.max_replicas)
        reason = f"{_due(signals)}; what a replica can do is not known yet, so {_replicas(least)} until it is"
        return Hint(least, math.nan, reason, ("unknown",))
    return _bounded(_wanted(signals, goal), signals, goal)


class Advisor:
    """Gives one group's hints, damped.

    Owned by one thread.

    Always true: a hint is at least what `advise` says now, and at most the most that it said within `keep_for_s`, but
    for the one replica that a group without members gets now and then.
    """

    def __init__(self, goal: Goal) -> None:
        """Have asked for nothing yet."""
        self.goal = goal.checked()
        self._recent: deque[tuple[float, int]] = deque()  # what was wanted, falling: the first is the most
        self._has_begun = False
        self._empty_since_s: float | None = None

    def advise(self, signals: Signals) -> Hint:
        """Give the hint for *signals*, which are younger than those of the call before."""
        hint = self._woken(advise(signals, self.goal), signals)
        while self._recent and self._recent[0][0] <= signals.at_s - self.goal.keep_for_s:
            self._recent.popleft()
        if hint.desired is None:
            return hint
        while self._recent and self._recent[-1][1] <= hint.desired:
            self._recent.pop()
        if not self._has_begun and hint.desired < signals.replicas:  # nobody knows what was wanted before
            self._recent.append((signals.at_s, min(signals.replicas, self.goal.max_replicas)))
        self._has_begun = True
        self._recent.append((signals.at_s, hint.desired))
        most_at_s, most = self._recent[0]
        if most <= hint.desired:
            return hint
        left_s = most_at_s + self.goal.keep_for_s - signals.at_s
        reason = f"{hint.reason}; {_replicas(most)} for {age(left_s)} more, as so many were wanted"
        return Hint(most, hint.wanted, reason, (*hint.bounds, "kept"))

    def _woken(self, hint: Hint, signals: Signals) -> Hint:
        """Ask for a replica where the group has had none for so long that its offsets are to be kept."""
        if signals.replicas or not signals.partitions:
            self._empty_since_s = None
            return hint
        if self._empty_since_s is None:
            self._empty_since_s = signals.at_s
        empty_s = signals.at_s - self._empty_since_s
        if hint.desired or empty_s < self.goal.wake_every_s:
            return hint
        told = f"no member for {age(empty_s)}: one keeps the group's offsets from being forgotten"
        return Hint(1, hint.wanted, told, ("minimum",))


def hint_document(group: str, signals: Signals, given: Hint) -> dict[str, Any]:
    """Give what machines are told of a hint, with what it was made from."""
    return {
        "group": group,
        "desired": given.desired,
        "wanted": None if math.isnan(given.wanted) else round(given.wanted, 3),
        "reason": given.reason,
        "bounds": list(given.bounds),
        "signals": signals.document(),
    }


# -- inside ---------------------------------------------------------------------------------------------------


def _unknown(signals: Signals, goal: Goal) -> Hint:
    what = "what is due" if signals.due_records is None else "what comes"
    if signals.due_records and not signals.replicas:
        return Hint(max(1, goal.min_replicas), math.nan, f"{_due(signals)} and nobody works", ("unknown",))
    return Hint(None, math.nan, f"{what} is not known: leave what there is", ("unknown",))


def _idle(signals: Signals, goal: Goal) -> Hint:
    """Nothing is due and nothing comes: some may wait for its time."""
    startup_s = _UNKNOWN_STARTUP_S if signals.startup_s is None else signals.startup_s
    if signals.next_due_s is not None and signals.next_due_s <= max(_SOON_S, 2 * startup_s):
        least = max(1, goal.min_replicas)
        return Hint(least, 0.0, f"a record that waits falls due in {age(max(0.0, signals.next_due_s))}")
    waits = signals.waiting_records + signals.parked_records
    told = f"nothing is due; {waits:,} wait for their time" if waits else "nothing is due, and nothing comes"
    if signals.waiting_records and signals.next_due_s is None:  # members wait for it, and know when
        return Hint(max(1, goal.min_replicas), 0.0, told, () if goal.min_replicas <= 1 else ("minimum",))
    return Hint(goal.min_replicas, 0.0, told, ("minimum",) if goal.min_replicas else ())


def _wanted(signals: Signals, goal: Goal) -> float:
    """Give the replicas that end what comes and work off what is due, each counted as one."""
    arrivals, due, service = signals.arrivals_per_s or 0.0, signals.due_records or 0, signals.service_per_s or 1.0
    steady = arrivals * (1 + goal.headroom) / service
    drain_s = max(goal.drain_s, signals.key_work_s)
    as_it_is = max(steady, (arrivals + due / drain_s) / service)
    if as_it_is <= signals.replicas:
        return as_it_is
    startup_s = _UNKNOWN_STARTUP_S if signals.startup_s is None else signals.startup_s
    grown = due + max(0.0, arrivals - signals.replicas * service) * startup_s
    left_s = max(drain_s - startup_s, drain_s * _LEAST_SHARE)
    done_before = min(grown, signals.replicas * service * startup_s)
    return max(steady, as_it_is, (arrivals + max(0.0, grown - done_before) / left_s) / service)


def _bounded(wanted: float, signals: Signals, goal: Goal) -> Hint:
    least = max(goal.min_replicas, 1)
    needed = max(1, math.ceil(min(wanted, _MILLION) - 1e-9))
    useful = max(1, _useful(signals))
    told, bounds, desired = [_story(signals, goal, needed)], list[Bound](), needed
    if signals.key_work_s > goal.drain_s:
        told.append(f"records of one key alone take {age(signals.key_work_s)}")
        bounds.append("key")
    if desired > useful:
        desired = useful
        told.append(f"capped at {desired} by the partitions that have work")
        bounds.append("partitions")
    if desired < least:
        desired = least
        told.append(f"at least {desired} are to run")
        bounds.append("minimum")
    if desired > goal.max_replicas:
        desired = goal.max_replicas
        told.append(f"at most {desired} may run")
        bounds.append("maximum")
    return Hint(desired, wanted, "; ".join(told), tuple(bounds))


def _useful(signals: Signals) -> int:
    """Give how many replicas could have work: where more comes than one ends, each partition may have some."""
    if signals.busy_partitions is None or (signals.arrivals_per_s or 0.0) > (signals.service_per_s or 0.0):
        return signals.partitions
    return min(signals.busy_partitions, signals.partitions)


def _story(signals: Signals, goal: Goal, needed: int) -> str:
    if not signals.due_records:
        return f"{signals.arrivals_per_s or 0:,.3g} records/s come, which needs {needed}"
    drain = f"drain {_due(signals)} in {age(goal.drain_s)}"
    if signals.arrivals_per_s:
        drain += f" while {signals.arrivals_per_s:,.3g}/s come"
    return f"{drain} needs {needed}"


def _due(signals: Signals) -> str:
    count = signals.due_records or 0
    shown = f"{count / _MILLION:.1f} M" if count >= _MILLION else f"{count:,}"
    return f"{shown} due record{'s' if count != 1 else ''}"


def _replicas(count: int) -> str:
    return f"{count} replica{'s' if count != 1 else ''}"
