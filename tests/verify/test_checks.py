"""The history checker: a clean history passes, and each thing that can go wrong is found by its check."""

from __future__ import annotations

import ast
import base64
import zlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

import streams.verify
from streams.verify.chain import counts, waiting
from streams.verify.evidence import committed
from streams.verify.history import (
    Committed,
    Copy,
    Dead,
    Ending,
    Fault,
    History,
    Kind,
    Moved,
    Pause,
    Place,
    Reading,
    Run,
    Sent,
    print_of,
)
from streams.verify.journal import runs_of, steps_of
from streams.verify.verdict import judge

A, B, C, D = (Place(0, offset) for offset in range(4))
SECOND_NS = 1_000_000_000
ALL_SETTLED = Reading(10_000, 10_000, {0: Committed(4)})


def ran(
    place: Place, start_ns: int, ended: Ending = "done", *, pid: int = 1, attempt: int = 1, took_ns: int = 50
) -> Run:
    """Give a run of the record at *place*; records of even offsets are of one key, of odd ones of another."""
    return Run(place, _key(place), pid, attempt, start_ns, start_ns + took_ns, ended)


def letter(place: Place, attempts: int = 1) -> Dead:
    """Give the dead letter of the record at *place*."""
    sent = _sent(place)
    return Dead(place, place.partition, sent.key, sent.value, sent.headers, attempts, 5_000)


def clean() -> History:
    """Give a history in which nothing is wrong: two keys, four records, one retried, one dead."""
    runs = (
        ran(A, 100),
        ran(B, 120),
        ran(C, 200, "failed"),
        ran(C, 300, attempt=2),
        ran(D, 200, "failed"),
    )
    sent = {place: _sent(place) for place in (A, B, C, D)}
    return History(sent, runs, (letter(D),), (ALL_SETTLED,), {0: 4})


def _key(place: Place) -> str:
    return "ab"[place.offset % 2]


def _sent(place: Place) -> Sent:
    return Sent(
        _key(place), place.offset // 2 + 1, f"value {place.offset}".encode(), [("trace", b"1"), ("trace", None)]
    )


def with_runs(*runs: Run) -> History:
    """Give the clean history with further *runs*."""
    return replace(clean(), runs=(*clean().runs, *runs))


def without_runs(*places: Place) -> History:
    """Give the clean history without the runs of *places*."""
    return replace(clean(), runs=tuple(run for run in clean().runs if run.place not in places))


def found(judged: History) -> set[str]:
    """Name the checks that found something."""
    return set(judge(judged).violations)


def test_clean_history_has_no_violations() -> None:
    """Where every record came to its one end in order, nothing is found."""
    verdict = judge(clean())

    assert verdict.is_clean, str(verdict)
    assert "sent 4, dead 1, runs 5" in verdict.line


def test_loss_is_found() -> None:
    """A record without an end is lost."""
    assert {"lost", "unsafe_commits"} <= found(without_runs(C))


def test_failed_runs_are_no_end() -> None:
    """A record that only failed, and is in no dead-letter topic, is lost."""
    assert "lost" in found(replace(clean(), dead=()))


def test_swap_is_found() -> None:
    """The second record of a key before the first one is out of order."""
    swapped = without_runs(A, C)
    swapped = replace(swapped, runs=(*swapped.runs, ran(C, 100), ran(A, 200)))

    assert found(swapped) == {"out_of_order"}


def test_swap_across_owners_is_found() -> None:
    """It does not matter that two processes ran them."""
    swapped = without_runs(A, C)
    swapped = replace(swapped, runs=(*swapped.runs, ran(C, 100, pid=2), ran(A, 200)))

    assert found(swapped) == {"out_of_order"}


def test_record_that_overtakes_a_failing_one_is_found() -> None:
    """A record that failed and waits for another attempt has not ended."""
    overtaken = without_runs(A)
    overtaken = replace(overtaken, runs=(*overtaken.runs, ran(A, 100, "failed"), ran(A, 900, attempt=2)))

    assert "out_of_order" in found(overtaken)


def test_overtaking_before_the_last_attempt_is_found() -> None:
    """A record that is dead after three attempts had not ended after two."""
    runs = (ran(B, 10, "failed"), ran(B, 80, "failed", attempt=2), ran(B, 900, "failed", attempt=3))
    overtaken = replace(without_runs(B), dead=(letter(B, attempts=3), letter(D)))

    assert "out_of_order" in found(replace(overtaken, runs=(*overtaken.runs, *runs)))


def test_overlap_is_found() -> None:
    """Two runs of one key at the same time exclude each other."""
    assert "overlaps" in found(with_runs(ran(A, 130, pid=2)))


def test_overlap_of_a_run_that_slept_is_forgiven() -> None:
    """A process that stood still ends its run later, and that alone."""
    asleep = with_runs(ran(C, 210, pid=2, took_ns=500))
    asleep = replace(asleep, pauses=(Pause(2, 220, 600),), faults=(Fault("asleep", frozenset({C})),))

    assert found(asleep) == set()
    assert "overlaps" in found(replace(asleep, pauses=(Pause(3, 220, 600),)))


def test_start_in_the_moment_of_waking_is_forgiven() -> None:
    """A few threads had looked at their lease when their process was suspended; more would be a lease that fails."""
    woken = with_runs(ran(A, 700, pid=2))
    crowd = with_runs(*(ran(C, 700 + 60 * number, pid=2) for number in range(9)))
    finished = (Reading(600, 10_000, {0: Committed(4)}), ALL_SETTLED)

    assert found(replace(woken, readings=finished, pauses=(Pause(2, 400, 690),))) == set()
    assert found(replace(woken, readings=finished, pauses=(Pause(1, 400, 690),))) == {"beyond_bound", "risen"}
    assert found(replace(crowd, readings=finished, pauses=(Pause(2, 400, 690),))) == {"beyond_bound", "risen"}


def test_two_ends_are_found() -> None:
    """A record that is done and dead has two ends."""
    assert "double_ends" in found(replace(clean(), dead=(letter(D), letter(A))))


def test_stranger_is_found() -> None:
    """A dead letter of a record that nobody sent is no end of anything."""
    stranger = replace(letter(D), origin=Place(0, 99))

    assert "double_ends" in found(replace(clean(), dead=(letter(D), stranger)))


def test_second_run_without_a_fault_is_found() -> None:
    """A record runs again only where a fault explains it."""
    again = with_runs(ran(C, 500, pid=2))

    assert found(again) == {"beyond_bound"}
    assert found(replace(again, faults=(Fault("kill", frozenset({C})),))) == set()


def test_second_dead_letter_without_a_fault_is_found() -> None:
    """So does a dead letter."""
    assert "beyond_bound" in found(replace(clean(), dead=(letter(D), letter(D))))


def test_run_cut_off_and_repeated_without_a_fault_is_found() -> None:
    """What a process left behind runs again, but only if that process was to die."""
    assert "beyond_bound" in found(with_runs(ran(A, 50, "cut", took_ns=1)))


def test_too_many_attempts_are_found() -> None:
    """Neither runs nor dead letters go past the policy."""
    fourth = ran(C, 400, "failed", attempt=4)
    skipped = ran(C, 400, "failed", attempt=3, pid=2)

    assert "too_many_attempts" in found(with_runs(fourth))
    assert "too_many_attempts" in found(with_runs(skipped))
    assert "too_many_attempts" in found(replace(clean(), dead=(letter(D, attempts=4),)))


def test_attempt_before_its_wait_is_over_is_found() -> None:
    """The wait that follows a failure is the least, whoever runs the next attempt; of two failures one will do."""
    failed = ran(B, 400, "failed")._replace(wait_ns=SECOND_NS)
    late, early = (ran(B, 450 + SECOND_NS + off_ns, attempt=2, pid=2) for off_ns in (0, -SECOND_NS // 10))
    other = failed._replace(pid=3, wait_ns=SECOND_NS // 2)

    assert "too_early" not in found(with_runs(failed, late))
    assert "too_early" in found(with_runs(failed, early))
    assert "too_early" not in found(with_runs(failed, early, other))
    assert "too_early" not in found(with_runs(failed, early._replace(attempt=1)))


def test_copy_that_is_not_its_record_is_found() -> None:
    """In retry and parked topics too, its origin tells what it is."""
    copied = Moved("orders.tier/0/7", C, 0, print_of(_key(C), _sent(C).value, _sent(C).headers))

    assert found(replace(clean(), moved=(copied,))) == set()
    for change in ({"origin": A}, {"origin": Place(0, 99)}, {"time_ms": 5}, {"print": b"other"}):
        assert found(replace(clean(), moved=(copied._replace(**change),))) == {"altered"}, change


@pytest.mark.parametrize(
    "change", [{"value": b"other"}, {"value": None}, {"key": "c"}, {"headers": [("trace", b"1")]}, {"partition": 1}]
)
def test_changed_payload_is_found(change: dict[str, object]) -> None:
    """A dead letter is its record, byte for byte, in the same partition number."""
    other = replace(letter(D), **change)  # type: ignore[arg-type]

    assert found(replace(clean(), dead=(other,))) == {"changed"}


def test_commit_before_the_work_is_found() -> None:
    """What was committed when its run had not ended is unsafe, in order or out of it."""
    early = Reading(110, 110, {0: Committed(1)})
    above = Reading(110, 110, {0: Committed(0, (range(2, 3),))})

    assert "unsafe_commits" in found(replace(clean(), readings=(early, ALL_SETTLED)))
    assert "unsafe_commits" in found(replace(clean(), readings=(above, ALL_SETTLED)))


def test_commit_of_a_record_that_stands_in_the_chain_is_safe() -> None:
    """What was moved to a retry or parked topic may be committed in the source before it ran."""
    moved = Reading(110, 110, {0: Committed(1)}, waiting={A: "parked"})

    assert found(replace(clean(), readings=(moved, ALL_SETTLED))) == set()


def test_record_that_rises_is_found() -> None:
    """What was committed as finished runs never again, though a fault before may have had it run again."""
    finished = Reading(160, 10_000, {0: Committed(1)})
    again = replace(with_runs(ran(A, 600, pid=2)), faults=(Fault("kill", frozenset({A})),))

    assert found(again) == set()
    assert found(replace(again, readings=(finished, ALL_SETTLED))) == {"risen"}


def test_a_commit_that_arrives_after_its_owners_successor_has_begun_is_not_the_successors() -> None:
    """A client may keep a request while no broker answers; what it says is not what the owner says."""
    first, late = (
        Reading(time_ns, time_ns, {0: Committed(offset, owner=b"first")}) for time_ns, offset in ((90, 0), (590, 1))
    )
    again = replace(
        with_runs(ran(A, 100), ran(B, 500, pid=2), ran(A, 600, pid=2)), faults=(Fault("cut", frozenset({A, B})),)
    )
    overtaken = replace(again, readings=(first, late, ALL_SETTLED))
    alone = replace(overtaken, readings=(replace(late, time_ns=490), ALL_SETTLED))

    assert "risen" not in found(overtaken)
    assert "risen" in found(alone)
    assert "risen" in found(replace(overtaken, readings=(first, replace(late, time_ns=490), ALL_SETTLED)))


def test_a_zombies_run_makes_its_successors_commits_no_strangers() -> None:
    """The owner that goes on is the owner: what it commits as finished stays finished, whoever ran in between."""
    first, later = (
        Reading(time_ns, time_ns, {0: Committed(offset, owner=b"owner")}) for time_ns, offset in ((90, 0), (550, 1))
    )
    between = with_runs(ran(A, 100), ran(B, 300, pid=2), ran(B, 500), ran(A, 600, pid=2))
    explained = replace(between, faults=(Fault("cut", frozenset({A, B})),))

    assert "risen" in found(replace(explained, readings=(first, later, ALL_SETTLED)))


def test_commit_of_the_chain_that_moves_back_is_found() -> None:
    """The ledgers of retry and parked topics go forward too."""
    one, next_one = (replace(ALL_SETTLED, chain={"orders.parked": {0: Committed(offset)}}) for offset in (5, 3))

    assert found(replace(clean(), readings=(one, next_one))) == {"impossible_commits"}


def test_commit_that_moves_back_is_found() -> None:
    """Commits go forward."""
    back = (ALL_SETTLED, replace(ALL_SETTLED, committed={0: Committed(3)}))

    assert "impossible_commits" in found(replace(clean(), readings=back))


def test_commit_past_the_end_is_found() -> None:
    """There is nothing beyond the end of the log."""
    assert "impossible_commits" in found(replace(clean(), ends={0: 3}))


def test_work_left_over_is_found() -> None:
    """After healing everything is committed."""
    left = replace(clean(), readings=(replace(ALL_SETTLED, committed={0: Committed(3)}),))

    assert found(left) == {"unfinished"}


def test_record_left_in_the_chain_is_found() -> None:
    """After healing nothing waits in retry and parked topics."""
    left = replace(clean(), readings=(replace(ALL_SETTLED, waiting={A: "tier"}),))

    assert found(left) == {"unfinished"}


def test_process_that_goes_back_is_found() -> None:
    """Within one process a key goes forward, unless another one ran the partition in between."""
    back = with_runs(ran(C, 600), ran(A, 700))
    back = replace(back, faults=(Fault("kill", frozenset({C})),))

    assert "out_of_order" in found(back)


def test_journals_are_read_with_what_was_cut_off(tmp_path: Path) -> None:
    """A start without an end is a run that was cut off when its process died."""
    journal = tmp_path / "77.journal"
    journal.write_text("START 100 0 5 1 1 a\nEND 150 0 5 1 1 a\nSTART 200 0 6 2 2 a\n")
    runs = list(runs_of(journal, died_ns=900))

    assert runs == [
        Run(Place(0, 5), "a", 77, 1, 100, 150, "done"),
        Run(Place(0, 6), "a", 77, 2, 200, 900, "cut"),
    ]


def test_wait_after_a_failure_is_read(tmp_path: Path) -> None:
    """It stands with the step, in milliseconds; a step without one asks for none."""
    journal = tmp_path / "77.journal"
    journal.write_text("START 100 0 5 1 0 a\nFAIL:500 150 0 5 1 0 a\nSTART 200 0 5 2 0 a\nFAIL 250 0 5 2 0 a\n")

    assert [(run.ended, run.wait_ns) for run in runs_of(journal, died_ns=900)] == [
        ("failed", SECOND_NS // 2),
        ("failed", 0),
    ]


def test_line_that_is_half_written_is_none_yet(tmp_path: Path) -> None:
    """A journal is read while its process writes it, and after a kill in mid-line."""
    journal = tmp_path / "77.journal"
    whole = "START 100 0 5 1 1 a\nEND 150 0 5 1 1 a\n"
    for length in range(len(whole)):
        journal.write_text(whole[:length])
        assert len(list(steps_of(journal))) == whole[:length].count("\n")


def copy(origin: Place, offset: int, *, kind: Kind = "tier", hop: int = 1, owner: bytes = b"now") -> Copy:
    """Give a copy of the record at *origin*; its topic is called as its kind."""
    return Copy(kind, origin, hop, kind, offset, owner)


def test_record_waits_where_its_last_copy_stands() -> None:
    """The copy that was moved most often tells."""
    copies = [copy(A, 0), copy(A, 0, kind="parked", hop=2), copy(B, 1, hop=3), copy(B, 0, kind="parked", hop=2)]

    assert waiting(copies) == {A: "parked", B: "tier"}


def test_copies_that_are_settled_or_late_do_not_count() -> None:
    """Below the commit, in its ledger, or written past the scan by an owner that had gone: none needs work."""
    ledgers = {"tier": {0: Committed(4, (range(6, 7),), b"now", scan_end=8)}}
    copies = [copy(A, offset, owner=owner) for offset in (3, 4, 6, 7, 8, 9) for owner in (b"now", b"before")]
    counting = [(one.offset, one.owner) for one in copies if counts(one, ledgers)]

    assert counting == [(4, b"now"), (4, b"before"), (7, b"now"), (7, b"before"), (8, b"now"), (9, b"now")]


def test_copies_in_a_topic_without_a_commit_count() -> None:
    """Nobody has settled them."""
    assert counts(copy(A, 0), {})


def test_commit_is_read_by_its_written_form() -> None:
    """Owner, settled ranges and the end of the scan stand in a packed, compressed list."""
    packed = msgspec.msgpack.encode([b"now", 1, [2, 3, 1, 1], True, 8, -1])
    deflate = zlib.compressobj(wbits=-15)
    text = "s1" + base64.b85encode(b"sum." + deflate.compress(packed) + deflate.flush()).decode()

    assert committed(10, text.ljust(400)) == Committed(10, (range(12, 15), range(16, 17)), b"now", 8)


def test_checker_imports_nothing_of_the_engine() -> None:
    """Whoever judges shares no code with what is judged."""
    for path in Path(streams.verify.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]

        assert not [name for name in names if name.startswith("streams.engine")], path.name


def test_metadata_without_a_ledger_covers_nothing() -> None:
    """Where a commit has no metadata, only what is below its offset is settled."""
    assert list(committed(7, "").above) == []
