"""What is outstanding in one topic of the chain, what is to be read of it now, and what a commit says of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.copies import Copies, Stage
from tests.engine.stage import DLQ, MINUTE, PARKED


def copies(stage: Stage = PARKED, *, base: int = 0, sent: int = 0, every_ms: int = 1_000) -> Copies:
    """The ledger of one topic, with *sent* copies of ours, one each second."""
    made = Copies(stage)
    made.begin(base, base, ())
    made.scanned()
    for number in range(sent):
        made.sent([base + number], [number * every_ms])
    return made


# -- the ledger -------------------------------------------------------------------------------------


def test_the_lowest_outstanding_copy_is_committable() -> None:
    """Copies settle in any order; what is committed never passes one that is open."""
    parked = copies(sent=4)
    steps = [parked.committable]
    for offset in (2, 0, 1, 3):
        parked.settle(offset)
        steps.append(parked.committable)

    assert steps == [0, 0, 1, 3, 4]
    assert parked.outstanding == 0


def test_what_stands_between_two_copies_of_ours_is_nobodys() -> None:
    """Rule 11: what others appended after the scan needs no work, read or unread."""
    parked = copies(sent=1)
    parked.sent([4], [0])

    assert [offset for offset in range(6) if parked.is_outstanding(offset)] == [0, 4]
    assert list(parked.ranges()) == [range(1, 4)]


def test_what_the_scan_did_not_find_is_settled() -> None:
    """Below the end of the scan only what it found is open; what an earlier owner settled is not looked at."""
    parked = Copies(PARKED)
    parked.begin(10, 20, [range(12, 14), range(19, 30)])
    earlier = [offset for offset in range(10, 20) if parked.was_settled(offset)]
    parked.found(11, 0)
    parked.found(15, 0)
    parked.scanned()

    assert earlier == [12, 13, 19]
    assert [offset for offset in range(10, 20) if parked.is_outstanding(offset)] == [11, 15]
    assert (parked.committable, parked.outstanding, parked.end) == (11, 2, 20)


def test_what_is_not_scanned_is_taken_as_it_was_left() -> None:
    """Dead letters that an earlier owner counted stay outstanding without being read again."""
    letters = Copies(DLQ)
    letters.begin(5, 12, [range(7, 9)])
    letters.trust(range(5, 10))
    letters.scanned()

    assert [offset for offset in range(5, 12) if letters.is_outstanding(offset)] == [5, 6, 9]
    assert letters.outstanding == 3


def test_a_copy_settles_once() -> None:
    """To settle it again, or one that is none, changes nothing."""
    parked = copies(base=5, sent=2)
    for offset in (5, 5, 0, 99):
        parked.settle(offset)

    assert parked.outstanding == 1
    assert parked.committable == 6


def test_a_commit_says_what_is_settled_and_how_far_was_scanned() -> None:
    """The snapshot holds the fence, and the settled ranges above the offset that is committed."""
    parked = Copies(PARKED)
    parked.begin(0, 3, ())
    parked.found(1, 0)
    parked.scanned()
    for offset in range(3, 8):
        parked.sent([offset], [0])
    for offset in (4, 5, 7):
        parked.settle(offset)
    committed, snapshot = parked.snapshot(b"me")

    assert committed == 1
    assert list(snapshot.settled(committed)) == [range(2, 3), range(4, 6), range(7, 8)]
    assert (snapshot.scan_end, snapshot.assignment_id) == (3, b"me")


def test_memory_follows_what_is_outstanding() -> None:
    """What has settled at the front is forgotten, and nothing about the rest changes."""
    parked = copies(MINUTE, sent=200_000)
    for offset in range(199_990):
        parked.settle(offset)
        if offset % 1_000 == 0:
            assert parked.committable == offset + 1

    assert parked.committable == 199_990
    assert parked.due_ms(199_995) == 199_995_000 + 60_000
    assert [offset for offset in range(199_980, 200_010) if parked.is_outstanding(offset)] == [*range(199_990, 200_000)]


# -- what is worth reading ----------------------------------------------------------------------------


def test_a_tier_is_read_when_its_oldest_copy_is_due() -> None:
    """A copy is due its tier's delay after the broker took it, and not before."""
    tier = copies(MINUTE, sent=2)
    before, now = tier.wanted(59_999), tier.wanted(60_000)
    tier.passed(0)
    then = (tier.wanted(60_999), tier.wanted(61_000))

    assert (before, now) == (None, 0)
    assert then == (None, 1)
    assert tier.next_due_ms() == 61_000


def test_parked_is_read_only_for_what_may_run() -> None:
    """A topic without a delay has nothing to read until something of it is wanted."""
    parked = copies(sent=9)
    before = parked.wanted(10**12)
    parked.want(7)
    parked.want(3)

    assert before is None
    assert parked.wanted(0) == 3


def test_one_pass_reads_on_before_it_goes_back() -> None:
    """What lies ahead of the reader comes first; what became runnable behind it is read in the next pass."""
    parked = copies(sent=20)
    parked.want(12)
    parked.passed(8)
    parked.want(3)
    ahead = parked.wanted(0, 9)
    for offset in range(9, 13):
        parked.passed(offset)

    assert ahead == 12
    assert parked.wanted(0, 13) == 3


def test_what_is_settled_is_not_wanted() -> None:
    """A copy that needs no more work is not read, whoever wanted it."""
    parked = copies(sent=3)
    parked.want(1)
    parked.settle(1)

    assert parked.wanted(0) is None


def test_a_tier_is_not_passed_over_what_was_not_due() -> None:
    """Copies in front of one that was read early are still met when they are due."""
    tier = copies(MINUTE, sent=5)
    tier.relief = range(3, 4)
    tier.passed(3)

    assert tier.wanted(60_000) == 0
    assert tier.skips(3)


def test_what_is_read_before_its_acknowledgement_is_still_waited_for() -> None:
    """A copy of ours may be read before the broker's answer is: its tier meets it when it is due, not before."""
    tier = copies(MINUTE, sent=1)
    tier.passed(0)
    tier.passed(1)
    tier.sent([1], [5_000])

    assert tier.next_due_ms() == 65_000
    assert tier.wanted(64_999) is None
    assert tier.wanted(65_000) == 1


def test_relief_is_read_whatever_is_due() -> None:
    """Copies that hold back the ledger are read to be moved, the settled ones among them left out."""
    tier = copies(MINUTE, sent=6)
    tier.settle(1)
    tier.relief = range(6)
    reads = []
    while (offset := tier.wanted(0)) is not None:
        reads.append(offset)
        tier.passed(offset)

    assert reads == [0, 2, 3, 4, 5]
    assert not tier.relief


@pytest.mark.parametrize(("count", "end"), [(1, 2), (2, 5), (9, 7)])
def test_the_first_settled_ranges_end_somewhere(count: int, end: int) -> None:
    """A relief knows how far it has to go to do away with so many ranges."""
    parked = copies(sent=8)
    for offset in (1, 3, 4, 6):
        parked.settle(offset)

    assert parked.end_of_runs(count) == end


# -- against a model ------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.sampled_from(["send", "gap", "settle", "want", "read", "read", "wait"]), st.integers(0, 40)),
    max_size=60,
)


@given(base=st.integers(0, 9), steps=STEPS, is_tier=st.booleans())
def test_a_ledger_of_copies_is_that_of_a_set(base: int, steps: list[tuple[str, int]], *, is_tier: bool) -> None:
    """Whatever is sent, settled, wanted and read in whatever order: open is what is in the set, wanted what may run."""
    made = copies(MINUTE if is_tier else PARKED, base=base)
    open_: dict[int, int] = {}
    wanted: set[int] = set()
    met: set[int] = set()
    end, now_ms = base, 0
    for what, number in steps:
        match what:
            case "send":
                open_[end] = now_ms
                made.sent([end], [now_ms])
                end += 1
            case "gap":
                end += number % 3
            case "settle":
                made.settle(base + number)
                open_.pop(base + number, None)
            case "want" if base + number in open_:
                made.want(base + number)
                wanted.add(base + number)
            case "wait":
                now_ms += number * 3_000
            case "read":
                offset = made.wanted(now_ms)
                due = {one for one in open_ if is_tier and one not in met and open_[one] + 60_000 <= now_ms}
                assert offset == min({*(wanted & open_.keys()), *due}, default=None)
                if offset is not None:
                    made.passed(offset)
                    wanted.discard(offset)
                    met.add(offset)

    committable, runs = made.committable, {offset for done in made.ranges() for offset in done}
    assert committable == min(open_, default=made.end)
    assert made.outstanding == len(open_)
    assert {offset for offset in range(base, made.end) if made.is_outstanding(offset)} == set(open_)
    assert runs == {offset for offset in range(committable, made.end) if offset not in open_}
