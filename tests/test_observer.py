"""What the engine tells, and who hears it."""

from __future__ import annotations

import pytest

from streams.observer import Observer, Observers, PartitionView
from streams.record import Partition

ORDERS = Partition("orders", 0)


class Written(Observer):
    """Writes down the two events it cares about."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self._name = name
        self._lines = lines

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        self._lines.append(f"{self._name} consumed {records} of {partition}")

    def broker_error(self, text: str, *, fatal: bool) -> None:
        self._lines.append(f"{self._name} heard {text}, fatal {fatal}")


def view(*, position: int = -1, committed: int = -1, end: int = -1, caught_up: bool = False) -> PartitionView:
    """A partition of which only its place in the log matters."""
    return PartitionView(
        partition=ORDERS,
        position=position,
        committed=committed,
        high_watermark=end,
        outstanding=0,
        retrying=0,
        behind=0,
        oldest_ms=-1,
        ledger_used=0.0,
        commit_age_s=0.0,
        caught_up=caught_up,
    )


@pytest.mark.parametrize("nested", [False, True])
def test_every_observer_hears_in_order(*, nested: bool) -> None:
    """Each observer is told each event it overrides, in the order given, in groups of groups too."""
    lines: list[str] = []
    inner = (Written("second", lines), Observer())
    observers = Observers(Written("first", lines), *((Observers(*inner),) if nested else inner))

    observers.consumed(ORDERS, 2, 100)
    observers.broker_error("down", fatal=True)
    observers.resumed(ORDERS)

    assert lines == [
        "first consumed 2 of orders/0",
        "second consumed 2 of orders/0",
        "first heard down, fatal True",
        "second heard down, fatal True",
    ]


@pytest.mark.parametrize(
    ("place", "unread"),
    [
        (view(position=40, committed=10, end=100), 60),
        (view(committed=10, end=100), 90),
        (view(position=90, end=100, caught_up=True), 0),
        (view(position=100, end=80), 0),
        (view(end=100), None),
        (view(position=40), None),
    ],
    ids=["read up to 40", "not read yet", "only markers left", "older watermark", "no place", "no end"],
)
def test_unread_is_what_lies_between_the_place_and_the_end(place: PartitionView, unread: int | None) -> None:
    """Unread offsets run from the position, or the committed offset before it, to the end; unknown is None, not 0."""
    assert place.unread == unread
