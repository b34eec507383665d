"""What a bench measures: which records, read by which handlers in which modes, and how many of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

from streams.bench.apps import concurrency_of
from streams.bench.ground import Ground
from streams.bench.processes import MODE, RECORDS
from streams.bench.race import Race
from streams.bench.records import LARGE_BYTES, VALUE_BYTES, make_topic, numbered_records, produce_all
from streams.bench.task import CPU_S, WAIT_S, Handler, Keys, Mode, Task, modes_of
from streams.bench.work import turns_for
from streams.engine.policy import DEFAULT_POLICY, OrderPolicy

_LASTS_S: Final = 4.0
"""Handlers that take time get so many records that the fastest run lasts about so long."""
_MOST_SLOW: Final = 200_000
_MOST_IN_SERIES: Final = 10_000
"""By Zipf keys, where a record waits for what became of the one before it: until what that sent is acknowledged, or it
has come back from a retry topic.  The hottest key alone then says how long a run takes."""
_FEWEST: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One set of runs."""

    records: int
    partitions: int
    repeat: int
    modes: Sequence[Mode]
    handlers: Sequence[Handler]
    keys: Keys = "zipf"
    size: int = VALUE_BYTES
    order: OrderPolicy = DEFAULT_POLICY
    failures: float = 0.0
    concurrency: int | None = None


def everything(asked: Choice) -> list[Choice]:
    """Give all that a bench can measure, as often and in the modes that are *asked* for."""
    asked = replace(asked, order=DEFAULT_POLICY)
    return [
        replace(asked, handlers=("noop", "json", "cpu50"), keys="zipf", size=VALUE_BYTES, failures=0.0),
        replace(asked, handlers=("noop", "wait1", "wait5", "real"), keys="uniform", size=VALUE_BYTES, failures=0.0),
        replace(asked, handlers=("noop", "json"), keys="zipf", size=LARGE_BYTES, failures=0.0),
        replace(asked, handlers=("noop",), keys="zipf", size=VALUE_BYTES, order="unordered", failures=0.0),
        replace(asked, handlers=("json",), keys="uniform", size=VALUE_BYTES, failures=asked.failures or 1.0),
    ]


class Supply(NamedTuple):
    """A topic with records in it."""

    topic: str
    hottest: int
    """Records of the key that has the most."""


@dataclass
class Stock:
    """The topics of a bench: each is filled when it is first asked for, and stays as it is."""

    ground: Ground
    partitions: int
    say: Callable[[str], None]
    _there: dict[tuple[Keys, int, int], Supply] = field(default_factory=dict)

    def supply(self, keys: Keys, size: int, records: int) -> Supply:
        """Give a topic of *records* with values of *size* bytes."""
        place = (keys, size, records)
        if place not in self._there:
            self._there[place] = self._fill(keys, size, records)
        return self._there[place]

    @cached_property
    def events(self) -> str:
        """The topic that ``real`` sends to."""
        name = f"{self.ground.name}-events"
        make_topic(self.ground.settings, name, self.partitions)
        return name

    @cached_property
    def turns(self) -> int:
        """Turns of the loop that ``cpu50`` computes in: found out once, so that every run does the same work."""
        return turns_for(CPU_S)

    def _fill(self, keys: Keys, size: int, records: int) -> Supply:
        self.say(f"producing {records:,} records")
        name = f"{self.ground.name}-{keys}-{size}-{records}"
        make_topic(self.ground.settings, name, self.partitions, retention_ms="-1")
        counts: Counter[str] = Counter()
        produce_all(self.ground.settings, name, numbered_records(records, spread=keys, size=size, counts=counts))
        return Supply(name, max(counts.values()))


def races(stock: Stock, choice: Choice) -> Iterator[Race]:
    """Give the runs of *choice*: those of one handler that read the same records belong together."""
    for handler in choice.handlers:
        by_count: dict[int, list[Mode]] = defaultdict(list)
        for mode in choice.modes:
            if mode in modes_of(handler):
                by_count[_records(choice, handler, mode)].append(mode)
        for count, modes in by_count.items():
            yield _race(stock, choice, handler, modes, count)


def race_to_check(stock: Stock, choice: Choice) -> Race:
    """Give what is run to see whether the order of each key is kept: every mode, over the most that any run reads."""
    counts = [_records(choice, one, mode) for one in choice.handlers for mode in choice.modes if mode in modes_of(one)]
    return _race(stock, choice, "checked", choice.modes, max(counts, default=_FEWEST))


def race_of_processes(stock: Stock, choice: Choice) -> Race:
    """Give what several processes do beside one: they compute, on keys that divide evenly."""
    computing = replace(
        choice, handlers=("cpu50",), keys="uniform", size=VALUE_BYTES, order=DEFAULT_POLICY, failures=0.0
    )
    return _race(stock, computing, "cpu50", (MODE,), RECORDS)


def _race(stock: Stock, choice: Choice, handler: Handler, modes: Sequence[Mode], records: int) -> Race:
    topic, hottest = stock.supply(choice.keys, choice.size, records)
    return Race(
        topic=topic,
        partitions=choice.partitions,
        records=records,
        repeat=choice.repeat,
        modes=modes,
        handlers=[handler],
        keys=choice.keys,
        size=choice.size,
        hottest=hottest,
        order=choice.order,
        failures=choice.failures,
        concurrency=choice.concurrency,
        turns=stock.turns if handler == "cpu50" else 0,
        events=stock.events if handler == "real" else "",
    )


def _records(choice: Choice, handler: Handler, mode: Mode) -> int:
    """Give how many records a run reads: a handler that takes time need not read all of them to be measured."""
    if handler == "cpu50":
        most = _LASTS_S / CPU_S
    elif handler in WAIT_S:
        task = Task(
            topic="bound", partitions=1, handler=handler, mode=mode, group="bound", concurrency=choice.concurrency
        )
        most = _LASTS_S * concurrency_of(task) / WAIT_S[handler]
    elif handler == "real":
        most = _MOST_IN_SERIES if _is_serial(choice) else _MOST_SLOW
    elif choice.failures and _is_serial(choice):
        most = _MOST_IN_SERIES
    else:
        return choice.records
    return max(_FEWEST, min(choice.records, _MOST_SLOW, round(most)))


def _is_serial(choice: Choice) -> bool:
    return choice.keys == "zipf" and choice.order != "unordered"
