"""What a bench measures, and beside what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.bench.ground import Ground
from streams.bench.plan import Choice, Stock, Supply, everything, race_of_processes, race_to_check, races
from streams.bench.race import Race
from streams.bench.task import MODES, SPEED_HANDLERS, Handler, Keys
from streams.config import Settings

CHOICE = Choice(records=1_000_000, partitions=12, repeat=3, modes=MODES, handlers=("noop", "json"))


class FullStock(Stock):
    """Topics that are there at once, on no broker."""

    def supply(self, keys: Keys, size: int, records: int) -> Supply:
        return Supply(f"{keys}-{size}-{records}", records // 8 if keys == "zipf" else 1)

    @property
    def events(self) -> str:
        return "events"


@pytest.fixture
def stock() -> Stock:
    """Every topic."""
    return FullStock(Ground(Settings(), "bench"), 12, lambda _step: None)


def race_of(stock: Stock, handler: Handler, keys: Keys, mode: str) -> Race:
    """The race of *handler* in *mode*."""
    found = races(stock, replace(CHOICE, handlers=[handler], keys=keys))
    return next(race for race in found if mode in race.modes)


def test_handlers_that_do_nothing_read_every_record_in_every_mode(stock: Stock) -> None:
    """The runs whose ratio is the engine's are as long as is asked for, and share one topic."""
    found = list(races(stock, CHOICE))

    assert [(race.handlers, race.records, tuple(race.modes)) for race in found] == [
        (["noop"], 1_000_000, MODES),
        (["json"], 1_000_000, MODES),
    ]
    assert len({race.topic for race in found}) == 1


def test_handlers_that_take_time_read_as_much_as_takes_a_while(stock: Stock) -> None:
    """16 threads that wait 5 ms each would take five minutes for a million records."""
    assert race_of(stock, "wait5", "uniform", "threads").records == 12_800
    assert race_of(stock, "wait5", "uniform", "asyncio").records == 200_000
    assert race_of(stock, "cpu50", "uniform", "batch").records == 80_000


def test_a_handler_is_run_in_its_own_modes_only(stock: Stock) -> None:
    """Nothing waits inline, and a batch has no context to send by."""
    assert {mode for race in races(stock, replace(CHOICE, handlers=["wait1"])) for mode in race.modes} == {
        "threads",
        "asyncio",
    }
    assert "batch" not in {mode for race in races(stock, replace(CHOICE, handlers=["real"])) for mode in race.modes}


def test_the_bound_of_a_wait_is_what_is_under_way_at_once(stock: Stock) -> None:
    """1,000 waits of 5 ms are 200,000 a second, 16 of them 3,200."""
    assert race_of(stock, "wait5", "uniform", "asyncio").bound("wait5", "asyncio") == pytest.approx(200_000)
    assert race_of(stock, "wait5", "uniform", "threads").bound("wait5", "threads") == pytest.approx(3_200)


def test_the_hottest_key_bounds_what_is_ordered_by_key(stock: Stock) -> None:
    """Where one key has an eighth of the records, eight can be under way at once, and not a thousand."""
    race = race_of(stock, "wait5", "zipf", "asyncio")

    assert race.bound("wait5", "asyncio") == pytest.approx(8 / 0.005)
    assert replace(race, order="unordered").bound("wait5", "asyncio") == pytest.approx(200_000)
    assert race.bound("noop", "asyncio") is None


def test_everything_is_each_handler_and_each_other_condition() -> None:
    """The full bench leaves out no handler, spread of keys, size, order or share of failures."""
    choices = everything(replace(CHOICE, order="unordered"))

    assert {handler for choice in choices for handler in choice.handlers} == set(SPEED_HANDLERS)
    assert {choice.keys for choice in choices} == {"zipf", "uniform"}
    assert {choice.size for choice in choices} == {300, 2_048}
    assert {choice.failures for choice in choices} == {0, 1}
    assert [choice.order for choice in choices].count("unordered") == 1


def test_what_waits_for_one_key_after_the_other_is_kept_short(stock: Stock) -> None:
    """With failures on Zipf keys the hottest one alone would take many minutes."""
    failing = replace(CHOICE, handlers=["json"], failures=1.0)

    assert [race.records for race in races(stock, failing)] == [10_000]
    assert race_to_check(stock, failing).records == 10_000
    assert [race.records for race in races(stock, replace(failing, keys="uniform"))] == [1_000_000]


@pytest.mark.parametrize(("handlers", "records"), [(["noop", "wait5"], 1_000_000), (["wait5"], 200_000)])
def test_order_is_checked_over_as_many_records_as_the_longest_run_reads(
    stock: Stock, handlers: list[Handler], records: int
) -> None:
    """Every mode is checked, those in which the handler at hand can't run as well."""
    race = race_to_check(stock, replace(CHOICE, handlers=handlers, keys="uniform"))

    assert (race.records, tuple(race.modes)) == (records, MODES)


def test_processes_compute_on_even_keys(stock: Stock) -> None:
    """A hot key would keep one process busy while the other one has nothing to do."""
    race = race_of_processes(stock, CHOICE)

    assert (race.keys, race.records, list(race.handlers)) == ("uniform", 200_000, ["cpu50"])
    assert race.turns > 0
