"""A record that kills its process is found, its neighbours are unharmed, and what is no killer is not taken for one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.guard import Guard
from streams.engine.snapshot import Snapshot, decode
from streams.outcome import DeadLetter, Retry
from streams.record import Partition, Record
from streams.retry import RetryPolicy
from tests.engine.fleet import Fleet, Seen
from tests.engine.rooms import Member
from tests.engine.stage import ORDERS, OTHER
from tests.waiting import eventually

TIERED = RetryPolicy(delays=("5s",) * 20 + ("20s",), jitter=0)
"""Waits in memory, but for those that ask for the tier."""
DOWN = ConnectionError("down")
TO_TIER = Retry(DOWN, after=timedelta(seconds=20))
NOT_TAKEN = KafkaError.UNKNOWN_MEMBER_ID
"""A commit that was refused, and that is not sent again at once."""


def at(offset: int, partition: Partition = ORDERS) -> Callable[[Seen], bool]:
    """The record there kills whoever runs it."""
    return lambda seen: (seen.partition, seen.offset) == (partition, offset)


def suspected(fleet: Fleet, *partitions: Partition) -> Member:
    """The process that begins after another one died, of whatever it was; ``orders/0`` is suspected."""
    kills, fleet.kills = fleet.kills, at(0)
    fleet.live(fleet.start(ORDERS))
    fleet.kills = kills
    fleet.seen.clear()
    return fleet.start(*partitions)


def offsets(fleet: Fleet) -> list[int]:
    """What the process of this time has started, in order."""
    return [seen.offset for seen in fleet.seen[-1]]


def stands(fleet: Fleet) -> Snapshot:
    """What stands beside the committed offset of ``orders/0``."""
    return fleet.broker.named(ORDERS)


def why(member: Member) -> list[str]:
    """Why partitions went on, in order."""
    return [reason for _, reason in member.heard.of("acquitted")]


def turns(member: Member, count: int = 3) -> None:
    """The loop goes round, without a moment passing."""
    for _ in range(count):
        member.loop.run_once()
        member.answer()


def until_seen(fleet: Fleet, member: Member, *expected: int) -> None:
    """The loop goes round, without a moment passing, until these have started, in this order."""

    def is_seen() -> bool:
        turns(member)
        return offsets(fleet) == list(expected)

    eventually(is_seen)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Opened by the test, at the latest at its end."""
    event = threading.Event()
    yield event
    event.set()


# -- the killer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("max_deaths", [3, 4, 5, 8])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_a_killer_is_given_up_after_so_many_deaths(max_deaths: int, place: int) -> None:
    """Wherever it stands among the others, exactly so many, and everything else is done."""
    fleet = Fleet({ORDERS: range(6)}, at(place), max_deaths=max_deaths)
    deaths = fleet.deaths()

    assert (deaths, fleet.dead_letters()) == (max_deaths, [place])
    assert {seen.offset for run in fleet.seen for seen in run} == set(range(6))
    assert place not in offsets(fleet)


@pytest.mark.parametrize("route", [{"run": "threads"}, {"batch": 4}, {"run": "threads", "batch": 4}], ids=str)
def test_wherever_handlers_run(route: dict[str, Any]) -> None:
    """In threads and in batches too; a batch holds one record while the killer is looked for."""
    fleet = Fleet({ORDERS: range(6)}, at(3), route=route, max_deaths=3)
    deaths = fleet.deaths()

    assert (deaths, fleet.dead_letters()) == (3, [3])
    assert [seen.named for seen in fleet.seen[-2]] == [seen.offset for seen in fleet.seen[-2]]


def test_reading_a_value_may_kill_too() -> None:
    """A decoder runs in the record's own run and never before."""
    fleet = Fleet({ORDERS: range(6)}, at(3), is_decoder=True, max_deaths=3)
    deaths = fleet.deaths()

    assert (deaths, fleet.dead_letters()) == (3, [3])


def test_two_killers_are_both_found() -> None:
    """One after the other, and in two partitions."""
    killers = {(ORDERS, 2), (ORDERS, 5), (OTHER, 3)}
    fleet = Fleet({ORDERS: range(8), OTHER: range(8)}, lambda seen: seen[:2] in killers, max_deaths=3)
    fleet.deaths()

    assert (fleet.dead_letters(), fleet.dead_letters(OTHER)) == ([2, 5], [3])


@pytest.mark.parametrize("policy", ["park", "unordered"])
def test_a_killer_in_a_tier_is_found(policy: str) -> None:
    """It kills at its second run; the source has moved on long since."""
    fleet = tiered(policy=policy)
    deaths = fleet.deaths()

    assert (deaths, fleet.dead_letters()) == (3, [1])


def test_a_killer_in_a_tier_is_found_while_the_source_lags_behind() -> None:
    """What may run only once the source was read past it (protocol, rule 1) is tried as soon as it was."""
    fleet = tiered()
    first = fleet.work
    fleet.work = lambda record: Retry(DOWN) if record.offset == 0 else first(record)
    deaths = fleet.deaths()

    assert (deaths, fleet.dead_letters()) == (3, [1])


def tiered(policy: str = "park") -> Fleet:
    """Record 1 fails once, waits in a tier, and kills when it comes back."""
    tried: list[int] = []

    def work(record: Record) -> Retry | None:
        if record.offset == 1 and not tried:
            tried.append(1)
            return TO_TIER
        return None

    fleet = Fleet({ORDERS: range(4)}, route={"retry": TIERED, "policy": policy}, max_deaths=3)
    fleet.work, fleet.kills = work, lambda seen: seen.offset == 1 and bool(tried)
    return fleet


# -- one at a time ------------------------------------------------------------------------------


def test_each_record_is_named_in_an_acknowledged_commit_before_it_starts() -> None:
    """Whoever reads the commits of a dead process knows which record ran."""
    fleet = Fleet({ORDERS: range(5)}, max_deaths=3)
    fleet.live(suspected(fleet))

    assert [(seen.offset, seen.named) for seen in fleet.seen[0]] == [(offset, offset) for offset in range(5)]
    assert (stands(fleet).named, stands(fleet).starts) == (-1, 1)


def test_nothing_else_runs_meanwhile() -> None:
    """Records of other partitions come once the suspected ones were tried, and until then their intake is paused."""
    fleet = Fleet({ORDERS: range(5), OTHER: range(100, 103)}, max_deaths=3)
    named: list[int] = []
    fleet.work = lambda _: named.append(stands(fleet).named)
    member = suspected(fleet)
    fleet.live(member)

    assert [seen.partition for seen in fleet.seen[0]] == [ORDERS] * 5 + [OTHER] * 3
    assert named == [0, 1, 2, 3, 4, -1, -1, -1]
    assert member.heard.of("suspected") == [(ORDERS, 2, -1)]
    assert why(member) == ["all that could run ran alone and did no harm"]


def test_what_runs_already_is_waited_for(gate: threading.Event) -> None:
    """A process that takes over a suspected partition lets its own runs end before it tries the first record."""
    fleet = Fleet({ORDERS: range(2), OTHER: [100]}, route={"run": "threads"}, max_deaths=3)
    fleet.work = lambda record: gate.wait(20) and None if record.offset == 100 else None
    member = suspected(fleet, OTHER)
    until_seen(fleet, member, 100)
    member.grant(ORDERS)
    turns(member, 20)
    before = offsets(fleet)
    gate.set()
    fleet.live(member)

    assert (before, offsets(fleet)) == ([100], [100, 0, 1])


def test_a_commit_that_is_refused_starts_nothing() -> None:
    """What is not written down does not run; once a commit is taken it does."""
    fleet = Fleet({ORDERS: range(2)}, max_deaths=3)
    member = suspected(fleet)
    fleet.broker.codes_now = [NOT_TAKEN] * 4
    turns(member, 2)
    before = offsets(fleet)
    fleet.live(member)

    assert (before, offsets(fleet)) == ([], [0, 1])


def test_a_partition_that_goes_while_its_record_runs_holds_nobody_up(gate: threading.Event) -> None:
    """The others go on; the record's end means nothing any more."""
    fleet = Fleet({ORDERS: range(2), OTHER: [100]}, route={"run": "threads"}, max_deaths=3)
    fleet.work = lambda record: gate.wait(20) and None if record.offset == 0 else None
    member = suspected(fleet)
    until_seen(fleet, member, 0)
    member.assignment.lost([ORDERS])
    gate.set()

    until_seen(fleet, member, 0, 100)


# -- what is no death, and no killer ------------------------------------------------------------


def test_named_once_and_innocent_it_is_cleared_by_its_end() -> None:
    """A process that somebody killed while it ran is one death; its end takes that back."""
    fleet = Fleet({ORDERS: range(4)}, lambda seen: len(fleet.seen) == 1 and seen.offset == 2, max_deaths=3)
    fleet.live(suspected(fleet))
    blamed = decode(fleet.stored[ORDERS].metadata)
    fleet.live(fleet.start())

    assert blamed is not None
    assert (blamed.named, blamed.deaths) == (2, 0)
    assert (stands(fleet).blamed, stands(fleet).deaths, stands(fleet).starts) == (-1, 0, 1)
    assert fleet.dead_letters() == []


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), kills=st.integers(3, 12))
def test_kills_from_outside_give_up_nothing(seed: int, kills: int) -> None:
    """However many, as long as no record is named by two of them; every record is done in the end."""
    rng = random.Random(seed)
    named: set[int] = set()

    def kill(seen: Seen) -> bool:
        if len(fleet.seen) > kills or seen.named in named or rng.random() < 0.5:
            return False
        named.update({seen.named} - {-1})
        return True

    fleet = Fleet({ORDERS: range(20)}, kill, max_deaths=3)
    fleet.deaths()

    assert fleet.dead_letters() == []
    assert {seen.offset for run in fleet.seen for seen in run} == set(range(20))


def test_an_assignment_that_begins_anew_is_no_death() -> None:
    """However often: it is the same process."""
    fleet = Fleet({ORDERS: range(4)}, max_deaths=3)
    member = fleet.start()
    for _ in range(10):
        member.assignment.restart(ORDERS, "unknown outcome")
        member.answer()
        member.clock.advance(1)

    assert member.state().tenure.starts == 1
    assert member.heard.of("suspected") == []


@pytest.mark.parametrize("deaths", [0, 1])
def test_a_graceful_end_is_no_death(deaths: int) -> None:
    """Deploy after deploy leaves the count of deaths as it was, also in the middle of the look for a killer."""
    fleet = Fleet({ORDERS: range(4)}, at(0), max_deaths=3)
    for _ in range(deaths):
        fleet.live(fleet.start())
    for _ in range(10):
        member = fleet.start()
        member.assignment.revoked([ORDERS])
        fleet.stored = dict(fleet.broker.stored)

    assert fleet.start().state().tenure.starts == 1 + deaths


def test_progress_begins_the_count_anew() -> None:
    """A process that got further before it died was not killed by what stood there."""
    one_by_one: dict[str, Any] = {"batch_records": 1, "commit_every_s": 0.1}
    fleet = Fleet({ORDERS: range(9)}, lambda seen: seen.offset == 2 * len(fleet.seen), max_deaths=4, **one_by_one)
    starts = []
    for _ in range(4):
        member = fleet.start()
        starts.append(member.state().tenure.starts)
        fleet.live(member)

    assert starts == [1, 2, 2, 2]


# -- its end ------------------------------------------------------------------------------------


def test_it_ends_with_as_many_records_as_an_owner_has_in_memory() -> None:
    """A long backlog is not run one by one: the killer was among the first."""
    fleet = Fleet({ORDERS: range(40)}, max_deaths=3, partition_in_flight=10)
    member = suspected(fleet)
    fleet.live(member)

    assert [seen.named >= 0 for seen in fleet.seen[0]] == [True] * 10 + [False] * 30
    assert why(member) == ["10 records ran alone and did no harm"]


def test_it_ends_with_its_time() -> None:
    """What was not tried goes on with its deaths counted, and the next owner is as careful."""
    fleet = Fleet({ORDERS: range(20)}, max_deaths=3)
    fleet.work = lambda _: fleet.clock.advance(40)
    member = suspected(fleet)
    fleet.live(member, 2_000)

    assert why(member) == ["its time was over"]
    assert 2 < sum(seen.named >= 0 for seen in fleet.seen[0]) < 10
    assert len(offsets(fleet)) == 20


def test_a_handler_that_never_returns_holds_the_others_for_its_timeout_at_most(gate: threading.Event) -> None:
    """Then they go on, and it is named no longer: others may be what kills from now on."""
    fleet = Fleet({ORDERS: [0], OTHER: [100]}, route={"run": "threads", "timeout": 600}, max_deaths=3)
    fleet.work = lambda record: gate.wait(20) and None if record.offset == 0 else None
    member = suspected(fleet)
    until_seen(fleet, member, 0)
    fleet.clock.advance(599)
    turns(member)
    still = (offsets(fleet), stands(fleet).named)
    fleet.clock.advance(2)
    until_seen(fleet, member, 0, 100)

    assert still == ([0], 0)
    assert (stands(fleet).named, stands(fleet).starts) == (-1, 2)


def test_it_ends_where_nothing_can_be_tried() -> None:
    """Something else holds the partition: after a while the others go on, and nothing is forgotten."""
    fleet = Fleet({ORDERS: range(2)}, max_deaths=3)
    member = suspected(fleet)
    fleet.broker.is_silent = True
    turns(member)
    fleet.clock.advance(9)
    turns(member)
    early = why(member)
    fleet.clock.advance(2)
    turns(member)

    assert (early, why(member)) == ([], ["nothing of it could run for 10 s"])
    assert stands(fleet).starts == 2


def test_a_dead_letter_that_is_not_taken_is_waited_for() -> None:
    """Until the broker has it its deaths stay counted; and the others wait for it a little while only."""
    fleet = Fleet({ORDERS: range(3)}, at(0), max_deaths=3)
    fleet.live(fleet.start())
    fleet.live(fleet.start())
    fleet.live(fleet.start())
    member = fleet.start()
    turns(member, 5)
    waiting = (offsets(fleet), stands(fleet).deaths, why(member))
    fleet.clock.advance(11)
    turns(member)

    assert waiting == ([], 2, [])
    assert why(member) == ["its killer was found; the dead letter is not taken yet"]
    assert stands(fleet).deaths == 2


def test_a_killer_stays_one_while_the_guard_takes_no_dead_letters() -> None:
    """It is held, not forgotten: the next owner gives it up."""
    fleet = Fleet({ORDERS: range(4), OTHER: [100]}, at(0), route={"guard": Guard(in_a_row=2)}, max_deaths=3)
    fleet.work = lambda record: DeadLetter(DOWN) if record.partition == OTHER.number else None
    for _ in range(3):
        fleet.live(fleet.start(ORDERS))
    member = fleet.start(OTHER)
    fleet.live(member, 2)
    member.grant(ORDERS)
    turns(member, 20)

    assert (offsets(fleet), fleet.dead_letters()) == ([100], [])
    assert (stands(fleet).deaths, why(member)) == (2, ["no dead letter is written now"])


def test_a_dependency_that_is_down_is_not_called_by_the_look_for_a_killer() -> None:
    """Once its breaker opens the partition is let go, stands still for it as any other, and its deaths stay counted."""
    fleet = Fleet({ORDERS: range(20), OTHER: [100]}, max_deaths=3)
    down = fleet.app.dependency("payments", errors=(ConnectionError,), failures=5)
    fleet.route |= {"needs": [down], "retry": RetryPolicy(delays=("5s",) * 3, jitter=0)}
    fleet.work = lambda _: Retry(DOWN)
    member = suspected(fleet)
    turns(member, 40)

    assert offsets(fleet) == [0, 1, 2, 3, 4]
    assert why(member) == ["its route stands still"]
    assert (stands(fleet).starts, fleet.dead_letters()) == (2, [])
