"""What the curves of growing cost are made of: shapes of topics, lines of tables, keys in trouble."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.growth.row import Row, row_of, table
from benchmarks.growth.supply import Shape, records
from benchmarks.growth.trouble import Filling, Job, app_for, observer_of
from streams.bench.figures import Figures
from streams.bench.meter import Meter

FIGURES = Figures(
    rate=1234.5, ratio=0.5, lowest=0.4, highest=0.6, cpu_us=2.345, cpu_ratio=0.7, resident_bytes=100 * 2**20
)


def test_every_key_comes_before_one_comes_again() -> None:
    """So many keys as are asked for are really there, if there are as many records."""
    given = [key for key, _ in records(Shape(records=500, keys=100))]

    assert len(set(given[:100])) == 100
    assert set(given) == set(given[:100])
    assert max(Counter(given).values()) < 50


def test_values_have_their_size_and_differ() -> None:
    """To the byte, and no two are alike."""
    values = [value for _, value in records(Shape(records=300, keys=1, size=100))]

    assert {len(value) for value in values} == {100}
    assert len(set(values)) == 300


def test_large_values_are_fewer() -> None:
    """All together they stay within half a GB."""
    shape = Shape(records=1_000_000, size=16_000)

    assert shape.count * shape.size <= 512 * 2**20 < (shape.count + 1) * shape.size


def test_a_row_says_what_it_cost() -> None:
    """At so much of what grows; what was not measured is left empty."""
    assert str(row_of("keys", 10_000, "noop, inline", FIGURES)) == (
        "| 10,000 | noop, inline | 1,234 | 0.50 | 2.35 | 0.70 | 100 |  |"
    )
    assert str(Row(curve="commits", at=12, run="a member", rate=2000, cpu_us=3)) == (
        "| 12 | a member | 2,000 |  | 3.00 |  |  |  |"
    )


def test_a_table_has_as_many_columns_in_each_line() -> None:
    """Head, rule and rows."""
    lines = table("keys", [row_of("keys", 1, "noop, inline", FIGURES)]).splitlines()

    assert [line.count("|") for line in lines] == [9, 9, 9]


def test_the_clock_fits_the_job() -> None:
    """What fills the index ends when copies are acknowledged, what passes when records have settled."""
    jobs = [Job(topic="orders", group="billing", records=1, fills=fills) for fills in (True, False)]

    assert [type(observer_of(job)) for job in jobs] == [Filling, Meter]


def test_only_keys_in_trouble_fail() -> None:
    """All others pass."""
    route = app_for(Job(topic="orders", group="billing", records=1, fills=True)).routes["orders"]

    def run(key: bytes) -> None:
        route.handler(b"", _Run(key))

    run(b"key-00001")
    with pytest.raises(ConnectionError):
        run(b"trouble-000001")


class _Run:
    """As much of a context as the handler looks at."""

    def __init__(self, key: bytes) -> None:
        self.key = key

    @property
    def record(self) -> _Run:
        """The record, which has a key."""
        return self
