"""What members take of the machine: read where the system tells it, and found where it rises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.verify.crew import Crew
from streams.verify.report import resources_row
from streams.verify.resources import GAUGES, LEAST_NS, Meter, Sample, Usage

SECOND_NS = 1_000_000_000
LEVEL = Sample(0, 80_000_000, 40, 20, 100)


def member(seconds: int, **rise: float) -> list[Sample]:
    """Give the samples of a member that was there for so long; what is named in *rise* rises by so much each second."""
    figures = ({name: int(getattr(LEVEL, name) + much * at) for name, much in rise.items()} for at in range(seconds))
    return [LEVEL._replace(time_ns=at * SECOND_NS, **own) for at, own in enumerate(figures)]


def test_a_process_is_looked_at_once_a_second() -> None:
    """Its memory, descriptors and threads are those that the system tells."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system has no /proc")
    meter = Meter(os.getpid())
    for time_ns in (0, SECOND_NS // 2, SECOND_NS):
        meter.look(time_ns, in_flight=3)

    assert [sample.time_ns for sample in meter.samples] == [0, SECOND_NS]
    assert all(sample.resident_bytes > 1_000_000 for sample in meter.samples)
    assert all(min(sample.descriptors, sample.threads) > 0 and sample.in_flight == 3 for sample in meter.samples)


def test_nothing_is_said_where_the_system_tells_nothing(tmp_path: Path) -> None:
    """Without /proc there is no sample, and no figure."""
    meter = Meter(os.getpid(), tmp_path)
    meter.look(0, in_flight=3)

    assert Usage([meter.samples]).document() is None


def test_a_member_that_has_ended_is_not_looked_at(tmp_path: Path) -> None:
    """Its number may be another process's by then."""
    crew = Crew(tmp_path, [], "nowhere:app", {})
    worker = crew.start()
    crew.end()
    worker.meter.pid = os.getpid()

    assert not worker.refresh().meter.samples


def test_what_stays_level_is_in_order() -> None:
    """So is what rose while it started, and what swings."""
    started = [sample._replace(resident_bytes=1_000_000 * at) for at, sample in enumerate(member(60))] + member(120)[
        60:
    ]
    swinging = [sample._replace(in_flight=200 * (at % 2)) for at, sample in enumerate(member(120))]
    row = resources_row(Usage([member(120), started, swinging]))

    assert row.holds, row.examples
    assert (row.looked_at, row.counted) == (360, "samples of 3 members")


@pytest.mark.parametrize(
    ("name", "each_second"),
    [("resident_bytes", 1_000_000), ("descriptors", 1), ("threads", 0.5), ("in_flight", 5)],
)
def test_what_rises_is_found(name: str, each_second: float) -> None:
    """The member and what it took more and more of are named."""
    rises = list(Usage([member(120), member(120, **{name: each_second})]).rises())

    assert len(rises) == 1
    assert rises[0].startswith("member 2 took ")
    assert next(gauge.name for gauge in GAUGES if gauge.field == name) in rises[0]


def test_a_member_that_was_there_for_a_moment_is_not_judged() -> None:
    """What it takes at its start is no growth."""
    short = member(LEAST_NS // SECOND_NS, descriptors=5)

    assert not list(Usage([short]).rises())
    assert Usage([short, [], member(61)]).judged == [3]
