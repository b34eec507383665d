"""A record's way through the loop, with a scripted client at both ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from streams.app import App
from streams.engine.context import Context
from streams.engine.executors.eventloop import EventLoop
from streams.engine.snapshot import decode
from streams.errors import BrokerError
from streams.kafka.consumer import ClientTrouble, EndReached, OutOfRange, Stored
from streams.kafka.message import by_partition
from streams.outcome import DeadLetter
from streams.record import Partition, Record
from streams.retry import RetryPolicy
from tests.engine.rooms import Member
from tests.engine.stage import ORDERS, OTHER, message, messages

PAYMENTS = Partition("payments", 0)
BAD = ValueError("bad")


class Notes:
    """A handler that notes what it saw, and fails when it is told to."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []
        self.ends: dict[int, Any] = {}
        """Offset to what the handler returns, or raises."""

    def handle(self, record: Record) -> Any:
        self.seen.append((record.topic, record.partition, record.offset))
        end = self.ends.get(record.offset)
        if isinstance(end, Exception):
            raise end
        return end

    @property
    def offsets(self) -> list[int]:
        """The offsets of what was seen, in order."""
        return [offset for _, _, offset in self.seen]


@pytest.fixture
def notes() -> Notes:
    """What the handlers saw."""
    return Notes()


@pytest.fixture
def member(notes: Notes) -> Member:
    """A member whose handlers of two topics run inline."""
    return member_of(notes)


def member_of(notes: Notes, **settings: Any) -> Member:
    """A member with *settings* that owns a partition of ``orders``."""
    app = App("billing")
    retry = RetryPolicy(delays=(20, 20), jitter=0)

    @app.on("orders", run="inline", retry=retry, policy="block")
    def orders(record: Record) -> Any:
        return notes.handle(record)

    @app.on("payments", run="inline")
    def payments(record: Record, ctx: Context) -> Any:
        ctx.send("receipts", {"n": record.offset})
        return notes.handle(record)

    member = Member(app, **settings)
    member.grant(ORDERS)
    return member


# -- the way of a record ------------------------------------------------------------------------------


def test_what_is_read_runs_settles_and_is_committed(member: Member, notes: Notes) -> None:
    """One turn runs what one poll gave; the next interval commits it."""
    member.turn(*messages((0, b"a"), (1, b"b"), (2, b"a")))
    member.commit()

    assert notes.offsets == [0, 1, 2]
    assert member.consumer.stored[ORDERS].offset == 3
    assert member.state().outstanding == 0


def test_each_topic_has_its_own_handler(member: Member, notes: Notes) -> None:
    """Records of several topics and partitions out of one poll all find their way."""
    member.grant(OTHER, PAYMENTS)
    read = [message(0), message(0, partition=PAYMENTS), message(1), message(0, partition=OTHER)]
    member.turn(*read)
    member.producer.answer_all()
    member.turn()
    member.commit()
    stored = {str(one): member.consumer.stored[one].offset for one in (ORDERS, OTHER, PAYMENTS)}

    assert sorted(notes.seen) == [("orders", 0, 0), ("orders", 0, 1), ("orders", 1, 0), ("payments", 0, 0)]
    assert stored == {"orders/0": 2, "orders/1": 1, "payments/0": 1}


def test_a_failed_record_runs_again_when_it_is_due(member: Member, notes: Notes) -> None:
    """The lane of a failed record waits, others are committed past it, and time brings it back."""
    notes.ends = {0: BAD}
    member.turn(*messages((0, b"a"), (1, b"a"), (2, b"b")))
    member.commit()
    held = member.consumer.stored[ORDERS]
    snapshot = decode(held.metadata)
    notes.ends = {}
    member.clock.advance(20)
    for _ in range(3):
        member.commit()

    assert notes.offsets == [0, 2, 0, 1]
    assert held.offset == 0
    assert snapshot is not None
    assert list(snapshot.settled(0)) == [range(2, 3)]
    assert member.consumer.stored[ORDERS].offset == 3


def test_a_dead_letter_is_awaited(member: Member, notes: Notes) -> None:
    """The lane goes on, and the offset is committed, once the broker has the dead letter."""
    notes.ends = {0: DeadLetter(BAD)}
    member.turn(*messages((0, b"a"), (1, b"a")))
    member.turn()
    member.commit()
    before = (notes.offsets, member.consumer.stored[ORDERS].offset)
    member.producer.answer_all()
    member.turn()
    member.commit()

    assert before == ([0], 0)
    assert notes.offsets == [0, 1]
    assert member.consumer.stored[ORDERS].offset == 2
    assert [one.topic for one in member.producer.landed] == ["orders.billing.dlq"]


def test_an_acknowledgement_after_the_partition_went_is_nothing(member: Member, notes: Notes) -> None:
    """A dead letter that lands late settles nothing in the next stay."""
    notes.ends = {0: DeadLetter(BAD)}
    member.turn(message(0))
    member.turn()
    member.assignment.lost([ORDERS])
    member.clock.advance(2)
    member.grant(ORDERS)
    member.producer.answer_all()
    member.turn()
    notes.ends = {}
    member.turn(message(0))
    member.commit()

    assert notes.offsets == [0, 0]
    assert member.consumer.stored[ORDERS].offset == 1


def test_records_of_a_partition_that_went_are_left_to_its_owner(member: Member, notes: Notes) -> None:
    """What was fetched before the partition was taken away does not run."""
    member.turn(message(0, partition=OTHER))

    assert notes.seen == []


# -- what the client tells beside records ---------------------------------------------------------------


def test_the_end_of_the_log_counts_after_the_records_before_it(member: Member, notes: Notes) -> None:
    """Markers at the end are passed, and never a record that came in the same poll."""
    notes.ends = {1: BAD}
    member.turn(*messages((0, b"a"), (1, b"b")), events=[EndReached(ORDERS, 5)])
    member.commit()
    with_open = member.consumer.stored[ORDERS].offset
    notes.ends = {}
    member.clock.advance(20)
    member.commit()
    member.commit()

    assert with_open == 1
    assert member.consumer.stored[ORDERS].offset == 5
    assert member.state().has_caught_up


def test_what_retention_removed_is_told_and_passed(member: Member) -> None:
    """A position that the log no longer holds is recovered as declared."""
    member.consumer.marks[ORDERS] = (40, 90)
    member.turn(events=[OutOfRange(ORDERS)])

    assert member.consumer.reading[ORDERS] == 40
    assert member.heard.of("expired") == [(ORDERS, 40)]


@pytest.mark.parametrize(("low", "expired"), [(0, []), (10, [(ORDERS, 7)]), (20, [(ORDERS, 12)])])
def test_a_hole_is_told_from_a_gap(low: int, expired: list[Any], member: Member) -> None:
    """Offsets that are missing because retention removed them are counted; compaction and markers leave gaps."""
    member.turn(*messages((0, b"a"), (1, b"a"), (2, b"a")))
    member.consumer.known[ORDERS] = (low, 100)
    member.turn(message(15))

    assert member.heard.of("expired") == expired


def test_trouble_of_the_client_is_told_and_borne(member: Member, notes: Notes) -> None:
    """A broker that is away is told of; the loop goes on."""
    member.turn(events=[ClientTrouble("1/1 brokers are down", is_fatal=False)])
    member.turn(message(0))

    assert notes.offsets == [0]
    assert member.heard.of("broker_error") == [("1/1 brokers are down",)]


def test_a_client_that_can_not_go_on_ends_the_member(member: Member) -> None:
    """A fatal error comes out in words."""
    with pytest.raises(BrokerError, match=r"fenced.*run again elsewhere"):
        member.turn(events=[ClientTrouble("fenced", is_fatal=True)])


# -- rebalances inside a poll -----------------------------------------------------------------------------


def test_a_partition_that_came_in_a_poll_is_read_in_it(notes: Notes) -> None:
    """Records may come in the very poll in which their partition was granted."""
    member = member_of(notes)
    member.consumer.during_poll.append(lambda: member.grant(OTHER))
    member.turn(message(0, partition=OTHER))

    assert notes.seen == [("orders", 1, 0)]


def test_a_partition_that_went_and_came_back_in_one_poll_skips_nothing(notes: Notes) -> None:
    """Records and ends that may be the former stay's move nothing in the new one: it begins again where it stood."""
    member = member_of(notes)
    notes.ends = {0: BAD}
    member.turn(*messages((0, b"a"), (1, b"b")))

    def go_and_come_back() -> None:
        member.assignment.lost([ORDERS])
        member.clock.advance(2)
        member.grant(ORDERS)

    member.consumer.during_poll.append(go_and_come_back)
    member.turn(*messages((2, b"c"), (3, b"d")), events=[EndReached(ORDERS, 4)])
    position = (member.consumer.reading[ORDERS], member.state().ledger.position)
    member.commit()
    notes.ends = {}
    member.turn(*messages((0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")))
    member.commit()

    assert position == (0, 0)
    assert notes.offsets == [0, 1, 0, 1, 2, 3]
    assert member.consumer.stored[ORDERS].offset == 4


# -- beginning anew ---------------------------------------------------------------------------------------


def test_an_unknown_fate_begins_the_partition_anew_once(member: Member, notes: Notes) -> None:
    """However many records of a partition met an unknown fate, it is begun anew once, and others go on."""
    member.grant(PAYMENTS)
    read = [message(at, b"%d" % at, partition=PAYMENTS) for at in range(5)]
    member.turn(*read)
    member.turn()
    member.producer.answer_all("unknown", "_MSG_TIMED_OUT")
    member.turn()
    member.clock.advance(1)
    member.commit()
    member.turn(*read)

    assert len(member.heard.of("restarted")) == 1
    assert notes.offsets == [0, 1, 2, 3, 4] * 2
    assert member.state(PAYMENTS).outstanding == 5


def test_a_commit_that_fails_oddly_begins_the_partition_anew(member: Member, notes: Notes) -> None:
    """After an error that leaves open what is stored, the partition goes back to what the broker says."""
    member.commit()
    member.turn(message(0))
    member.clock.advance(1)
    member.turn()
    member.consumer.answer(code=KafkaError.UNKNOWN)
    member.consumer.stored[ORDERS] = Stored(1, "")
    member.turn()

    assert len(member.heard.of("restarted")) == 1
    assert member.state().ledger.position == 1
    assert notes.offsets == [0]


# -- how much is read, and how long is waited ---------------------------------------------------------------


def test_no_more_is_read_than_was_asked_for(notes: Notes) -> None:
    """A limit holds for all records together; then nothing further is asked for, and everything is paused."""
    member = member_of(notes, batch_records=4)
    member.loop.limit = 6
    member.turn(*messages(*((at, None) for at in range(4))))
    asked = [limit for limit, _ in member.consumer.polled]
    member.turn(message(4, None), message(5, None))
    asked += [limit for limit, _ in member.consumer.polled][len(asked) :]
    member.turn()

    assert asked == [4, 2]
    assert member.loop.is_spent
    assert member.consumer.paused == {ORDERS}


def test_a_full_member_does_not_read(notes: Notes) -> None:
    """At the bound the client is not asked, until it lasts; then it is, with everything paused, so that it is heard."""
    member = member_of(notes, max_in_flight=4, batch_records=4)
    notes.ends = dict.fromkeys(range(4), BAD)
    member.turn(*messages(*((at, b"%d" % at) for at in range(4))))
    polls = len(member.consumer.polled)
    member.turn()
    member.turn()
    quiet = len(member.consumer.polled) - polls
    member.clock.advance(1.5)
    member.turn()

    assert quiet == 0
    assert len(member.consumer.polled) == polls + 1
    assert member.consumer.paused == {ORDERS}


def test_an_idle_member_waits_longer(member: Member, notes: Notes) -> None:
    """With work under way its results are looked for often; without, the poll waits."""
    member.turn()
    notes.ends = {0: BAD}
    member.turn(message(0))
    member.turn()

    assert [wait for _, wait in member.consumer.polled] == [0.1, 0.1, 0.005]


def test_too_many_waiting_records_stop_their_partition_at_once(notes: Notes) -> None:
    """The bound on waiting records is looked at as they are read, not a moment later."""
    member = member_of(notes, waiting_records=3)
    notes.ends = {0: BAD}
    member.turn(message(0, b"a"))
    member.turn(*messages(*((at, b"a") for at in range(1, 5))))

    assert member.consumer.paused == {ORDERS}
    assert member.heard.of("paused") == [(ORDERS, "lane")]


# -- the end ------------------------------------------------------------------------------------------------


def test_draining_waits_for_what_is_on_its_way(member: Member) -> None:
    """A partition that is given back settles what the broker acknowledges meanwhile, and commits it."""
    member.grant(PAYMENTS)
    member.turn(message(0, partition=PAYMENTS))
    beats = []

    def beat() -> None:
        beats.append(1)
        if member.producer.flying:
            member.producer.answer_all()

    member.loop.beat = beat
    member.assignment.revoked([PAYMENTS])

    assert beats
    assert [commit.offset for commit in member.consumer.commits_now] == [1]


def test_draining_ends_with_its_budget(member: Member) -> None:
    """What does not end in time is let go: it runs again elsewhere."""
    member.grant(PAYMENTS)
    member.turn(message(0, partition=PAYMENTS))
    member.loop.beat = lambda: member.clock.advance(10)
    member.assignment.revoked([PAYMENTS])

    assert [commit.offset for commit in member.consumer.commits_now] == [0]
    assert member.assignment.get(PAYMENTS) is None


def test_draining_does_not_wait_for_others(member: Member) -> None:
    """What other partitions have on its way holds up nobody."""
    member.grant(PAYMENTS)
    member.turn(message(0, partition=PAYMENTS))
    member.loop.beat = lambda: pytest.fail("it waited")
    member.assignment.revoked([ORDERS])

    assert member.assignment.get(ORDERS) is None


def test_while_draining_nothing_that_waits_starts(member: Member, notes: Notes) -> None:
    """What stands behind a record that ends during the drain is not begun."""
    member.grant(PAYMENTS)
    member.turn(message(0, b"a", partition=PAYMENTS), message(1, b"a", partition=PAYMENTS))
    member.loop.beat = member.producer.answer_all
    member.assignment.revoked([PAYMENTS])
    member.turn()

    assert notes.offsets == [0]
    assert [commit.offset for commit in member.consumer.commits_now] == [1]


# -- dividing a batch -----------------------------------------------------------------------------------------

PLACES = st.sampled_from([ORDERS, OTHER, PAYMENTS])


@given(order=st.lists(PLACES, max_size=30))
def test_a_batch_is_divided_whole_and_in_order(order: list[Partition]) -> None:
    """Every record is in one part, each part is of one partition, and the order of each partition stays."""
    batch = [message(offset, partition=partition) for offset, partition in enumerate(order)]
    parts = list(by_partition(batch))

    assert [one for _, part in parts for one in part] == batch
    assert all(part for _, part in parts)
    for partition, part in parts:
        assert {(one.topic(), one.partition()) for one in part} == {(partition.topic, partition.number)}


@given(order=st.lists(st.sampled_from([ORDERS, OTHER]), max_size=30))
def test_a_batch_of_one_topic_is_divided_alike(order: list[Partition]) -> None:
    """To know the topic saves a look at each record, and changes nothing."""
    batch = [message(offset, partition=partition) for offset, partition in enumerate(order)]

    assert list(by_partition(batch, "orders")) == list(by_partition(batch))


# -- with real executors --------------------------------------------------------------------------------------


@pytest.fixture
def event_loop() -> Iterator[EventLoop]:
    """A loop for async handlers."""
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.mark.parametrize("mode", ["threads", "async", "batch"])
def test_the_same_way_leads_through_every_executor(mode: str, event_loop: EventLoop) -> None:
    """In threads, on the loop and in batches all records settle, dead letters and sends included."""
    app = App("billing")
    if mode == "async":

        @app.on("orders")
        async def charge_async(record: Record) -> Any:
            return DeadLetter(BAD) if record.offset % 10 == 3 else None

    elif mode == "threads":

        @app.on("orders")
        def charge(record: Record) -> Any:
            return DeadLetter(BAD) if record.offset % 10 == 3 else None

    else:

        @app.on("orders", batch=20)
        def charge_all(records: list[Record]) -> Any:
            return [DeadLetter(BAD) if record.offset % 10 == 3 else None for record in records]

    member = Member(app, event_loop)
    member.grant(ORDERS)
    for start in range(0, 200, 50):
        member.turn(*messages(*((start + at, b"%d" % (at % 7)) for at in range(50))))
    deadline = time.monotonic() + 30
    while member.state().outstanding:
        member.producer.answer_all()
        member.turn()
        assert time.monotonic() < deadline
    member.commit()
    for executor in member.loop.executors.values():
        executor.close()

    assert member.consumer.stored[ORDERS].offset == 200
    assert len(member.producer.landed) == 20
    assert member.state().lanes == {}


def test_a_member_that_can_not_join_the_others_says_what_to_do(member: Member) -> None:
    """A broker may refuse to mix the two protocols in a group; its words alone help nobody."""
    words = "/0: Fatal error: ConsumerGroupHeartbeat fatal error: Broker: The group id does not exist"

    with pytest.raises(BrokerError, match="stop all of them first") as caught:
        member.turn(events=[ClientTrouble(words, is_fatal=True)])
    assert "--protocol classic" in str(caught.value)
