"""The arithmetic of a bench: ratios to the control, medians, percentiles, growth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from streams.bench.task import Outcome


class Figures(NamedTuple):
    """What is quoted of several runs."""

    rate: float
    """Records a second, median."""
    ratio: float
    """Rate as a share of the control's, median of the pairs."""
    lowest: float
    highest: float
    """The pairs' lowest and highest ratio."""
    cpu_us: float
    """CPU microseconds a record, median."""
    cpu_ratio: float
    """The control's CPU time a record as a share of it, median of the pairs: 1 is as cheap as the control."""
    resident_bytes: int
    """The most memory of any run."""
    cores: float = 0.0
    """CPU seconds a second, median."""


class Pair(NamedTuple):
    """One run, and the control around it: the mean of the one before and the one after."""

    rate: float
    control_rate: float
    """What the rate is divided by; of a handler that waits it is the arithmetic bound."""
    cpu_us: float
    control_cpu_us: float
    resident_bytes: int
    cores: float = 0.0

    @property
    def ratio(self) -> float:
        """Rate as a share of the control's."""
        return self.rate / self.control_rate

    @property
    def cpu_ratio(self) -> float:
        """The control's CPU time a record as a share of this run's."""
        return self.control_cpu_us / self.cpu_us


def figures_of(pairs: Sequence[Pair]) -> Figures:
    """Sum up *pairs*, at least one."""
    ratios = [pair.ratio for pair in pairs]
    return Figures(
        rate=median(pair.rate for pair in pairs),
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        cpu_us=median(pair.cpu_us for pair in pairs),
        cpu_ratio=median(pair.cpu_ratio for pair in pairs),
        resident_bytes=max(pair.resident_bytes for pair in pairs),
        cores=median(pair.cores for pair in pairs),
    )


def control_figures(runs: Sequence[Outcome]) -> tuple[float, float, int]:
    """Sum up runs of the control: median rate, median CPU microseconds a record, most memory."""
    return (
        median(run.rate for run in runs),
        median(run.cpu_us for run in runs),
        max(run.resident_bytes for run in runs),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Give the smallest of *values* that *share* of them do not exceed; NaN where there are none.

    >>> percentile([1, 2, 3, 4], 0.5)
    2
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def growth(samples: Sequence[float]) -> float:
    """Give by how much *samples* grew: the median of their last quarter less that of their second.

    The first quarter is left out: buffers fill and allocators warm up in it.
    """
    quarter = len(samples) // 4
    if not quarter:
        return math.nan
    return median(samples[-quarter:]) - median(samples[quarter : 2 * quarter])
