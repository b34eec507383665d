"""What somebody wants to be told of: a name, an operator and a number, such as ``billing:queue_age>60s for 2m``.

`MEASURES` names what a picture knows of a group.  What is not known is None,
and says nothing: neither that a threshold is crossed, nor that it is not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple, TypeAlias

from streams.errors import ConfigError
from streams.monitor.dashboard.hint import STILL_S, wanted_members, widest
from streams.monitor.dashboard.picture import GroupView
from streams.retry import seconds
from streams.wording import age

Unit: TypeAlias = Literal["", "s", "/s", "%"]

HOLD_S: Final = 10.0
"""A threshold is crossed for so long before anybody is told, where it says nothing else: two looks, or more."""


class Measure(NamedTuple):
    """One number of a group."""

    name: str
    unit: Unit
    meaning: str
    read: Callable[[GroupView], float | None]
    """Give it as of the look; None where it is not known."""
    is_of_cluster: bool = False
    """It is none of a group, and `Alarms` knows it."""


def _standstill(group: GroupView) -> float:
    return 0.0 if group.idle_since_s is None else max(0.0, group.time_s - group.idle_since_s)


def _wanted_share(group: GroupView) -> float | None:
    wanted, most = wanted_members(group), widest(group)
    return None if wanted is None or not most else 100 * wanted / most


LOOK_AGE: Final = "look_age"
_TABLE: Final = (
    Measure("queue_age", "s", "age of the oldest outstanding record that is known", lambda g: g.behind_s(g.time_s)),
    Measure("lag", "", "records of its sources that are not settled", lambda g: g.outstanding),
    Measure("waiting", "", "records in its retry topics", lambda g: g.waiting),
    Measure("parked", "", "records that wait behind another one of their key", lambda g: g.parked),
    Measure("dead_letters", "", "dead letters that nobody has decided about", lambda g: g.dead),
    Measure("expired", "", "records that retention removed before they were done", lambda g: g.seen.expired),
    Measure("members", "", "its members", lambda g: len(g.members)),
    Measure("unowned", "", "partitions with something outstanding that no member has", lambda g: g.seen.unowned),
    Measure("standstill", "s", "for how long it has done nothing although something was outstanding", _standstill),
    Measure(
        "still_partitions",
        "",
        f"partitions that have done nothing for {STILL_S:g} s although something was outstanding",
        lambda g: sum(1 for since_s in g.still_s.values() if g.time_s - since_s >= STILL_S),
    ),
    Measure("comes", "/s", "records that come", lambda g: g.speed.came_per_s),
    Measure("done", "/s", "records that are done", lambda g: g.speed.done_per_s),
    Measure("wanted_members", "", "members that would work off its backlog in a minute", wanted_members),
    Measure("wanted_share", "%", "the same, of as many as can have a partition", _wanted_share),
    Measure(LOOK_AGE, "s", "how long ago the last look at the cluster went well", lambda _: None, is_of_cluster=True),
)
MEASURES: Final[Mapping[str, Measure]] = {one.name: one for one in _TABLE}

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM: Final = re.compile(
    r"(?:(?P<group>\S+):)?(?P<name>[A-Za-z_]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z/%]*)"
    r"(?:\s+for\s+(?P<hold>\S+))?"
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One of them."""

    text: str
    """As it was written."""
    measure: Measure
    sign: str
    bound: float
    """In the unit of the measure."""
    hold_s: float = HOLD_S
    """Seconds for which it has to be so at every look before anybody is told; 0: at the first one."""
    group: str = "*"
    """A group's name, or a pattern with ``*``."""

    def is_about(self, group: str) -> bool:
        """Say whether it concerns *group*."""
        return fnmatchcase(group, self.group)

    def is_crossed(self, value: float) -> bool:
        """Say whether *value* is beyond it."""
        return _OPERATORS[self.sign](value, self.bound)


def read_thresholds(texts: Sequence[str]) -> list[Threshold]:
    """Read what the command line says.

    Raises:
        ConfigError: Some are none; all faults are listed.
    """
    found, faults = [], []
    for text in dict.fromkeys(text.strip() for text in texts):
        try:
            found.append(_read(text))
        except ConfigError as error:
            faults += [f"--alert {text!r}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    return found


def told(value: float | None, unit: Unit) -> str:
    """Give a measured value as a person reads it."""
    if value is None:
        return "?"
    if unit == "s":
        return age(value)
    number = f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    return f"{number} %" if unit == "%" else number + unit


def _read(text: str) -> Threshold:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ConfigError(["is not of the form [GROUP:]NAME>NUMBER[UNIT] [for TIME], such as 'queue_age>60s for 2m'"])
    measure = MEASURES.get(form["name"])
    if measure is None:
        raise ConfigError([f"{form['name']!r} is none of {', '.join(MEASURES)}"])
    if measure.is_of_cluster and form["group"]:
        raise ConfigError([f"{measure.name} is none of a group's; drop {form['group']!r}"])
    bound = _bound(measure, form["number"], form["unit"])
    hold_s = HOLD_S if form["hold"] is None else seconds(form["hold"])
    return Threshold(text, measure, form["sign"], bound, hold_s, form["group"] or "*")


def _bound(measure: Measure, number: str, unit: str) -> float:
    if measure.unit == "s":
        return seconds(number + (unit or "s"))
    if unit not in ("", measure.unit):
        takes = f"takes {measure.unit} or no unit" if measure.unit else "is a count and takes no unit"
        raise ConfigError([f"{measure.name} {takes}, not {unit!r}"])
    return float(number)
