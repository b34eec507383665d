"""Mistakes that consumer frameworks have shipped, one a test: each name says what must not happen.

Whatever has to do with what a broker does runs against a real one; what is a
matter of the order of two steps runs through the same rooms with the broker in
the test's hand, so that the bad moment comes every time.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from streams import App, Context, DeadLetter, Record, RetryPolicy
from streams.bench.order import OrderCheck
from streams.bench.records import numbered_records
from streams.engine.chain import unpack
from streams.engine.partition import PartitionState
from streams.engine.snapshot import METADATA_LIMIT, decode
from streams.engine.standing import Progress, standing
from streams.kafka.admin import Admin
from streams.record import Partition
from tests.brokers import Topics, unique
from tests.engine.rooms import Member
from tests.engine.stage import ORDERS, message, messages, state
from tests.engine.test_commit import Ledgers
from tests.path.members import Bench, headers_of, numbered
from tests.path.test_expired import declare, delete_below
from tests.path.test_start import commit
from tests.waiting import eventually

BAD = ValueError("bad")


def member_of(handle: Any, **options: Any) -> Member:
    """A member whose broker is the test, and whose handler of ``orders`` is *handle*, inline unless *options* say."""
    app = App("billing")
    app.on("orders", **{"run": "inline", "policy": "block", **options})(handle)
    member = Member(app)
    member.grant(ORDERS)
    return member


def in_transactions(bench: Bench, topic: str) -> list[int]:
    """Write three transactions of five records, the second one aborted; give the offsets that hold records."""
    producer = Producer(bench.kafka.client(transactional_id=unique("writer")))
    producer.init_transactions(30)
    for is_kept in (True, False, True):
        producer.begin_transaction()
        for number in range(5):
            producer.produce(topic, b"%d" % number, b"key-%d" % number)
        producer.flush(30)
        if is_kept:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    return [*range(5), *range(12, 17)]


def progress_of(bench: Bench, app: App, topic: str) -> Progress:
    """What `streams lag` makes of the only partition of *topic*."""
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        return standing(admin, app.group).progress[Partition(topic, 0)]


# -- offsets and ledgers ------------------------------------------------------------------------------------


def test_a_ledger_that_can_not_be_read_skips_not_even_one_record(bench: Bench, topic: Topics, app: App) -> None:
    """Exactly one record was skipped: the committed offset was taken for the last one done, not for the next."""
    orders = topic()
    seen = declare(app, orders)
    bench.write(orders, numbered(20))
    commit(bench, app, orders, 7, "s1!damaged")
    member = bench.run(app)
    member.settled()

    assert seen == list(range(7, 20))
    assert len(member.ear.heard("ledger_unreadable")) == 1


def test_offsets_that_hold_no_record_never_hold_up_the_commit(bench: Bench, topic: Topics, app: App) -> None:
    """The commit stuck: an offset that the broker never delivers was waited for as for a record that is missing."""
    orders = topic()
    wanted = in_transactions(bench, orders)
    seen = declare(app, orders)
    bench.run(app).settled()

    assert sorted(seen) == wanted
    assert progress_of(bench, app, orders).committed == 18


def test_no_offset_is_stored_for_a_partition_that_was_given_back() -> None:
    """The next owner's offset was overwritten: records ran twice, or were skipped."""
    runs = []

    def handle(record: Record) -> None:
        runs.append(record.offset)

    member = member_of(handle)
    member.turn(*messages((0, b"a"), (1, b"a")))
    before = member.state()
    member.assignment.revoked([ORDERS])
    sent = len(member.consumer.commits)
    member.commit()
    member.commit()

    assert runs == [0, 1]
    assert member.consumer.commits_now[-1].offset == 2
    assert member.consumer.commits[sent:] == []
    assert before.is_dropped


def test_work_under_way_is_awaited_and_committed_before_its_partition_goes() -> None:
    """Effects happened twice: the partition was closed to commits before the handlers in it had ended."""
    begun, ended = threading.Event(), threading.Event()
    partition: list[PartitionState] = []

    def handle(_: Record) -> None:
        begun.set()
        eventually(lambda: partition[0].is_closed)  # it ends in the drain, and no sooner
        ended.set()

    member = member_of(handle, run="threads")
    partition.append(member.state())
    member.turn(message(0))
    eventually(begun.is_set)
    member.assignment.revoked([ORDERS])
    for executor in member.loop.executors.values():
        executor.close()

    assert ended.is_set()
    assert [commit.offset for commit in member.consumer.commits_now] == [1]


def test_a_ledger_beyond_the_limit_is_never_cut_in_silence() -> None:
    """What did not fit was dropped, and nobody was told: after a restart settled records ran again, unexplained."""
    ledgers = Ledgers()
    partition = ledgers.begin(state())
    ledgers.consumer.answer()
    chunk = partition.admit([message(offset, None) for offset in range(30_000)])
    assert chunk is not None
    done = {number * number % 29_989 + 1 for number in range(15_000)}
    for offset in done:
        chunk.settled[offset] = 1
    (request,) = ledgers.pass_time(1)
    snapshot = decode(request.metadata)
    assert snapshot is not None
    told = {offset for settled in snapshot.settled(request.offset) for offset in settled}

    assert len(request.metadata) <= METADATA_LIMIT
    assert told < done
    assert told
    assert not snapshot.complete
    assert ledgers.heard.of("ledger_cut") == [(ORDERS,)]


# -- failures ---------------------------------------------------------------------------------------------------


def test_intake_never_stays_shut_under_retries_without_end(bench: Bench, topic: Topics, app: App) -> None:
    """The gate closed for ever: records that wait for a retry filled it, and none of them ever gave up its place."""
    orders, works, seen = topic(), threading.Event(), list[int]()

    @app.on(orders, policy="block", retry=RetryPolicy(delays=("50ms",), max_attempts=1_000_000, jitter=0))
    def handle(record: Record) -> None:
        if not works.is_set():
            raise BAD
        seen.append(record.offset)

    bench.write(orders, numbered(300))
    member = bench.run(app, waiting_records=20, batch_records=10, max_in_flight=40)
    member.until(lambda: member.ear.heard("paused"))
    works.set()
    member.settled()

    assert seen == list(range(300))


def test_a_record_whose_dead_letter_is_refused_is_not_dropped() -> None:
    """The record was gone: writing its dead letter failed, and its offset was committed all the same."""

    def handle(_: Record) -> DeadLetter:
        return DeadLetter(BAD)

    member = member_of(handle)
    member.turn(message(0, b"a", b"payload"))
    member.turn()
    for _ in range(3):
        member.producer.answer("refused", "TOPIC_AUTHORIZATION_FAILED")
        member.turn()
        member.commit()
        assert member.consumer.stored[ORDERS].offset == 0
        member.clock.advance(60)
        member.turn()
    letter = member.producer.answer()
    member.turn()
    member.commit()

    assert (letter.topic, letter.value) == ("orders.billing.dlq", b"payload")
    assert member.consumer.stored[ORDERS].offset == 1


def test_a_dead_letter_holds_the_payload_however_long_it_took(bench: Bench, topic: Topics, app: App) -> None:
    """Only its coordinates were left: the payload had been kept in a cache, and was not there any more."""
    orders, payload = topic(), bytes(range(256)) * 40
    tries: list[int] = []

    @app.on(orders, policy="park", retry=RetryPolicy(delays=("1s",), memory_up_to="0.5s", jitter=0))
    def handle(_: Record, ctx: Context) -> None:
        tries.append(ctx.attempt)
        raise BAD

    bench.write(orders, [(b"a", payload, [("trace", b"\xff")])])
    first = bench.run(app)
    first.until(lambda: first.ear.heard("relocated"))
    first.stop()
    bench.run(app).settled()  # a process that never had it in memory
    (letter,) = bench.dead(orders, app.group)

    assert tries == [1, 2]
    assert (letter.key(), letter.value(), headers_of(letter)[0]) == (b"a", payload, ("trace", b"\xff"))
    assert unpack(headers_of(letter)).hop == 2


def test_a_failed_record_never_runs_in_a_tight_loop() -> None:
    """A processor was busy with one record: what was handed back came again at once, thousands of times a second."""
    runs = []

    def handle(record: Record) -> None:
        runs.append(record.offset)
        raise BAD

    member = member_of(handle, retry=RetryPolicy(delays=(20,), max_attempts=1_000, jitter=0))
    member.turn(message(0))
    for _ in range(500):
        member.turn()
    at_once = len(runs)
    for _ in range(19):
        member.commit()
    too_early = len(runs)
    for _ in range(2):
        member.commit()

    assert (at_once, too_early, len(runs)) == (1, 1, 2)


@pytest.mark.parametrize("error", [BAD, asyncio.CancelledError(), SystemExit(0), GeneratorExit(), KeyboardInterrupt()])
def test_a_record_whose_handler_raised_is_never_acknowledged(error: BaseException) -> None:
    """It counted as done: the error had ended the handler, and whatever ends was taken for success."""

    def handle(_: Record) -> None:
        raise error

    member = member_of(handle, retry=RetryPolicy(delays=(20,), jitter=0))
    member.turn(*messages((0, b"a"), (1, b"a")))
    member.commit()
    stored = member.consumer.stored[ORDERS]
    snapshot = decode(stored.metadata)

    assert stored.offset == 0
    assert snapshot is not None
    assert list(snapshot.settled(0)) == []
    assert not {result for _, result, _ in member.heard.of("finished")} & {"done", "skipped"}


# -- figures ------------------------------------------------------------------------------------------------------


def test_transaction_markers_are_no_lag(bench: Bench, topic: Topics, app: App) -> None:
    """It was 1 for ever: the marker behind the last record has an offset, and nobody will ever process it."""
    orders = topic()
    in_transactions(bench, orders)
    declare(app, orders)
    member = bench.run(app)
    member.settled()
    member.until(lambda: [one.unread for one in member.ear.views[-1].partitions] == [0])
    found = progress_of(bench, app, orders)

    assert (found.outstanding, found.end) == (0, 18)


def test_records_that_retention_removed_are_no_lag(bench: Bench, topic: Topics, app: App) -> None:
    """They counted as work to come: the lag was taken from the committed offset, below which nothing is left."""
    orders = topic()
    declare(app, orders)
    bench.write(orders, numbered(10))
    member = bench.run(app)
    member.settled()
    member.stop()
    bench.write(orders, numbered(90))
    delete_below(bench, orders, 60)
    found = progress_of(bench, app, orders)

    assert (found.committed, found.outstanding, found.expired) == (10, 40, 50)


def test_a_bench_by_key_has_keys_that_come_again() -> None:
    """Every record had a key of its own: nothing ever waited for anything, and the figure was called 'by key'."""
    records = list(numbered_records(20_000))
    counts = Counter(key for key, _ in records)
    waiting = sum(count - 1 for count in counts.values())

    assert waiting > len(records) / 2
    assert counts.most_common(1)[0][1] > len(records) / 10
    assert checked(records) == (len(records), 0)
    assert checked(records[::-1])[1] > waiting / 2, "a bench that does not look would not see the order turned round"


def checked(records: Sequence[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Records that the bench's own check found in order, and out of it, where they run in this one."""
    check = OrderCheck()
    for _, value in records:
        check.begin(orjson.loads(value))
        check.end(orjson.loads(value))
    return check.totals()
