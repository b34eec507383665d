"""What a further process gains: members of one group on work that keeps a core busy, beside one member alone.

Members join one after the other and run out of records one after the other.
What is compared is the stretch in which all of them were at work; the records
before and after it are counted, and have to settle as well.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

import msgspec

from streams.bench.ground import BenchError, Ground
from streams.bench.race import Race
from streams.bench.task import Mode, Outcome, Task

WANTED: Final = 1.7
"""Of two processes on two cores."""
RECORDS: Final = 200_000
"""Ten seconds of work for one process: the others have joined by then."""
MODE: Final[Mode] = "threads"


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """Several processes beside one."""

    processes: int
    records: int
    alone: float
    """Records a second of one process, median."""
    rate: float
    """Records a second of all of them together, median."""
    ratio: float
    """The second as a multiple of the first, median of the pairs."""
    lowest: float
    highest: float


def measure_processes(ground: Ground, race: Race, processes: int, say: Callable[[str], None]) -> Scaling:
    """Run one process and several in turn, over the records of *race*.

    Raises:
        BenchError: Not every record settled, or there was no time in which all processes worked.
    """
    alone, together = list[float](), list[float]()
    task = race.task("cpu50", MODE, f"{ground.name}-processes")
    for turn in range(race.repeat):
        for members, rates in ((1, alone), (processes, together)):
            say(f"cpu50 in {members} process(es), {turn + 1} of {race.repeat}")
            rates.append(common_rate(all_settled(ground.run_crew(task, members), task)))
    ratios = [rate / one for rate, one in zip(together, alone, strict=True)]
    return Scaling(
        processes=processes,
        records=race.records,
        alone=median(alone),
        rate=median(together),
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
    )


def all_settled(outcomes: Sequence[Outcome], task: Task) -> Sequence[Outcome]:
    """Give *outcomes* back if every record of *task* settled once, whoever had it.

    Raises:
        BenchError: Some did not, or twice.
    """
    settled = sum(outcome.settled for outcome in outcomes)
    if settled != task.records or not all(outcome.is_complete for outcome in outcomes):
        raise BenchError(
            f"{len(outcomes)} process(es) settled {settled:,} of {task.records or 0:,} records, or did not commit all"
            f" of them. A rate of such a run means nothing; nothing is quoted"
        )
    return outcomes


def common_rate(outcomes: Sequence[Outcome]) -> float:
    """Give the records a second that all settled together, from the last one's start to the first one's end.

    Raises:
        BenchError: One of them had ended, or had nothing to do, before the last one began.
    """
    if not all(outcome.marks for outcome in outcomes):
        raise BenchError("one of the processes got no record: it joined too late, or there are too few partitions")
    begin = max(outcome.marks[0][0] for outcome in outcomes)
    end = min(outcome.marks[-1][0] for outcome in outcomes)
    if end <= begin:
        raise BenchError("one of the processes had no work left when another one began; give more --records")
    return sum(_done_at(outcome, end) - _done_at(outcome, begin) for outcome in outcomes) / (end - begin)


def _done_at(outcome: Outcome, moment: float) -> int:
    """Give what *outcome* had settled at *moment*, by the mark before."""
    number = bisect_right(outcome.marks, moment, key=lambda mark: mark[0])
    return outcome.marks[number - 1][1] if number else 0
