"""A log that brokers cut short while its group was stopped: all that it holds from there on is done, and once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams import App, Record
from streams.dev import DevCluster
from streams.errors import BrokerError
from tests.brokers import Kafka, Topics
from tests.faults.cutting import cut
from tests.faults.figures import Injected
from tests.path.members import Bench, numbered

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_BATCHES, _BATCH = 10, 10


def test_a_log_that_was_cut_short_under_a_stopped_group(
    cluster1: DevCluster, group: Callable[..., str], injected: Injected
) -> None:
    """Few new records or so many that they pass what was committed: each runs once, and no old one runs again.

    A group that is to stop instead says so, and starts nothing.
    """
    kafka, names = Kafka(cluster1.bootstrap, is_borrowed=True), [group(), group(), group()]
    topic = Topics(kafka)
    short, long, bench, seen = topic(), topic(), Bench(kafka, topic), list[tuple[str, int]]()

    def app(name: str) -> App:
        app = App(name)
        for source in (short, long):

            @app.on(source)
            def handle(record: Record, source: str = source) -> None:
                seen.append((source, record.offset))

        return app

    try:
        for source in (short, long):
            for _ in range(_BATCHES):
                bench.write(source, numbered(_BATCH))
        for name in names:
            member = bench.run(app(name))
            member.settled()
            member.stop()
        gone = cut(cluster1, short, long)
        seen.clear()
        new = {short: bench.write(short, numbered(10)), long: bench.write(long, numbered(60))}
        for name, declared in zip(names[:2], ("earliest", "latest"), strict=True):
            member = bench.run(app(name), on_expired=declared)
            member.until(lambda: set(seen) >= {(one, offset) for one in new for _, offset in new[one]}, within_s=60)
            member.settled(within_s=60)
            ran = {one: [offset for source, offset in seen if source == one] for one in new}
            member.stop()
            seen.clear()

            assert ran == {one: [offset for _, offset in places] for one, places in new.items()}
        stopped = bench.run(app(names[2]), on_expired="stop")
        stopped.await_end(within_s=60)
    finally:
        bench.end()
    injected(20, times=gone, members=len(names), in_flight=_BATCHES * _BATCH - new[long][0][1])

    assert new[short][-1][1] < _BATCHES * _BATCH <= new[long][-1][1]
    assert isinstance(stopped.error, BrokerError)
    assert "cut off" in str(stopped.error)
    assert seen == []
