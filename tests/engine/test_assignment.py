"""Partitions are taken from their committed ledger, given back in order, dropped when lost, and begun anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from streams.config import Settings
from streams.engine import assignment as room
from streams.engine.assignment import Assignment
from streams.engine.commit import Committer
from streams.engine.executors.executor import Interruption
from streams.engine.ledger import Chunk
from streams.engine.partition import NEVER, Item, PartitionState, Run, finish
from streams.engine.recovery import Recovery
from streams.engine.slot import Slot
from streams.engine.snapshot import Snapshot, decode, encode
from streams.errors import BrokerError, NewerLedgerError, TopicError
from streams.kafka.commits import CommitAnswer
from streams.kafka.consumer import Stored
from streams.kafka.offsets import Watermarks
from streams.kafka.session import Session
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, Commit, ScriptedConsumer, ScriptedReader
from tests.engine.stage import MINUTE, ORDERS, OTHER, Heard, messages, plan, route


def charge(order: bytes) -> None:
    """The handler of the partitions here."""


class IdleExecutor:
    """Runs nothing; its one slot shows what the test puts there."""

    capacity = 1

    def __init__(self) -> None:
        self.route = route(charge)
        self.slot = Slot()

    def take(self, state: PartitionState, chunk: Chunk) -> None:
        pass

    def submit(self, runs: Sequence[Run], *, ahead: bool = False) -> None:
        pass

    def finished(self) -> list[Run]:
        return []

    def take_settled(self) -> int:
        return 0

    def interrupted(self) -> list[Interruption]:
        return []

    def slots(self) -> Sequence[Slot]:
        return [self.slot]

    def close(self) -> None:
        pass


class Seat:
    """An assignment, the broker it asks, and the clock in the test's hand."""

    def __init__(self, log: ChainLog | None = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.consumer = ScriptedConsumer()
        self.log = ChainLog(self.clock) if log is None else log
        self.reader = ScriptedReader(self.log)
        self.executor = IdleExecutor()
        chosen = Settings(bootstrap="localhost:9092", group="billing", **settings)
        self.committer = Committer(chosen, Session(45, 3), self.clock, self.heard)
        self.consumer.answered = self.committer.answered
        self.assignment = Assignment(
            settings=chosen,
            executors={"orders": self.executor},
            plans={"orders": plan(self.executor.route)},
            consumer=self.consumer,
            committer=self.committer,
            recovery=Recovery(self.reader, self.log.marks, self.clock, self.heard),
            clock=self.clock,
            observer=self.heard,
        )

    def grant(self, *partitions: Partition) -> list[PartitionState]:
        """The group gives *partitions*, and the broker takes their first commits."""
        before = len(self.consumer.commits)
        self.assignment.granted(list(partitions))
        for commit in self.consumer.commits[before:]:
            self.consumer.answer(commit)
        return [self.state(partition) for partition in partitions]

    def state(self, partition: Partition = ORDERS) -> PartitionState:
        """What is owned of *partition*."""
        state = self.assignment.get(partition)
        assert state is not None
        return state


@pytest.fixture
def seat() -> Seat:
    """A member that owns nothing yet."""
    return Seat()


def read(state: PartitionState, *offsets: int) -> list[Run]:
    """Records are read and run, each by itself."""
    chunk = state.admit(messages(*((offset, None) for offset in offsets), partition=state.partition))
    assert chunk is not None
    return list(state.enlane(chunk))


def ledger(committed: int, *settled: range, starts: int = 1) -> Stored:
    """What an owner before has committed."""
    runs: list[int] = []
    at = committed
    for one in settled:
        runs += (one.start - at, len(one))
        at = one.stop
    return Stored(committed, encode(Snapshot(b"former", starts, tuple(runs))))


# -- taken ------------------------------------------------------------------------------------------


def test_a_partition_goes_on_where_its_ledger_says(seat: Seat) -> None:
    """Reading begins at the committed offset, and what settled above it does not run again."""
    seat.consumer.stored[ORDERS] = ledger(10, range(12, 14))
    (state,) = seat.grant(ORDERS)
    runs = read(state, 10, 11, 12, 13, 14)

    assert seat.consumer.reading == {ORDERS: 10}
    assert [run[0][0].offset() for run in runs] == [10, 11, 14]
    assert seat.heard.of("assigned") == [([ORDERS],)]


def test_nothing_starts_before_the_first_commit_is_taken(seat: Seat) -> None:
    """The first commit goes out when the partition is taken; its acknowledgement is the lease."""
    seat.assignment.granted([ORDERS])
    before = seat.state().lease_until
    seat.consumer.answer()

    assert before == NEVER
    assert seat.state().lease_until > seat.clock.monotonic()


@pytest.mark.parametrize(("start_at", "expected"), [("earliest", 5), ("latest", 90)])
def test_a_group_without_offsets_begins_as_declared(start_at: str, expected: int) -> None:
    """Without a committed offset the log's first or next record is the beginning."""
    seat = Seat(start_at=start_at)
    seat.consumer.marks[ORDERS] = (5, 90)
    (state,) = seat.grant(ORDERS)

    assert seat.consumer.reading == {ORDERS: expected}
    assert state.ledger.committable == expected


def test_a_log_that_is_not_there_yet_begins_at_nothing(seat: Seat) -> None:
    """An empty partition begins at its end."""
    (state,) = seat.grant(ORDERS)

    assert state.ledger.position == 0


@pytest.mark.parametrize("metadata", ["some host", "s1damaged", "\x00"], ids=str)
def test_an_unreadable_ledger_costs_repeated_work(metadata: str, seat: Seat) -> None:
    """Foreign or damaged metadata means the committed offset alone, and is told: nothing is skipped."""
    seat.consumer.stored[ORDERS] = Stored(10, metadata)
    (state,) = seat.grant(ORDERS)
    runs = read(state, 10, 11)

    assert [run[0][0].offset() for run in runs] == [10, 11]
    assert [partition for partition, _ in seat.heard.of("ledger_unreadable")] == [ORDERS]


def test_a_ledger_of_a_later_version_is_not_written_over(seat: Seat) -> None:
    """A member refuses to start on what a later version wrote: nothing is read, nothing committed."""
    seat.consumer.stored[ORDERS] = Stored(10, "s2later")

    with pytest.raises(NewerLedgerError, match="orders/0"):
        seat.assignment.granted([ORDERS])
    assert seat.consumer.commits == []
    assert seat.consumer.reading == {}


def test_each_stay_has_an_assignment_id_of_its_own(seat: Seat) -> None:
    """Commits tell by which stay they were made."""
    first, second = seat.grant(ORDERS, OTHER)
    seat.assignment.lost([ORDERS])
    (third,) = seat.grant(ORDERS)
    ids = {first.assignment_id, second.assignment_id, third.assignment_id}

    assert len(ids) == 3
    assert all(len(one) == 8 for one in ids)


def test_owners_that_begin_at_the_same_offset_are_counted(seat: Seat) -> None:
    """An owner that begins where another one died says so in its commits."""
    seat.consumer.stored[ORDERS] = ledger(10, starts=3)
    seat.grant(ORDERS)
    snapshot = decode(seat.consumer.commits[-1].metadata)

    assert snapshot is not None
    assert snapshot.starts == 4


def test_a_pause_of_a_former_stay_is_over(seat: Seat) -> None:
    """The client remembers pauses from one stay to the next, so a partition that is taken is resumed."""
    seat.grant(ORDERS)
    seat.consumer.paused = {ORDERS}
    seat.assignment.lost([ORDERS])
    seat.grant(ORDERS)

    assert seat.consumer.paused == set()


def test_the_broker_is_asked_again_when_it_does_not_answer(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A coordinator that is away for a moment is waited for."""
    monkeypatch.setattr(room, "_AGAIN_S", 0.0)
    seat.consumer.failures = [BrokerError("coordinator not available")] * 3
    seat.consumer.stored[ORDERS] = ledger(10)
    seat.grant(ORDERS)

    assert seat.consumer.reading == {ORDERS: 10}
    assert seat.heard.of("broker_error") == [("coordinator not available",)] * 3


def test_without_an_answer_nothing_is_started(seat: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past a minute the member gives up, in words: a guess would lose or repeat records."""
    monkeypatch.setattr(room, "_AGAIN_S", 0.0)
    seat.consumer.failures = [BrokerError("coordinator not available")] * 1_000
    seat.heard.broker_error = lambda text, *, fatal: seat.clock.advance(7)  # type: ignore[method-assign]  # noqa: ARG005

    with pytest.raises(BrokerError, match="coordinator not available; gave up after 60 s, nothing was started"):
        seat.assignment.granted([ORDERS])
    assert seat.consumer.reading == {}


def test_joining_is_known_even_without_partitions(seat: Seat) -> None:
    """A member that got nothing has joined all the same."""
    before = seat.assignment.has_joined
    seat.assignment.granted([])

    assert not before
    assert seat.assignment.has_joined
    assert seat.consumer.commits == []


# -- given back ---------------------------------------------------------------------------------------


def test_what_is_asked_back_ends_and_is_committed(seat: Seat) -> None:
    """Nothing starts, what runs may end within the budget, all that settled is committed, and then it goes."""
    (state,) = seat.grant(ORDERS)
    runs = read(state, 0, 1, 2)
    order: list[str] = []

    def drain(states: Sequence[PartitionState], budget_s: float) -> None:
        assert list(states) == [state]
        assert state.is_closed
        assert budget_s == 25.0
        list(finish(runs[:2]))
        order.append("drained")

    seat.assignment.drain = drain
    seat.assignment.revoked([ORDERS])
    (commit,) = seat.consumer.commits_now

    assert order == ["drained"]
    assert commit.offset == 2
    assert seat.heard.events[-2] == ("revoked", ([ORDERS],), {"lost": False})
    assert sent_later(seat) == []
    assert state.is_dropped
    assert seat.assignment.all() == []
    assert seat.consumer.reading == {}


def test_a_graceful_end_is_no_death(seat: Seat) -> None:
    """The last commit takes this owner out of the count of starts."""
    seat.consumer.stored[ORDERS] = ledger(10, starts=3)
    seat.grant(ORDERS)
    seat.assignment.revoked([ORDERS])
    snapshot = decode(seat.consumer.commits_now[-1].metadata)

    assert snapshot is not None
    assert snapshot.starts == 3


def test_only_what_is_asked_back_goes(seat: Seat) -> None:
    """Other partitions are neither closed nor committed."""
    _, other = seat.grant(ORDERS, OTHER)
    seat.assignment.revoked([ORDERS])

    assert seat.assignment.all() == [other]
    assert not other.is_closed
    assert seat.consumer.reading == {OTHER: 0}
    assert [commit.partition for commit in seat.consumer.commits_now] == [ORDERS]


def test_what_is_lost_is_dropped(seat: Seat) -> None:
    """Another member has it already: nothing is waited for, nothing committed."""
    (state,) = seat.grant(ORDERS)
    read(state, 0)
    seat.assignment.drain = lambda _states, _budget: pytest.fail("it waited")
    seat.assignment.lost([ORDERS])

    assert state.is_dropped
    assert seat.consumer.commits_now == []
    assert seat.consumer.reading == {}
    assert seat.heard.events[-1] == ("revoked", ([ORDERS],), {"lost": True})
    assert sent_later(seat) == []


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_what_is_not_owned_can_not_go(how: str, seat: Seat) -> None:
    """A partition that is unknown here changes nothing; the client would refuse to unassign it."""
    getattr(seat.assignment, how)([OTHER])

    assert seat.heard.events == []
    assert seat.consumer.commits_now == []


def test_leaving_drops_everything(seat: Seat) -> None:
    """At the end all is dropped, and what the closing client still calls back finds nothing."""
    states = seat.grant(ORDERS, OTHER)
    seat.assignment.leave()
    left = seat.assignment.all()
    seat.assignment.revoked([ORDERS, OTHER])

    assert all(state.is_dropped for state in states)
    assert left == []
    assert seat.consumer.commits_now == []
    assert sent_later(seat) == []


# -- a run of a former stay -----------------------------------------------------------------------------


def sent_later(seat: Seat) -> list[Commit]:
    """The commits that time brings."""
    before = len(seat.consumer.commits)
    seat.clock.advance(60)
    seat.committer.commit_if_due(seat.consumer)
    return seat.consumer.commits[before:]


def show(seat: Seat, item: Item | None) -> None:
    """A handler is running on *item*, or on nothing."""
    seat.executor.slot.item = item


def acknowledge(seat: Seat) -> None:
    """A second passes, and the broker takes what is committed then."""
    seat.clock.advance(1)
    before = len(seat.consumer.commits)
    seat.committer.commit_if_due(seat.consumer)
    for commit in seat.consumer.commits[before:]:
        seat.consumer.answer(commit)


@pytest.mark.parametrize("how", ["lost", "revoked", "restarted"])
def test_nothing_starts_while_a_run_of_the_former_stay_goes_on(how: str, seat: Seat) -> None:
    """A handler that outlived its assignment is waited for: two runs of a key never overlap in one process."""
    (former,) = seat.grant(ORDERS)
    show(seat, read(former, 0)[0][0])
    if how == "restarted":
        seat.assignment.restart(ORDERS, "it had to be")
    else:
        getattr(seat.assignment, how)([ORDERS])
        seat.grant(ORDERS)
    for _ in range(5):
        acknowledge(seat)
    while_running = seat.state().lease_until
    show(seat, None)
    acknowledge(seat)

    assert while_running == NEVER
    assert seat.state().lease_until > seat.clock.monotonic()


def test_without_the_wait_a_run_starts_beside_one_of_the_former_stay(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever does not look at former stays gives the new one its lease while a handler is still at work."""
    monkeypatch.setattr(seat.committer, "may_start", lambda _: True)
    (former,) = seat.grant(ORDERS)
    show(seat, read(former, 0)[0][0])
    seat.assignment.lost([ORDERS])
    (state,) = seat.grant(ORDERS)
    acknowledge(seat)

    assert [item[4] for item in seat.executor.slot.running()] == [former]
    assert state.lease_until > seat.clock.monotonic()


def test_a_run_of_another_partition_hinders_nobody(seat: Seat) -> None:
    """Only a run of the same partition's former stay is waited for."""
    former, other = seat.grant(ORDERS, OTHER)
    show(seat, read(other, 0)[0][0])
    seat.assignment.lost([ORDERS])
    seat.clock.advance(5)
    (state,) = seat.grant(ORDERS)

    assert former.is_dropped
    assert state.lease_until > seat.clock.monotonic()


# -- a chain that is narrower than its source ---------------------------------------------------------------


class NarrowLog(ChainLog):
    """A chain that has no partition 0: who asks for it is refused, and that takes a while."""

    def marks(self, places: Sequence[Partition]) -> dict[Partition, Watermarks]:
        missing = [place for place in places if place.number == ORDERS.number]
        if missing:
            self.clock.advance(20)  # type: ignore[attr-defined]  # the test's own
            raise TopicError(missing[0].topic, f"there is no {missing[0]}")
        return super().marks(places)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Seat:
    """A member in whose cluster the chain of one partition is not there; it is told so."""
    monkeypatch.setattr(room, "_AGAIN_S", 0.0)
    log = NarrowLog()
    seat = Seat(log)
    log.clock = seat.clock
    seat.assignment.lacking = lambda partitions: dict.fromkeys({ORDERS} & set(partitions), "its dead letters")
    return seat


def test_a_partition_that_its_chain_lacks_waits_alone(narrow: Seat) -> None:
    """Of it nothing is read, committed or run, and what is missing is told; the others start."""
    waiting, other = narrow.grant(ORDERS, OTHER)

    assert (waiting.is_closed, waiting.lease_until, waiting.lacks) == (True, NEVER, "its dead letters")
    assert narrow.consumer.paused == {ORDERS}
    assert narrow.heard.of("lacking") == [(ORDERS, "its dead letters")]
    assert {commit.partition for commit in narrow.consumer.commits} == {OTHER}
    assert other.lease_until > narrow.clock.monotonic()


def test_a_chain_that_goes_while_it_is_scanned_is_looked_at_again(narrow: Seat) -> None:
    """Between the look and the scan its topic was deleted: the partition waits for it as for any that is missing."""
    looks = iter([{}, {ORDERS: "its dead letters"}])
    narrow.assignment.lacking = lambda _: next(looks)
    waiting, other = narrow.grant(ORDERS, OTHER)

    assert (waiting.lacks, other.lacks) == ("its dead letters", "")
    assert other.lease_until > narrow.clock.monotonic()


def test_without_the_wait_one_narrow_chain_stops_every_partition(narrow: Seat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins with such a partition asks for what is not there, and the whole member ends."""
    monkeypatch.setattr(narrow.assignment, "lacking", lambda _: {})

    with pytest.raises(BrokerError, match=f"there is no {MINUTE.topic}/0; gave up after 60 s, nothing was started"):
        narrow.grant(ORDERS, OTHER)
    assert narrow.assignment.all() == []
    assert narrow.consumer.commits == []


# -- begun anew -------------------------------------------------------------------------------------------


def test_a_restart_goes_back_to_what_is_committed(seat: Seat) -> None:
    """The stay ends, and a new one with another id begins from the ledger that the broker has."""
    seat.consumer.stored[ORDERS] = ledger(10, range(12, 14))
    (former,) = seat.grant(ORDERS)
    list(finish(read(former, 10, 11, 14)))
    seat.assignment.restart(ORDERS, "the fate of a dead letter is unknown")
    state = seat.state()

    assert former.is_dropped
    assert seat.consumer.reading == {ORDERS: 10}
    assert state.assignment_id != former.assignment_id
    assert [run[0][0].offset() for run in read(state, 10, 11, 12, 13, 14)] == [10, 11, 14]
    assert seat.heard.of("restarted") == [(ORDERS, "the fate of a dead letter is unknown")]


def test_a_restart_before_the_first_commit_skips_nothing() -> None:
    """A group that begins at the newest record begins there once: what came since then is not skipped."""
    seat = Seat(start_at="latest")
    seat.consumer.marks[ORDERS] = (0, 90)
    seat.assignment.granted([ORDERS])
    seat.consumer.marks[ORDERS] = (0, 120)
    seat.consumer.answer(code=KafkaError.UNKNOWN)
    seat.assignment.restart(ORDERS, "UNKNOWN")

    assert seat.consumer.reading == {ORDERS: 90}


def test_a_restart_of_what_is_not_owned_is_nothing(seat: Seat) -> None:
    """The partition may have gone before its trouble was heard."""
    seat.assignment.restart(OTHER, "too late")

    assert seat.heard.events == []
    assert seat.consumer.reading == {}


# -- out of range -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("declared", "target"), [("earliest", 40), ("latest", 90)])
def test_what_retention_removed_is_counted_and_passed(declared: str, target: int) -> None:
    """Reading goes on as declared, the loss is told, and what was read before is not thrown away."""
    seat = Seat(on_expired=declared)
    (state,) = seat.grant(ORDERS)
    runs = read(state, 0, 1)
    list(finish(runs[1:]))
    seat.consumer.marks[ORDERS] = (40, 90)
    seat.assignment.recover_range(ORDERS)

    assert seat.consumer.reading == {ORDERS: target}
    assert seat.heard.of("expired") == [(ORDERS, target - 2)]
    assert seat.state() is state
    assert state.ledger.committable == 0
    list(finish(runs[:1]))
    assert state.ledger.committable == target


def test_a_member_may_stop_instead() -> None:
    """With ``on_expired=stop`` nothing is skipped: the member ends and says what was removed."""
    seat = Seat(on_expired="stop")
    seat.grant(ORDERS)
    seat.consumer.marks[ORDERS] = (40, 90)

    with pytest.raises(BrokerError, match="orders/0/0: the log now holds 40 to 90"):
        seat.assignment.recover_range(ORDERS)
    assert seat.consumer.reading == {ORDERS: 0}


@pytest.mark.parametrize("marks", [(0, 90), (2, 90), (0, 2), (2, 2)], ids=str)
@pytest.mark.parametrize("declared", ["earliest", "latest", "stop"])
def test_a_range_that_is_there_again_loses_nothing(declared: str, marks: tuple[int, int]) -> None:
    """Where the log holds the position after all, reading goes on there, and nothing counts as expired."""
    seat = Seat(on_expired=declared)
    (state,) = seat.grant(ORDERS)
    read(state, 0, 1)
    seat.consumer.marks[ORDERS] = marks
    seat.assignment.recover_range(ORDERS)

    assert seat.consumer.reading == {ORDERS: 2}
    assert seat.heard.of("expired") == []


def test_a_log_that_was_cut_short_begins_anew(seat: Seat) -> None:
    """Where the log ends before the position its offsets will name other records: nothing read before counts."""
    seat.consumer.stored[ORDERS] = ledger(60, range(80, 95))
    (state,) = seat.grant(ORDERS)
    read(state, *range(60, 80))
    seat.consumer.marks[ORDERS] = (0, 70)
    seat.assignment.recover_range(ORDERS)
    now = seat.state()

    assert now is not state
    assert state.is_dropped
    assert list(now.ledger.ranges()) == []
    assert now.ledger.position <= 70


def test_a_range_of_what_is_not_owned_is_nothing(seat: Seat) -> None:
    """The partition may have gone before its trouble was heard."""
    seat.assignment.recover_range(OTHER)

    assert seat.consumer.reading == {}


def test_commits_of_a_former_stay_answer_in_vain(seat: Seat) -> None:
    """An acknowledgement for the stay before gives the new one no lease."""
    seat.assignment.granted([ORDERS])
    late = seat.consumer.commits[-1]
    seat.assignment.lost([ORDERS])
    seat.assignment.granted([ORDERS])
    seat.committer.answered(CommitAnswer(late.entries, None, ""))

    assert seat.state().lease_until == NEVER


@pytest.mark.parametrize("declared", ["earliest", "latest"])
def test_a_log_that_was_cut_off_and_written_on_is_read_from_the_cut(declared: str) -> None:
    """What it holds from there on was never read, though the position is there again."""
    seat = Seat(on_expired=declared)
    seat.consumer.stored[ORDERS] = ledger(100)
    seat.grant(ORDERS)
    seat.consumer.marks[ORDERS] = (0, 120)
    seat.assignment.recover_range(ORDERS, 60)

    assert seat.consumer.reading == {ORDERS: 60}
    assert seat.heard.of("restarted") == [(ORDERS, "the log was cut off before the 100 that was read; going on at 60")]


def test_a_group_that_may_not_go_on_is_told_of_the_cut() -> None:
    """With ``on_expired=stop`` the member ends and says that it is no matter of retention."""
    seat = Seat(on_expired="stop")
    seat.consumer.stored[ORDERS] = ledger(100)
    seat.grant(ORDERS)
    seat.consumer.marks[ORDERS] = (0, 120)

    with pytest.raises(BrokerError, match="had read was cut off"):
        seat.assignment.recover_range(ORDERS, 60)
