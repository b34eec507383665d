"""The control: a bare loop of the client over the same records, on the same settings.

It does what any program must do to have the records in its hands, and nothing
of what makes a group's member: no group, no lanes, no ledger, no commits, no
metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from streams.bench.apps import note_age
from streams.bench.meter import Reading, resident_bytes
from streams.bench.task import Outcome, Task
from streams.codec import codec_for, loads
from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.bare import BareReader
from streams.kafka.message import VALUE, Message
from streams.record import Partition

_AT_ONCE: Final = 500
_SILENCE_S: Final = 30.0


def run_control(settings: Settings, task: Task) -> Outcome:
    """Read the topic of *task* in a bare loop."""
    reader = BareReader(settings, [Partition(task.topic, number) for number in range(task.partitions)])
    try:
        if task.handler == "stamped":
            return _ages(reader, task.records or 0)
        return _read(reader, task.records or 0, _work(task))
    finally:
        reader.close()


def _read(reader: BareReader, records: int, work: Callable[[list[Message]], None]) -> Outcome:
    batch = _first(reader)
    begin, seen = Reading.now(), 0
    while True:
        seen += len(batch)
        work(batch)
        if seen >= records:
            break
        batch = reader.consume(_AT_ONCE, 1.0)
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


def _work(task: Task) -> Callable[[list[Message]], None]:
    """Give what is done with a batch: what the engine's handler of the same name gets done for it."""
    if task.handler != "json":
        return lambda _batch: None
    decode = cast("Callable[[Any], Any]", codec_for(dict).raw_decode)

    def decode_all(batch: list[Message]) -> None:
        for value in map(VALUE, batch):
            decode(value)

    return decode_all
