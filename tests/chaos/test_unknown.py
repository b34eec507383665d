"""A dead letter whose fate nobody knows ends the stay of its partition, and nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from streams import App, Record, RetryPolicy
from streams.config import Settings
from streams.dev import DevCluster
from streams.kafka import producer as producer_room
from streams.kafka.settings import producer as producer_settings
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.path.members import Bench

pytestmark = pytest.mark.chaos


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine's producer give up after seconds, not after the five minutes that an outage may last."""

    def settings(of: Settings) -> dict[str, Any]:
        return producer_settings(of) | {"message.timeout.ms": 4_000, "socket.timeout.ms": 3_000}

    monkeypatch.setattr(producer_room, "producer_settings", settings)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_dead_letter_of_unknown_fate_is_written_again(
    protocol: str, cluster3: DevCluster, group: Callable[..., str]
) -> None:
    """The brokers stand still with a letter on its way; the partition begins anew, and each record has its end."""
    kafka = Kafka(cluster3.bootstrap, is_borrowed=True)
    topic = Topics(kafka)
    orders, bench, app = topic(), Bench(kafka, topic), App(group())
    suspended, written = list[int](), threading.Event()

    @app.on(orders, retry=RetryPolicy(delays=(), max_attempts=1))
    def handle(record: Record) -> None:
        if record.key == b"bad":
            if not suspended:
                written.wait(60)
                for broker in cluster3.brokers:
                    broker.suspend()
                suspended.append(record.offset)
            raise ValueError("bad")

    member = bench.run(app, protocol=protocol, session_timeout_s=30.0)
    try:
        member.until(lambda: member.ear.heard("committed"))
        bench.write(orders, [(b"a", b"0"), (b"bad", b"1"), (b"b", b"2"), (b"bad", b"3")])
        written.set()  # all is acknowledged before the brokers stand still
        member.until(lambda: member.ear.heard("restarted"), within_s=60)
        for broker in cluster3.brokers:
            broker.resume()
        member.settled(within_s=90)
    finally:
        cluster3.heal()
        bench.end()
    letters = [letter.value() for letter in bench.dead(orders, app.group)]

    assert set(letters) == {b"1", b"3"}
    assert [partition for partition, _ in member.ear.heard("restarted")][:1] == [Partition(orders, 0)]
    assert "unknown" in member.ear.heard("restarted")[0][1]
