"""The schemas that ship with the project, held against its real data."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from examples.flights.events import events, timeline
from examples.flights.timetable import month
from streams.codec import dumps, loads
from streams.contracts import Compatibility, Registry, check

SCHEMAS = Path(__file__).parents[2] / "schemas"


def test_nothing_is_wrong_with_them() -> None:
    """Each schema is one, each example valid, each version bearable for its readers."""
    assert [each for each in check(SCHEMAS, Compatibility.FORWARD_TRANSITIVE) if each.faults] == []


@pytest.mark.parametrize("kind", ["scheduled", "departed", "landed", "cancelled"])
def test_a_flight_without_a_tail_number_is_refused(kind: str) -> None:
    """Who flew can't be told: the row is dirty, and the schema says why."""
    schema = Registry(SCHEMAS).subject(f"flight.{kind}").newest
    example = loads((SCHEMAS / f"flight.{kind}" / "example.json").read_bytes())

    assert schema.faults(example | {"tail": None}) == ['/tail: value is not of type "string", got null']
    assert schema.faults({name: value for name, value in example.items() if name != "tail"})
    assert schema.faults(example | {"tail": ""})


def test_the_schemas_refuse_the_dirty_rows_and_no_others() -> None:
    """Of three days of real flights, exactly the events are invalid that nobody can follow."""
    registry = Registry(SCHEMAS)
    flights = list(islice(month(), 2_700))
    wrong = []
    for event in events(timeline(flights)):
        schema = registry.subject(f"flight.{event.kind}").newest
        if schema.is_valid(loads(dumps(event))) != (event.fault is None):
            wrong.append((event, schema.faults(loads(dumps(event)))))

    assert wrong == []
