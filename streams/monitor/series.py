"""Metrics as plain numbers: written by the poll thread, read when somebody asks.

Adding to one costs a look-up in a dictionary, no lock: a single thread writes.
A reader takes its copy in one step of the interpreter, so it sees each number
as it was at some moment, not all of them at the same one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from streams.monitor.metrics import GROUP, Row

Labels: TypeAlias = tuple[str, ...]
"""Values of a row's labels, in the row's order, without the group."""


class Counter:
    """A number for each set of label values, which only grows."""

    def __init__(self, row: Row, *known: Labels) -> None:
        """Count *row*, from 0 for the *known* label values."""
        self.row = row
        self._values = dict.fromkeys(known, 0.0)

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Add *amount*; unknown *labels* start at 0."""
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def family(self, group: str) -> Metric:
        """Give all numbers in the client library's form."""
        family = CounterMetricFamily(self.row.name, self.row.sentence, labels=(GROUP, *self.row.labels))
        for labels, value in list(self._values.items()):
            family.add_metric((group, *labels), value)
        return family


class Gauge:
    """A number for each set of label values that stands for something now."""

    def __init__(self, row: Row) -> None:
        """Show *row*, which has no values yet."""
        self.row = row
        self._values: dict[Labels, float] = {}

    def show(self, values: Mapping[Labels, float | None]) -> None:
        """Replace all numbers: those of other labels, and unknown ones (None), are gone."""
        self._values = {labels: value for labels, value in values.items() if value is not None}

    def forget(self, labels: Iterable[Labels]) -> None:
        """Drop the numbers of *labels*."""
        gone = set(labels)
        self._values = {known: value for known, value in self._values.items() if known not in gone}

    def family(self, group: str) -> Metric:
        """Give all numbers in the client library's form."""
        family = GaugeMetricFamily(self.row.name, self.row.sentence, labels=(GROUP, *self.row.labels))
        for labels, value in self._values.items():
            family.add_metric((group, *labels), value)
        return family


class Histogram:
    """How observed seconds are spread, for each set of label values."""

    def __init__(self, row: Row) -> None:
        """Observe for *row*, by its bounds."""
        self.row = row
        self._bounds = row.bounds
        self._names = [*map(floatToGoString, row.bounds), "+Inf"]
        self._values: dict[Labels, tuple[list[int], list[float]]] = {}
        self._exemplars: dict[Labels, dict[int, Exemplar]] = {}

    def know(self, labels: Labels) -> tuple[list[int], list[float]]:
        """Show *labels* from now on, observed or not; give their buckets and, in a list, their sum."""
        return self._values.setdefault(labels, ([0] * len(self._names), [0.0]))

    def observe(self, labels: Labels, value: float, times: int = 1) -> None:
        """Add *value*, *times* times."""
        counts, total = self._values.get(labels) or self.know(labels)
        counts[bisect_left(self._bounds, value)] += times
        total[0] += value * times

    def exemplify(self, labels: Labels, value: float, trace: Mapping[str, str], at_s: float) -> None:
        """Name the *trace* of something that took *value*: of each bucket the latest is shown.  From any thread."""
        known = self._exemplars.setdefault(labels, {})
        known[bisect_left(self._bounds, value)] = Exemplar(dict(trace), value, at_s)

    def family(self, group: str) -> Metric:
        """Give all buckets in the client library's form."""
        family = HistogramMetricFamily(self.row.name, self.row.sentence, labels=(GROUP, *self.row.labels))
        for labels, (counts, total) in list(self._values.items()):
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = [
                *zip(self._names, accumulate(counts.copy()), strict=True)
            ]
            for at, exemplar in self._exemplars.get(labels, {}).copy().items():
                buckets[at] = (*buckets[at][:2], exemplar)
            family.add_metric((group, *labels), buckets, total[0])
        return family


Series: TypeAlias = Counter | Gauge | Histogram


class SeriesCollector(Collector):
    """Hands a group's series to the client library, in the order given."""

    def __init__(self, group: str, series: Iterable[Series]) -> None:
        """Collect *series* under the label of *group*."""
        self._group = group
        self._series = tuple(series)

    def describe(self) -> Iterator[Metric]:
        """Give the families without numbers, so that a name taken twice is refused at once."""
        return (Metric(series.row.name, series.row.sentence, series.row.kind) for series in self._series)

    def collect(self) -> Iterator[Metric]:
        """Give the families with their numbers."""
        return (series.family(self._group) for series in self._series)
