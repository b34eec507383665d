"""When commits are sent, which answers count, and how long records may start after one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from streams.config import Settings
from streams.engine.commit import Committer
from streams.engine.partition import NEVER, PartitionState, finish
from streams.engine.snapshot import METADATA_LIMIT, decode
from streams.errors import BrokerError
from streams.kafka.commits import NOT_STORED, CommitAnswer, Entry
from streams.kafka.consumer import Stored
from streams.kafka.session import Session
from streams.record import Partition
from streams.testing.clock import ManualClock
from tests.engine.edges import Commit, ScriptedConsumer
from tests.engine.stage import ORDERS, OTHER, Heard, message, state

SESSION = Session(timeout_s=40.0, heartbeat_s=3.0)
LEASE_S = 33.0  # nine tenths of the session, less a heartbeat
REFRESH_S = 10.0  # a quarter of the session


class Ledgers:
    """A committer, the broker it talks to, and the clock in the test's hand."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.heard = Heard()
        self.consumer = ScriptedConsumer()
        chosen = Settings(bootstrap="localhost:9092", group="billing", **settings)
        self.committer = Committer(chosen, SESSION, self.clock, self.heard)
        self.consumer.answered = self.committer.answered

    def begin(self, partition: PartitionState | None = None) -> PartitionState:
        """A partition that was just taken; its first commit is on its way."""
        partition = partition or state(lease_until=NEVER)
        self.committer.begin(self.consumer, partition)
        return partition

    def begun(self) -> PartitionState:
        """The same, and the broker has taken the first commit."""
        partition = self.begin()
        self.consumer.answer()
        return partition

    def with_an_older_commit_under_way(self) -> PartitionState:
        """The same, with work committed of which the broker has said nothing, and further work after that."""
        partition = self.begun()
        work(partition, 0)
        self.pass_time(1)
        work(partition, 1)
        self.clock.advance(0.5)
        return partition

    def pass_time(self, seconds: float, steps: int = 1) -> list[Commit]:
        """Time passes, and the loop goes round so many times; give the commits that it brings."""
        before = len(self.consumer.commits)
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.committer.commit_if_due(self.consumer)
        return self.consumer.commits[before:]


def work(partition: PartitionState, *offsets: int, done: int | None = None) -> None:
    """Records are read and the first *done* of them settle."""
    chunk = partition.admit([message(offset, None) for offset in offsets])
    assert chunk is not None
    runs = list(partition.enlane(chunk))
    list(finish(runs if done is None else runs[:done]))


@pytest.fixture
def ledgers() -> Ledgers:
    """A committer at work."""
    return Ledgers()


# -- the first commit -------------------------------------------------------------------------------


def test_the_first_commit_is_as_large_as_one_can_be(ledgers: Ledgers) -> None:
    """It proves at once that the broker takes what a full ledger will need, and says what a small one says."""
    ledgers.begin(state(committed=7))
    (commit,) = ledgers.consumer.commits
    snapshot = decode(commit.metadata)

    assert (commit.partition, commit.offset, len(commit.metadata)) == (ORDERS, 7, METADATA_LIMIT)
    assert snapshot is not None
    assert snapshot.assignment_id == b"assigned"


def test_records_start_once_it_is_acknowledged(ledgers: Ledgers) -> None:
    """Without an acknowledged commit there is no lease; with it the lease counts from when it was *sent*."""
    partition = ledgers.begin()
    sent_at = ledgers.clock.monotonic()
    before = partition.lease_until
    ledgers.clock.advance(5)
    ledgers.consumer.answer()

    assert before == NEVER
    assert partition.lease_until == sent_at + LEASE_S
    assert ledgers.heard.of("committed") == [(ORDERS, 0, 5.0)]


def test_it_is_that_large_until_one_was_taken(ledgers: Ledgers) -> None:
    """A first commit that came at a bad moment proved nothing, so the next one is of full size again."""
    ledgers.begin()
    ledgers.consumer.answer(code=KafkaError.REBALANCE_IN_PROGRESS)
    (second,) = ledgers.pass_time(1)
    ledgers.consumer.answer()
    (third,) = ledgers.pass_time(1)

    assert len(second.metadata) == METADATA_LIMIT
    assert len(third.metadata) < 100


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("OFFSET_METADATA_TOO_LARGE", "offset.metadata.max.bytes"),
        ("GROUP_AUTHORIZATION_FAILED", "right"),
        ("TOPIC_AUTHORIZATION_FAILED", "right"),
    ],
)
def test_a_first_commit_that_can_never_be_taken_ends_the_member(error: str, says: str, ledgers: Ledgers) -> None:
    """A broker that can't keep the ledgers, or a missing right, is told in words at the start, not met in circles."""
    ledgers.begin()
    (commit,) = ledgers.consumer.commits
    code = getattr(KafkaError, error)

    with pytest.raises(BrokerError, match=says) as caught:
        ledgers.committer.answered(CommitAnswer(commit.entries, code, error))
    assert error in str(caught.value)
    assert "orders/0" in str(caught.value)


def test_a_partition_that_begins_again_and_again_does_so_slowly(ledgers: Ledgers) -> None:
    """Commits that fail in a way nobody foresaw restart the partition, but at most once an interval."""
    for _ in range(50):
        ledgers.begin()
        if ledgers.consumer.commits:
            ledgers.consumer.answer(code=KafkaError.UNKNOWN)
        ledgers.committer.drop(ORDERS)

    assert len(ledgers.consumer.commits) == 1
    ledgers.begin()
    (commit,) = ledgers.pass_time(1)
    assert len(commit.metadata) == METADATA_LIMIT


# -- in flight --------------------------------------------------------------------------------------


def test_at_most_one_commit_is_in_flight(ledgers: Ledgers) -> None:
    """Until the broker has answered nothing further is sent for the partition, whatever settles; then the newest."""
    partition = ledgers.begin()
    sent = []
    for offset in range(5):
        work(partition, offset)
        sent += ledgers.pass_time(1)
    ledgers.consumer.answer()
    sent += ledgers.pass_time(1)

    assert [commit.offset for commit in sent] == [5]


def test_partitions_do_not_wait_for_each_other(ledgers: Ledgers) -> None:
    """Each source partition has its own request and its own answer."""
    first, second = ledgers.begin(), ledgers.begin(state(OTHER))
    ledgers.consumer.answer(ledgers.consumer.commits[1])
    work(first, 0)
    work(second, 0)
    sent = ledgers.pass_time(1, steps=8)

    assert [(commit.partition, commit.offset) for commit in sent] == [(OTHER, 1)]


def test_partitions_take_turns(ledgers: Ledgers) -> None:
    """Four partitions with something to say are not committed in one go: each has its quarter of the interval."""
    states = [ledgers.begin(state(Partition("orders", number))) for number in range(4)]
    for commit in list(ledgers.consumer.commits):
        ledgers.consumer.answer(commit)
    for one in states:
        work(one, 0)
    ledgers.pass_time(0.01)

    counts = [len(ledgers.pass_time(0.25)) for _ in range(4)]

    assert max(counts) == 1
    assert sum(counts) >= 3


def test_what_has_not_changed_is_not_composed_again(ledgers: Ledgers) -> None:
    """A partition at rest costs a look, not a ledger; whatever settles brings one again."""
    partition = ledgers.begun()
    work(partition, 0)
    ledgers.pass_time(1)
    ledgers.consumer.answer()
    composed: list[PartitionState] = []
    compose = PartitionState.snapshots

    def counted(one: PartitionState) -> Any:
        composed.append(one)
        return compose(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartitionState, "snapshots", counted)
        idle = ledgers.pass_time(3, steps=12)
        at_rest = len(composed)
        work(partition, 1)
        busy = ledgers.pass_time(1)

    assert (idle, at_rest) == ([], 0)
    assert [commit.offset for commit in busy] == [2]


def test_nothing_is_sent_between_two_intervals(ledgers: Ledgers) -> None:
    """A commit is asynchronous and comes once an interval."""
    partition = ledgers.begun()
    ledgers.pass_time(1)
    ledgers.consumer.answer()
    work(partition, 0)

    assert ledgers.pass_time(0.5) == []
    assert [commit.offset for commit in ledgers.pass_time(0.5)] == [1]


def test_many_records_bring_a_commit_early() -> None:
    """After so many records a commit does not wait for its time."""
    ledgers = Ledgers(commit_every_records=100)
    partition = ledgers.begun()
    ledgers.pass_time(1)
    ledgers.consumer.answer()
    work(partition, 0)
    ledgers.committer.count(99)
    before = ledgers.pass_time(0.01)
    ledgers.committer.count(1)

    assert before == []
    assert [commit.offset for commit in ledgers.pass_time(0.01)] == [1]


def test_an_idle_partition_is_committed_each_quarter_of_the_session(ledgers: Ledgers) -> None:
    """What did not change is sent again in time, so that an idle member keeps its lease."""
    partition = ledgers.begun()
    ledgers.pass_time(1)
    ledgers.consumer.answer()
    sent = []
    for _ in range(40):
        for commit in ledgers.pass_time(1):
            sent.append(commit)
            ledgers.consumer.answer(commit)
        assert partition.lease_until > ledgers.clock.monotonic() + LEASE_S - REFRESH_S - 1

    assert len(sent) == 4
    assert len(set(sent)) == 1


def test_a_commit_without_an_answer_ends_the_assignment(ledgers: Ledgers) -> None:
    """After a minute of silence the partition is to begin anew; nothing else was sent meanwhile."""
    ledgers.begin()
    sent = ledgers.pass_time(60)
    early = dict(ledgers.committer.failed())
    sent += ledgers.pass_time(1)
    late = dict(ledgers.committer.failed())
    sent += ledgers.pass_time(1)

    assert sent == []
    assert early == {}
    assert list(late) == [ORDERS]
    assert "no answer" in late[ORDERS]
    assert ledgers.committer.failed() == {}


# -- answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(NOT_STORED))
def test_what_was_not_stored_is_sent_again_at_its_newest(code: int, ledgers: Ledgers) -> None:
    """After an error that stored nothing the newest snapshot goes out, and the lease is not renewed by it."""
    partition = ledgers.begun()
    lease = partition.lease_until
    work(partition, 0, 1)
    ledgers.pass_time(1)
    work(partition, 2)
    ledgers.consumer.answer(code=code)
    (again,) = ledgers.pass_time(1)

    assert again.offset == 3
    assert partition.lease_until == lease
    assert ledgers.committer.failed() == {}
    assert ledgers.heard.of("commit_failed") == [(ORDERS, "REFUSED")]


@pytest.mark.parametrize(
    "code", [KafkaError.UNKNOWN, KafkaError.INVALID_COMMIT_OFFSET_SIZE, KafkaError.INVALID_REQUEST]
)
def test_what_may_be_stored_in_part_ends_the_assignment(code: int, ledgers: Ledgers) -> None:
    """After any other error nobody knows what the broker has: the partition is to begin anew, with the code named."""
    partition = ledgers.begun()
    work(partition, 0)
    ledgers.pass_time(1)
    ledgers.consumer.answer(code=code)

    assert ledgers.committer.failed() == {ORDERS: "REFUSED"}
    assert ledgers.committer.failed() == {}


def test_an_answer_to_a_former_stay_means_nothing(ledgers: Ledgers) -> None:
    """An answer is matched by offset and metadata, which holds the assignment id: a late one renews no lease."""
    former = state(lease_until=NEVER)
    ledgers.begin(former)
    (late,) = ledgers.consumer.commits
    ledgers.committer.drop(ORDERS)
    ledgers.clock.advance(5)
    now = state(lease_until=NEVER)
    now.assignment_id = b"anew"
    ledgers.begin(now)
    ledgers.consumer.answer(late)
    after_late = (former.lease_until, now.lease_until)
    ledgers.consumer.answer(late, code=KafkaError.UNKNOWN)
    ledgers.consumer.answer()

    assert after_late == (NEVER, NEVER)
    assert ledgers.committer.failed() == {}
    assert now.lease_until == ledgers.clock.monotonic() + LEASE_S


def test_an_answer_for_a_partition_that_is_not_ours_means_nothing(ledgers: Ledgers) -> None:
    """After the partition went its last answers are not heard."""
    partition = ledgers.begin()
    ledgers.committer.drop(ORDERS)
    ledgers.consumer.answer()
    ledgers.consumer.answer(code=KafkaError.UNKNOWN)

    assert partition.lease_until == NEVER
    assert ledgers.committer.failed() == {}
    assert ledgers.heard.events == []


def test_what_failed_before_the_partition_went_is_forgotten(ledgers: Ledgers) -> None:
    """A stay that has ended is not begun anew for what happened in it."""
    partition = ledgers.begun()
    work(partition, 0)
    ledgers.pass_time(1)
    ledgers.consumer.answer(code=KafkaError.UNKNOWN)
    ledgers.committer.drop(ORDERS)

    assert ledgers.committer.failed() == {}


def test_an_answer_counts_once(ledgers: Ledgers) -> None:
    """The same answer a second time renews nothing."""
    ledgers.begun()
    ledgers.consumer.answer()

    assert len(ledgers.heard.of("committed")) == 1


def test_a_partition_that_may_not_start_gets_no_lease(ledgers: Ledgers) -> None:
    """While a run of its former stay goes on, an acknowledged commit lets nothing start; soon after it, one does."""
    going_on = [True]
    ledgers.committer.may_start = lambda _: not going_on[0]
    partition = ledgers.begun()
    for _ in range(3):
        ledgers.pass_time(1)
        ledgers.consumer.answer()
    before = partition.lease_until
    going_on[0] = False
    ledgers.pass_time(1)
    ledgers.consumer.answer()

    assert before == NEVER
    assert partition.lease_until == ledgers.clock.monotonic() + LEASE_S


# -- on revoke and at the end -------------------------------------------------------------------------


def test_the_last_commit_is_waited_for(ledgers: Ledgers) -> None:
    """What settled is committed before the partition is let go, whether or not another commit is on its way."""
    partition = ledgers.begin()
    work(partition, 0, 1, 2, done=1)
    partition.close()
    partition.tenure.end_gracefully()
    ledgers.committer.commit_now(ledgers.consumer, [partition])
    (commit,) = ledgers.consumer.commits_now

    assert commit.offset == 1
    assert ledgers.committer.is_current(partition)


@pytest.mark.parametrize("arrives", ["late", "never"])
def test_an_older_commit_that_arrives_after_the_last_one_is_overwritten(arrives: str, ledgers: Ledgers) -> None:
    """The client may send a commit again, whose connection broke, after the one that followed it: it does not stay."""
    partition = ledgers.begun()
    work(partition, 0, 1, done=1)
    (older,) = ledgers.pass_time(1)
    work(partition, 2, done=1)
    ledgers.clock.advance(0.5)
    read = ledgers.consumer.committed

    def read_back(places: list[Partition], timeout_s: float) -> dict[Partition, Stored]:
        if arrives == "late":
            ledgers.consumer.answer(older)
        return read(places, timeout_s)

    ledgers.consumer.committed = read_back  # type: ignore[assignment, method-assign]
    ledgers.committer.commit_now(ledgers.consumer, [partition])
    last = ledgers.consumer.commits_now[0]

    assert older.metadata != last.metadata
    assert ledgers.consumer.stored[ORDERS][:2] == (last.offset, last.metadata)
    assert len(ledgers.consumer.commits_now) == (2 if arrives == "late" else 1)
    assert ledgers.committer.is_current(partition)


def test_a_last_commit_that_can_not_be_read_back_is_sent_again(ledgers: Ledgers) -> None:
    """Until the broker says what it has, or takes it once more, nothing is built upon it."""
    partition = ledgers.with_an_older_commit_under_way()
    ledgers.consumer.failures = [BrokerError("no answer")]
    ledgers.committer.commit_now(ledgers.consumer, [partition])
    before = ledgers.committer.is_current(partition)
    ledgers.committer.commit_now(ledgers.consumer, [partition])

    assert not before
    assert ledgers.consumer.failures == []
    assert len(ledgers.consumer.commits_now) == 2
    assert ledgers.committer.is_current(partition)


def test_what_another_owner_has_committed_meanwhile_stays(ledgers: Ledgers) -> None:
    """The broker would take a former owner's word over its successor's: it is not given a second time."""
    partition = ledgers.with_an_older_commit_under_way()
    successor = state(lease_until=NEVER)
    successor.assignment_id = b"successr"
    theirs = successor.snapshot()[1]
    store = ledgers.consumer.commit_now

    def overtaken(entries: Sequence[Entry]) -> CommitAnswer:
        answer = store(entries)
        ledgers.consumer.stored[ORDERS] = Stored(7, theirs)
        return answer

    ledgers.consumer.commit_now = overtaken  # type: ignore[method-assign]
    ledgers.committer.commit_now(ledgers.consumer, [partition])

    assert ledgers.consumer.stored[ORDERS] == Stored(7, theirs)
    assert len(ledgers.consumer.commits_now) == 1
    assert not ledgers.committer.is_current(partition)


def test_what_is_stored_already_is_not_sent_again(ledgers: Ledgers) -> None:
    """A second last commit of the same ledger costs nothing."""
    partition = ledgers.begun()
    for _ in range(2):
        ledgers.committer.commit_now(ledgers.consumer, [partition])

    assert len(ledgers.consumer.commits_now) == 1


def test_only_partitions_of_this_stay_are_committed(ledgers: Ledgers) -> None:
    """A state that is not, or no longer, the one that owns the partition is left out."""
    partition, former = ledgers.begin(), state()
    stranger = state(OTHER)
    ledgers.committer.commit_now(ledgers.consumer, [former, stranger])
    ledgers.committer.drop(ORDERS)
    ledgers.committer.commit_now(ledgers.consumer, [partition])

    assert ledgers.consumer.commits_now == []


def last_commit(ledgers: Ledgers, *codes: int) -> PartitionState:
    """A record has settled, and the last commit meets *codes*, each after a second, before it is stored."""
    partition = ledgers.begun()
    work(partition, 0)
    ledgers.consumer.codes_now = list(codes)
    ledgers.consumer.during_commit = lambda: ledgers.clock.advance(1)
    ledgers.committer.commit_now(ledgers.consumer, [partition])
    return partition


def test_a_last_commit_is_tried_again_for_a_while(ledgers: Ledgers) -> None:
    """In the middle of a rebalance, or while the coordinator moves, a commit is refused that is taken soon after."""
    partition = last_commit(ledgers, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.NOT_COORDINATOR)

    assert len(ledgers.consumer.commits_now) == 3
    assert ledgers.committer.is_current(partition)
    assert ledgers.heard.of("commit_failed") == []


def test_a_last_commit_that_fails_is_told(ledgers: Ledgers) -> None:
    """A last commit that is refused for too long loses nothing: what settled since runs again, and the end says so."""
    partition = last_commit(ledgers, *[KafkaError.REBALANCE_IN_PROGRESS] * 9)

    assert len(ledgers.consumer.commits_now) == 4
    assert ledgers.heard.of("commit_failed") == [(ORDERS, "REFUSED")]
    assert not ledgers.committer.is_current(partition)


@pytest.mark.parametrize("code", [KafkaError.UNKNOWN_MEMBER_ID, KafkaError.UNKNOWN], ids=["not ours", "unclear"])
def test_a_last_commit_that_can_not_succeed_is_tried_once(code: int, ledgers: Ledgers) -> None:
    """Where the partition is another member's, or nobody knows what is stored, the same again mends nothing."""
    last_commit(ledgers, *[code] * 9)

    assert len(ledgers.consumer.commits_now) == 1
    assert ledgers.heard.of("commit_failed") == [(ORDERS, "REFUSED")]


def test_what_settled_out_of_order_counts_as_uncommitted(ledgers: Ledgers) -> None:
    """A ledger whose offset is stored, but not what settled above it, is not wholly committed."""
    partition = ledgers.begun()
    ledgers.committer.commit_now(ledgers.consumer, [partition])
    chunk = partition.admit([message(0, b"a"), message(1, b"b")])
    assert chunk is not None
    before = ledgers.committer.is_current(partition)
    list(finish([partition.enlane(chunk)[1]]))

    assert before
    assert partition.ledger.committable == 0
    assert not ledgers.committer.is_current(partition)


# -- what is told -----------------------------------------------------------------------------------


def test_the_place_and_use_of_a_ledger_are_known(ledgers: Ledgers) -> None:
    """The last acknowledged offset, when it was sent, and the share of the limit that the ledger takes."""
    unknown = ledgers.committer.stored(ORDERS)
    partition = ledgers.begun()
    sent_at = ledgers.clock.monotonic()
    fresh = ledgers.committer.stored(ORDERS)
    work(partition, *range(0, 400, 2), done=100)
    ledgers.pass_time(1)

    assert unknown == (-1, NEVER, 0.0)
    assert fresh[:2] == (0, sent_at)
    assert 0 < ledgers.committer.stored(ORDERS)[2] < 0.1


def test_a_ledger_that_is_cut_is_told_once(ledgers: Ledgers) -> None:
    """Where settled ranges do not fit into a commit the observer hears of it, once until they fit again."""
    partition = state(restored=[range(at * at, at * at + at % 97 + 1) for at in range(100, 9_000)])
    ledgers.begin(partition)
    ledgers.consumer.answer()
    for _ in range(3):
        ledgers.pass_time(10)
        ledgers.consumer.answer()

    assert ledgers.heard.of("ledger_cut") == [(ORDERS,)]
    assert all(len(commit.metadata) <= METADATA_LIMIT for commit in ledgers.consumer.commits)
