"""A member that has missed a word of its group: it keeps what others are to have, until it asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streams import App
from streams.config import Settings
from streams.dev import DevCluster, this_process
from streams.kafka.admin import Admin
from streams.kafka.groups import describe_group
from streams.record import Partition
from streams.verify.proxy import Proxy, Where
from tests.brokers import Kafka, Topics, require_native
from tests.path.members import Bench, Running
from tests.waiting import eventually

SLOW = "slow"
HELD_S = 2.2
"""So late comes each answer: later than a heartbeat's interval behind a proxy, sooner than the session ends."""


@pytest.fixture
def network() -> Iterator[Proxy]:
    """What stands between members and their broker."""
    with closing(Proxy(1)) as proxy:
        yield proxy


@pytest.fixture
def far_bench(network: Proxy, tmp_path: Path) -> Iterator[Bench]:
    """A broker behind it."""
    require_native()
    cluster = DevCluster.start(tmp_path / "kafka", brokers=1, lives_with=this_process(), proxies=network.ports)
    network.lead_to([broker.proxied_port for broker in cluster.brokers])
    kafka = Kafka(cluster.bootstrap)
    bench = Bench(kafka, Topics(kafka))
    bench.bootstrap = network.bootstrap
    yield bench
    network.calm()
    bench.end()
    cluster.down()


def owned(running: Running) -> set[Partition]:
    """What a member has."""
    return {state.partition for state in running.member.assignment.all()}


def wanted(bench: Bench, group: str) -> list[int]:
    """How many partitions each member of *group* is to have."""
    with Admin(Settings(group=group, bootstrap=bench.kafka.bootstrap)) as admin:
        return [len(member.wanted or ()) for member in describe_group(admin, group).members]


class Counting:
    """An app that counts what runs, under a group of its own."""

    def __init__(self, bench: Bench, group: str) -> None:
        self.app = App(group)
        self.orders = bench.topics(partitions=6)
        self.runs: Counter[int] = Counter()
        self.app.on(self.orders, run="inline")(lambda value: self.runs.update([value]))
        self._bench = bench

    def write(self, first: int) -> None:
        """Write 200 records of 50 keys, numbered from *first*."""
        self._bench.write(self.orders, [(b"%d" % (one % 50), b"%d" % one) for one in range(first, first + 200)])


def test_a_member_that_finds_partitions_unwanted_joins_anew(
    bench: Bench, group: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order: all it has is given up as at a rebalance and comes back, and nothing runs twice."""
    counting = Counting(bench, group())
    found = [{Partition(counting.orders, 1), Partition(counting.orders, 0)}]
    monkeypatch.setattr("streams.engine.claims.ASK_EVERY_S", 1.0)
    monkeypatch.setattr("streams.engine.claims.Claims.unwanted", lambda *_: found.pop() if found else frozenset())
    counting.write(0)
    member = bench.run(counting.app)
    member.until(lambda: member.ear.heard("unheard") and len(counting.runs) == 200)
    member.until(lambda: len(member.ear.heard("assigned")) > 1 and len(owned(member)) == 6)
    counting.write(200)
    member.until(lambda: len(counting.runs) == 400)

    assert member.ear.heard("unheard") == [([Partition(counting.orders, 0), Partition(counting.orders, 1)],)]
    assert [event.named["lost"] for event in member.ear.events if event.name == "revoked"] == [False]
    assert set(counting.runs.values()) == {1}


def missed(bench: Bench, network: Proxy, group: str) -> bool:
    """Have a newcomer join while the member there hears answers too late; say whether it missed what it was told.

    It may hear in time all the same, or be away for so long that the group expels it.
    """
    counting = Counting(bench, group)
    member = bench.run(counting.app, kafka={"client.id": SLOW})
    counting.write(0)
    member.until(lambda: len(owned(member)) == 6)
    network.delay(HELD_S, Where(client=SLOW), answers_alone=True)
    newcomer = bench.run(counting.app)
    eventually(lambda: sorted(wanted(bench, group)) == [3, 3])
    time.sleep(2 * HELD_S)  # the answer that says so was given up by then
    network.calm()
    newcomer.until(lambda: len(owned(newcomer)) == 3)
    member.until(lambda: len(owned(member)) == 3)
    counting.write(200)
    newcomer.until(lambda: len(counting.runs) == 400)

    told = member.ear.heard("unheard")
    was_lost = any(event.named["lost"] for event in member.ear.events if event.name == "revoked")
    assert newcomer.ear.heard("unheard") == []
    assert was_lost or told in ([], [(sorted(owned(newcomer)),)])
    assert was_lost or set(counting.runs.values()) == {1}
    member.stop()
    newcomer.stop()
    return bool(told) and not was_lost


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_newcomer_waits_seconds_for_a_member_that_missed_a_word(
    far_bench: Bench, network: Proxy, group: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the client misses it is a race, which it loses nearly always; the newcomer gets its share anyway."""
    monkeypatch.setattr("streams.engine.claims.ASK_EVERY_S", 4.0)

    assert any(missed(far_bench, network, group()) for _ in range(6))
