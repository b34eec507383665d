"""The group's committed offsets are gone, and its chain is not: work repeats in order, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams import App, Record, RetryPolicy
from tests.brokers import Topics, unique
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered

_KEYS = [b"bad", b"a", b"b"]
_COUNT = 30


class Work:
    """A handler that fails one key until it is mended, and notes what ended well."""

    def __init__(self) -> None:
        self.is_mended = False
        self.done = list[tuple[bytes | None, int]]()

    def handle(self, record: Record) -> None:
        if record.key == b"bad" and not self.is_mended:
            raise ValueError("bad")
        self.done.append((record.key, record.offset))


@pytest.mark.parametrize("protocol", ["consumer", pytest.param("classic", marks=pytest.mark.chaos)])
def test_a_group_that_was_forgotten_begins_again(
    protocol: str, bench: Bench, topic: Topics, group: Callable[..., str], injected: Injected
) -> None:
    """Everything runs once more, each key in its order; what waited in the chain comes to one end."""
    orders, work, app = topic(), Work(), App(group(unique("forgotten")))
    app.on(orders, policy="park", retry=RetryPolicy(delays=("5s",), jitter=0, memory_up_to="100ms"))(work.handle)
    bench.write(orders, numbered(_COUNT, _KEYS))
    first = bench.run(app, protocol=protocol)
    first.passed()
    waiting = first.stop().parked
    work.is_mended = True
    before = len(work.done)
    bench.kafka.admin.delete_consumer_groups([app.group])[app.group].result(30)
    second = bench.run(app, protocol=protocol)
    second.settled(within_s=60)
    injected(17, times=1, members=1, in_flight=waiting)
    again = work.done[before:]

    assert {offset for _, offset in again} == set(range(_COUNT))
    assert bench.dead(orders, app.group) == []
    for key in _KEYS:
        offsets = [offset for one, offset in again if one == key]
        assert offsets == sorted(set(offsets))
