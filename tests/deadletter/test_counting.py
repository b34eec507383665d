"""Which copies count is told by what the group has committed, as its next owner would read it."""

from __future__ import annotations

from typing import Any

import pytest

from streams.deadletter.counting import COUNTS, FENCED, SETTLED, CopyLedger
from streams.deadletter.letter import Letter
from streams.deadletter.read import Listing
from streams.engine.chain import copy_headers, new_header
from streams.engine.snapshot import METADATA_LIMIT, Snapshot, encode
from streams.kafka.message import make_message
from streams.kafka.offsets import Committed
from streams.record import Origin

FIRST = b"owner-01"
SECOND = b"owner-02"
THIRD = b"owner-03"
TOPIC = "orders.billing.dlq"


def commit(offset: int, owner: bytes, scan_end: int, **more: Any) -> Committed:
    """What *owner*, whose scan ended at *scan_end*, has committed for its dead letters."""
    return Committed(offset, encode(Snapshot(owner, scan_end=scan_end, **more)))


def ledger(committed: Committed | None, end: int = 10, *, known_until: int | None = None) -> CopyLedger:
    """Read *committed*; the partition ended at *known_until* before that was looked up, and ends at *end*."""
    return CopyLedger.read(committed, end if known_until is None else known_until, end, "present")


def letter(
    offset: int, owner: bytes, known: CopyLedger, *, origin: int = 0, hop: int = 1, topic_id: str = "present"
) -> Letter:
    """A copy at *offset* that *owner* wrote, of the record that was consumed at *origin*."""
    header = new_header(
        Origin("orders", 0, origin, 5),
        topic_id=topic_id,
        group="billing",
        assignment_id=owner,
        attempts=1,
        history=(),
    )
    moved = type(header)(**{name: getattr(header, name) for name in header.__struct_fields__} | {"hop": hop})
    return Letter.read(make_message(TOPIC, 0, offset, headers=copy_headers(None, moved)), known)


def listed(*letters: Letter, shows_all: bool = False) -> Listing:
    """List *letters*."""
    listing = Listing(50, shows_all)
    for one in letters:
        listing.add(one)
    return listing


def test_a_copy_that_came_late_is_not_listed() -> None:
    """Its owner died while it was under way, and the next one, which had scanned before, ended the record well."""
    before = ledger(commit(0, FIRST, scan_end=0), end=0)
    late = letter(0, FIRST, ledger(commit(0, SECOND, scan_end=0), end=1))
    listing = listed(late)

    assert letter(0, FIRST, before).verdict == COUNTS  # were its owner still the last one
    assert late.verdict == FENCED
    assert (listing.letters, listing.found, listing.not_counting) == ([], 0, 1)


def test_what_was_scanned_counts_whoever_wrote_it() -> None:
    """The fence stands at the end of the scan."""
    known = ledger(commit(0, THIRD, scan_end=4))

    assert [letter(offset, FIRST, known).verdict for offset in (0, 3, 4)] == [COUNTS, COUNTS, FENCED]
    assert letter(4, THIRD, known).verdict == COUNTS


def test_what_is_settled_does_not_count() -> None:
    """Below the committed offset, and in the ranges that the ledger has above it."""
    known = ledger(commit(2, FIRST, scan_end=10, runs=(1, 2, 1, 1)))
    verdicts = [letter(offset, FIRST, known).verdict for offset in range(8)]

    assert [offset for offset, verdict in enumerate(verdicts) if verdict == SETTLED] == [0, 1, 3, 4, 6]
    assert [offset for offset, verdict in enumerate(verdicts) if verdict == COUNTS] == [2, 5, 7]


@pytest.mark.parametrize(
    ("committed", "why"),
    [
        (None, "has committed nothing"),
        (Committed(5, ""), "no ledger beside the offset"),
        (Committed(5, "by another tool"), "not written by streams"),
        (Committed(5, "s1damaged"), "damaged"),
        (Committed(5, "s9of a later time"), "a later streams wrote it"),
        (commit(11, FIRST, scan_end=11), "beyond the end"),
        (commit(0, FIRST, scan_end=10, unsure_until=6), "before the group's ledger was lost"),
    ],
)
def test_what_nobody_can_tell_is_listed(committed: Committed | None, why: str) -> None:
    """It may be real: it is shown, with the reason for the doubt."""
    listing = listed(letter(3, SECOND, ledger(committed)))
    (shown,) = listing.letters

    assert shown.verdict.counts == "unknown"
    assert why in shown.verdict.why
    assert (listing.found, listing.doubts, listing.not_counting) == (1, {shown.verdict.why: 1}, 0)


def test_the_first_commit_is_read_with_its_padding() -> None:
    """A stay begins with a commit as long as one may be."""
    first = commit(0, SECOND, scan_end=0)
    padded = Committed(0, first.metadata.ljust(METADATA_LIMIT))

    assert letter(0, FIRST, ledger(padded)).verdict == FENCED


def test_what_came_while_the_commit_was_looked_up_is_listed() -> None:
    """The one who wrote it may have begun since; what the owner that committed has moved meanwhile counts."""
    known = ledger(commit(1, FIRST, scan_end=0), end=10, known_until=8)
    shown = [letter(offset, SECOND, known).verdict.counts for offset in (7, 8, 9)]

    assert shown == ["no", "unknown", "unknown"]
    assert letter(9, FIRST, known).verdict == COUNTS


def test_since_a_ledger_was_lost_it_is_known_again() -> None:
    """Doubt ends where the scan ended that found no ledger; what is settled since is settled."""
    known = ledger(commit(0, FIRST, scan_end=6, unsure_until=6, runs=(2, 1)))

    assert [letter(offset, FIRST, known).verdict.counts for offset in (1, 2, 5, 6)] == [
        "unknown",
        "no",
        "unknown",
        "yes",
    ]


def test_letters_of_a_former_source_are_listed() -> None:
    """The ledger tells of the topic that exists now; where there is none any more, of what it last was."""
    known = commit(5, FIRST, scan_end=10)
    gone = CopyLedger.read(known, 10, 10)

    assert letter(3, FIRST, ledger(known), topic_id="former").verdict.counts == "unknown"
    assert letter(3, FIRST, gone, topic_id="former").verdict == SETTLED


def test_a_copy_that_does_not_count_hides_none_that_does() -> None:
    """Though it was moved more often, or stands before it."""
    known = ledger(commit(0, SECOND, scan_end=1))
    counting, late = letter(0, FIRST, known), letter(1, FIRST, known, hop=2)

    for copies in ((counting, late), (late, counting)):
        listing = listed(*copies)
        assert (listing.letters, listing.found, listing.not_counting) == ([counting], 1, 1)
    assert counting.is_better_than(late)
    assert not late.is_better_than(counting)


def test_all_copies_are_shown_with_why() -> None:
    """Each in a row of its own, where that is asked for."""
    known = ledger(commit(1, SECOND, scan_end=4))
    copies = [letter(offset, FIRST, known, hop=hop) for offset, hop in enumerate((1, 2, 3, 2, 4))]
    listing = listed(*copies, shows_all=True)
    verdicts = {one.offset: one.verdict for one in listing.letters}

    assert [verdicts[offset].counts for offset in range(5)] == ["no", "no", "yes", "no", "no"]
    assert [verdicts[offset].why.split(":")[0] for offset in range(5)] == [
        "settled",
        "superseded",
        "",
        "superseded",
        "fenced",
    ]
    assert (listing.found, listing.not_counting) == (5, 4)


def test_of_all_copies_the_newest_are_kept() -> None:
    """The limit bounds them too; the count tells them all."""
    known = ledger(commit(1, SECOND, scan_end=4))
    listing = Listing(2, shows_all=True)
    for offset in range(5):
        listing.add(letter(offset, FIRST, known, origin=offset))

    assert len(listing.letters) == 2
    assert (listing.found, listing.not_counting) == (5, 2)
