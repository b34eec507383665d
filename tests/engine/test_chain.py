"""What a copy carries: the packed header, the words of an error, and the source's own headers untouched."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.chain import (
    ERROR_HEADER,
    HEADER,
    Attempt,
    CopyHeader,
    ErrorHeader,
    FirstHeaders,
    copy_headers,
    delay_of,
    describe_error,
    dlq_topic,
    new_header,
    parked_topic,
    read,
    retry_topic,
    unpack,
    unpack_error,
)
from streams.errors import LedgerError
from streams.record import Headers, Origin

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers(0, 2**62)
ATTEMPTS = st.builds(Attempt, time_ms=NUMBERS, error=WORDS)
COPIES = st.builds(
    CopyHeader,
    version=st.just(1),
    topic_id=WORDS,
    topic=WORDS,
    partition=st.integers(0, 2**31 - 1),
    offset=NUMBERS,
    timestamp_ms=NUMBERS,
    group=WORDS,
    assignment_id=st.binary(max_size=16),
    hop=st.integers(1, 65_535),
    from_topic=WORDS,
    from_offset=NUMBERS,
    attempts=NUMBERS,
    history=st.lists(ATTEMPTS, max_size=10).map(tuple),
    redrives=NUMBERS,
    replay_id=WORDS,
)
HEADERS = st.lists(st.tuples(st.sampled_from([HEADER, ERROR_HEADER]) | WORDS, st.none() | st.binary(max_size=20)))


def first_copy(attempts: int = 3, history: tuple[Attempt, ...] = ()) -> CopyHeader:
    """The header of a dead letter of ``orders/2/40``."""
    origin = Origin("orders", 2, 40, 1_000)
    return new_header(
        origin, topic_id="topic-id", group="billing", assignment_id=b"assigned", attempts=attempts, history=history
    )


class SilentError(Exception):
    """An error that can't say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


@given(header=COPIES, before=HEADERS)
def test_a_copy_header_survives_the_wire(header: CopyHeader, before: Headers) -> None:
    """What is packed is unpacked, wherever it stands among other headers, and the last one counts."""
    assert unpack([*before, (HEADER, header.pack())]) == header


FIRSTS = st.builds(
    lambda header, offset: msgspec.structs.replace(header, hop=1, offset=offset, from_offset=offset), COPIES, NUMBERS
)


def test_a_header_that_holds_what_keeps_the_places_is_read_in_full() -> None:
    """Nobody writes such numbers, and anybody may put what he likes among dead letters."""
    header = msgspec.structs.replace(first_copy(), hop=1, attempts=2**63 - 1)

    assert FirstHeaders.like(header, header.pack()) is None
    with pytest.raises(ValueError, match="unpack"):
        FirstHeaders(header)


@given(example=FIRSTS, offset=NUMBERS, timestamp_ms=st.integers(-1, 2**62))
def test_headers_that_are_packed_by_example_say_the_same(example: CopyHeader, offset: int, timestamp_ms: int) -> None:
    """They are the example with another offset and time, for whoever reads them, and they are read back."""
    headers = FirstHeaders(example)
    packed = headers.pack(offset, timestamp_ms)

    assert read(packed) == msgspec.structs.replace(
        example, offset=offset, from_offset=offset, timestamp_ms=timestamp_ms
    )
    assert headers.origins([example.pack(), packed, packed], 1) == [offset, offset]
    assert FirstHeaders.like(read(packed), packed) is not None


@given(example=FIRSTS, other=FIRSTS | COPIES)
def test_a_header_that_says_anything_else_is_not_read_by_example(example: CopyHeader, other: CopyHeader) -> None:
    """What differs in more than offset and time is read in full, whichever way it was packed."""
    headers = FirstHeaders(example)
    packed = FirstHeaders(other).pack(other.offset, other.timestamp_ms)
    said = read(packed)
    is_alike = said == msgspec.structs.replace(
        example, offset=said.offset, from_offset=said.offset, timestamp_ms=said.timestamp_ms
    )

    assert headers.origins([packed], 0) == ([other.offset] if is_alike else [])
    assert headers.origins([other.pack()], 0) == []


@given(example=FIRSTS, damage=st.data())
def test_a_damaged_header_is_not_read_by_example(example: CopyHeader, damage: st.DataObject) -> None:
    """A byte that is another one anywhere but in offset and time, or a time or offset that can't be, is found."""
    headers = FirstHeaders(example)
    packed = headers.pack(7, 1_000)
    at = damage.draw(st.integers(0, len(packed) - 1))
    byte = damage.draw(st.integers(1, 255))
    damaged = packed[:at] + bytes([packed[at] ^ byte]) + packed[at + 1 :]
    found = headers.origins([damaged], 0)
    if found:
        assert read(damaged) == msgspec.structs.replace(read(packed), timestamp_ms=read(damaged).timestamp_ms)

    assert found in ([], [7])


@given(data=st.binary() | COPIES.map(lambda one: one.pack()[:-3]))
def test_an_unreadable_copy_header_is_a_ledger_error(data: bytes) -> None:
    """Whatever stands under our header's name, reading it raises `LedgerError` and nothing else."""
    with pytest.raises(LedgerError):
        unpack([(HEADER, data)])


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (None, "no 'streams' header"),
        ([("other", b"1")], "no 'streams' header"),
        ([(HEADER, None)], "no 'streams' header"),
        ([(HEADER, msgspec.structs.replace(first_copy(), version=2).pack())], "version 2"),
        ([(HEADER, first_copy().pack().replace(b"orders", b"\xff\xff\xff\xff\xff\xff"))], "can't be read"),
        ([(HEADER, b"\xdc\x00\x12" + first_copy().pack()[3:] + b"\x91" * 100_000 + b"\xc0")], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), hop=-9).pack())], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), hop=0).pack())], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), hop=65_536).pack())], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), offset=-5).pack())], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), partition=2**31).pack())], "can't be read"),
        ([(HEADER, msgspec.structs.replace(first_copy(), timestamp_ms=2**64 - 1).pack())], "can't be read"),
    ],
    ids=[
        "none at all",
        "others only",
        "null",
        "newer",
        "not UTF-8",
        "deep",
        "below 0",
        "no hop",
        "beyond the index",
        "no offset",
        "no partition",
        "no time",
    ],
)
def test_a_record_that_is_no_copy_says_why(headers: Headers | None, says: str) -> None:
    """A missing, newer or damaged header is told apart in words."""
    with pytest.raises(LedgerError, match=says):
        unpack(headers)


def test_the_first_copy_names_its_origin() -> None:
    """The first copy left the source at its origin, is of hop 1 and keeps the last ten attempts."""
    header = first_copy(attempts=12, history=tuple(Attempt(number, "E") for number in range(12)))

    assert header.origin == Origin("orders", 2, 40, 1_000)
    assert (header.hop, header.from_topic, header.from_offset) == (1, "orders", 40)
    assert [attempt.time_ms for attempt in header.history] == list(range(2, 12))


@given(source=HEADERS)
def test_headers_of_the_source_stay(source: Headers) -> None:
    """Foreign headers keep name, value, order and number; what stands under our names is renamed, not lost."""
    error = ErrorHeader("E", "m", "r", "h")
    copied = copy_headers(source, first_copy(), error)
    ours = (HEADER, ERROR_HEADER)

    assert copied[:-2] == [(f"streams-was-{name}" if name in ours else name, value) for name, value in source]
    assert unpack(copied) == first_copy()
    assert unpack_error(copied) == error


def test_a_copy_without_an_error_has_one_header_of_ours() -> None:
    """Only dead letters carry an error."""
    copied = copy_headers(None, first_copy())

    assert [name for name, _ in copied] == [HEADER]
    assert unpack_error(copied) is None


@pytest.mark.parametrize(
    ("error", "name", "text"),
    [
        (ValueError("bad amount"), "ValueError", "bad amount"),
        (SilentError(), f"{__name__}.SilentError", "(its text failed: ValueError)"),
        (RuntimeError("half a pair: \ud800"), "RuntimeError", "half a pair: ?"),
        (KeyError("x" * 10_000), "KeyError", "'" + "x" * 1_999),
    ],
    ids=["plain", "its text fails", "no UTF-8", "long"],
)
def test_any_error_can_be_told(error: Exception, name: str, text: str) -> None:
    """Whatever a handler raises becomes a header that can be written and read again."""
    described = describe_error(error, reason="attempt 3 of 3 failed", handler="charge", time_ms=5)
    read = unpack_error([(ERROR_HEADER, described.pack())])

    assert read == described
    assert (described.error, described.message) == (name, text)
    assert (described.reason, described.handler, described.time_ms) == ("attempt 3 of 3 failed", "charge", 5)


def test_the_stack_shows_where_it_was_raised() -> None:
    """An error that was raised brings its stack, cut from above."""
    try:
        raise SilentError  # noqa: TRY301  # a stack is wanted, nothing else
    except SilentError as error:
        described = describe_error(error, reason="", handler="", time_ms=0)

    assert "test_the_stack_shows_where_it_was_raised" in described.stack
    assert len(described.stack) <= 8_000


@given(data=st.binary())
def test_an_unreadable_error_is_none(data: bytes) -> None:
    """A dead letter whose error can't be read is still a dead letter."""
    assert unpack_error([(ERROR_HEADER, data)]) is None


def test_an_error_that_is_too_deep_is_none() -> None:
    """Values inside values beyond what a parser follows are unreadable, no crash."""
    deep = b"[" * 100_000 + b"]" * 100_000
    error = b'{"x":' + deep + b',"error":"E","message":"","reason":"","handler":""}'

    assert unpack_error([(ERROR_HEADER, error)]) is None


def test_an_error_that_is_not_utf8_is_none() -> None:
    """Bytes that look like JSON up to a broken character are unreadable, no crash."""
    assert unpack_error([(ERROR_HEADER, b'{"error":"\xff","message":"","reason":"","handler":""}')]) is None


def test_dead_letters_are_named_after_topic_and_group() -> None:
    """The dead-letter topic's name says whose it is."""
    assert dlq_topic("orders", "billing") == "orders.billing.dlq"


@pytest.mark.parametrize(("delay_s", "end"), [(60, "1m"), (90, "90s"), (3_600, "1h"), (86_400, "1d"), (0.5, "500ms")])
def test_tiers_are_named_after_their_delay(delay_s: float, end: str) -> None:
    """Topic, group and delay; the delay can be read back."""
    name = retry_topic("orders", "billing", delay_s)

    assert name == f"orders.billing.retry.{end}"
    assert delay_of(name) == delay_s


@given(ms=st.integers(1, 10**12))
def test_every_tier_tells_its_delay(ms: int) -> None:
    """To the millisecond."""
    delay_s = delay_of(retry_topic("a.retry.5s", "b", ms / 1_000))

    assert delay_s == pytest.approx(ms / 1_000, abs=1e-6)


@pytest.mark.parametrize("name", ["", "1m", "orders.retry.60s", "orders.retry.1m.dlq", "orders.retry.", "a.retry.1.5s"])
def test_what_is_named_otherwise_is_no_tier(name: str) -> None:
    """A delay that `retry_topic` would write in another way is none of its names."""
    assert delay_of(name) is None


def test_parked_records_are_named_after_topic_and_group() -> None:
    """Like dead letters."""
    assert parked_topic("orders", "billing") == "orders.billing.parked"
