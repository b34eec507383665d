"""The curves: one thing grows, all else stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.growth.row import Row, row_of
from benchmarks.growth.supply import Shape, Supply
from streams.bench.processes import all_settled, common_rate
from streams.bench.race import Race, run_race
from streams.bench.task import WAIT_S, Handler, Mode, Task
from streams.bench.work import turns_for

PARTITIONS: Final = (1, 4, 16, 64, 256)
KEYS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
IN_FLIGHT: Final = (1, 10, 100, 1_000, 10_000)
SIZES: Final = (100, 300, 1_000, 4_000, 16_000)
HEADERS: Final = (0, 3, 10, 30)
MEMBERS: Final = (1, 2, 4)

_MODES: Final[tuple[Mode, ...]] = ("inline", "threads", "asyncio")
_LASTS_S: Final = 4.0
_FEWEST: Final = 1_000
_CPU_S: Final = 50e-6
_COMPUTED: Final = 200_000


@dataclass(frozen=True)
class Bench:
    """Where curves are measured, and how thoroughly."""

    supply: Supply
    records: int
    repeat: int

    def rows(
        self, curve: str, at: int, shape: Shape, modes: tuple[Mode, ...], *, waiting: int | None = None
    ) -> Iterator[Row]:
        """Have records of *shape* handled in each of *modes*, each run between two of the control.

        Handlers do nothing; or *waiting* of them wait 5 ms at a time.
        """
        handler: Handler = "noop" if waiting is None else "wait5"
        topic, hottest = self.supply.topic(shape)
        race = Race(
            topic=topic,
            partitions=shape.partitions,
            records=shape.count,
            repeat=self.repeat,
            modes=modes,
            handlers=[handler],
            keys="uniform",
            size=shape.size,
            hottest=hottest,
            concurrency=waiting,
        )
        for (_, mode), figures in run_race(self.supply.place, race, self.supply.say).figures().items():
            yield row_of(curve, at, f"{handler}, {mode}", figures)


Curve = Callable[[Bench], Iterator[Row]]


def _shapes(bench: Bench, what: str, amounts: Sequence[int]) -> Iterator[Row]:
    """Do nothing with records of a `Shape` whose *what* grows."""
    for amount in amounts:
        shape = dataclasses.replace(Shape(records=bench.records), **{what: amount})
        yield from bench.rows(what, amount, shape, _MODES)


def partitions(bench: Bench) -> Iterator[Row]:
    """More partitions in one member's hands, over as many records."""
    return _shapes(bench, "partitions", PARTITIONS)


def keys(bench: Bench) -> Iterator[Row]:
    """More keys among as many records: handlers that do nothing, and some that wait, which have lanes."""
    yield from _shapes(bench, "keys", KEYS)
    for count in KEYS:
        yield from _waits(bench, "keys", count, count, 1_000)


def in_flight(bench: Bench) -> Iterator[Row]:
    """More handlers under way at once, each of which waits 5 ms; every record has a key of its own."""
    for count in IN_FLIGHT:
        yield from _waits(bench, "in flight", count, 1_000_000, count)


def _waits(bench: Bench, curve: str, at: int, keys: int, concurrency: int) -> Iterator[Row]:
    """Wait 5 ms for each of as many records as that lasts a few seconds, at best."""
    most = _LASTS_S * min(concurrency, keys) / WAIT_S["wait5"]
    shape = Shape(records=max(_FEWEST, min(bench.records, round(most))), keys=keys)
    yield from bench.rows(curve, at, shape, ("asyncio",), waiting=concurrency)


def sizes(bench: Bench) -> Iterator[Row]:
    """Larger values."""
    return _shapes(bench, "size", SIZES)


def headers(bench: Bench) -> Iterator[Row]:
    """More headers on each record."""
    return _shapes(bench, "headers", HEADERS)


def members(bench: Bench) -> Iterator[Row]:
    """More members in one group, each with 50 us of Python for a record; beside one of them."""
    shape = Shape(records=_COMPUTED)
    topic, _ = bench.supply.topic(shape)
    place = bench.supply.place
    task = Task(
        topic=topic,
        partitions=shape.partitions,
        handler="cpu50",
        mode="threads",
        group=f"{place.name}-members",
        records=shape.count,
        turns=turns_for(_CPU_S),
    )
    alone = 0.0
    for count in MEMBERS:
        bench.supply.say(f"{count} member(s)")
        outcomes = all_settled(place.run_crew(task, count), task)
        rate = common_rate(outcomes)
        alone = alone or rate
        yield Row(
            curve="members",
            at=count,
            run="50 us of Python, threads",
            rate=rate,
            ratio=rate / alone,
            cpu_us=sum(one.cpu_s for one in outcomes) / shape.count * 1e6,
            resident_mb=max(one.resident_bytes for one in outcomes) / 2**20,
        )
