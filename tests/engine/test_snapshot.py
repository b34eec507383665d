"""The ledger as text in a commit's metadata: what is written is read, and what is not ours is told apart."""

from __future__ import annotations

import base64
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.snapshot import METADATA_LIMIT, Snapshot, count_settled, decode, encode, encode_within
from streams.errors import LedgerError, NewerLedgerError

LENGTHS = st.integers(1, 2**40)
SNAPSHOTS = st.builds(
    Snapshot,
    assignment_id=st.binary(min_size=8, max_size=8),
    starts=st.integers(0, 1_000),
    runs=st.lists(st.tuples(LENGTHS, LENGTHS), max_size=40).map(lambda pairs: tuple(sum(pairs, ()))),
    complete=st.booleans(),
)


def irregular(count: int) -> Snapshot:
    """A ledger of *count* settled ranges that no compression makes small."""
    lengths = tuple(1 + (number * number * 7919) % 997 for number in range(2 * count))
    return Snapshot(b"assigned", starts=1, runs=lengths)


@given(snapshot=SNAPSHOTS, padding=st.integers(0, 50))
def test_what_is_written_is_read(snapshot: Snapshot, padding: int) -> None:
    """Text turns back into the snapshot, padded or not, and is ASCII."""
    text = encode(snapshot)

    assert text.isascii()
    assert decode(text + " " * padding) == snapshot


@given(snapshot=SNAPSHOTS, committed=st.integers(0, 2**40))
def test_settled_ranges_alternate_with_open_ones(snapshot: Snapshot, committed: int) -> None:
    """Every second length is a settled range, counted up from the committed offset."""
    ranges = list(snapshot.settled(committed))

    assert [len(one) for one in ranges] == list(snapshot.runs[1::2])
    assert sum(map(len, ranges)) == count_settled(snapshot.runs)
    assert not ranges or ranges[-1].stop == committed + sum(snapshot.runs)


@given(snapshot=SNAPSHOTS, limit=st.integers(60, 400))
def test_only_the_highest_ranges_are_left_out(snapshot: Snapshot, limit: int) -> None:
    """What does not fit loses ranges from its upper end and says so; what fits loses nothing."""
    text, kept = encode_within(snapshot, limit)
    fits = len(encode(snapshot)) <= limit

    assert len(text) <= limit
    assert text.isascii()
    assert decode(text) == kept
    assert kept.runs == snapshot.runs[: len(kept.runs)]
    assert len(kept.runs) % 2 == 0
    assert kept == (snapshot if fits else Snapshot(snapshot.assignment_id, snapshot.starts, kept.runs, complete=False))


@pytest.mark.parametrize("count", [0, 1_000, 20_000])
def test_a_commit_always_fits_the_broker(count: int) -> None:
    """However many ranges there are, the text stays within what a broker stores and keeps most of what it can."""
    text, kept = encode_within(irregular(count))

    assert len(text) <= METADATA_LIMIT == 4_095
    assert kept.complete == (len(kept.runs) == 2 * count)
    assert kept.complete or len(text) > METADATA_LIMIT // 2


@pytest.mark.parametrize("text", [None, ""])
def test_no_metadata_is_no_snapshot(text: str | None) -> None:
    """A commit without metadata holds no ledger, and that is no error."""
    assert decode(text) is None


@given(snapshot=SNAPSHOTS, data=st.data())
def test_damage_is_found(snapshot: Snapshot, data: st.DataObject) -> None:
    """A changed or cut text is refused, or says what it said before; it never says something else."""
    text = encode(snapshot)
    at = data.draw(st.integers(2, len(text) - 1))
    damaged = data.draw(
        st.sampled_from([text[:at], text[:at] + "~" + text[at:], text[:at] + text[at + 1 :]])
        | st.characters(max_codepoint=300).map(lambda one: text[:at] + one + text[at + 1 :])
    )
    try:
        read = decode(damaged)
    except LedgerError:
        return
    assert read == snapshot


@given(
    text=st.text(min_size=1)
    | st.text("s1234 {}", min_size=1)
    | st.text("0123456789abc", max_size=200).map("s1{}".format)
)
@settings(max_examples=300)
def test_foreign_text_is_a_ledger_error(text: str) -> None:
    """Whatever another program left in the metadata, reading it raises `LedgerError` and nothing else."""
    with pytest.raises(LedgerError):
        decode(text)


@pytest.mark.parametrize(
    ("text", "is_newer"), [("s2abcde", True), ("s9", True), ("s0abcde", False), ("s", False), ("some host", False)]
)
def test_a_newer_version_is_told_from_a_foreign_one(text: str, *, is_newer: bool) -> None:
    """Only text of a later streams is of a newer version: that one must not be written over."""
    with pytest.raises(LedgerError) as caught:
        decode(text)

    assert isinstance(caught.value, NewerLedgerError) is is_newer


def test_a_ledger_too_deep_to_be_read_is_damaged() -> None:
    """One that is whole by its checksum, and holds values inside values beyond what a parser follows, is refused."""
    fields = msgspec.msgpack.encode(Snapshot(b"assigned"))
    packed = bytes([fields[0] + 1]) + fields[1:] + b"\x91" * 100_000 + b"\xc0"
    text = "s1" + base64.b85encode(zlib.crc32(packed).to_bytes(4, "big") + zlib.compress(packed, wbits=-15)).decode()

    with pytest.raises(LedgerError, match="damaged"):
        decode(text)


def test_a_bomb_is_not_unpacked() -> None:
    """Metadata that would unpack to far more than any ledger is refused as damaged."""
    bomb = encode(Snapshot(b"assigned", runs=(1,) * 5_000_000))

    with pytest.raises(LedgerError, match="damaged"):
        decode(bomb)
