"""Members that trace, and the spans that they made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streams import App
from streams.engine.ending import Until
from streams.service import Summary, run
from tests.brokers import Kafka, Topics
from tests.path.members import Bench, Written

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
MAKER: Final = "b7ad6b7169203331"
PARENT: Final = f"00-{TRACE}-{MAKER}-01".encode()
"""What somebody else wrote who made a record."""


class Made:
    """The spans that ended since the test began."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self, name: str = "") -> list[ReadableSpan]:
        """Those whose name begins with *name*, in the order in which they began."""
        found = [span for span in self._exporter.get_finished_spans() if span.name.startswith(name)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str) -> ReadableSpan:
        """The only one of that name."""
        (span,) = self.all(name)
        return span


def id_of(span: ReadableSpan) -> str:
    """The span's own id."""
    return f"{span.get_span_context().span_id:016x}"  # type: ignore[union-attr]  # it has ended


def trace_of(span: ReadableSpan) -> str:
    """The id of its trace."""
    return f"{span.get_span_context().trace_id:032x}"  # type: ignore[union-attr]


def parent_of(span: ReadableSpan) -> str | None:
    """The id of its parent."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links_of(span: ReadableSpan) -> set[str]:
    """The ids of what it links to."""
    return {f"{link.context.span_id:016x}" for link in span.links}


def told(span: ReadableSpan, name: str) -> Any:
    """One of its attributes."""
    return (span.attributes or {}).get(name)


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Where all spans of this process go."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def made(exporter: InMemorySpanExporter) -> Made:
    """No span yet."""
    exporter.clear()
    return Made(exporter)


class Traced:
    """Members of an app, as `streams run` runs them, with tracing on."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def settings(self, app: App, **more: Any) -> Any:
        """What a member is run with."""
        chosen = {"bootstrap": self.bench.bootstrap, "commit_every_s": 0.1, "session_timeout_s": 6.0, "tracing": "on"}
        return app.settings.over(**(chosen | more))

    def run(self, app: App, until: Until | None = None, **more: Any) -> Summary:
        """Run one here until all is settled."""
        return run(app, self.settings(app, **more), until or Until(settled=True))

    def work_off(self, app: App, topic: str, records: Sequence[Written], **more: Any) -> Summary:
        """Write *records* to *topic*, and run a member until they are settled."""
        self.bench.write(topic, records, partition=0)
        return self.run(app, **more)

    def run_beside(self, app: App, until: Until) -> Beside:
        """Run one beside the test."""
        return Beside(lambda: self.run(app, until))


class Beside:
    """A member in a thread of its own."""

    def __init__(self, work: Callable[[], Summary]) -> None:
        self._work = work
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def await_end(self) -> None:
        """Wait until it has ended, well."""
        self._thread.join(60)

        assert not self._thread.is_alive()
        assert self.error is None


@pytest.fixture
def bench(kafka: Kafka, topic: Topics) -> Iterator[Bench]:
    """A broker on which members run."""
    bench = Bench(kafka, topic)
    yield bench
    bench.end()


@pytest.fixture
def traced(bench: Bench) -> Traced:
    """Members that trace."""
    return Traced(bench)


@pytest.fixture
def app(group: Callable[..., str]) -> App:
    """An app whose group no other test has."""
    return App(group())


def now_ms() -> int:
    """The time as Kafka writes it."""
    return int(time.time() * 1000)
