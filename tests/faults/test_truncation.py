"""A log that a broker cuts short: its offsets name other records from then on, and all of those are done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams import App, Record
from streams.dev import DevCluster
from tests.brokers import Kafka, Topics
from tests.faults.cutting import cut
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered

pytestmark = pytest.mark.chaos

_BATCHES, _BATCH = 10, 10


def test_a_log_that_was_cut_short(cluster1: DevCluster, group: Callable[..., str], injected: Injected) -> None:
    """A live group goes on at the end that is left, and every record that comes after it runs once."""
    kafka = Kafka(cluster1.bootstrap, is_borrowed=True)
    topic, app = Topics(kafka), App(group())
    orders, bench, seen = topic(), Bench(kafka, topic), list[tuple[int, bytes | None]]()

    @app.on(orders)
    def handle(record: Record) -> None:
        seen.append((record.offset, record.value))

    for _ in range(_BATCHES):
        bench.write(orders, numbered(_BATCH))
    member = bench.run(app)
    try:
        member.settled()
        gone = cut(cluster1, orders)
        seen.clear()
        places = bench.write(orders, [(b"a", b"new-%d" % number) for number in range(60)])
        member.until(lambda: len({value for _, value in seen if value and value.startswith(b"new")}) == 60, within_s=60)
        member.settled(within_s=60)
    finally:
        bench.end()
    injected(20, times=gone, members=1, in_flight=_BATCHES * _BATCH - places[0][1])
    new = [offset for offset, value in seen if value and value.startswith(b"new")]

    assert 0 < places[0][1] < _BATCHES * _BATCH
    assert new == [offset for _, offset in places]
