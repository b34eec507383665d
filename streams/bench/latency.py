"""End-to-end latency at so many records a second: from the call that sends a record to the start of its handler.

Sender and reader take the time from the same machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from streams.bench.figures import percentile
from streams.bench.ground import Ground
from streams.bench.pace import Pace, stamped_values
from streams.bench.race import complete
from streams.bench.records import make_topic
from streams.bench.task import Mode, Outcome, Task

PER_S: Final = 1_000
BUSY_PER_S: Final = 20_000
_WARM_UP_S: Final = 3
"""Records of the first seconds do not count: the reader is still starting."""

_KEPT_PACE: Final = 0.9


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long records were on their way."""

    mode: Mode | None
    """None: the control."""
    per_s: int
    """Records a second that were to be sent."""
    rate: float
    """Records a second that the reader saw, the first seconds included: less where the machine is too slow."""
    records: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cpu_us: float
    """CPU microseconds a record of the reader: mostly what waking up costs."""

    @property
    def remark(self) -> str:
        """Say why these figures are not the latency at `per_s`; nothing where they are."""
        if self.rate < _KEPT_PACE * self.per_s:
            return f"at {self.rate:,.0f}/s: the machine is too slow for more"
        if self.rate * self.records > self.per_s * (self.records + _WARM_UP_S * self.per_s):
            return "none: the reader had not started when the first of them was sent"
        return ""


def measure_latency(
    ground: Ground,
    modes: Sequence[Mode],
    *,
    partitions: int,
    seconds: int,
    say: Callable[[str], None],
    per_s: int = PER_S,
) -> list[Latency]:
    """Measure the control and each of *modes* in turn; batches wait to fill, and are left out."""
    chosen: list[Mode | None] = [None, *(mode for mode in modes if mode != "batch")]
    latencies = []
    for mode in chosen:
        say(f"latency at {per_s:,} records/s, {mode or 'control'}")
        latencies.append(_measure(ground, mode, partitions, seconds, per_s))
    return latencies


def _measure(ground: Ground, mode: Mode | None, partitions: int, seconds: int, per_s: int) -> Latency:
    name = f"{ground.name}-latency-{per_s}-{mode or 'control'}"
    make_topic(ground.settings, name, partitions)
    count = per_s * (_WARM_UP_S + seconds)
    task = Task(topic=name, partitions=partitions, handler="stamped", mode=mode, group=name, records=count)
    with ground.started(task) as process:
        Pace(ground.settings, name, per_s).send_all(stamped_values(count, per_s * _WARM_UP_S))
        return latency_of(mode, per_s, _whole(ground.finished(process), task))


def _whole(outcome: Outcome, task: Task) -> Outcome:
    """Give *outcome* back; of the engine only where every record settled."""
    return outcome if task.mode is None else complete(outcome, task)


def latency_of(mode: Mode | None, per_s: int, outcome: Outcome) -> Latency:
    """Sum up the ages in *outcome*."""
    ages = outcome.latencies_ms
    return Latency(
        mode=mode,
        per_s=per_s,
        rate=outcome.rate,
        records=len(ages),
        p50_ms=percentile(ages, 0.5),
        p99_ms=percentile(ages, 0.99),
        worst_ms=percentile(ages, 1.0),
        cpu_us=outcome.cpu_us,
    )
