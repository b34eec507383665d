"""The control: a bare loop of the client over the same records, on the same settings.

It does what any program must do to have the records in its hands, and nothing
of what makes a group's member: no group, no lanes, no ledger, no commits, no
metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from streams.bench.apps import note_age
from streams.bench.meter import Reading, resident_bytes
from streams.bench.records import bulk_sender, require_all_sent
from streams.bench.task import Outcome, Task
from streams.bench.work import Order, Till, spin
from streams.codec import codec_for, encode_value, loads
from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.bare import BareReader
from streams.kafka.message import KEY, VALUE, Message
from streams.record import Partition

_AT_ONCE: Final = 500
_SILENCE_S: Final = 30.0


def run_control(settings: Settings, task: Task) -> Outcome:
    """Read the topic of *task* in a bare loop."""
    reader = BareReader(settings, [Partition(task.topic, number) for number in range(task.partitions)])
    try:
        if task.handler == "stamped":
            return _ages(reader, task.records or 0)
        return _read(reader, task.records or 0, _work(settings, task))
    finally:
        reader.close()


@dataclass(frozen=True)
class _Work:
    """What is done with a batch, and at the end."""

    do: Callable[[list[Message]], None]
    finish: Callable[[], None] = lambda: None


def _read(reader: BareReader, records: int, work: _Work) -> Outcome:
    batch = _first(reader)
    begin, seen = Reading.now(), 0
    while True:
        seen += len(batch)
        work.do(batch)
        if seen >= records:
            break
        batch = reader.consume(min(_AT_ONCE, records - seen), 1.0)  # the client waits until it has as many
    work.finish()
    return begin.until(Reading.now(), seen, resident_bytes=resident_bytes())


def _ages(reader: BareReader, records: int) -> Outcome:
    """Note how old each record is when it is in hand: one is awaited, then what else has arrived is taken."""
    ages_ms: list[float] = []
    batch = _first(reader)
    begin, seen = Reading.now(), 0
    while True:
        seen += len(batch)
        for value in map(loads, map(cast("Callable[[Message], bytes]", VALUE), batch)):
            note_age(value, ages_ms)
        if seen >= records:
            break
        batch = reader.consume(1, 1.0)
        batch += reader.consume(_AT_ONCE - 1, 0)
    outcome = begin.until(Reading.now(), seen, resident_bytes=resident_bytes())
    return msgspec.structs.replace(outcome, latencies_ms=ages_ms)


def _first(reader: BareReader) -> list[Message]:
    give_up = time.monotonic() + _SILENCE_S
    while time.monotonic() < give_up:
        if batch := reader.consume(_AT_ONCE, 0.1):
            return batch
    raise BrokerError(f"the control got no record within {_SILENCE_S:g} s; nothing was measured")


def _work(settings: Settings, task: Task) -> _Work:
    """Give what is done with a batch: what the engine's handler of the same name gets done for it."""
    match task.handler:
        case "json":
            return _Work(_decoding())
        case "cpu50":
            return _Work(lambda batch: _compute(batch, task.turns))
        case "real":
            return _serving(settings, task.events)
    return _Work(lambda _batch: None)


def _decoding() -> Callable[[list[Message]], None]:
    decode = cast("Callable[[Any], Any]", codec_for(dict).raw_decode)

    def decode_all(batch: list[Message]) -> None:
        for value in map(VALUE, batch):
            decode(value)

    return decode_all


def _compute(batch: list[Message], turns: int) -> None:
    for _ in batch:
        spin(turns)


def _serving(settings: Settings, events: str) -> _Work:
    """As ``real``, by hand: the events have no headers, and are acknowledged when all is done."""
    decode = cast("Callable[[Any], Order]", codec_for(Order).raw_decode)
    till, sender = Till(), bulk_sender(settings, events)

    def serve(batch: list[Message]) -> None:
        for message in batch:
            event = till.event(decode(VALUE(message)))
            sender.send(0, KEY(message), encode_value(event)[0])

    return _Work(serve, lambda: require_all_sent(sender, events))
