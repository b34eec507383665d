"""One trace holds all that becomes of a record: each attempt, each copy, its dead letter, and what an operator did."""

from __future__ import annotations

import threading

from streams import App, Context, DeadLetter, Record, RetryPolicy
from streams.engine.chain import TRACE_HEADER
from streams.engine.ending import Until
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import headers_of
from tests.tracing.conftest import MAKER, PARENT, TRACE, Made, Traced, id_of, links_of, parent_of, told, trace_of

TIERED = RetryPolicy(delays=("1s",), memory_up_to="100ms", jitter=0)
IN_MEMORY = RetryPolicy(delays=("50ms", "50ms"), jitter=0)


class DownError(Exception):
    """The service is not there."""


def test_one_trace_from_the_maker_to_the_dead_letter_and_its_redrive(
    traced: Traced, topic: Topics, app: App, made: Made
) -> None:
    """Each attempt is a child of the maker and links to the one before it; each copy is a child of its attempt."""
    orders, mended, served = topic(), threading.Event(), threading.Event()
    seen: list[list[tuple[str, bytes | None]]] = []

    @app.on(orders, retry=TIERED)
    def charge(record: Record) -> None:
        seen.append(record.headers)
        if not mended.is_set() and record.value == b"needs":
            raise DownError("try later")
        if record.value == b"needs":
            served.set()

    traced.work_off(app, orders, [(b"a", b"needs", [("traceparent", PARENT), ("tenant", b"seven")])])
    mended.set()
    Shell(traced.bench.bootstrap)(f"dlq retry {app.group} --all --yes --why mended --who ann")
    again = traced.run_beside(app, Until(max_records=1))
    assert served.wait(60)
    traced.bench.write(orders, [(b"b", b"the last one", [])], partition=0)
    again.await_end()
    first, second, third, _ = made.all(f"process {orders}")
    tier, dead = made.one(f"send {orders}.{app.group}.retry.1s"), made.one(f"send {orders}.{app.group}.dlq")
    moved = made.one(f"send {orders}.{app.group}.parked")

    assert {trace_of(span) for span in (first, second, third, tier, dead, moved)} == {TRACE}
    assert [parent_of(span) for span in (first, second, third)] == [MAKER] * 3
    assert links_of(first) == {MAKER}
    assert links_of(second) == {MAKER, id_of(first)}
    assert links_of(third) == {MAKER, id_of(second)}
    assert [parent_of(span) for span in (tier, dead, moved)] == [id_of(first), id_of(second), id_of(second)]
    assert [told(span, "streams.attempt") for span in (first, second, third)] == [1, 2, 3]
    assert [told(span, "streams.outcome") for span in (first, second, third)] == [None, None, "done"]
    assert [told(span, "error.type") for span in (first, second)] == [f"{__name__}.DownError"] * 2
    assert [told(span, "streams.origin.offset") for span in (tier, dead, moved)] == [0, 0, 0]
    assert seen[:3] == [[("traceparent", PARENT), ("tenant", b"seven")]] * 3  # the handler sees none of it


def test_a_copy_says_which_span_the_last_attempt_was(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """The dead letter names it in a header of ours; the record's own headers stay as they are."""
    orders = topic()

    @app.on(orders, retry=RetryPolicy(delays=("50ms",), max_attempts=1))
    def charge(_value: bytes) -> None:
        raise DownError("try later")

    traced.work_off(app, orders, [(b"a", b"1", [("traceparent", PARENT)])])
    (letter,) = traced.bench.dead(orders, app.group)
    headers = headers_of(letter)

    assert [name for name, _ in headers] == ["traceparent", TRACE_HEADER, "streams", "streams-error"]
    assert headers[0][1] == PARENT
    assert headers[1][1] == f"00-{TRACE}-{id_of(made.one(f'process {orders}'))}-01".encode()


def test_attempts_in_memory_follow_each_other(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """Without a maker the first attempt begins the trace, and the next ones are children of the one before."""
    orders = topic()
    runs = iter((DownError("first"), DownError("second"), None))

    @app.on(orders, retry=IN_MEMORY)
    def charge(_value: bytes) -> None:
        if (error := next(runs)) is not None:
            raise error

    traced.work_off(app, orders, [(b"a", b"1")])
    first, second, third = made.all(f"process {orders}")

    assert parent_of(first) is None
    assert (parent_of(second), links_of(second)) == (id_of(first), {id_of(first)})
    assert (parent_of(third), links_of(third)) == (id_of(second), {id_of(second)})
    assert {trace_of(span) for span in (second, third)} == {trace_of(first)}
    assert [told(span, "streams.attempt") for span in (first, second, third)] == [1, 2, 3]


def test_what_waits_parked_keeps_its_maker(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """A record that was moved unrun has no attempt to link to; its run is a child of who made it."""
    orders = topic()
    has_failed = threading.Event()

    @app.on(orders, retry=TIERED)
    def charge(record: Record) -> None:
        if record.value == b"fails" and not has_failed.is_set():
            has_failed.set()
            raise DownError("try later")

    traced.work_off(app, orders, [(b"a", b"fails"), (b"a", b"waits", [("traceparent", PARENT)])], waiting_records=1)
    runs = made.all(f"process {orders}")

    assert told(made.one(f"send {orders}.{app.group}.parked"), "streams.origin.offset") == 1
    assert [told(span, "messaging.kafka.offset") for span in runs] == [0, 0, 1]
    assert (parent_of(runs[2]), links_of(runs[2])) == (MAKER, {MAKER})


def test_what_a_handler_sends_goes_on_with_the_trace(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """Made in the run, sent after it: the record that arrives names who made it, for every kind of reader."""
    orders, invoices = topic(), topic()

    @app.on(orders)
    def charge(_value: bytes, ctx: Context) -> None:
        ctx.send(invoices, {"cents": 1}, key="k")
        ctx.send(invoices, {"cents": 2}, key="k", headers=[("traceparent", PARENT)])

    @app.on(invoices)
    def book(_value: bytes) -> None: ...

    traced.work_off(app, orders, [(b"a", b"1", [("traceparent", PARENT), ("tracestate", b"vendor=1")])])
    traced.run(app)
    run, create = made.one(f"process {orders}"), made.one(f"create {invoices}")
    sends, booked = made.all(f"send {invoices}"), made.all(f"process {invoices}")
    first, second = map(headers_of, traced.bench.read(invoices))
    context = f"00-{TRACE}-{id_of(create)}-01".encode()

    assert parent_of(create) == id_of(run)
    assert sorted(map(str, map(parent_of, sends))) == sorted([id_of(create), MAKER])
    assert [value for name, value in first if name in ("traceparent", "ce_traceparent")] == [context, context]
    assert [value for name, value in first if name in ("tracestate", "ce_tracestate")] == [b"vendor=1"] * 2
    assert [value for name, value in second if name == "traceparent"] == [PARENT]  # the handler's own stays
    assert {parent_of(span) for span in booked} == {id_of(create), MAKER}
    assert {trace_of(span) for span in (run, create, *sends, *booked)} == {TRACE}


def test_a_run_that_fails_sends_nothing(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """What it would have sent is not made, and no span says so."""
    orders, invoices = topic(), topic()

    @app.on(orders)
    def charge(_value: bytes, ctx: Context) -> Outcome:
        ctx.send(invoices, {"cents": 1})
        return DeadLetter(DownError("no"))

    traced.work_off(app, orders, [(b"a", b"1")])

    assert not made.all(f"create {invoices}")
    assert not made.all(f"send {invoices}")
    assert told(made.one(f"process {orders}"), "streams.outcome") == "dead_letter"
