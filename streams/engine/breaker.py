"""Dependencies of handlers, and the breaker that tells from failed runs that one of them is down.

A `Dependency` is what the app declares, a frozen value; a `Breaker` is what a
member knows of it.  Sans I/O: how runs ended goes in, whether records may
start comes out, time is an argument.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from streams.engine.circuit import Circuit
from streams.errors import ConfigError, RecordError
from streams.retry import Duration, seconds

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_SLICES: Final = 10
"""Parts of the window; it moves on by one of them."""
_MOST_PROBES: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """Something that handlers call and that can be down: a service, a database.

    It counts as down once, in the window `within`, at least `failures` runs of
    the handlers that need it failed by its errors, and these are at least
    `share` of all that ended.  Then the routes that need it stand still in this
    member, and no record pays for it with an attempt.
    """

    name: str
    """What logs and metrics call it."""

    errors: tuple[type[Exception], ...]
    """The errors by which it shows in a handler; a `RecordError` never counts."""

    when: Callable[[Exception], bool] | None = None
    """Tells among `errors` those that mean it, such as answers from 500 on; an error that it can't judge counts."""

    failures: int = 5
    """So many failed runs at least; fewer open sooner, and on less."""

    share: float = 0.5
    """Of the runs that ended in the window so many, 0 to 1; 0 leaves it to `failures` alone.

    Lower it where few records of a handler call the dependency."""

    within: Duration = "10s"
    """The window; it moves on by a tenth of itself."""

    probe_after: Duration = "30s"
    """How long everything stands still before a few records try again; and again after these failed."""

    probes: int = 3
    """Records that try; the majority decides, so neither one bad record nor one lucky one does."""

    def __post_init__(self) -> None:
        """Check every field, and list all faults at once."""
        faults = [*self._error_faults(), *self._bound_faults()]
        if faults:
            raise ConfigError([f"dependency {self.name!r}: {fault}" for fault in faults])

    def _error_faults(self) -> Iterator[str]:
        name, classes, judge = (getattr(self, field) for field in ("name", "errors", "when"))
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield "a name has 1 to 100 letters, digits, dots, dashes or underscores"
        if not isinstance(classes, tuple) or not classes or not all(map(_is_error, classes)):
            yield f"errors={classes!r} is no tuple of exception classes, such as (ConnectionError,)"
        if judge is not None and not callable(judge):
            yield f"when={judge!r} is no function of an error"

    def _bound_faults(self) -> Iterator[str]:
        if not _is_count(self.failures, 1_000_000):
            yield f"failures={self.failures!r} is no number of runs, at least 1"
        if not _is_count(self.probes, _MOST_PROBES):
            yield f"probes={self.probes!r} is no number of records, 1 to {_MOST_PROBES}"
        share: object = self.share
        if not isinstance(share, int | float) or not 0 <= share <= 1:
            yield f"share={share!r} is no share between 0 and 1"
        for name in ("within", "probe_after"):
            yield from duration_faults(name, getattr(self, name))

    @cached_property
    def within_s(self) -> float:
        """The window in seconds."""
        return seconds(self.within)

    def is_behind(self, error: BaseException) -> bool:
        """Say whether a run that ended in *error* failed because of this dependency."""
        if not isinstance(error, self.errors) or isinstance(error, RecordError):
            return False
        if self.when is None:
            return True
        try:
            return bool(self.when(error))
        except Exception:  # noqa: BLE001  # whatever a user's function raises: its class says that it may be this one
            return True


class Breaker:
    """What this member knows of one dependency.

    Owned by the poll thread.

    Always true: while its circuit is closed, fewer failures than it takes to
    open stand in the window, or they are too small a share of it.
    """

    def __init__(self, dependency: Dependency) -> None:
        """Take *dependency* to be well."""
        self.dependency = dependency
        self.circuit = Circuit(wait_s=seconds(dependency.probe_after), probes=dependency.probes)
        self._window = _Window(dependency.within_s)

    def passed(self, runs: int, now_s: float) -> None:
        """Note that *runs* ended well."""
        if self.circuit.is_closed:
            self._window.add(now_s, well=runs)

    def failed(self, error: BaseException, now_s: float) -> bool:
        """Note that a run failed because of the dependency; say whether the breaker is open, by this one or before."""
        if self.circuit.is_closed:
            well, failed = self._window.add(now_s, failed=1)
            if failed >= self.dependency.failures and failed >= self.dependency.share * (well + failed):
                self._window.clear()
                self.circuit.open(now_s, self._spelled(failed, well + failed, error))
        return not self.circuit.is_closed

    def _spelled(self, failed: int, ended: int, error: BaseException) -> str:
        within = self.dependency.within_s
        return f"{failed} of {ended} runs within {within:g} s failed by it, the last in {type(error).__name__}"


class _Window:
    """Counts of the latest seconds, in slices: bounded, whatever the rate."""

    def __init__(self, length_s: float) -> None:
        self._slice_s = length_s / _SLICES
        self._slices: deque[list[int]] = deque()  # number, ended well, failed
        self._well = self._failed = 0

    def add(self, now_s: float, *, well: int = 0, failed: int = 0) -> tuple[int, int]:
        """Count, and give what stands in the window now: ended well, failed."""
        number = int(now_s // self._slice_s)
        while self._slices and self._slices[0][0] <= number - _SLICES:
            _, gone_well, gone_failed = self._slices.popleft()
            self._well -= gone_well
            self._failed -= gone_failed
        if not self._slices or self._slices[-1][0] != number:
            self._slices.append([number, 0, 0])
        self._slices[-1][1] += well
        self._slices[-1][2] += failed
        self._well += well
        self._failed += failed
        return self._well, self._failed

    def clear(self) -> None:
        """Forget everything."""
        self._slices.clear()
        self._well = self._failed = 0


def duration_faults(name: str, duration: Duration) -> Iterator[str]:
    """Say what is wrong with *duration*, which must be some time."""
    try:
        if not seconds(duration):
            yield f"{name}={duration!r} must be longer than nothing"
    except ConfigError as error:
        yield from (f"{name}: {fault}" for fault in error.faults)


def _is_error(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Exception)


def _is_count(number: object, most: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= most
