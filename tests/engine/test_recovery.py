"""What earlier owners left is found before anything runs: commits first, then the ends, then the copies."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.engine.chain import copy_headers
from streams.engine.chainstate import ChainState
from streams.engine.partition import Item, PartitionState
from streams.engine.recovery import Recovery, places_of
from streams.engine.snapshot import Snapshot, decode, encode
from streams.errors import BrokerError
from streams.kafka.consumer import Stored
from streams.kafka.offsets import Watermarks
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, ScriptedReader
from tests.engine.shelf import header
from tests.engine.stage import AT_MINUTE, AT_PARKED, ORDERS, OTHER, PARK, Heard, chain_state, message, state


class Site:
    """Two partitions that were just taken, and what is in the topics of their chains."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.log = ChainLog(self.clock)
        self.reader = ScriptedReader(self.log)
        self.stored: dict[Partition, Stored] = {}
        self.asked: list[list[Partition]] = []
        self.low: dict[Partition, int] = {}
        self.states = [state(one, chain=chain_state(one, PARK)) for one in (ORDERS, OTHER)]
        self.recovery = Recovery(self.reader, self.marks, self.clock, self.heard)

    def marks(self, places: Sequence[Partition]) -> dict[Partition, Watermarks]:
        self.asked.append(list(places))
        return {place: Watermarks(self.low.get(place, 0), self.log.end(place)) for place in places}

    def append(self, number: int, origin: int, *, source: Partition = ORDERS, key: bytes = b"a") -> None:
        """A copy stands in a topic of the chain."""
        copy = header(origin)
        self.log.append(Partition(PARK[number].topic, source.number), key, b"{}", copy_headers(None, copy))

    def restore(self) -> None:
        """What is there is found."""
        places = [place for one in self.states for place in places_of(one)]
        stored = {place: self.stored.get(place, Stored(None, "")) for place in places}
        self.recovery.restore(self.states, stored, read, fresh)


def read(_place: Partition, found: Stored) -> Snapshot | None:
    """What a commit says."""
    return decode(found.metadata)


def fresh(one: PartitionState) -> ChainState[Item]:
    """An empty chain."""
    return chain_state(one.partition, PARK)


@pytest.fixture
def site() -> Site:
    """A site at which nothing has happened."""
    return Site()


def test_an_empty_chain_is_not_read(site: Site) -> None:
    """Where no topic holds anything, no reader is opened, and there is nothing to tell."""
    site.restore()

    assert site.reader.scanned == []
    assert site.heard.of("recovered") == []
    assert all(one.chain.index == {} for one in site.states)


def test_the_ends_of_all_partitions_are_asked_for_at_once(site: Site) -> None:
    """One question for every topic of every chain."""
    site.restore()

    assert site.asked == [[place for one in site.states for place in places_of(one)]]
    assert len(site.asked[0]) == 8


def test_each_topic_is_scanned_from_its_commit_to_its_end(site: Site) -> None:
    """What is committed needs no reading; what comes later is not waited for."""
    for origin in range(5):
        site.append(AT_PARKED, origin)
    parked = Partition(PARK[AT_PARKED].topic, 0)
    site.stored[parked] = Stored(2, encode(Snapshot(b"first", scan_end=0)))
    site.restore()
    backlog = site.states[0].chain.index[b"a"]

    assert site.reader.scanned == [(parked, 2, 5)]
    assert [origin for origin, _ in backlog.entries()] == [2, 3, 4]


def test_each_partition_gets_its_own(site: Site) -> None:
    """Copies keep the number of their source partition."""
    site.append(AT_MINUTE, 1)
    site.append(AT_MINUTE, 2, source=OTHER, key=b"b")
    site.restore()

    assert [list(one.chain.index) for one in site.states] == [[b"a"], [b"b"]]
    assert [one.lanes for one in site.states] == [{b"a": None}, {b"b": None}]


def test_what_was_found_is_told(site: Site) -> None:
    """Copies, keys, and what was dead of them."""
    site.append(AT_PARKED, 1)
    site.append(AT_PARKED, 2)
    site.append(AT_MINUTE, 3)
    parked = Partition(PARK[AT_PARKED].topic, 0)
    site.stored[parked] = Stored(0, encode(Snapshot(b"another", scan_end=1)))
    site.restore()

    assert [told[:4] for told in site.heard.of("recovered")] == [(ORDERS, 2, 1, 1)]


def test_copies_that_are_gone_are_told(site: Site) -> None:
    """Somebody removed what was not settled: it is counted, and the rest is read."""
    for origin in range(4):
        site.append(AT_PARKED, origin)
    parked = Partition(PARK[AT_PARKED].topic, 0)
    site.stored[parked] = Stored(0, encode(Snapshot(b"first", runs=(1, 1), scan_end=4)))
    site.low[parked] = 3
    site.restore()

    assert site.heard.of("expired") == [(parked, 2)]
    assert [origin for origin, _ in site.states[0].chain.index[b"a"].entries()] == [3]


def test_keys_that_nobody_can_judge_are_told(site: Site) -> None:
    """A topic without metadata, and a source that has settled the origin."""
    site.states[0] = state(committed=5, chain=chain_state(ORDERS, PARK))
    site.append(AT_PARKED, 3)
    site.restore()

    assert site.heard.of("suspect") == [(ORDERS, 1)]


def test_a_scan_that_failed_begins_all_over(site: Site) -> None:
    """The broker went away in the middle: asked again, nothing is there twice."""
    site.append(AT_PARKED, 1)
    site.reader.failures = [BrokerError("gone")]
    with pytest.raises(BrokerError):
        site.restore()
    site.restore()

    assert site.states[0].chain.outstanding == 1
    assert len(site.asked) == 2


def test_nothing_runs_before_the_scan_is_over(site: Site) -> None:
    """The first record of the source that is read meets the whole index."""
    site.append(AT_PARKED, 0)
    site.restore()
    chunk = site.states[0].admit([message(0), message(1), message(2, b"b")])
    assert chunk is not None
    runs = list(site.states[0].enlane(chunk))

    assert [run[0][0].offset() for run in runs] == [2]
