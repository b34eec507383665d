"""The table of faults says what tests told: no more, and of each fault what is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.faults.page import page

_KILL = "tests/chaos/test_kill.py::test_a_killed_worker_loses_nothing[1]"
_SHORT = "tests/chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing[consumer]"
_NETWORK = "tests/verify/test_command.py::test_the_promise_holds_when_the_network_breaks"
_LONG = "tests/verify/test_command.py::test_a_long_run_shows_whether_members_stay_level"
_GROWTH = "tests/path/test_growth.py::test_records_of_new_partitions_are_all_done[latest]"


def became(records: int, again: int, stall_s: float, **kinds: tuple[int, int]) -> dict[str, Any]:
    """What became of the records of a run; of each kind of fault how much was in flight, and ran again."""
    told = {kind: {"injected": 1, "in_flight": one, "again": two} for kind, (one, two) in kinds.items()}
    counts = {"records": records, "lost": 0, "out_of_order": 0, "duplicates": again, "bound": again + 10}
    return counts | {"stall_s": stall_s, "kinds": told}


def hit(fault: int | str, in_flight: int, **more: int) -> dict[str, Any]:
    """A fault that struck one member once."""
    return {"fault": fault, "injected": 1, "members": 1, "in_flight": in_flight} | more


def line(name: str, *hits: Mapping[str, Any], run: Mapping[str, Any] | None = None, passed: bool = True) -> Any:
    """The line of one test."""
    return {"test": name, "passed": passed, "seconds": 1.0, "hit": list(hits), "run": [run] if run else []}


def rows(*tests: Mapping[str, Any]) -> dict[str, str]:
    """Give the figures of each fault in the page of a run of *tests*."""
    made = page([[{"seed": 7, "cores": 2}, *tests, {"wall_s": 61}]])
    table = made.partition("| injected |")[2].partition("\n\n")[0]
    return {line.split(" | ")[0].strip("| "): line.split(" | ", 2)[2] for line in table.splitlines()[2:]}


def test_what_a_test_did_not_tell_is_taken_from_its_run() -> None:
    """A kill that was noted with what ran at it."""
    told = rows(line(_KILL, run=became(100, 5, 6.5, SIGKILL=(50, 5))))

    assert told["1"] == "1 | 1 | 1 | 50 | 100 | 0 | 0 | 5 | 6.5 s |"


def test_of_several_faults_each_has_its_own() -> None:
    """What ran again counts for the one that explains it."""
    run = became(1_000, 70, 8.0, SIGKILL=(50, 40), SIGSTOP=(60, 30))
    told = rows(line(_SHORT, hit(1, 50), hit(9, 60), hit(11, 90), run=run))

    assert told["1"] == "1 | 1 | 1 | 50 | 1,000 | 0 | 0 | 40 | 8.0 s |"
    assert told["9"] == "1 | 1 | 1 | 60 | 1,000 | 0 | 0 | 30 | 8.0 s |"
    assert told["11"] == "1 | 1 | 1 | 90 | 1,000 | 0 | 0 | 0 | 8.0 s |"
    assert told["12"].startswith("0 |")


def test_faults_of_the_command_count_by_its_names() -> None:
    """Where it says that a fault had records run again, that is taken."""
    run = became(500, 31, 2.0)
    told = rows(line(_NETWORK, hit("reset", 8, ran_again=1), hit("cutoff", 9, ran_again=30), run=run))

    assert told["21"] == "1 | 1 | 1 | 8 | 500 | 0 | 0 | 1 | 2.0 s |"
    assert told["13"] == "1 | 1 | 1 | 9 | 500 | 0 | 0 | 30 | 2.0 s |"


def test_all_of_them_together_count_whole() -> None:
    """A long run with every fault is a fault of its own."""
    run = became(900, 12, 9.0)
    told = rows(line(_LONG, hit("sigkill", 8, ran_again=12), hit("rebalance", 9, ran_again=0), run=run))

    assert told["42"] == "1 | 2 | 2 | 17 | 900 | 0 | 0 | 12 | 9.0 s |"


def test_what_is_not_counted_is_not_told() -> None:
    """And a test that failed is."""
    assert rows(line(_GROWTH))["14"] == "1 | · | · | · | · | · | · | · | · |"
    assert rows(line(_GROWTH, passed=False))["14"].startswith("0 of 1 |")


def test_the_head_tells_the_command_and_the_totals() -> None:
    """Whoever reads it can have the same again."""
    kill = line(_KILL, run=became(1_100, 5, 6.5))
    made = page([[{"seed": 7, "cores": 2}, kill, {"wall_s": 61}], [{"seed": 8, "cores": 2}, kill, {"wall_s": 60}]])

    assert "make chaos SEED=7\nmake chaos SEED=8\n" in made
    assert "2 tests in 2 min and 1 min; all passed." in made
    assert "**2,200 records: 0 lost, 0 out of order; 10 ran again, of at most 30 that" in made
