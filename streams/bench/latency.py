"""End-to-end latency at a thousand records a second: from the call that sends a record to the start of its handler.

Sender and reader take the time from the same machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streams.bench.figures import percentile
from streams.bench.ground import Ground
from streams.bench.pace import Pace, stamped_values
from streams.bench.records import make_topic
from streams.bench.task import Mode, Outcome, Task

PER_S: Final = 1_000
_WARM_UP_S: Final = 3
"""Records of the first seconds do not count: the reader is still starting."""


class Latency(NamedTuple):
    """How long records were on their way."""

    mode: Mode | None
    """None: the control."""
    records: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu_us: float
    """CPU microseconds a record of the reader: mostly what waking up costs."""


def measure_latency(
    ground: Ground, modes: Sequence[Mode], *, partitions: int, seconds: int, say: Callable[[str], None]
) -> list[Latency]:
    """Measure the control and each of *modes* in turn; batches wait to fill, and are left out."""
    chosen: list[Mode | None] = [None, *(mode for mode in modes if mode != "batch")]
    return [_measure(ground, mode, partitions, seconds, say) for mode in chosen]


def _measure(ground: Ground, mode: Mode | None, partitions: int, seconds: int, say: Callable[[str], None]) -> Latency:
    say(f"latency at {PER_S:,} records/s, {mode or 'control'}")
    name = f"{ground.name}-latency-{mode or 'control'}"
    make_topic(ground.settings, name, partitions)
    count = PER_S * (_WARM_UP_S + seconds)
    task = Task(topic=name, partitions=partitions, handler="stamped", mode=mode, group=name, records=count)
    with ground.started(task) as process:
        Pace(ground.settings, name, PER_S).send_all(stamped_values(count, PER_S * _WARM_UP_S))
        return latency_of(mode, ground.finished(process))


def latency_of(mode: Mode | None, outcome: Outcome) -> Latency:
    """Sum up the ages in *outcome*."""
    ages = outcome.latencies_ms
    return Latency(
        mode=mode,
        records=len(ages),
        p50_ms=percentile(ages, 0.5),
        p99_ms=percentile(ages, 0.99),
        worst_ms=percentile(ages, 1.0),
        cpu_us=outcome.cpu_us,
    )
