"""When a failed record runs again, and when it is given up.

The policy is a frozen value; what happened to one record is handed in.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Final, TypeAlias

from streams.errors import ConfigError, RecordError

Duration: TypeAlias = str | float | timedelta
"""``"1.5s"``, ``"10m"``, seconds as a number, or a timedelta."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}

_LONGEST_S = 100 * 365 * 86_400.0
_MEMORY_UP_TO: Final = "10s"

MOST_TIERS: Final = 4
"""Retry topics of one policy at most: each is one more topic for every source, and one more partition to own."""


def seconds(duration: Duration) -> float:
    """Give *duration* in seconds.

    Raises:
        ConfigError: It is negative, longer than 100 years, or not of the form ``<number><ms|s|m|h|d>``.
    """
    given: object = duration
    if isinstance(given, timedelta):
        value = given.total_seconds()
    elif isinstance(given, str):
        match = _DURATION.fullmatch(given.strip())
        if match is None:
            raise ConfigError([f"duration {duration!r} is not of the form '10s', '250ms', '5m', '1h' or '1d'"])
        value = float(match[1]) * _UNITS[match[2]]
    elif isinstance(given, int | float) and not isinstance(given, bool):
        value = float(given)
    else:
        raise ConfigError([f"duration {duration!r} is neither text such as '10s', nor seconds, nor a timedelta"])
    if not 0 <= value <= _LONGEST_S:
        raise ConfigError([f"duration {duration!r} must be neither negative nor longer than 100 years"])
    return value


def label(delay_s: float) -> str:
    """Give *delay_s* in the one form that topics are named by: whole numbers of the largest unit that fits.

    >>> label(60), label(90), label(86_400), label(0.5)
    ('1m', '90s', '1d', '500ms')
    """
    ms = round(delay_s * 1_000)
    if not ms:
        return "0s"
    return next(f"{ms // size}{unit}" for unit, size in _UNITS_MS.items() if ms % size == 0)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Run the record again, no sooner than this."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt; the record goes to the dead-letter topic."""

    reason: str
    """One clause, shown with the dead letter: which rule ended it."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often, how long apart, and for which errors a record is tried again."""

    delays: Sequence[Duration] = ("1s", "10s", "1m", "10m")
    """The wait before the second, third, ... attempt; the last one repeats."""

    max_attempts: int | None = None
    """Runs in all, the first included; None: one more than there are delays."""

    jitter: float = 0.1
    """Lengthens a wait in memory by up to this share of it: what failed together does not return together."""

    dead_letter_on: tuple[type[BaseException], ...] = ()
    """Errors that no further attempt can mend; `RecordError` always is one."""

    overrides: Mapping[type[BaseException], RetryPolicy] = field(default_factory=dict)
    """A policy of their own for some errors; the closest class in the error's ancestry decides."""

    deadline: Duration | None = None
    """No attempt starts later than this after the first one ended; None: no such end."""

    memory_up_to: Duration = _MEMORY_UP_TO
    """Waits up to this long are spent in memory, longer ones in a retry topic, one for each length: a *tier*.

    Under the order policy ``block`` all waits are spent in memory.  Longer saves topics and moves, and costs a crash
    more of what was waited for.  The overrides' waits follow it too.
    """

    def __post_init__(self) -> None:
        """Check every field, and list all faults at once."""
        faults = [*self._duration_faults(), *self._count_faults(), *self._class_faults()]
        if faults:
            raise ConfigError([f"retry {fault}" for fault in faults])

    def _duration_faults(self) -> Iterator[str]:
        delays: object = self.delays
        if isinstance(delays, str) or not isinstance(delays, Sequence):
            yield f"delays: give a sequence, ({delays!r},), not one value"
        else:
            yield from (fault for delay in delays for fault in _faults("delays", delay))
        if self.deadline is not None:
            yield from _faults("deadline", self.deadline)
        yield from _faults("memory_up_to", self.memory_up_to)

    def _count_faults(self) -> Iterator[str]:
        runs: object = self.max_attempts
        if runs is not None and (not isinstance(runs, int) or runs < 1):
            yield f"max_attempts: {runs!r} is no number of runs, the first included: at least 1"
        elif isinstance(runs, int) and runs > 1 and not self.delays:
            yield "max_attempts: it asks for further runs, but delays is empty"
        share: object = self.jitter
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            yield f"jitter: {share!r} is no share between 0 and 1"

    def _class_faults(self) -> Iterator[str]:
        classes: object = self.dead_letter_on
        if not isinstance(classes, tuple) or not all(map(_is_error, classes)):
            yield f"dead_letter_on: {classes!r} is no tuple of exception classes, such as (ValueError,)"
        chosen: object = self.overrides
        if not isinstance(chosen, Mapping):
            yield f"overrides: {chosen!r} is no mapping of exception classes to policies"
        elif not all(_is_error(cls) and isinstance(policy, RetryPolicy) for cls, policy in chosen.items()):
            yield "overrides: each must map an exception class to a RetryPolicy"
        else:
            yield from self._override_faults()

    def _override_faults(self) -> Iterator[str]:
        for cls, policy in self.overrides.items():
            if policy.memory_up_to not in (_MEMORY_UP_TO, self.memory_up_to):
                yield (
                    f"overrides: the one for {cls.__name__} has a memory_up_to of its own, {policy.memory_up_to!r};"
                    f" that of the whole policy counts, drop it"
                )

    def tier_faults(self) -> list[str]:
        """Say what is wrong with the retry topics that this policy asks for; of interest where the route has any."""
        tiers = self.tiers
        if len(tiers) <= MOST_TIERS:
            return []
        fault = (
            f"retry: {len(tiers)} lengths of waits are above memory_up_to={label(self._memory_s)!r}, and each needs a"
            f" retry topic: {', '.join(map(label, tiers))}; there may be {MOST_TIERS}. Use fewer lengths in delays and"
            f" overrides, or memory_up_to={label(tiers[-MOST_TIERS - 1])!r}: then {MOST_TIERS} are left"
        )
        return [fault]

    @property
    def attempts(self) -> int:
        """Runs in all, the first included."""
        return len(self.delays) + 1 if self.max_attempts is None else self.max_attempts

    @cached_property
    def tiers(self) -> tuple[float, ...]:
        """The lengths of all waits that are spent in a retry topic: seconds, ascending, those of overrides included.

        A wait that no attempt reaches is none of them.
        """
        policies = (self, *self.overrides.values())
        delays = {_whole_ms(seconds(delay)) for policy in policies for delay in policy.delays[: policy.attempts - 1]}
        return tuple(sorted(delay_s for delay_s in delays if delay_s > self._memory_s))

    @cached_property
    def _memory_s(self) -> float:
        return _whole_ms(seconds(self.memory_up_to))

    def tier_for(self, delay_s: float) -> float | None:
        """Give the tier in which a wait of *delay_s* is spent; None: in memory.

        It is the shortest that is long enough; a wait beyond the longest gets
        the longest.  Without tiers every wait is spent in memory.
        """
        tiers = self.tiers
        if not tiers or delay_s <= self._memory_s:
            return None
        if delay_s in tiers:  # as most are: the policy's own
            return delay_s
        needed_s = _whole_ms(delay_s)
        if needed_s <= self._memory_s:
            return None
        return next((tier_s for tier_s in tiers if tier_s >= needed_s), tiers[-1])

    def for_error(self, error: BaseException) -> RetryPolicy:
        """Give the policy that decides on *error*: an override, or this one."""
        for cls in type(error).__mro__:
            if cls in self.overrides:
                return self.overrides[cls]
        return self

    def decide(
        self, error: BaseException, *, attempt: int, since_first_s: float, after_s: float | None = None
    ) -> RetryAfter | GiveUp:
        """Say what follows run number *attempt*, which ended in *error*.

        Args:
            error: What the run ended in.
            attempt: Runs so far, this one included; from 1.
            since_first_s: Seconds since the first run ended.
            after_s: The wait that the handler asked for; None: the policy's.
        """
        policy = self.for_error(error) if self.overrides else self
        if isinstance(error, RecordError) or isinstance(error, policy.dead_letter_on):  # noqa: SIM101  # no tuple
            return GiveUp(f"{type(error).__name__} is not retried")
        if attempt >= policy.attempts:
            return GiveUp(f"attempt {attempt} of {policy.attempts} failed")
        delay_s = policy.delay_s(attempt) if after_s is None else after_s
        if policy.deadline is not None and since_first_s + delay_s > seconds(policy.deadline):
            return GiveUp(f"the next attempt would start after the deadline of {policy.deadline}")
        return RetryAfter(delay_s)

    def delay_s(self, attempt: int) -> float:
        """Give the wait after run number *attempt*, without jitter; the last delay repeats."""
        return self._delays_s[min(attempt, len(self.delays)) - 1]

    @cached_property
    def _delays_s(self) -> tuple[float, ...]:
        return tuple(map(seconds, self.delays))

    def jittered(self, delay_s: float, rng: random.Random) -> float:
        """Lengthen *delay_s* by a random share up to `jitter`; never shorten it."""
        return delay_s * (1 + self.jitter * rng.random())


def _faults(name: str, duration: Duration) -> Iterator[str]:
    try:
        seconds(duration)
    except ConfigError as error:
        yield from (f"{name}: {fault}" for fault in error.faults)


def _whole_ms(delay_s: float) -> float:
    """Round up to whole milliseconds, the finest that a topic's name tells; what floats add by themselves is cut."""
    return math.ceil(round(delay_s * 1_000, 6)) / 1_000


def _is_error(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, BaseException)


NO_RETRY = RetryPolicy(delays=(), max_attempts=1)
"""One run; a failure is a dead letter at once."""
