"""Puts the events in, and writes down what the broker acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, Final, TypeAlias

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from examples.flights.events import TOPIC, FlightEvent

Headers: TypeAlias = list[tuple[str, str | bytes | None]]

_WITHIN_S: Final = 60.0
_UNDER_WAY: Final = 20_000
"""Events sent and not acknowledged, at most."""


class Feed:
    """Sends events into the topic, in a thread of its own.

    Always true: an event stands in the file if and only if the broker
    acknowledged it; once `result` has returned, that is all of them.
    """

    def __init__(self, bootstrap: str, accepted: Path) -> None:
        settings = {"enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4", "log_level": 0}
        self._producer = Producer({"bootstrap.servers": bootstrap, **settings})
        self._accepted = accepted
        self._ends: dict[int, int] = {}
        self._result: Future[dict[int, int]] = Future()

    def start(self, events: Iterable[FlightEvent]) -> None:
        """Begin to send *events*, in their order."""
        Thread(target=self._run, args=(events,), daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether `result` has an answer."""
        return self._result.done()

    def result(self) -> dict[int, int]:
        """Wait until all are acknowledged, and give the offset behind the last event of each partition.

        Raises:
            OSError: The broker refused one, or did not answer.
        """
        return self._result.result()

    def _run(self, events: Iterable[FlightEvent]) -> None:
        try:
            self._send(events)
            self._result.set_result(self._ends)
        except Exception as error:  # noqa: BLE001  # whoever asks for the result gets it
            self._result.set_exception(error)

    def _send(self, events: Iterable[FlightEvent]) -> None:
        encode = msgspec.json.Encoder().encode
        with self._accepted.open("w") as file:
            for event in events:
                while len(self._producer) > _UNDER_WAY:
                    self._producer.poll(0.1)
                headers: Headers = [*event.envelope.to_headers()]
                noted = partial(self._note, file, event)
                self._producer.produce(TOPIC, encode(event), event.key, headers=headers, on_delivery=noted)
            if missing := self._producer.flush(_WITHIN_S):
                raise OSError(f"the broker did not acknowledge {missing} events within {_WITHIN_S:g} s")

    def _note(self, file: IO[str], event: FlightEvent, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise OSError(f"the broker refused {event.id}: {error.str()}")
        partition, offset = message.partition() or 0, message.offset() or 0
        self._ends[partition] = offset + 1
        file.write(json.dumps([event.id, event.tail, event.seq, partition, offset]) + "\n")
