"""Speed: each run between two of the control, over the same records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from streams.bench.figures import Figures, Pair, figures_of
from streams.bench.ground import BenchError, Ground
from streams.bench.task import Handler, Mode, Outcome, Task


@dataclass(frozen=True, kw_only=True)
class Race:
    """What is run how often."""

    topic: str
    partitions: int
    records: int
    repeat: int
    modes: Sequence[Mode]
    handlers: Sequence[Handler]


@dataclass
class Result:
    """The figures of a race."""

    controls: dict[Handler, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    pairs: dict[tuple[Handler, Mode], list[Pair]] = field(default_factory=lambda: defaultdict(list))

    def figures(self) -> Mapping[tuple[Handler, Mode], Figures]:
        """Sum up each handler and mode."""
        return {place: figures_of(pairs) for place, pairs in self.pairs.items()}


def run_race(ground: Ground, race: Race, say: Callable[[str], None]) -> Result:
    """Run control and engine in turn: the control, a run, the control, the next run, ... and a control at the end.

    Raises:
        BenchError: In a run not every record settled.
    """
    result = Result()
    for handler in race.handlers:
        before = _control(ground, race, handler, result)
        for turn in range(race.repeat):
            for mode in race.modes:
                say(f"{handler}, {mode}, {turn + 1} of {race.repeat}")
                run = _engine(ground, race, handler, mode)
                after = _control(ground, race, handler, result)
                result.pairs[handler, mode].append(pair_of(run, before, after))
                before = after
    return result


def pair_of(run: Outcome, before: Outcome, after: Outcome) -> Pair:
    """Set *run* beside the mean of the control *before* and *after* it."""
    return Pair(
        rate=run.rate,
        control_rate=(before.rate + after.rate) / 2,
        cpu_us=run.cpu_us,
        control_cpu_us=(before.cpu_us + after.cpu_us) / 2,
        resident_bytes=run.resident_bytes,
    )


def complete(outcome: Outcome, task: Task) -> Outcome:
    """Give *outcome* back if every record of *task* settled.

    Raises:
        BenchError: Not every one did.
    """
    if outcome.settled != task.records or not outcome.is_complete:
        whole = "" if outcome.is_complete else ", and the last commit does not cover them"
        raise BenchError(
            f"{task.mode}, {task.handler}: {outcome.settled:,} of {task.records or 0:,} records settled{whole}. "
            f"A rate of such a run means nothing; nothing is quoted"
        )
    return outcome


def _control(ground: Ground, race: Race, handler: Handler, result: Result) -> Outcome:
    outcome = ground.run(_task(race, handler))
    result.controls[handler].append(outcome)
    return outcome


def _engine(ground: Ground, race: Race, handler: Handler, mode: Mode) -> Outcome:
    task = msgspec.structs.replace(_task(race, handler), mode=mode, group=f"{ground.name}-{mode}")
    return complete(ground.run(task), task)


def _task(race: Race, handler: Handler) -> Task:
    return Task(topic=race.topic, partitions=race.partitions, records=race.records, handler=handler)
