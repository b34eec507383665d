"""One call of a handler as a span: from before its bytes are decoded until it has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode, set_span_in_context

from streams.engine.context import Sends
from streams.engine.route import Ended
from streams.errors import DecodeError
from streams.kafka.message import KEY, VALUE, Message
from streams.outcome import DeadLetter, Outcome, Retry, Skip, Stop
from streams.record import Headers, headers_of
from streams.tracing.attempts import LastAttempts, Place, place_of
from streams.tracing.spans import OUTCOME, Exemplify, Spans, fail, key_text
from streams.tracing.wire import context_in


@dataclass(frozen=True)
class Tracer:
    """What every run needs."""

    spans: Spans
    attempts: LastAttempts
    exemplify: Exemplify


class Run:
    """A span that is the current one while its handler runs, in one thread or task.

    Its parent is who made the record, which is a link of it too; where nobody
    says who did, it is the attempt before it, if there was one.  Of a batch the
    makers are links alone.
    """

    def __init__(self, tracer: Tracer, topic: str, messages: Sequence[Message], attempt: int | None = None) -> None:
        """Prepare a run on *messages* of *topic*; *attempt*, from 1, of a single one."""
        self._tracer = tracer
        self._topic = topic
        self._messages = messages
        self._attempt = attempt
        self._places: list[Place] = [place_of(message) for message in messages]

    def __enter__(self) -> Self:
        """Begin."""
        self._span = span = self._begin()
        self._token: Token[Context] = attach(set_span_in_context(span))
        self._age_s: float | None = None
        self._began_s = time.monotonic()
        return self

    def _begin(self) -> Span:
        spans, attempts = self._tracer.spans, self._tracer.attempts
        headers = [_headers(message) for message in self._messages]
        makers = [context_in(one) for one in headers]
        before = [attempts.of(place) for place in self._places]
        links = [Link(one) for one in (*makers, *before) if one is not None]
        if len(self._messages) > 1:
            return spans.process(self._topic, None, links, partition=self._partition(), count=len(self._messages))
        message = self._messages[0]
        return spans.process(
            self._topic,
            makers[0] or before[0],
            links,
            partition=str(self._places[0][1]),
            offset=self._places[0][2],
            key=key_text(KEY(message)),
            tombstone=VALUE(message) is None or None,
            id=_id(headers[0]),
            attempt=self._attempt,
        )

    def _partition(self) -> str | None:
        numbers = {place[1] for place in self._places}
        return str(numbers.pop()) if len(numbers) == 1 else None

    def ended(self, outcome: Ended) -> Ended:
        """Note what the run on a single record ended in; what it sends was made in it.  Gives *outcome* back."""
        if isinstance(outcome, Sends):
            self._tracer.spans.created(outcome.records)
            self._note(0, outcome.outcome)
        else:
            self._note(0, outcome)
        return outcome

    def ended_all(self, outcomes: list[Outcome | None]) -> list[Outcome | None]:
        """Note what a batch ended in, one outcome a record.  Gives *outcomes* back."""
        for at, outcome in enumerate(outcomes):
            self._note(at, outcome)
        return outcomes

    def _note(self, at: int, outcome: Outcome | None) -> None:
        span, place = self._span, self._places[at]
        if isinstance(outcome, Retry | DeadLetter):
            self._tracer.attempts.failed(place, span.get_span_context())
            span.set_attribute(OUTCOME, "retry" if isinstance(outcome, Retry) else "dead_letter")
            if isinstance(outcome.cause, Exception):  # else it is no outcome, and the route says so
                fail(span, outcome.cause)
            return
        self._tracer.attempts.forget(place)
        if len(self._messages) == 1:
            span.set_attribute(OUTCOME, "skipped" if isinstance(outcome, Skip) else "done")
        self._age_s = time.time() - self._messages[at].timestamp()[1] / 1000

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """End, with *error* where the handler raised."""
        took_s = time.monotonic() - self._began_s
        detach(self._token)
        if isinstance(error, Stop):
            self.ended(error.outcome)
        elif error is not None:
            self._raised(error)
        self._span.end()
        found: SpanContext = self._span.get_span_context()
        if found.is_valid and found.trace_flags.sampled:
            ids = {"trace_id": f"{found.trace_id:032x}", "span_id": f"{found.span_id:016x}"}
            self._tracer.exemplify(self._topic, took_s / len(self._messages), self._age_s, ids)

    def _raised(self, error: BaseException) -> None:
        if len(self._messages) == 1 and isinstance(error, DecodeError) and VALUE(self._messages[0]) is None:
            self._span.set_attribute(OUTCOME, "skipped")  # a tombstone that the handler did not ask for
            return
        for place in self._places:
            self._tracer.attempts.failed(place, self._span.get_span_context())
        fail(self._span, error)
        if len(self._messages) > 1:
            self._span.set_status(Status(StatusCode.ERROR, "its records run one by one"))


def _headers(message: Message) -> Headers:
    try:
        return headers_of(message)
    except DecodeError:
        return []


def _id(headers: Headers) -> str | None:
    """Give the id that CloudEvents has for the record."""
    return next((value.decode(errors="replace") for name, value in headers if name == "ce_id" and value), None)
