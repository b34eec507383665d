"""The spans, by OpenTelemetry's conventions for messaging: create, send, receive, process, settle.

Names and attributes are those of the conventions for Kafka; what these have no
word for begins with ``streams.``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Final, TypeAlias

from opentelemetry.trace import (
    Link,
    ProxyTracerProvider,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_tracer,
    get_tracer_provider,
)

from streams.engine.context import Send
from streams.engine.partition import Move, offset_of
from streams.engine.relocation import Errand
from streams.record import Headers, Partition
from streams.tracing.wire import PARENT, as_parent, context_in, put

Attributes: TypeAlias = dict[str, str | int | bool]

ATTEMPT: Final = "streams.attempt"
"""Which run of its record it is, from 1."""
OUTCOME: Final = "streams.outcome"
"""What it ended in: done, skipped, retry or dead_letter; absent where it raised."""
ORIGIN: Final = "streams.origin.offset"
"""Of a copy: the offset of the record in its source."""
ERROR: Final = "error.type"

Exemplify: TypeAlias = Callable[[str, float, float | None, Mapping[str, str]], None]
"""Takes a run's trace: topic, seconds, the record's age at its end where it ended well, trace and span id."""


def no_provider() -> bool:
    """Say whether nobody has set a tracer provider yet: until somebody does no span is recorded."""
    return isinstance(get_tracer_provider(), ProxyTracerProvider)


def attributes(operation: str, kind: str, topic: str, **more: str | int | bool | None) -> Attributes:
    """Give the attributes that every span has, and *more*, by the short names of `_NAMES`, but for what is None."""
    found: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": topic,
    }
    found.update({_NAMES[name]: value for name, value in more.items() if value is not None})
    return found


_NAMES: Final = {
    "group": "messaging.consumer.group.name",
    "partition": "messaging.destination.partition.id",
    "offset": "messaging.kafka.offset",
    "key": "messaging.kafka.message.key",
    "tombstone": "messaging.kafka.message.tombstone",
    "id": "messaging.message.id",
    "count": "messaging.batch.message_count",
    "attempt": ATTEMPT,
}


def class_of(error: BaseException) -> str:
    """Name the class of *error* as `error.type` wants it."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def fail(span: Span, error: BaseException) -> None:
    """Mark *span* as failed by *error*."""
    span.set_attribute(ERROR, class_of(error))
    span.set_status(Status(StatusCode.ERROR, class_of(error)))
    try:
        span.record_exception(error)
    except Exception:  # noqa: BLE001  # a user's class may raise anything when it is put into words
        span.add_event("exception", {"exception.type": class_of(error)})


def key_text(key: bytes | None) -> str | None:
    """Give a Kafka key as text; None where it has no such form."""
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None


class Spans:
    """Makes spans for one group.  From any thread."""

    def __init__(self, group: str) -> None:
        """Make them through the tracer provider that is set, now or later."""
        self.group = group
        self._tracer = get_tracer("streams", version("streams"))

    def process(
        self, topic: str, parent: SpanContext | None, links: list[Link], **more: str | int | bool | None
    ) -> Span:
        """Begin a run of a handler."""
        return self._tracer.start_span(
            f"process {topic}",
            as_parent(parent),
            SpanKind.CONSUMER,
            attributes("process", "process", topic, group=self.group, **more),
            links,
        )

    def create(self, topic: str, key: bytes | None, headers: Headers) -> None:
        """Note that a record is made in the current span; its headers carry that.  One of the maker's own stays."""
        if any(name == PARENT for name, _ in headers):
            return
        span = self._tracer.start_span(
            f"create {topic}",
            kind=SpanKind.PRODUCER,
            attributes=attributes("create", "create", topic, key=key_text(key)),
        )
        span.end()
        if span.get_span_context().is_valid:
            put(headers, span.get_span_context())

    def created(self, sends: list[Send]) -> None:
        """Note that a handler has made *sends*."""
        for one in sends:
            self.create(one.topic, one.key, one.headers)

    def send(self, errand: Errand, last: SpanContext | None) -> Span:
        """Begin sending what an outcome leads to: a handler's own record, or a copy after the *last* attempt."""
        made = context_in(errand.headers)
        what = attributes("send", "send", errand.topic, key=key_text(errand.key))
        if isinstance(errand.what, Move):
            what[ORIGIN] = offset_of(errand.what.item)
        links = [Link(made)] if made is not None else []
        return self._tracer.start_span(f"send {errand.topic}", as_parent(last or made), SpanKind.CLIENT, what, links)

    def sent(self, span: Span, errand: Errand) -> None:
        """End it with its fate."""
        if errand.fate == "stored":
            span.set_attribute("messaging.kafka.offset", errand.offset)
        else:
            span.set_attribute(ERROR, errand.error)
            span.set_status(Status(StatusCode.ERROR, f"{errand.fate}: {errand.error}"))
        span.end()

    def received(self, partition: Partition, records: int) -> None:
        """Note a batch; how long it was waited for nobody knows, so the span has no length."""
        what = attributes(
            "poll", "receive", partition.topic, group=self.group, partition=str(partition.number), count=records
        )
        self._tracer.start_span(f"poll {partition.topic}", as_parent(None), SpanKind.CLIENT, what).end()

    def settled(self, partition: Partition, offset: int, took_s: float) -> None:
        """Note a commit that the broker has just acknowledged."""
        what = attributes(
            "commit", "settle", partition.topic, group=self.group, partition=str(partition.number), offset=offset
        )
        began_ns = time.time_ns() - int(took_s * 1e9)
        name, root = f"commit {partition.topic}", as_parent(None)
        self._tracer.start_span(name, root, SpanKind.CLIENT, what, start_time=began_ns).end()
