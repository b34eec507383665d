"""The attributes of an event as Kafka headers, held against the CloudEvents SDK."""

from __future__ import annotations

import datetime as dt
import doctest
import uuid

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st

import streams.envelope
from streams.envelope import Envelope, effect_headers, new_id
from streams.errors import UsageError

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b9c7c989f97918e1-01"

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
HEX = "0123456789abcdef"
TRACEPARENTS = st.builds(
    lambda trace, span, flags: f"00-{trace}-{span}-{flags}",
    st.text(HEX, min_size=32, max_size=32).filter(lambda digits: digits.strip("0")),
    st.text(HEX, min_size=16, max_size=16).filter(lambda digits: digits.strip("0")),
    st.text(HEX, min_size=2, max_size=2),
)
MAYBE = st.none() | TEXTS

ENVELOPES = st.builds(
    Envelope,
    id=TEXTS,
    source=TEXTS,
    type=TEXTS,
    time=st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    content_type=st.none() | st.just("application/json"),
    correlationid=MAYBE,
    causationid=MAYBE,
    traceparent=st.none() | TRACEPARENTS,
    partitionkey=MAYBE,
    dataschema=st.none() | st.just("urn:streams:order.placed:v1"),
)

TIMED = ENVELOPES.filter(lambda envelope: envelope.time is not None)  # the SDK puts the present where there is none


@given(ENVELOPES)
def test_an_envelope_is_read_back_from_its_headers(envelope: Envelope) -> None:
    """Nothing is lost or changed on the wire."""
    assert Envelope.from_headers(list(envelope.to_headers())) == envelope


@given(TIMED)
def test_the_sdk_reads_what_is_written_here(envelope: Envelope) -> None:
    """Every attribute arrives in a CloudEvent made by the reference implementation."""
    event = from_binary_event(KafkaMessage(headers=dict(envelope.to_headers()), key=None, value=b"{}"))

    assert event.get_id() == envelope.id
    assert event.get_source() == envelope.source
    assert event.get_type() == envelope.type
    assert event.get_specversion() == "1.0"
    assert event.get_time() == envelope.time
    assert event.get_datacontenttype() == envelope.content_type
    assert event.get_dataschema() == envelope.dataschema
    for name in ("correlationid", "causationid", "traceparent", "partitionkey"):
        assert event.get_extension(name) == getattr(envelope, name)


@given(TIMED)
def test_what_the_sdk_writes_is_read_here(envelope: Envelope) -> None:
    """A CloudEvent of the reference implementation becomes the same envelope."""
    attributes = {
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.type,
        "specversion": "1.0",
        "time": envelope.time,
        "datacontenttype": envelope.content_type,
        "dataschema": envelope.dataschema,
        "correlationid": envelope.correlationid,
        "causationid": envelope.causationid,
        "traceparent": envelope.traceparent,
        "partitionkey": envelope.partitionkey,
    }
    event = CloudEvent({name: value for name, value in attributes.items() if value is not None}, {"a": 1})

    assert Envelope.from_headers(list(to_binary_event(event).headers.items())) == envelope


NAMES = st.sampled_from(
    [
        "ce_id",
        "ce_time",
        "ce_traceparent",
        "ce_tracestate",
        "traceparent",
        "tracestate",
        "content-type",
        "ce_type",
        "x",
    ],
)
FOREIGN = st.lists(st.tuples(NAMES | st.text(), st.none() | st.binary(max_size=60) | TEXTS.map(str.encode)))


@given(st.none() | FOREIGN)
@example([("ce_time", b"0001-01-01T00:00:00+23:59")])
@example([("ce_time", b"9999-12-31T23:59:59-23:59")])
@example([("ce_id", b"\xff"), ("ce_id", None), ("ce_id", b"")])
def test_foreign_headers_never_raise(headers: list[tuple[str, bytes | None]] | None) -> None:
    """Whatever stands in the headers, there is an envelope, and it can be written and read again."""
    envelope = Envelope.from_headers(headers)

    assert Envelope.from_headers(envelope.to_headers()) == envelope


@pytest.mark.parametrize("headers", [None, [], [("x", b"1")]])
def test_a_record_without_attributes_is_no_event(headers: list[tuple[str, bytes | None]] | None) -> None:
    """An application's own records have an envelope too: an empty one, which writes nothing."""
    envelope = Envelope.from_headers(headers)

    assert not envelope.is_event
    assert envelope.id is None
    assert envelope.to_headers() == []


def test_the_last_of_several_headers_counts() -> None:
    """As with Kafka's own lastHeader; one that can't be read is as if it were not there."""
    headers = [("ce_id", b"1"), ("ce_id", b"2"), ("ce_id", b"\xff"), ("ce_id", b"")]

    assert Envelope.from_headers(headers).id == "2"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2018-04-05T17:31:00Z", dt.datetime(2018, 4, 5, 17, 31, tzinfo=dt.UTC)),
        ("2018-04-05T17:31:00.123456789+02:00", dt.datetime(2018, 4, 5, 15, 31, 0, 123456, tzinfo=dt.UTC)),
        ("2018-04-05T17:31:00", None),
        ("yesterday", None),
    ],
)
def test_a_time_is_one_moment_or_none(text: str, time: dt.datetime | None) -> None:
    """A time without an offset names no moment, and is left out rather than guessed."""
    assert Envelope.from_headers([("ce_time", text.encode())]).time == time


def test_a_new_event_is_complete() -> None:
    """It has all that CloudEvents requires, and the moment it was made."""
    before = dt.datetime.now(dt.UTC)
    event = Envelope.new("order.placed", "shop")

    assert event.is_event
    assert event.time is not None
    assert before <= event.time <= dt.datetime.now(dt.UTC)


def test_a_time_without_an_offset_is_refused() -> None:
    """Which moment a naive datetime names depends on the machine."""
    with pytest.raises(UsageError, match="needs its offset from UTC"):
        Envelope.new("order.placed", "shop", time=dt.datetime(2024, 1, 1))  # noqa: DTZ001  # the mistake


def test_an_event_names_its_cause_and_its_flow() -> None:
    """Down a chain of events the flow stays the first one's, the cause is the one before."""
    first = Envelope.new("order.placed", "shop")
    second = Envelope.new("order.paid", "bank").caused_by(first)
    third = Envelope.new("order.shipped", "depot").caused_by(second)

    assert (second.causationid, third.causationid) == (first.id, second.id)
    assert first.correlation == second.correlation == third.correlation == first.id
    assert len({first.id, second.id, third.id}) == 3


@given(ENVELOPES)
@example(Envelope(id="1", traceparent=TRACEPARENT, tracestate="congo=t61"))
def test_headers_made_in_one_go_are_those_of_an_event_that_was_caused(cause: Envelope) -> None:
    """Two ways to the same headers: what an event has of its own, id, time and span, aside."""
    quick = effect_headers("order.paid", "/orders", "application/json", cause)
    read = Envelope.from_headers(quick)
    whole = Envelope.new("order.paid", "/orders", content_type="application/json").caused_by(cause)

    assert read.id is not None
    assert read.time is not None
    assert whole.time is not None
    assert abs(read.time - whole.time) < dt.timedelta(seconds=10)
    assert read.trace_id == whole.trace_id == cause.trace_id
    own = {"id": whole.id, "time": whole.time, "traceparent": whole.traceparent}
    assert msgspec.structs.replace(read, **own) == whole
    assert len(quick) == len(whole.to_headers())


@pytest.mark.parametrize("at_ns", [0, 1_999_999_999, 1_700_000_000_123_456_789])
def test_the_time_of_an_effect_is_the_moment(at_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the microsecond, also right before a second begins."""
    monkeypatch.setattr("streams.envelope.clock.time_ns", lambda: at_ns)
    read = Envelope.from_headers(effect_headers("order.paid", "/orders", None, Envelope()))

    assert read.time == dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=at_ns // 1_000)


def test_a_flow_that_has_a_name_keeps_it() -> None:
    """A correlation id that a gateway gave is not replaced by an event's id."""
    first = msgspec.structs.replace(Envelope.new("order.placed", "shop"), correlationid="checkout-7")

    assert Envelope.new("order.paid", "bank").caused_by(first).correlationid == "checkout-7"


def test_a_record_that_is_no_event_starts_no_flow() -> None:
    """Nothing is made up for a cause that has no id."""
    child = Envelope.new("order.paid", "bank").caused_by(Envelope.from_headers(None))

    assert (child.causationid, child.correlationid, child.traceparent) == (None, None, None)


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    """The same trace id and flags, a new span id, and the vendors' state untouched."""
    parent = Envelope.from_headers([("ce_traceparent", TRACEPARENT.encode()), ("ce_tracestate", b"congo=t61")])
    child = Envelope.new("order.paid", "bank").caused_by(parent)

    assert child.trace_id == parent.trace_id == TRACE
    assert child.traceparent is not None
    assert child.traceparent.startswith(f"00-{TRACE}-")
    assert child.traceparent.endswith("-01")
    assert child.traceparent != TRACEPARENT
    assert child.tracestate == "congo=t61"


@pytest.mark.parametrize(
    ("traceparent", "is_kept"),
    [
        (TRACEPARENT, True),
        (f"00-{TRACE}-b9c7c989f97918e1-00", True),
        (f"cc-{TRACE}-b9c7c989f97918e1-01-what-the-future-may-add", True),
        (f"00-{TRACE}-b9c7c989f97918e1-01-more", False),
        (f"ff-{TRACE}-b9c7c989f97918e1-01", False),
        (f"00-{'0' * 32}-b9c7c989f97918e1-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (TRACEPARENT.upper(), False),
        (TRACEPARENT[:-1], False),
        (f"{TRACEPARENT}\n", False),
        ("", False),
    ],
)
def test_a_malformed_trace_is_dropped(traceparent: str, *, is_kept: bool) -> None:
    """W3C Trace Context: what is not understood is not passed on, and its state neither."""
    envelope = Envelope.from_headers([("ce_traceparent", traceparent.encode()), ("ce_tracestate", b"congo=t61")])

    assert envelope.traceparent == (traceparent if is_kept else None)
    assert envelope.tracestate == ("congo=t61" if is_kept else None)


def test_flags_of_a_later_version_are_not_passed_on() -> None:
    """A child speaks the version that is known here: of later flags only `sampled` is."""
    parent = Envelope.from_headers([("ce_traceparent", f"cc-{TRACE}-b9c7c989f97918e1-ff".encode())])
    child = Envelope.new("order.paid", "bank").caused_by(parent)

    assert child.traceparent is not None
    assert child.traceparent.startswith("00-")
    assert child.traceparent.endswith("-01")


def test_a_bare_traceparent_counts_where_there_is_no_other() -> None:
    """Tracing agents write the header without the prefix; the event's own wins."""
    bare = ("traceparent", TRACEPARENT.encode())
    own = ("ce_traceparent", TRACEPARENT.replace("01", "00").encode())

    assert Envelope.from_headers([bare]).traceparent == TRACEPARENT
    assert Envelope.from_headers([own, bare]).traceparent == TRACEPARENT.replace("01", "00")


def test_ids_are_uuids_in_the_order_of_their_time() -> None:
    """Version 7 as RFC 9562 has it: unique, and sorting by the millisecond."""
    ids = [new_id() for _ in range(2_000)]
    parsed = [uuid.UUID(each) for each in ids]

    assert len(set(ids)) == len(ids)
    assert {(each.version, each.variant) for each in parsed} == {(7, uuid.RFC_4122)}
    assert [each[:13] for each in ids] == sorted(each[:13] for each in ids)
    assert ids == [str(each) for each in parsed]


def test_the_examples_in_the_docstrings_hold() -> None:
    """What the documentation shows is what happens."""
    assert doctest.testmod(streams.envelope).failed == 0
