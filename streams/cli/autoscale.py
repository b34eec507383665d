"""`streams run --autoscale`: as many members on this machine as the work needs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from streams.cli.output import Misuse
from streams.config import Settings
from streams.monitor.scaler import Scaler
from streams.retry import seconds
from streams.scaling.hint import Goal, Hint
from streams.supervisor import Supervisor

_log = logging.getLogger(__name__)

_RANGE: Final = re.compile(r"([0-9]{1,3})\.\.([0-9]{1,3})")
_MOST: Final = 256
_ENDING: Final = ("stop_when_empty", "until_settled", "once", "max_records", "max_time")


@contextmanager
def autoscaled(supervisor: Supervisor, settings: Settings, options: dict[str, Any]) -> Iterator[None]:
    """Have *supervisor* run as many members as the group's work needs, within the bounds that *options* name.

    Raises:
        Misuse: They contradict each other.
    """
    goal = goal_of(options)
    scaler = Scaler(settings)
    supervisor.count = max(1, goal.min_replicas)
    supervisor.wanted = _Wanted(scaler, settings.group, goal)
    try:
        yield
    finally:
        scaler.stop()


def goal_of(options: dict[str, Any]) -> Goal:
    """Read the goal from the command line.

    Raises:
        Misuse: It is none, or the members would end by themselves.
    """
    ending = [name for name in _ENDING if options[name]]
    if ending:
        raise Misuse(f"--{ending[0].replace('_', '-')} ends members, and --autoscale would start others: choose one")
    if options["processes"] > 1:
        raise Misuse("--processes says how many members run, and --autoscale finds out: choose one")
    found = _RANGE.fullmatch(options["autoscale"])
    if found is None or not 1 <= int(found[2]) <= _MOST or int(found[1]) > int(found[2]):
        raise Misuse(f"--autoscale {options['autoscale']}: name the bounds, as in 1..8; at most {_MOST}")
    drain_s = Goal().drain_s if options["drain_backlog"] is None else seconds(options["drain_backlog"])
    return Goal(drain_s=drain_s, min_replicas=int(found[1]), max_replicas=int(found[2])).checked()


class _Wanted:
    """Says how many members are wanted, and logs each change with its reason.  Belongs to the supervisor's thread."""

    def __init__(self, scaler: Scaler, group: str, goal: Goal) -> None:
        self._told = scaler.follow(group, goal)
        self._group = group
        self._last: int | None = None

    def __call__(self) -> int | None:
        hint: Hint | None = self._told()
        wanted = None if hint is None else hint.desired
        if hint is not None and wanted is not None and wanted != self._last:
            _log.info("group %s: %d member(s) wanted: %s", self._group, wanted, hint.reason)
            self._last = wanted
        return wanted
