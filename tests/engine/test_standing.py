"""How far a group came is counted from what the broker knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.snapshot import Snapshot, encode
from streams.engine.standing import Progress, progress
from streams.kafka.offsets import Committed, Watermarks
from streams.record import Partition

PLACE = Partition("orders", 0)


def at(committed: int, runs: tuple[int, ...], low: int, end: int) -> Progress:
    """Give the progress of a partition whose commit has the ledger *runs*."""
    return progress(PLACE, Committed(committed, encode(Snapshot(b"12345678", runs=runs))), Watermarks(low, end))


def test_what_the_ledger_says_is_done_is_not_outstanding() -> None:
    """Committed 50, done 60 to 64, end 100: 45 are left."""
    one = at(50, (10, 5), 0, 100)

    assert (one.start, one.settled_above, one.outstanding, one.expired) == (50, 5, 45, 0)


def test_a_group_that_never_committed_has_everything_before_it() -> None:
    """From the oldest record that is there."""
    one = progress(PLACE, None, Watermarks(10, 30))

    assert (one.start, one.outstanding, one.expired, one.is_ours) == (10, 20, 0, True)


@pytest.mark.parametrize("metadata", ["written by another", "s9newer", "s1damaged"])
def test_metadata_that_can_not_be_read_marks_nothing_done(metadata: str) -> None:
    """Its offset counts, and it is told that the rest does not."""
    one = progress(PLACE, Committed(50, metadata), Watermarks(0, 100))

    assert (one.outstanding, one.is_ours) == (50, False)


def test_a_commit_without_metadata_is_nobody_s() -> None:
    """Tools that commit a bare offset are no strangers."""
    assert progress(PLACE, Committed(50), Watermarks(0, 100)).is_ours


def test_what_retention_removed_unread_is_told() -> None:
    """Of the removed offsets those that were done are not counted."""
    one = at(50, (10, 5), 70, 100)

    assert (one.start, one.outstanding, one.expired) == (70, 30, 15)


@given(
    committed=st.integers(0, 60),
    lengths=st.lists(st.integers(1, 6), max_size=8),
    low=st.integers(0, 90),
    more=st.integers(0, 40),
)
def test_counts_agree_with_counting_one_by_one(committed: int, lengths: list[int], low: int, more: int) -> None:
    """Against sets of offsets."""
    runs = tuple(lengths[: len(lengths) // 2 * 2])
    end = max(low, committed + sum(runs)) + more
    done = set(range(committed)) | {o for part in Snapshot(b"", runs=runs).settled(committed) for o in part}
    open_ones = set(range(low, end)) - done
    one = at(committed, runs, low, end)

    assert one.outstanding == len(open_ones)
    assert one.start == min(open_ones, default=end)
    assert one.settled_above == len({o for o in done if one.start < o < end})
    assert one.expired == len(set(range(committed, low)) - done)
