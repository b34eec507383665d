"""What a span is called and says, what counts as a context, and what tracing costs who does not want it."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from streams import App, Context
from streams.config import Settings
from streams.dev.ports import HOST, free_ports
from streams.engine.chain import HEADER, TRACE_HEADER
from streams.engine.member import Member
from streams.errors import ConfigError
from streams.record import Headers, Partition
from streams.tracing import require, wire
from streams.tracing.attempts import LastAttempts
from streams.tracing.edges import put_before_ours
from streams.tracing.spans import fail
from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import headers_of
from tests.tracing.conftest import MAKER, PARENT, TRACE, Made, Traced, id_of, parent_of, told, trace_of
from tests.waiting import eventually

SPAN = SpanContext(int(TRACE, 16), int(MAKER, 16), is_remote=True, trace_flags=TraceFlags(1))


def test_a_span_speaks_the_words_of_the_conventions(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """Name, kind and attributes, of runs, of what is made, and of what is sent."""
    orders, invoices = topic(), topic()

    @app.on(orders)
    def charge(_value: bytes, ctx: Context) -> None:
        ctx.send(invoices, b"{}", key="k")

    traced.work_off(app, orders, [(b"a", b"1", [("ce_id", b"event-7")])])
    run, create, send = made.one("process"), made.one("create"), made.one("send")
    always: dict[str, Any] = {"messaging.system": "kafka"}

    assert (run.name, run.kind) == (f"process {orders}", SpanKind.CONSUMER)
    assert run.attributes == always | {
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": orders,
        "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": app.group,
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "a",
        "messaging.message.id": "event-7",
        "streams.attempt": 1,
        "streams.outcome": "done",
    }
    assert (create.name, create.kind) == (f"create {invoices}", SpanKind.PRODUCER)
    assert create.attributes == always | {
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": invoices,
        "messaging.kafka.message.key": "k",
    }
    assert (send.name, send.kind) == (f"send {invoices}", SpanKind.CLIENT)
    assert told(send, "messaging.operation.type") == "send"
    assert told(send, "messaging.kafka.offset") == 0


def test_batches_and_commits_are_spans_where_all_is_wanted(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """One for each batch that was read, and one for each commit that moved something; else neither."""
    orders = topic()

    @app.on(orders)
    def charge(_value: bytes) -> None: ...

    traced.work_off(app, orders, [(b"a", b"1"), (b"a", b"2")])
    without = made.all("poll") + made.all("commit")
    traced.work_off(app, orders, [(b"a", b"3"), (b"a", b"4")], tracing="all")
    polls, commits = made.all("poll"), made.all("commit")

    assert not without
    assert sum(told(span, "messaging.batch.message_count") for span in polls) == 2
    assert {(span.kind, told(span, "messaging.operation.type")) for span in polls} == {(SpanKind.CLIENT, "receive")}
    assert told(commits[-1], "messaging.kafka.offset") == 4
    assert {(span.kind, told(span, "messaging.operation.type")) for span in commits} == {(SpanKind.CLIENT, "settle")}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        PARENT.replace(b"00-", b"ff-"),
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        PARENT[:-3],
    ],
)
def test_what_is_no_context_is_ignored(value: bytes) -> None:
    """Whoever wrote it: there is no maker then."""
    assert wire.context_in([("traceparent", value), ("tracestate", b"a=b")]) is None


def test_an_invalid_traceparent_costs_a_record_nothing(traced: Traced, topic: Topics, app: App, made: Made) -> None:
    """It runs as any other, and begins a trace."""
    orders = topic()

    @app.on(orders)
    def charge(_value: bytes) -> None: ...

    summary = traced.work_off(app, orders, [(b"a", b"1", [("traceparent", b"00-nonsense-01")])])
    span = made.one(f"process {orders}")

    assert summary.totals.done == 1
    assert parent_of(span) is None
    assert not span.links


def test_the_bare_header_counts_before_that_of_the_event() -> None:
    """Tracing agents write the bare one; without it the event's own counts."""
    other = PARENT.replace(MAKER.encode(), b"1" * 16)
    both: Headers = [("ce_traceparent", other), ("traceparent", PARENT)]

    assert wire.context_in(both) == wire.context_in([("traceparent", PARENT)])
    assert wire.context_in([("ce_traceparent", other), ("ce_tracestate", b"a=b")]) is not None
    assert wire.context_in([("tenant", b"seven")]) is None


def test_a_context_is_read_as_it_was_written() -> None:
    """There and back, by itself and among headers."""
    headers: Headers = [("ce_specversion", b"1.0"), ("ce_traceparent", b"old"), ("tenant", b"seven")]
    wire.put(headers, SPAN)

    assert wire.written(SPAN) == PARENT
    assert wire.read(PARENT) == SPAN
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("tenant", b"seven"),
        ("traceparent", PARENT),
        ("ce_traceparent", PARENT),
    ]


def test_the_header_of_the_last_attempt_stands_before_ours() -> None:
    """Where the engine does not look for its own; written again it is written over."""
    headers: Headers = [("tenant", b"seven"), (HEADER, b"packed"), ("streams-error", b"{}")]
    put_before_ours(headers, b"first")
    put_before_ours(headers, b"second")

    assert headers == [
        ("tenant", b"seven"),
        (TRACE_HEADER, b"second"),
        (HEADER, b"packed"),
        ("streams-error", b"{}"),
    ]


def test_only_so_many_attempts_are_remembered() -> None:
    """The oldest is forgotten first; what goes with a partition, at once; what failed here is not told otherwise."""
    known = LastAttempts(most=2)
    other = SpanContext(1, 2, is_remote=True)
    for offset in range(3):
        known.failed(("orders", offset % 2, offset), SPAN)
    known.found(("orders", 0, 2), other)

    assert [known.of(("orders", offset % 2, offset)) for offset in range(3)] == [None, SPAN, SPAN]

    known.forget_all([Partition("orders", 1)])
    known.forget(("orders", 0, 2))
    known.forget(("orders", 0, 2))

    assert [known.of(("orders", offset % 2, offset)) for offset in range(3)] == [None, None, None]


def test_an_error_whose_text_fails_is_told_by_its_class(made: Made) -> None:
    """A user's class may raise anything when it is put into words; the record must not suffer."""

    class WordlessError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    with trace.get_tracer("mine").start_as_current_span("failing") as span:
        fail(span, WordlessError())

    assert str(told(made.one("failing"), "error.type")).endswith("WordlessError")


def _page(port: int, kind: str) -> str:
    """What a scraper gets that asks for *kind*."""
    request = urllib.request.Request(f"http://{HOST}:{port}/metrics", headers={"Accept": kind})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own page
        return str(answer.read().decode())


def test_exemplars_name_the_trace_where_openmetrics_is_asked_for(
    traced: Traced, topic: Topics, app: App, made: Made
) -> None:
    """A bucket of the histograms names the latest run; the plain text names none."""
    orders, (port,) = topic(), free_ports(1)
    names = ("streams_handler_seconds_bucket", "streams_end_to_end_latency_seconds_bucket")
    pages: list[str] = []

    @app.on(orders)
    def charge(value: bytes) -> None:
        if value == b"look":  # while it looks the others are told of
            eventually(lambda: all(f"{name}{{" in _exemplified(port) for name in names))
            pages.extend(_page(port, kind) for kind in (_OPENMETRICS, "text/plain"))

    traced.work_off(app, orders, [(b"a", b"1"), (b"b", b"2"), (b"c", b"look")], metrics_port=port)
    lines = [line for line in pages[0].splitlines() if "# {" in line]
    ids = {f'trace_id="{trace_of(span)}"' for span in made.all("process")}

    assert {line.partition("{")[0] for line in lines} == set(names)
    assert all(any(one in line for one in ids) for line in lines)
    assert "# {" not in pages[1]


_OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def _exemplified(port: int) -> str:
    """The lines that name a trace."""
    return "\n".join(line for line in _page(port, _OPENMETRICS).splitlines() if "# {" in line)


def test_produce_begins_the_trace(traced: Traced, topic: Topics, app: App, made: Made, tmp_path: Path) -> None:
    """`streams produce` with tracing on makes each record in a span of its own; without, no header is added."""
    orders, lines = topic(), tmp_path / "orders.jsonl"
    lines.write_text('{"id": "a"}\n')
    shell = Shell(traced.bench.bootstrap)

    @app.on(orders)
    def charge(_value: bytes) -> None: ...

    shell(f"produce {orders} --file {lines} --key id", STREAMS_TRACING="on")
    shell(f"produce {orders} --file {lines} --key id")
    first, second = map(headers_of, traced.bench.read(orders))
    traced.run(app)
    create, run = made.one(f"create {orders}"), made.all(f"process {orders}")[0]

    assert [name for name, _ in first] == ["traceparent"]
    assert not second
    assert parent_of(run) == id_of(create)


def test_who_does_not_trace_does_not_load_opentelemetry(
    traced: Traced, topic: Topics, group: Callable[..., str]
) -> None:
    """A process in which it can't be imported runs an app as any other does."""
    orders = topic()
    traced.bench.write(orders, [(b"a", b"1"), (b"a", b"2")], partition=0)
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import streams, streams.cli.produce, streams.cli.run, streams.service as service\n"
        "from streams.engine.ending import Until\n"
        f"app = streams.App({group()!r}, bootstrap={traced.bench.bootstrap!r})\n"
        f"app.on({orders!r})(lambda value: None)\n"
        "print(service.run(app, app.settings, Until(settled=True)).totals.done)\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["2", "[]"]


def test_a_run_without_tracing_takes_no_other_way(
    traced: Traced, topic: Topics, app: App, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Routes and edges are those that would be there were there no tracing, and no span is made."""
    orders = topic()
    given: list[Any] = []

    class Seen(Member):
        def __init__(self, settings: Settings, routes: Any, *rest: Any, **more: Any) -> None:
            given.extend((type(routes[orders]), more["reader"], more["producer"]))
            super().__init__(settings, routes, *rest, **more)

    monkeypatch.setattr("streams.service.Member", Seen)

    @app.on(orders)
    def charge(_value: bytes) -> None: ...

    traced.work_off(app, orders, [(b"a", b"1")], tracing="off")

    assert given == [type(app.routes[orders]), None, None]
    assert not made.all()


def test_without_opentelemetry_tracing_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start says what to install."""
    monkeypatch.setattr("streams.tracing.find_spec", lambda _name: None)

    with pytest.raises(ConfigError, match=r"streams\[otel\]"):
        require()


def test_tracing_has_three_positions() -> None:
    """Anything else is refused."""
    with pytest.raises(ConfigError, match="tracing"):
        Settings(bootstrap="localhost:9092", group="billing", tracing="yes").checked()  # type: ignore[arg-type]
