"""A producer with an even pace, for latency and for long runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import orjson

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.producer import EngineProducer, Parcel

_SETTLE_WITHIN_S: Final = 30.0


class Pace:
    """Sends values at so many a second until their end, each at its time.

    Where the machine is too slow the values that are late are sent at once,
    with the time at which they are sent: waiting here is no latency of a reader.
    """

    def __init__(self, settings: Settings, topic: str, per_s: float) -> None:
        """Prepare to send to *topic*; nothing waits for a batch to fill."""
        self._producer = EngineProducer[None](settings.over(kafka={**settings.kafka, "linger.ms": "0"}))
        self._topic = topic
        self._per_s = per_s
        self._acknowledged = 0

    def send_all(self, values: Iterator[tuple[bytes, bytes]]) -> int:
        """Send *values*, keys beside them; give how many the broker acknowledged.

        Raises:
            BrokerError: Not all of them were.
        """
        begin, sent = time.monotonic(), 0
        while True:
            self._wait_until(begin + sent / self._per_s)
            pair = next(values, None)  # taken when it is due: some tell the time
            if pair is None:
                break
            while not self._produce(*pair):
                self._acknowledge(0.1)
            sent += 1
        self._await(sent)
        return sent

    def _wait_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            self._acknowledge(left)

    def _produce(self, key: bytes, value: bytes) -> bool:
        return self._producer.produce([Parcel(self._topic, None, key, value, [], None)]) > 0

    def _acknowledge(self, timeout_s: float) -> None:
        self._acknowledged += sum(parcel.fate == "stored" for parcel in self._producer.acknowledge(timeout_s))

    def _await(self, sent: int) -> None:
        give_up = time.monotonic() + _SETTLE_WITHIN_S
        while self._acknowledged < sent:
            if time.monotonic() > give_up:
                raise BrokerError(f"{self._topic} acknowledged {self._acknowledged:,} of {sent:,} records")
            self._acknowledge(0.1)


def stamped_values(count: int, unstamped: int) -> Iterator[tuple[bytes, bytes]]:
    """Give *count* keys and values that tell the time at which they are taken, the first *unstamped* of them 0."""
    for number in range(count):
        at_ns = 0 if number < unstamped else time.time_ns()
        yield b"key-%05d" % (number % 1_000), orjson.dumps({"number": number, "at_ns": at_ns, "note": "x" * 240})
