"""The edges at which records of the chain leave and come back, with what their copies say of the last attempt."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.trace import Span

from streams.config import Settings
from streams.engine.chain import HEADER, TRACE_HEADER, packed_in, read
from streams.engine.partition import Move
from streams.engine.relocation import Errand, Ticket
from streams.errors import DecodeError, LedgerError
from streams.kafka.chainreader import ChainReader
from streams.kafka.message import Message
from streams.kafka.producer import EngineProducer
from streams.record import Headers, headers_of
from streams.tracing import wire
from streams.tracing.attempts import LastAttempts, place_of
from streams.tracing.spans import Spans


class TracedProducer(EngineProducer[Ticket | Move]):
    """Makes a span for each record on its way, and writes into copies which span the last attempt was.

    Owned by the poll thread.
    """

    def __init__(self, settings: Settings, spans: Spans, attempts: LastAttempts) -> None:
        """Connect in the background."""
        super().__init__(settings)
        self._spans = spans
        self._attempts = attempts
        self._under_way: dict[Errand, Span] = {}

    def produce(self, parcels: Sequence[Errand]) -> int:
        """Queue *parcels* as its parent does; one that was not taken comes again, and has its span already."""
        for parcel in parcels:
            if parcel not in self._under_way:
                self._under_way[parcel] = self._begin(parcel)
        return super().produce(parcels)

    def _begin(self, errand: Errand) -> Span:
        last = None
        if isinstance(errand.what, Move):
            last = self._attempts.of(place_of(errand.what.item[0]))
            if last is not None:
                put_before_ours(errand.headers, wire.written(last))
        return self._spans.send(errand, last)

    def acknowledge(self, timeout_s: float = 0) -> list[Errand]:
        """Give the records that have met their fate."""
        answered = super().acknowledge(timeout_s)
        for errand in answered:
            span = self._under_way.pop(errand, None)
            if span is not None:
                self._spans.sent(span, errand)
            if errand.fate == "stored" and isinstance(errand.what, Move):
                self._attempts.forget(place_of(errand.what.item[0]))  # its copy says it now
        return answered


class TracedReader(ChainReader):
    """Hears from copies which span the last attempt was at their records.

    Owned by the poll thread.
    """

    def __init__(self, settings: Settings, attempts: LastAttempts) -> None:
        """Read the cluster of *settings*."""
        super().__init__(settings)
        self._attempts = attempts

    def poll(self, limit: int) -> list[Message]:
        """Give what has arrived."""
        messages = super().poll(limit)
        for message in messages:
            self._hear(message)
        return messages

    def _hear(self, message: Message) -> None:
        try:
            headers = headers_of(message)
            said = next((value for name, value in headers if name == TRACE_HEADER), None)
            span = wire.read(said)
            if span is not None:
                origin = read(packed_in(headers)).origin
                self._attempts.found((origin.topic, origin.partition, origin.offset), span)
        except (DecodeError, LedgerError):  # no copy of ours, which the engine finds too
            return


def put_before_ours(headers: Headers, value: bytes) -> None:
    """Write the last attempt into the headers of a copy: right before ours, which stand last."""
    at = next(at for at in reversed(range(len(headers))) if headers[at][0] == HEADER)
    if at and headers[at - 1][0] == TRACE_HEADER:  # it is sent again
        headers[at - 1] = TRACE_HEADER, value
    else:
        headers.insert(at, (TRACE_HEADER, value))
