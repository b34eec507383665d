"""What the flights need goes away and comes back, as an operator meets it: from the command line alone."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import islice
from pathlib import Path

import pytest
from rich.console import Console

from examples.demo.history import History, read
from examples.demo.producer import Feed
from examples.demo.screen import Screen
from examples.demo.story import Options, crew, kafka, make_topics
from examples.demo.workers import Crew
from examples.flights import timetable
from examples.flights.events import events, timeline
from tests.brokers import require_native
from tests.cli.shell import Shell
from tests.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

_FLIGHTS = 3_000
_NAMED = re.compile(r"FAILING: [\d,]+ run\(s\) on flights in .* ago: RadarError: the radar is down")


def test_an_outage_is_named_and_what_it_left_is_mended(tmp_path: Path) -> None:
    """`why` names it; once it is over its letters are retried by their error, those of an aircraft in their order."""
    require_native()
    options, screen = Options(tmp_path, 2013), Screen(Console(quiet=True))
    with kafka(options, screen) as bootstrap:
        make_topics(bootstrap)
        streams, feed = Shell(bootstrap), Feed(bootstrap, tmp_path / "accepted.jsonl")
        with crew(options, bootstrap) as workers:
            for _ in range(2):
                workers.start()
            feed.start(events(timeline(islice(timetable.month(), _FLIGHTS))))
            eventually(lambda: ended(workers) > 1_000, within_s=60)
            down = tmp_path / "journal" / "radar.down"
            down.touch()
            eventually(lambda: _NAMED.search(streams("why tower").out), within_s=60, every_s=0.5)
            eventually(lambda: "the last of RadarError" in streams("why tower").out, within_s=60, every_s=0.5)
            guarded = streams("why tower").out
            down.unlink()
            letters = streams("dlq list tower --error radar --json --limit 5000").json["letters"]
            streams("groups restart tower --over 0")
            told = streams("dlq retry tower --error radar --yes --json", "--why", "the radar is back").json
            eventually(lambda: rests(streams), within_s=120, every_s=1.0)
            audit = streams("audit tower --limit 1000 --json").json["answers"]
            left = streams("dlq list tower --error radar --json").json["found"]
            workers.stop()
        history = read(tmp_path, bootstrap)

    assert "TOO MANY DEAD LETTERS: the guard of flights is open" in guarded
    assert len(letters) > 10
    assert told["fates"] == {"retried": len(letters)}
    assert left == 0
    assert sum(len(one["letters"]) for one in audit) == len(letters)
    assert {(one["verb"], one["why"]) for one in audit} == {("retry", "the radar is back")}
    check(history, {(one["origin"]["partition"], one["origin"]["offset"]) for one in letters})


def ended(workers: Crew) -> int:
    """Events that the workers are through with."""
    workers.look()
    return workers.ended


def rests(streams: Shell) -> bool:
    """Whether nothing of the group waits, and nothing is unread."""
    (row,) = streams("status tower --json").json["groups"]
    return not (row["outstanding"] or row["waiting"] or row["parked"])


def check(history: History, letters: set[tuple[int, int]]) -> None:
    """See that every event has ended, and in the order of its aircraft; what was a letter, in the order of these."""
    firsts: dict[str, int] = {}
    for run in history.runs:
        if run.step in {"done", "refused"} and run.end_ns is not None:
            firsts[run.id] = min(firsts.get(run.id, run.end_ns), run.end_ns)
    assert firsts.keys() == history.accepted.keys()
    lanes = defaultdict[tuple[str | None, bool], list[tuple[int, int]]](list)
    for name, event in history.accepted.items():
        if event.key is not None:
            was_letter = (event.partition, event.offset) in letters
            lanes[event.key, was_letter].append((event.offset, firsts[name]))
    for lane in lanes.values():
        times = [time for _, time in sorted(lane)]
        assert times == sorted(times), f"out of order: {lane}"
