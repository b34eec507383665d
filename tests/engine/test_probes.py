"""A partition whose route stands still starts nothing but what it lets try."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.engine.chainstate import ChainState, Lineage
from streams.engine.copies import Stage
from streams.engine.executors.eventloop import EventLoop
from streams.engine.executors.executor import NOT_STARTED
from streams.engine.partition import NEVER, PartitionState, Run, Withheld
from streams.engine.retries import Hold
from streams.errors import DecodeError
from streams.outcome import Retry
from streams.retry import NO_RETRY, GiveUp
from tests.engine.stage import FOREVER, ORDERS, messages, state
from tests.engine.workshop import MODES, Mode, Workshop, batch_route_for, route_for
from tests.waiting import eventually

BAD = Retry(ValueError("bad"))


@pytest.fixture(scope="module")
def event_loop() -> Iterator[EventLoop]:
    """Where async handlers run."""
    loop = EventLoop()
    yield loop
    loop.close()


def held(*offsets: int, lease_until: float = FOREVER) -> PartitionState:
    """A partition that stands still and holds records of different keys, postponed in this order."""
    chosen = state(lease_until=lease_until)
    chosen.renew(lease_until)
    chunk = chosen.admit(messages(*((offset, b"%d" % offset) for offset in sorted(offsets))))
    assert chunk is not None
    runs = {run[0][0].offset(): run for run in chosen.enlane(chunk)}
    chosen.suspend()
    for offset in offsets:
        chosen.postpone(runs[offset][0])
    return chosen


def probe(chosen: PartitionState, now_s: float = 0) -> int | None:
    """The offset of the next record that is to try."""
    run = chosen.probe(now_s)
    return None if run is None else run[0][0].offset()


def test_what_is_held_stays_held_until_the_route_goes_on() -> None:
    """Nothing is due meanwhile, and all of it is after."""
    chosen = held(0, 1)
    still = chosen.due(1)
    chosen.resume()
    after = chosen.due(1)

    assert still == []
    assert [run[0][0].offset() for run in after] == [0, 1]


def test_a_lease_that_comes_meanwhile_counts_later() -> None:
    """The broker's word is kept, and nothing starts by it before the route goes on."""
    chosen = state(lease_until=NEVER)
    chosen.suspend()
    chosen.renew(50)
    while_still = chosen.lease_until
    chosen.resume()

    assert (while_still, chosen.lease_until, chosen.granted_until) == (NEVER, 50, 50)


def test_going_on_without_having_stood_still_changes_nothing() -> None:
    """It is said to every partition, each turn."""
    chosen = state(lease_until=FOREVER)
    chosen.resume()

    assert chosen.lease_until == FOREVER


def test_a_closed_partition_goes_on_to_nothing() -> None:
    """Its end is final; neither does anything of it try."""
    chosen = held(0, 1)
    probe(chosen)
    chosen.close()
    tried = probe(chosen)
    chosen.resume()

    assert (tried, chosen.lease_until) == (None, NEVER)
    assert not chosen.lets_probe(b"0", 0)


def test_those_held_longest_try_first() -> None:
    """Records held as they came back, then those whose wait for another attempt is over."""
    chosen = held(2, 0, 1)
    run = chosen.probe(0)
    assert run is not None
    hold = chosen.fail(run[0], BAD, 0, 0)
    seen = [probe(chosen, now_s) for now_s in (0, 0, 0.5, 1.5)]

    assert isinstance(hold, Hold)
    assert seen == [0, 1, None, 2]


def test_nothing_tries_without_a_lease() -> None:
    """A probe is a start like any other: the group has to agree."""
    chosen = held(0, lease_until=10)

    assert chosen.can_probe(11)
    assert probe(chosen, 11) is None
    assert probe(chosen, 10) == 0


def test_a_probe_may_start_once() -> None:
    """Its lane has a permit for one record, no other lane has one, and it ends with the lease."""
    chosen = held(0, 1, 2, lease_until=10)
    probe(chosen)
    probe(chosen)

    assert chosen.lets_probe(b"0", 10)
    assert not chosen.lets_probe(b"0", 10)
    assert not chosen.lets_probe(b"2", 10)
    assert not chosen.lets_probe(b"1", 11)


@pytest.mark.parametrize("refused", [True, False])
def test_a_dead_letter_that_is_refused_is_held(*, refused: bool) -> None:
    """Where the guard is asked, and only where a record is given up: nothing of it has moved then."""
    asked: list[str] = []

    def refuses(topic: str, _error: BaseException) -> bool:
        asked.append(topic)
        return refused

    chosen = held(0, 1)
    chosen.retries.policy = NO_RETRY
    chosen.chain = ChainState([Stage("orders.billing.dlq", "dlq")], Lineage(ORDERS))
    first, second = chosen.probe(0), chosen.probe(0)
    assert first is not None
    assert second is not None
    decisions = [
        chosen.fail(first[0], BAD, 0, 0, refuses),
        chosen.bury(second[0], DecodeError("no JSON"), GiveUp("bad bytes"), 0.0, 0, refuses),
    ]

    assert asked == ["orders", "orders"]
    assert [isinstance(one, Withheld) for one in decisions] == [refused, refused]
    assert chosen.can_probe(0) == refused
    assert bool(chosen.chain.moving) != refused


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_batch", [False, True])
def test_of_all_that_is_handed_over_only_probes_start(mode: Mode, event_loop: EventLoop, *, is_batch: bool) -> None:
    """In every executor, one by one or in batches; the rest comes back unstarted."""
    ran: list[int] = []
    chosen = (
        batch_route_for(mode, lambda records: ran.extend(one.offset for one in records), 10)
        if is_batch
        else route_for(mode, lambda record: ran.append(record.offset))
    )
    shop = Workshop(chosen, event_loop)
    still = held(*range(6))
    runs: list[Run] = [run for run in (still.probe(0), still.probe(0)) if run is not None]
    still.lease_until = FOREVER
    others = still.due(0)
    still.suspend()
    shop.executor.submit([*others, *runs])

    def settle() -> bool:
        shop.turn()
        return len(shop.settled) + len(shop.stopped) + shop.handed_back == 6

    eventually(settle)

    assert sorted(ran) == [0, 1]
    assert sorted(offset for offset in shop.settled if offset is not None) == [0, 1]
    assert all(one.outcome is NOT_STARTED for one in shop.stopped)
