"""A handler on the poll thread that runs longer than the group waits for a poll: another member takes over, whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams import App, Record
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered
from tests.waiting import eventually

_LONG = 3
"""Offset of the record that takes too long."""


@pytest.mark.chaos
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_an_inline_handler_past_the_poll_interval(
    protocol: str, bench: Bench, topic: Topics, group: Callable[..., str], injected: Injected
) -> None:
    """What it had not begun it does not begin any more; its one record runs again, and all are done in order."""
    orders, name, first_ran, second_ran = topic(), group(), list[int](), list[int]()
    first_app, second_app = App(name), App(name)

    @first_app.on(orders, run="inline")
    def slow(record: Record) -> None:
        first_ran.append(record.offset)
        if record.offset == _LONG:
            eventually(lambda: _LONG in second_ran, within_s=60)

    @second_app.on(orders, run="inline")
    def swift(record: Record) -> None:
        second_ran.append(record.offset)

    kafka = {"max.poll.interval.ms": "7000"}
    bench.write(orders, numbered(20))
    first = bench.run(first_app, protocol=protocol, drain_s=2.0, kafka=kafka)
    first.until(lambda: _LONG in first_ran)
    begun = len(first_ran)
    second = bench.run(second_app, protocol=protocol, drain_s=2.0, kafka=kafka)
    second.until(lambda: len(second_ran) >= 20 - _LONG, within_s=60)
    second.settled()
    injected(10, times=1, members=1, in_flight=begun - _LONG)

    assert first_ran == list(range(_LONG + 1))
    assert second_ran == list(range(second_ran[0], 20))
    assert second_ran[0] <= _LONG
