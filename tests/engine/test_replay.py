"""What had settled before a replay is kept whole, and joined with what has settled since."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.replay import Before, Rewind
from streams.engine.snapshot import Replay
from streams.errors import LedgerError

END = 60


def settled(before: Before) -> set[int]:
    """The offsets of a small log that *before* says had settled."""
    return {offset for offset in range(END) if before.has(offset)}


def of(offsets: set[int]) -> tuple[int, list[range]]:
    """A ledger in which *offsets* have settled: the lowest open one, and a range for each settled one above."""
    low = next(offset for offset in range(END + 1) if offset not in offsets)
    return low, [range(offset, offset + 1) for offset in sorted(offsets) if offset > low]


@given(st.sets(st.integers(0, END - 1)), st.sets(st.integers(0, END - 1)))
def test_what_settled_before_and_since_is_settled_and_nothing_else(before: set[int], since: set[int]) -> None:
    """Whatever overlaps; it survives being written down."""
    offset, ranges = of(before)
    kept = Before(offset).joined(offset, ranges)
    joined = kept.joined(*of(since))
    again = Before.read(joined.offset, joined.pack())

    assert settled(kept) == before
    assert settled(joined) == settled(again) == before | since
    assert not joined.has(joined.offset)
    assert all(one.stop < two.start for one, two in zip(joined.settled, joined.settled[1:], strict=False))


@pytest.mark.parametrize("text", ["", "s1", "s1!!!", "else"])
def test_what_can_not_be_read_is_told(text: str) -> None:
    """A command that carries it is not carried out."""
    with pytest.raises(LedgerError):
        Before.read(0, text)


def test_a_replay_is_ended_by_what_the_assignment_that_ended_for_it_has_told() -> None:
    """Another owner may have told of the same replay, and died before its successor began with it."""
    replay = Replay("r1", b"\x01\x02", 0, 9)

    assert Rewind(id="r1", begun_by="0102").is_of(replay)
    assert not Rewind(id="r1", begun_by="0103").is_of(replay)
    assert not Rewind(id="r2", begun_by="0102").is_of(replay)
    assert not Rewind(id="r1", begun_by="0102").is_of(None)
