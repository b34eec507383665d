"""What members take of the machine over a run, and whether it stays level.

Read from ``/proc``; where there is none, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, linear_regression
from typing import Any, Final, NamedTuple

_PROC: Final = Path("/proc")
_EVERY_NS: Final = 1_000_000_000
LEAST_NS: Final = 60 * 1_000_000_000
"""A member that was there for less is not judged: what it takes at its start is no growth."""


class Sample(NamedTuple):
    """What one process takes at one moment."""

    time_ns: int
    resident_bytes: int
    descriptors: int
    threads: int
    in_flight: int


class Gauge(NamedTuple):
    """One of these figures, and what it may grow by."""

    name: str
    field: str
    """Of `Sample`."""
    least: float
    """So much is no growth, however small the figure is."""
    share: float
    """So much of its mean is none either."""
    unit: float = 1
    """What it is shown in."""


GAUGES: Final = (
    Gauge("MB of memory", "resident_bytes", 16e6, 0.1, 1e6),
    Gauge("descriptors", "descriptors", 10, 0.1),
    Gauge("threads", "threads", 5, 0.1),
    Gauge("records in flight", "in_flight", 50, 0.1),
)
"""Of each a straight line is laid through the second half of a member's samples: it must not rise by more.

Under faults members were seen to become 10 MB larger in one step, as buffers fill, and to stay so.
"""


@dataclass
class Meter:
    """The samples of one process, one a second; owned by one thread."""

    pid: int
    proc: Path = _PROC
    samples: list[Sample] = field(default_factory=list)

    def look(self, now_ns: int, in_flight: int) -> None:
        """Take a sample, if a second has passed and the process is there."""
        if self.samples and now_ns - self.samples[-1].time_ns < _EVERY_NS:
            return
        own = self.proc / str(self.pid)
        try:
            status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
            descriptors = sum(1 for _ in (own / "fd").iterdir())
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has gone, or there is no /proc
            return
        if "VmRSS" in status:  # a process that has ended, and was not waited for, has no memory
            resident_bytes = int(status["VmRSS"].split()[0]) * 1024
            self.samples.append(Sample(now_ns, resident_bytes, descriptors, int(status["Threads"]), in_flight))


@dataclass(frozen=True)
class Usage:
    """What all members of a run took."""

    samples: Sequence[Sequence[Sample]]
    """Of each member, in the order of their numbers."""

    @property
    def judged(self) -> list[int]:
        """Numbers of the members that were there long enough."""
        return [
            number for number, own in enumerate(self.samples, 1) if own and own[-1].time_ns - own[0].time_ns >= LEAST_NS
        ]

    @property
    def count(self) -> int:
        """All samples."""
        return sum(map(len, self.samples))

    def rises(self) -> Iterator[str]:
        """Say which member took more and more of what."""
        for number in self.judged:
            own = self.samples[number - 1]
            half = own[len(own) // 2 :]
            over_s = (half[-1].time_ns - half[0].time_ns) / 1e9
            for gauge in GAUGES:
                grown, mean = _fit(half, gauge)
                if grown > max(gauge.least, gauge.share * mean):
                    more = f"{grown / gauge.unit:,.0f} {gauge.name} more over its last {over_s:.0f} s"
                    yield f"member {number} took {more}, {mean / gauge.unit:,.0f} on average"

    def peaks(self) -> dict[str, int]:
        """Give the most that one member took of each."""
        everything = [sample for own in self.samples for sample in own]
        return {gauge.field: max((getattr(one, gauge.field) for one in everything), default=0) for gauge in GAUGES}

    def document(self) -> dict[str, Any] | None:
        """Give it for machines; None where nothing could be read."""
        if not self.count:
            return None
        return {"samples": self.count, "members_judged": self.judged, "peaks": self.peaks()}

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give every sample."""
        for number, own in enumerate(self.samples, 1):
            yield from ({"member": number, **sample._asdict()} for sample in own)

    def __str__(self) -> str:
        """Give the peaks in a sentence."""
        peaks = self.peaks()
        told = [f"{peaks[gauge.field] / gauge.unit:,.0f} {gauge.name}" for gauge in GAUGES]
        return f"A member took at most {', '.join(told)}"


def usage_of(meters: Iterable[Meter]) -> Usage:
    """Give what *meters* saw."""
    return Usage([meter.samples for meter in meters])


def _fit(samples: Sequence[Sample], gauge: Gauge) -> tuple[float, float]:
    """Give by how much the straight line through *samples* rises from the first to the last, and their mean."""
    times = [(sample.time_ns - samples[0].time_ns) / 1e9 for sample in samples]
    figures = [float(getattr(sample, gauge.field)) for sample in samples]
    return linear_regression(times, figures).slope * times[-1], fmean(figures)
