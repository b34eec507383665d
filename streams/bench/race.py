"""Speed: each run between two of the control, over the same records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.bench.apps import concurrency_of
from streams.bench.figures import Figures, Pair, figures_of
from streams.bench.ground import BenchError, Ground
from streams.bench.task import WAIT_S, Handler, Keys, Mode, Outcome, Task
from streams.engine.policy import DEFAULT_POLICY, OrderPolicy


@dataclass(frozen=True, kw_only=True)
class Race:
    """What is run how often."""

    topic: str
    partitions: int
    records: int
    repeat: int
    modes: Sequence[Mode]
    handlers: Sequence[Handler]
    keys: Keys = "zipf"
    size: int = 300
    """Bytes of a value."""
    hottest: int = 1
    """Records of the key that has the most."""
    order: OrderPolicy = DEFAULT_POLICY
    failures: float = 0.0
    """Percent of the records that fail once."""
    concurrency: int | None = None
    """Handlers under way at once; None: the engine's default."""
    turns: int = 0
    """Turns of the loop that ``cpu50`` computes in."""
    events: str = ""
    """Where ``real`` sends to."""

    @property
    def is_ordered(self) -> bool:
        """The order of each key is promised."""
        return self.order != "unordered"

    def task(self, handler: Handler, mode: Mode | None = None, group: str = "") -> Task:
        """Give one run."""
        return Task(
            topic=self.topic,
            partitions=self.partitions,
            records=self.records,
            handler=handler,
            mode=mode,
            group=group,
            order=self.order,
            failures=self.failures,
            concurrency=self.concurrency,
            turns=self.turns,
            events=self.events,
        )

    def bound(self, handler: Handler, mode: Mode) -> float | None:
        """Give the records a second that arithmetic allows a handler that waits; None of one that does not.

        So many as are under way at once, each for as long as it waits; and
        where keys have an order, those of the hottest one after the other.
        """
        if handler not in WAIT_S:
            return None
        at_once = float(concurrency_of(self.task(handler, mode, "bound")))
        if self.is_ordered:
            at_once = min(at_once, self.records / self.hottest)
        return at_once / WAIT_S[handler]


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
                run = _engine(ground, race, handler, mode, turn)
                after = _control(ground, race, handler, result)
                result.pairs[handler, mode].append(pair_of(run, before, after, bound=race.bound(handler, mode)))
                before = after
    return result


def pair_of(run: Outcome, before: Outcome, after: Outcome, *, bound: float | None = None) -> Pair:
    """Set *run* beside the mean of the control *before* and *after* it; its rate beside *bound*, where there is one."""
    return Pair(
        rate=run.rate,
        control_rate=bound or (before.rate + after.rate) / 2,
        cpu_us=run.cpu_us,
        control_cpu_us=(before.cpu_us + after.cpu_us) / 2,
        resident_bytes=run.resident_bytes,
        cores=run.cores,
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


def group_of(ground: Ground, race: Race, mode: Mode) -> str:
    """Name the group that runs *race* in *mode*."""
    return f"{ground.name}-{race.order}-{mode}"


def _control(ground: Ground, race: Race, handler: Handler, result: Result) -> Outcome:
    outcome = ground.run(race.task(handler))
    result.controls[handler].append(outcome)
    return outcome


def _engine(ground: Ground, race: Race, handler: Handler, mode: Mode, turn: int) -> Outcome:
    group = group_of(ground, race, mode)
    if race.failures:
        group = f"{group}-{turn}"  # what went through a chain is known there: the same group would pass it over
    task = race.task(handler, mode, group)
    return complete(ground.run(task), task)
