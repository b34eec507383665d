"""The referee of the demo: whatever goes wrong in a history, it says so."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path

import pytest

from examples.demo import chain as chain_module
from examples.demo import count as count_module
from examples.demo import history as history_module
from examples.demo.chain import Copy, Kind, Ledger
from examples.demo.count import Count, count
from examples.demo.history import Accepted, History, Run, lines, runs_of

AIRCRAFT = ("N14228", "N24211")
EVENTS = 4


def clean() -> History:
    """Give a history in which nothing is wrong: two aircraft in one partition, each event done in its turn."""
    accepted, runs = {}, []
    for offset, (seq, tail) in enumerate((seq, tail) for seq in range(1, EVENTS + 1) for tail in AIRCRAFT):
        name = f"{tail}/{seq}"
        accepted[name] = Accepted(tail, seq, 0, offset)
        runs.append(Run(name, 100 * offset, 100 * offset + 50, "done"))
    return History(accepted, runs, {}, {0: Ledger(len(accepted))}, {})


def standing(name: str, kind: Kind, reason: str = "") -> dict[str, Copy]:
    """Give what stands in the chain where it is one event."""
    return {name: Copy(name, name.partition("/")[0], kind, ("flights.tower.x", 0), 0, 1, b"", reason)}


def with_run(history: History, name: str, start_ns: int, end_ns: int | None = None, step: str = "done") -> History:
    """Give *history* with one more run."""
    end_ns = start_ns + 10 if end_ns is None and step != "cut off" else end_ns
    return replace(history, runs=[*history.runs, Run(name, start_ns, end_ns, step)])


def without_runs(history: History, *names: str) -> History:
    """Give *history* without what was done for *names*."""
    return replace(history, runs=[run for run in history.runs if run.id not in names])


def faults(result: Count) -> dict[str, int]:
    """Give the faults that were found."""
    names = ("waiting", "parked", "lost", "both", "strangers", "out_of_order")
    return {name: number for name in names if (number := getattr(result, name))}


def test_clean_history_adds_up() -> None:
    """Where every event was done once and in order, there is no fault."""
    result = count(clean())

    assert result.adds_up
    assert (result.accepted, result.done, result.keys, result.repeated) == (8, 8, 2, 0)
    assert result.examples == {}


def test_line_that_a_kill_cut_short_counts_for_nothing(tmp_path: Path) -> None:
    """What was not wholly written has not happened."""
    file = tmp_path / "worker-7-1.jsonl"
    file.write_text('["start", 100, "a/1", 0]\n["done", 150, "a/1"]\n["start", 160, "a/2"')

    assert list(runs_of(lines(file))) == [Run("a/1", 100, 150, "done")]


def test_empty_history_does_not_add_up() -> None:
    """A run in which nothing was accepted proves nothing."""
    result = count(History({}, [], {}, {}, {}))

    assert not result.adds_up


def test_loss_is_named() -> None:
    """An event below the committed offset that was neither done nor dead is lost, by name."""
    result = count(without_runs(clean(), "N14228/2"))

    assert not result.adds_up
    assert faults(result) == {"lost": 1}
    assert result.examples["lost"] == ["N14228/2"]


def test_event_whose_process_died_is_lost_unless_it_runs_again() -> None:
    """A run that was cut off is no effect."""
    result = count(with_run(without_runs(clean(), "N14228/4"), "N14228/4", 600, step="cut off"))

    assert faults(result) == {"lost": 1}
    assert result.cut_off == 1


def test_what_is_above_the_committed_offset_waits() -> None:
    """An event that the group has yet to settle is no loss, and no success."""
    history = replace(without_runs(clean(), "N24211/4"), committed={0: Ledger(7)})

    result = count(history)

    assert not result.adds_up
    assert faults(result) == {"waiting": 1}


def test_what_is_settled_above_the_committed_offset_does_not_wait() -> None:
    """An event that the ledger beside the committed offset calls settled, and nobody did, is lost."""
    history = replace(without_runs(clean(), "N24211/4"), committed={0: Ledger(6, (range(7, 8),))})

    assert faults(count(history)) == {"lost": 1}


@pytest.mark.parametrize("kind", ["waiting", "parked"])
def test_what_stands_in_the_chain_is_not_lost(kind: Kind) -> None:
    """An event in a retry topic waits, one behind it is parked: no loss, and no success."""
    history = replace(without_runs(clean(), "N14228/4"), standing=standing("N14228/4", kind))

    result = count(history)

    assert not result.adds_up
    assert faults(result) == {kind: 1}


def test_event_that_is_done_does_not_wait() -> None:
    """A copy that stands in the chain because its settling is not committed yet changes nothing about its effect."""
    history = replace(clean(), standing=standing("N14228/4", "waiting"))

    assert count(history).adds_up


def test_relocated_copies_are_summed() -> None:
    """How many copies went through the topics of the chain is told in all and by topic."""
    result = count(replace(clean(), relocated={"flights.tower.retry.1s": 2, "flights.tower.parked": 5}))

    assert result.adds_up
    assert result.relocated == 7


def test_group_that_never_committed_leaves_everything_waiting() -> None:
    """Without a committed offset nothing is lost yet."""
    result = count(replace(clean(), runs=[], committed={}))

    assert faults(result) == {"waiting": 8}


def test_dead_letter_is_an_end() -> None:
    """An event that was refused and stands in the dead-letter topic is accounted for, with its reason."""
    history = with_run(without_runs(clean(), "N14228/4"), "N14228/4", 600, step="refused")
    history = replace(history, standing=standing("N14228/4", "dead", "no tail number"))

    result = count(history)

    assert result.adds_up
    assert (result.done, result.dead_letters, result.reasons) == (7, 1, {"no tail number": 1})


def test_refusal_without_a_dead_letter_is_a_loss() -> None:
    """What the handler refused must stand in the dead-letter topic."""
    result = count(with_run(without_runs(clean(), "N14228/4"), "N14228/4", 600, step="refused"))

    assert faults(result) == {"lost": 1}


def test_two_ends_are_a_fault() -> None:
    """No event is done and dead as well."""
    result = count(replace(clean(), standing=standing("N14228/4", "dead")))

    assert not result.adds_up
    assert faults(result) == {"both": 1}


def test_effect_of_nothing_is_a_fault() -> None:
    """What was done must have been accepted before."""
    result = count(with_run(clean(), "N14228/99", 900))

    assert faults(result) == {"strangers": 1}


def test_swap_is_disorder() -> None:
    """Two events of one key that changed places are out of order."""
    history = clean()
    first, second = (run for run in history.runs if run.id in ("N14228/2", "N14228/3"))
    swapped = [
        first._replace(start_ns=second.start_ns, end_ns=second.end_ns),
        second._replace(start_ns=first.start_ns, end_ns=first.end_ns),
    ]

    result = count(replace(history, runs=[run for run in history.runs if run not in (first, second)] + swapped))

    assert not result.adds_up
    assert list(faults(result)) == ["out_of_order"]
    assert result.examples["out_of_order"][0].startswith("N14228/3 began before")


def test_overtaking_a_failed_attempt_is_disorder() -> None:
    """An event may not begin while the one ahead of it waits for its next attempt."""
    history = with_run(without_runs(clean(), "N14228/1"), "N14228/1", 0, 20, "failed")
    history = with_run(history, "N14228/1", 900)

    result = count(history)

    assert faults(result) == {"out_of_order": 1}
    assert result.retried == 1


def test_two_runs_of_a_key_at_once_are_disorder() -> None:
    """Nobody repeats an event while a later one of its key is running elsewhere."""
    result = count(with_run(clean(), "N14228/3", 610))

    assert faults(result) == {"out_of_order": 1}
    assert "began while" in result.examples["out_of_order"][0]


def test_replay_of_a_suffix_is_no_disorder() -> None:
    """After a crash the last events of a key may run again, in order: duplicates, counted."""
    history = clean()
    for name, start_ns in zip(("N14228/2", "N14228/3", "N14228/4"), numbers(1000, 100), strict=False):
        history = with_run(history, name, start_ns)

    result = count(history)

    assert result.adds_up
    assert result.repeated == 3


def test_replay_with_a_hole_is_disorder() -> None:
    """What runs again after a crash leaves none out."""
    history = with_run(with_run(clean(), "N14228/2", 1000), "N14228/4", 1100)

    result = count(history)

    assert faults(result) == {"out_of_order": 1}
    assert "ran again without" in result.examples["out_of_order"][0]


def test_replay_leaves_out_what_is_dead() -> None:
    """An event that stands among the dead letters has its end, and does not run again with its neighbours."""
    history = with_run(without_runs(clean(), "N14228/3"), "N14228/3", 400, 450, "refused")
    history = with_run(with_run(history, "N14228/2", 1000), "N14228/4", 1100)

    assert count(replace(history, standing=standing("N14228/3", "dead"))).adds_up


def test_events_without_a_key_have_no_order() -> None:
    """Records without a Kafka key run as they come."""
    accepted = {name: Accepted(None, 0, 0, offset) for offset, name in enumerate("abc")}
    runs = [Run(name, 100 - offset, 200, "done") for offset, name in enumerate("abc")]

    result = count(History(accepted, runs, {}, {0: Ledger(3)}, {}))

    assert result.adds_up


def test_runs_are_read_from_the_lines_of_one_process() -> None:
    """A start and the end that follows it are one run; a start without an end was cut off."""
    steps = [
        ["start", 1, "a", "N1", 1],
        ["start", 2, "b", "N2", 1],
        ["failed", 3, "a"],
        ["start", 4, "a", "N1", 1],
        ["done", 5, "a"],
    ]

    assert set(runs_of(steps)) == {Run("a", 1, 3, "failed"), Run("a", 4, 5, "done"), Run("b", 2, None, "cut off")}


def test_second_start_without_an_end_cuts_the_first_off() -> None:
    """A process that lost a partition and got it back may begin an event twice."""
    runs = list(runs_of([["start", 1, "a"], ["start", 2, "a"], ["done", 3, "a"]]))

    assert runs == [Run("a", 1, None, "cut off"), Run("a", 2, 3, "done")]


@pytest.mark.parametrize("module", [chain_module, count_module, history_module])
def test_referee_shares_nothing_with_the_players(module: object) -> None:
    """It imports the Kafka client, a MessagePack decoder, the standard library and itself, and nothing else."""
    path = Path(str(getattr(module, "__file__", "")))
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}

    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}

    itself = {"examples.demo", "examples.demo.chain", "examples.demo.history"}
    assert foreign <= {"confluent_kafka", "confluent_kafka.admin", "msgspec", *itself}
