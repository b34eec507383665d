"""The arithmetic of a bench."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bench.figures import Pair, control_figures, figures_of, growth, percentile
from streams.bench.race import pair_of
from streams.bench.task import Outcome


def outcome(records: int, seconds: float, cpu_s: float = 1.0, resident_bytes: int = 1) -> Outcome:
    """A run's answer."""
    return Outcome(records=records, seconds=seconds, cpu_s=cpu_s, resident_bytes=resident_bytes)


def pair(rate: float, control_rate: float) -> Pair:
    """A run beside the control, as fast and as cheap as said."""
    return Pair(rate=rate, control_rate=control_rate, cpu_us=1, control_cpu_us=1, resident_bytes=1)


def test_a_run_is_set_beside_the_mean_of_the_controls_around_it() -> None:
    """Where the machine slows down during a run, the control before and the one after it count alike."""
    run, before, after = outcome(600, 1.0, cpu_s=0.003), outcome(1_000, 0.5, cpu_s=0.001), outcome(1_000, 1.0, 0.002)

    found = pair_of(run, before, after)

    assert found.ratio == pytest.approx(600 / 1_500)
    assert found.cpu_ratio == pytest.approx(1.5 / 5)


def test_the_quoted_ratio_is_the_median_of_the_pairs_ratios() -> None:
    """One pair that was disturbed does not move the quoted ratio, and shows in the spread."""
    figures = figures_of([pair(50, 100), pair(120, 200), pair(10, 100)])

    assert figures.ratio == pytest.approx(0.5)
    assert (figures.lowest, figures.highest) == pytest.approx((0.1, 0.6))
    assert figures.rate == 50


def test_memory_is_the_most_of_any_run() -> None:
    """A run that needed more memory than the others is the one that is quoted."""
    pairs = [pair(1, 1)._replace(resident_bytes=size) for size in (3, 9, 5)]

    assert figures_of(pairs).resident_bytes == 9


def test_the_control_is_summed_up_by_medians() -> None:
    """Rates and CPU time of the control are medians of its runs, its memory the most of them."""
    runs = [outcome(100, 1.0, 0.1, 7), outcome(100, 2.0, 0.3, 9), outcome(100, 4.0, 0.2, 8)]

    rate, cpu_us, resident = control_figures(runs)

    assert rate == pytest.approx(50)
    assert cpu_us == pytest.approx(2_000)
    assert resident == 9


def test_an_outcome_without_records_has_rate_zero() -> None:
    """A run that measured nothing divides by nothing."""
    nothing = outcome(0, 0.0, 0.0)

    assert (nothing.rate, nothing.cpu_us) == (0, 0)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.001, 1))
def test_a_percentile_is_one_of_the_values_and_as_many_as_asked_lie_at_or_below_it(
    values: list[float], share: float
) -> None:
    """The percentile is a value that was seen; at least the share lies at or below it."""
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


def test_percentile_and_growth_of_nothing_are_unknown() -> None:
    """Without values there is no figure, and none is made up."""
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(growth([1, 2, 3]))


def test_growth_leaves_out_the_warm_up() -> None:
    """What fills up in the first quarter is no growth; what comes between the second and the last is."""
    assert growth([1, 5, 10, 10, 10, 10, 10, 10]) == 0
    assert growth([1, 5, 10, 10, 11, 12, 14, 14]) == 4
