"""What somebody wants to be told of is read whole, and measured only where it is known."""

from __future__ import annotations

from typing import Any

import pytest

from streams.errors import ConfigError
from streams.monitor.dashboard.thresholds import HOLD_S, MEASURES, read_thresholds, told
from tests.monitor.dashboard.test_hint import NOW_S, PLACES, view


@pytest.mark.parametrize(
    ("text", "name", "sign", "bound", "hold_s", "group"),
    [
        ("queue_age>60s", "queue_age", ">", 60.0, HOLD_S, "*"),
        ("queue_age > 5m for 2m", "queue_age", ">", 300.0, 120.0, "*"),
        ("queue_age>=90", "queue_age", ">=", 90.0, HOLD_S, "*"),
        ("billing:dead_letters>0 for 0s", "dead_letters", ">", 0.0, 0.0, "billing"),
        ("team.a-*:members<2", "members", "<", 2.0, HOLD_S, "team.a-*"),
        ("odd:name:lag<=10", "lag", "<=", 10.0, HOLD_S, "odd:name"),
        ("wanted_share>100%", "wanted_share", ">", 100.0, HOLD_S, "*"),
        ("comes>2.5/s", "comes", ">", 2.5, HOLD_S, "*"),
        ("look_age>5m", "look_age", ">", 300.0, HOLD_S, "*"),
    ],
)
def test_an_expression_is_read(  # noqa: PLR0917  # what an expression has
    text: str, name: str, sign: str, bound: float, hold_s: float, group: str
) -> None:
    """A group, a name, an operator, a number with its unit, and for how long."""
    (one,) = read_thresholds([text, text])

    assert (one.measure.name, one.sign, one.bound, one.hold_s, one.group) == (name, sign, bound, hold_s, group)
    assert one.text == text


def test_all_faults_are_told_at_once() -> None:
    """Each with the expression that it is of."""
    with pytest.raises(ConfigError) as caught:
        read_thresholds(["queue_age", "speed>3", "lag>60s", "wanted_share>3m", "queue_age>3x", "lag>1 for ever",
                         "billing:look_age>1m", "members<2"])  # fmt: skip

    assert [fault.split(": ", 1)[0] for fault in caught.value.faults] == [
        "--alert 'queue_age'",
        "--alert 'speed>3'",
        "--alert 'lag>60s'",
        "--alert 'wanted_share>3m'",
        "--alert 'queue_age>3x'",
        "--alert 'lag>1 for ever'",
        "--alert 'billing:look_age>1m'",
    ]
    assert "none of queue_age, lag, waiting" in caught.value.faults[1]
    assert "is a count and takes no unit" in caught.value.faults[2]


@pytest.mark.parametrize(
    ("name", "chosen", "value"),
    [
        ("queue_age", {"outstanding": 40, "heads_ms": {PLACES[0]: (NOW_S - 75) * 1000}}, 75.0),
        ("queue_age", {"outstanding": 40}, None),
        ("queue_age", {}, 0.0),
        ("lag", {"outstanding": 40}, 40),
        ("waiting", {"waiting": 3}, 3),
        ("parked", {}, 0),
        ("dead_letters", {"dead": 7}, 7),
        ("members", {"members": 2}, 2),
        ("unowned", {"members": 0, "outstanding": 40}, 4),
        ("standstill", {"outstanding": 40, "idle_since_s": NOW_S - 120}, 120.0),
        ("standstill", {}, 0.0),
        ("still_partitions", {"outstanding": 40, "still_s": {PLACES[0]: NOW_S - 90, PLACES[1]: NOW_S - 9}}, 1),
        ("comes", {"came": 5.0}, 5.0),
        ("done", {"done": None}, None),
        ("wanted_members", {"outstanding": 400, "came": 50.0, "done": 20.0}, 3),
        ("wanted_members", {"outstanding": 400, "came": 50.0, "done": 0.0}, None),
        ("wanted_members", {"came": None}, None),
        ("wanted_members", {}, 0),
        ("wanted_share", {"outstanding": 400, "came": 50.0, "done": 20.0, "members": 2}, 150.0),
        ("wanted_share", {"outstanding": 400, "came": None, "done": 20.0}, None),
    ],
)
def test_what_is_not_known_is_not_zero(name: str, chosen: dict[str, Any], value: float | None) -> None:
    """Each name gives the number that the group's page shows, and None where the page shows a question mark."""
    assert MEASURES[name].read(view(**chosen)) == value


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(None, "s", "?"), (75.0, "s", "1.2 m"), (1500, "", "1,500"), (2.5, "/s", "2.5/s"), (150.0, "%", "150 %")],
)
def test_a_value_is_told_as_people_read_it(value: float | None, unit: Any, text: str) -> None:
    """With its unit."""
    assert told(value, unit) == text
