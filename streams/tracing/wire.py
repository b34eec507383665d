"""Trace context in the headers of records: W3C's ``traceparent`` and ``tracestate``, and CloudEvents' of the same.

What is read: the bare headers, as tracing agents write them, else ``ce_traceparent`` and
``ce_tracestate``.  What is no valid context is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.record import Headers

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
_EVENT: Final = "ce_"
_OURS: Final = frozenset({PARENT, STATE, _EVENT + PARENT, _EVENT + STATE})
_W3C: Final = TraceContextTextMapPropagator()


def context_in(headers: Headers) -> SpanContext | None:
    """Give the context in which a record was made; None where its headers name no valid one."""
    texts = {name: value.decode(errors="replace") for name, value in headers if value and name in _OURS}
    if not texts:
        return None
    prefix = "" if PARENT in texts else _EVENT
    return _read({PARENT: texts.get(prefix + PARENT, ""), STATE: texts.get(prefix + STATE, "")})


def read(value: bytes | None) -> SpanContext | None:
    """Read one ``traceparent``."""
    return _read({PARENT: value.decode(errors="replace")}) if value else None


def written(span: SpanContext) -> bytes:
    """Give *span* as a ``traceparent``."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}".encode()


def put(headers: Headers, span: SpanContext) -> None:
    """Make *span* the context in which the record of *headers* was made."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(NonRecordingSpan(span), Context()))
    is_event = any(name == _EVENT + "specversion" for name, _ in headers)
    headers[:] = [(name, value) for name, value in headers if name not in _OURS]
    for name, text in carrier.items():
        headers.append((name, text.encode()))
        if is_event:
            headers.append((_EVENT + name, text.encode()))


def as_parent(span: SpanContext | None) -> Context:
    """Give the surroundings in which a child of *span* is made; of None, a root."""
    return Context() if span is None else set_span_in_context(NonRecordingSpan(span), Context())


def _read(carrier: Mapping[str, str]) -> SpanContext | None:
    span = get_current_span(_W3C.extract(carrier, Context())).get_span_context()
    return span if span.is_valid else None
