"""Which span the last attempt was at each record in trouble, as far as this member knows."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Final, TypeAlias

from opentelemetry.trace import SpanContext

from streams.kafka.message import Message
from streams.record import Partition

Place: TypeAlias = tuple[str, int, int]
"""Topic, partition and offset of a record as it was first consumed."""

MOST: Final = 50_000
"""Records that are remembered; beyond it the oldest loses its link, and nothing else."""


def place_of(message: Message) -> Place:
    """Name the record that *message* is."""
    number, offset = message.partition(), message.offset()
    return message.topic() or "", -1 if number is None else number, -1 if offset is None else offset


class LastAttempts:
    """Used by the threads of handlers and by the poll thread.

    Always true: of a partition that went to another owner nothing is known,
    as its records may have been tried there.
    """

    def __init__(self, most: int = MOST) -> None:
        """Know of *most* records."""
        self._most = most
        self._known: dict[Place, SpanContext] = {}
        self._lock = Lock()

    def of(self, place: Place) -> SpanContext | None:
        """Give the last attempt at the record of *place*; None where none is known."""
        return self._known.get(place)

    def failed(self, place: Place, span: SpanContext) -> None:
        """Note that *span* was an attempt at the record of *place*, and that there will be another one, or an end."""
        with self._lock:
            self._known.pop(place, None)  # the latest stands last
            self._known[place] = span
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]

    def found(self, place: Place, span: SpanContext) -> None:
        """Note what a copy of the record says; an attempt that was made here since counts more."""
        if place not in self._known:
            self.failed(place, span)

    def forget(self, place: Place) -> None:
        """Note that the record has ended, or that its copy knows now."""
        if place in self._known:
            with self._lock:
                self._known.pop(place, None)

    def forget_all(self, partitions: Iterable[Partition]) -> None:
        """Forget the records of *partitions*."""
        gone = {(partition.topic, partition.number) for partition in partitions}
        with self._lock:
            for place in [place for place in self._known if place[:2] in gone]:
                del self._known[place]
