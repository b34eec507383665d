"""A plan says exactly what would run again and what never would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.snapshot import Snapshot, encode
from streams.engine.standing import Progress, progress
from streams.kafka.offsets import Committed, Watermarks
from streams.record import Partition
from streams.replay.plan import plan

PLACE = Partition("orders", 0)


def at(committed: int | None, runs: tuple[int, ...] = (), low: int = 0, end: int = 100) -> Progress:
    """Give the progress of a partition whose commit has the ledger *runs*."""
    commit = None if committed is None else Committed(committed, encode(Snapshot(b"12345678", runs=runs)))
    return progress(PLACE, commit, Watermarks(low, end))


def test_a_move_back_forgets_what_was_done_out_of_order() -> None:
    """Everything from the target on runs again, the ledger's marks too."""
    (move,) = plan("billing", [at(50, (10, 5))], {PLACE: 30}).moves

    assert (move.direction, move.target, move.again, move.settled_above, move.skipped) == ("back", 30, 25, 5, 0)
    assert move.runs == ()


def test_a_move_to_where_it_stands_forgets_the_marks_only() -> None:
    """The committed offset stays, what stands above it runs again."""
    (move,) = plan("billing", [at(50, (10, 5))], {PLACE: 50}).moves

    assert (move.direction, move.again, move.settled_above) == ("back", 5, 5)


def test_a_move_that_changes_nothing_stays() -> None:
    """Nothing is written for it."""
    planned = plan("billing", [at(50)], {PLACE: 50})

    assert planned.moves[0].direction == "stays"
    assert planned.changes == []


def test_a_move_forward_drops_what_never_ran_and_keeps_what_did() -> None:
    """Done records above the target stay done; those between that were done are not counted as dropped."""
    (move,) = plan("billing", [at(50, (10, 5, 10, 5))], {PLACE: 77}).moves

    assert (move.direction, move.again, move.skipped) == ("forward", 0, 20)
    assert list(Snapshot(b"", runs=move.runs).settled(77)) == [range(77, 80)]


def test_a_wish_outside_the_log_is_brought_inside_and_told() -> None:
    """Never below what retention left, never past the end."""
    early, late = (plan("billing", [at(50, low=20, end=60)], {PLACE: wish}).moves[0] for wish in (5, 99))

    assert (early.target, early.note) == (20, "5 is gone: retention removed it; the oldest is 20")
    assert (late.target, late.note) == (60, "99 is not there yet; the end is 60")


def test_a_partition_that_was_never_committed_is_set() -> None:
    """It goes where it is told; what lies before is dropped knowingly."""
    (back,) = plan("billing", [at(None, low=10)], {PLACE: 10}).moves
    (forward,) = plan("billing", [at(None, low=10)], {PLACE: 40}).moves

    assert (back.direction, back.again, back.skipped) == ("back", 0, 0)
    assert (forward.direction, forward.skipped) == ("forward", 30)


@given(
    low=st.integers(0, 20),
    committed=st.integers(0, 60),
    lengths=st.lists(st.integers(1, 6), max_size=8),
    more=st.integers(0, 40),
    wish=st.integers(0, 120),
)
def test_counts_agree_with_counting_one_by_one(
    low: int, committed: int, lengths: list[int], more: int, wish: int
) -> None:
    """Against sets of offsets: again are those settled at or above the target, skipped those unsettled below it."""
    runs = tuple(lengths[: len(lengths) // 2 * 2])
    end = max(low, committed + sum(runs)) + more
    there = set(range(low, end))
    above = {offset for done in Snapshot(b"", runs=runs).settled(committed) for offset in done}
    settled = (set(range(committed)) | above) & there
    (move,) = plan("billing", [at(committed, runs, low, end)], {PLACE: wish}).moves

    assert low <= move.target <= end
    unsettled = there - settled
    first_open = min(unsettled, default=end)
    if move.target > first_open:
        assert (move.again, move.skipped) == (0, len({offset for offset in unsettled if offset < move.target}))
        kept = {offset for done in Snapshot(b"", runs=move.runs).settled(move.target) for offset in done}
        assert kept == {offset for offset in settled if offset >= move.target and offset > first_open}
    else:
        assert (move.again, move.skipped) == (len({offset for offset in settled if offset >= move.target}), 0)
        assert move.runs == ()
