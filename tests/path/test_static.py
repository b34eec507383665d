"""Static membership: a member that comes back under its name finds its partitions, and nobody else notices."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streams import App, Record
from streams.errors import BrokerError
from streams.record import Partition
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, Running, numbered


def owned(member: Running) -> set[Partition]:
    """The partitions that *member* was given in all."""
    return {partition for (partitions,) in member.ear.heard("assigned") for partition in partitions}


@pytest.fixture(params=["consumer", "classic"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Either kind of group, with a session that outlasts a restart."""
    return {"protocol": request.param, "session_timeout_s": 30.0}


@pytest.fixture
def orders(topic: Topics, app: App) -> str:
    """A topic of four partitions whose records are handled."""
    orders = topic(partitions=4)

    @app.on(orders)
    def handle(record: Record) -> None: ...

    return orders


def test_restart_moves_nothing(
    settings: dict[str, Any], orders: str, bench: Bench, app: App, injected: Injected
) -> None:
    """The other member loses and gains nothing; the one that restarts goes on with what it had."""
    one = bench.run(app, instance_id="one", **settings)
    one.until(lambda: owned(one))
    other = bench.run(app, instance_id="other", **settings)
    other.until(lambda: len(owned(other)) == 2)
    kept = owned(one) - owned(other)
    before = len(other.ear.heard("assigned")), len(other.ear.heard("revoked"))
    one.stop()
    bench.write(orders, numbered(100, [b"%d" % number for number in range(20)]))
    left = 100 - _handled(other)
    again = bench.run(app, instance_id="one", **settings)
    again.until(lambda: owned(again))
    injected(32, times=1, members=1, in_flight=left)
    again.until(lambda: _handled(again) + _handled(other) == 100)

    assert owned(again) == kept
    assert (len(other.ear.heard("assigned")), len(other.ear.heard("revoked"))) == before


def test_second_member_of_one_name_is_told(
    settings: dict[str, Any], topic: Topics, bench: Bench, app: App, injected: Injected
) -> None:
    """One of the two ends with words; the other one works off what there is."""
    orders, handled = topic(partitions=4), set[bytes | None]()

    @app.on(orders)
    def handle(record: Record) -> None:
        time.sleep(0.1)
        handled.add(record.key)

    one = bench.run(app, instance_id="one", **settings)
    one.until(lambda: owned(one))
    bench.write(orders, numbered(200, [b"%d" % number for number in range(200)]))
    in_flight = 200 - len(handled)
    twin = bench.run(app, instance_id="one", **settings)
    twin.until(lambda: not (one.is_running and twin.is_running))
    fallen, left = (one, twin) if twin.is_running else (twin, one)
    injected(32, times=1, members=2, in_flight=in_flight)
    left.until(lambda: len(handled) == 200)

    assert isinstance(fallen.error, BrokerError)
    assert "the client can't go on" in str(fallen.error)


def _handled(member: Running) -> int:
    return sum(count for _, outcome, count in member.ear.heard("finished") if outcome == "done")
