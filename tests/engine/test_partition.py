"""One partition in the hands of its owner: lanes, failures, the lease, and what its commits say of its owners."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.engine.ledger import Chunk
from streams.engine.partition import NEVER, Bury, Item, PartitionState, Run, finish
from streams.engine.retries import Hold
from streams.engine.snapshot import Snapshot, decode
from streams.errors import DecodeError
from streams.kafka.message import Message
from streams.outcome import Retry
from streams.retry import GiveUp, RetryPolicy
from tests.engine.stage import message, messages, state

DOWN = Retry(OSError("down"))


def admitted(partition: PartitionState, *read: Message) -> Chunk:
    """Records that were read together."""
    chunk = partition.admit(list(read))
    assert chunk is not None
    return chunk


def runs_of(partition: PartitionState, *places: tuple[int, bytes | None]) -> list[Run]:
    """What may run once records at *places* were read."""
    return list(partition.enlane(admitted(partition, *messages(*places))))


def offsets(*runs: Run) -> list[list[int | None]]:
    """The offsets of *runs*."""
    return [[item[0].offset() for item in run] for run in runs]


def failed(partition: PartitionState, run: Run, done: int = 0, now_s: float = 0.0) -> Item:
    """A record whose run failed and that waits for the next one."""
    item = partition.interrupt(run, done)
    assert isinstance(partition.fail(item, DOWN, now_s, 5), Hold)
    return item


def last_commit(partition: PartitionState) -> tuple[int, Snapshot]:
    """What a commit would say now."""
    offset, text, _ = partition.snapshot()
    snapshot = decode(text)
    assert snapshot is not None
    return offset, snapshot


# -- lanes --------------------------------------------------------------------------------------


def test_records_of_a_key_form_one_run() -> None:
    """Records that were read together run lane by lane, each lane in the order of its offsets."""
    runs = runs_of(state(), (0, b"a"), (1, b"b"), (2, b"a"), (3, b"c"), (4, b"a"))

    assert offsets(*runs) == [[0, 2, 4], [1], [3]]


def test_records_without_a_key_wait_for_nobody() -> None:
    """A record without a key has a lane of its own; an empty key is a key like any other."""
    runs = runs_of(state(), (0, None), (1, b""), (2, None), (3, b""))

    assert offsets(*runs) == [[0], [1, 3], [2]]


def test_a_busy_lane_is_waited_for() -> None:
    """What comes for a key whose record runs waits behind it, and is the next run."""
    partition = state()
    (first,) = runs_of(partition, (0, b"a"))
    meanwhile = runs_of(partition, (1, b"a"), (2, b"a"))
    later = runs_of(partition, (3, b"a"))
    (second,) = finish([first])

    assert meanwhile == later == []
    assert offsets(second) == [[1, 2, 3]]
    assert list(finish([second])) == []
    assert not partition.lanes


def test_a_failed_record_holds_its_key_alone() -> None:
    """While a record waits for its next attempt its key waits behind it, and other keys go on."""
    partition = state()
    lane_a, lane_b = runs_of(partition, (0, b"a"), (1, b"b"), (2, b"a"), (3, b"a"))
    failed(partition, lane_a, done=1)
    list(finish([lane_b]))

    assert (partition.retrying, partition.behind, partition.waiting) == (1, 1, 2)
    assert runs_of(partition, (4, b"a")) == []
    assert offsets(*runs_of(partition, (5, b"b"))) == [[5]]
    assert partition.ledger.committable == 2


def test_what_an_owner_before_settled_is_not_run() -> None:
    """Restored records are neither counted nor run."""
    partition = state(restored=[range(1, 3)])
    chunk = admitted(partition, *messages((0, b"a"), (1, b"a"), (2, b"b"), (3, b"a")))

    assert offsets(*partition.enlane(chunk)) == [[0, 3]]
    assert partition.outstanding == 2


def test_a_chunk_of_which_nothing_is_left_runs_nothing() -> None:
    """A batch that an earlier owner settled whole is no work."""
    partition = state(restored=[range(3)])
    chunk = admitted(partition, *messages((0, b"a"), (1, b"a"), (2, b"b")))

    assert list(partition.enlane(chunk)) == []
    assert (partition.outstanding, partition.ledger.committable) == (0, 3)


def test_a_chunk_of_which_nothing_is_left_settles() -> None:
    """Inline handlers meet such a batch too: it is done before it begins."""
    partition = state(restored=[range(2)])
    partition.settle_chunk(admitted(partition, *messages((0, b"a"), (1, b"a"))))

    assert (partition.outstanding, partition.settled, partition.latest) == (0, 0, None)


def test_a_chunk_settles_as_a_whole() -> None:
    """Records that ran well where they were read settle in one step."""
    partition = state()
    partition.settle_chunk(admitted(partition, message(0, value=b"abc"), message(1)))

    assert (partition.outstanding, partition.outstanding_bytes, partition.settled) == (0, 0, 2)
    assert partition.ledger.committable == 2


def test_the_front_of_a_chunk_settles_alone() -> None:
    """Where the third of four failed, two have settled and the others go into their lanes."""
    partition = state()
    chunk = admitted(partition, *messages((0, b"a"), (1, b"b"), (2, b"a"), (3, b"b")))
    partition.settle_first(chunk, 2)

    assert partition.latest is not None
    assert partition.latest.offset() == 1
    assert offsets(*partition.enlane(chunk)) == [[2], [3]]
    assert (partition.outstanding, partition.ledger.committable) == (2, 2)


def test_only_records_of_busy_keys_wait_and_the_rest_of_a_chunk_settles_as_one() -> None:
    """With key a under way, its later records wait behind it in order; those of other keys need no lane."""
    partition = state()
    (run,) = partition.enlane(admitted(partition, message(0, b"a")))
    chunk = admitted(partition, message(1, b"b", b"xyz"), *messages((2, b"a"), (3, b"c"), (4, b"a")))
    partition.enlane_busy(chunk)

    assert [one.offset() for one in chunk.messages] == [1, 3]
    partition.settle_chunk(chunk)
    assert (partition.outstanding, partition.outstanding_bytes) == (3, 3 * len(message(0)))
    assert [(one.start, one.stop) for one in partition.ledger.ranges()] == [(1, 2), (3, 4)]
    (behind,) = finish([run])
    assert offsets(behind) == [[2, 4]]
    assert list(finish([behind])) == []
    assert partition.ledger.committable == 5


def test_of_a_call_what_ended_well_settles_and_a_troubled_key_goes_into_its_lane() -> None:
    """Of four records of a call the second stops key b: its later one is behind it, the others have settled."""
    partition = state()
    chunk = admitted(partition, *messages((0, b"a"), (1, b"b"), (2, b"c"), (3, b"b"), (4, b"b")))
    partition.settle_picked(chunk, [True, False, True, False])
    (run,) = partition.enlane(chunk, 2)
    partition.enlane_busy(chunk)

    assert offsets(run) == [[1, 3]]
    assert chunk.messages == []
    partition.settle_chunk(chunk)
    assert (partition.outstanding, partition.ledger.committable) == (3, 1)
    assert [(one.start, one.stop) for one in partition.ledger.ranges()] == [(2, 3)]
    (behind,) = finish([run])
    assert offsets(behind) == [[4]]


# -- failures -----------------------------------------------------------------------------------


def test_a_record_runs_again_when_it_is_due() -> None:
    """The wait is that of the policy, for each attempt its own, and then it is given up."""
    partition = state()
    (run,) = runs_of(partition, (0, b"a"), (1, b"a"))
    item = partition.interrupt(run, 0)
    first = partition.fail(item, DOWN, 100.0, 1)
    early = partition.due(100.9)
    (again,) = partition.due(101.0)
    second = partition.fail(partition.interrupt(again, 0), DOWN, 102.0, 2)
    (once_more,) = partition.due(112.0)
    third = partition.fail(partition.interrupt(once_more, 0), DOWN, 113.0, 3)

    assert (first, second) == (Hold(101.0, 1, DOWN.cause), Hold(112.0, 2, DOWN.cause))
    assert early == []
    assert isinstance(third, Bury)
    assert (third.attempts, third.reason) == (3, "attempt 3 of 3 failed")
    assert [attempt.time_ms for attempt in third.header.history] == [1, 2, 3]


def test_the_handler_may_choose_the_wait() -> None:
    """`Retry.after` counts instead of the policy's delay."""
    partition = state()
    (run,) = runs_of(partition, (0, b"a"))
    hold = partition.fail(partition.interrupt(run, 0), Retry(OSError(), after=timedelta(minutes=1)), 100.0, 1)

    assert isinstance(hold, Hold)
    assert hold.due_s == 160.0


def test_the_deadline_counts_from_the_first_failure() -> None:
    """No attempt begins after the policy's deadline."""
    partition = state(policy=RetryPolicy(delays=(10,), max_attempts=9, deadline=25, jitter=0))
    (run,) = runs_of(partition, (0, b"a"))
    decisions = []
    for now_s in (100.0, 110.0, 120.0):
        decisions.append(partition.fail(partition.interrupt(run, 0), DOWN, now_s, 1))
        run = (partition.due(now_s + 10) or [run])[0]

    assert [type(one) for one in decisions] == [Hold, Hold, Bury]


def test_each_failure_counts_whatever_it_ends_in() -> None:
    """A dead letter that the handler asks for in its second run tells of two."""
    partition = state()
    (run,) = runs_of(partition, (0, b"a"))
    failed(partition, run)
    (again,) = partition.due(1.0)
    bury = partition.bury(partition.interrupt(again, 0), DecodeError("bad"), GiveUp("its own word"), 0.0, 9)

    assert isinstance(bury, Bury)
    assert bury.attempts == 2
    assert [(attempt.time_ms, attempt.error) for attempt in bury.header.history] == [(5, "OSError"), (9, "DecodeError")]


def test_a_dead_letter_tells_of_the_last_ten_attempts() -> None:
    """The history is bounded, the count is not."""
    partition = state(policy=RetryPolicy(delays=(1,), max_attempts=13, jitter=0))
    (run,) = runs_of(partition, (0, b"a"))
    for now in range(12):
        assert isinstance(partition.fail(partition.interrupt(run, 0), DOWN, now, now), Hold)
        (run,) = partition.due(now + 1)
    bury = partition.fail(partition.interrupt(run, 0), DOWN, 12, 12)

    assert isinstance(bury, Bury)
    assert bury.attempts == 13
    assert [attempt.time_ms for attempt in bury.header.history] == list(range(3, 13))


def test_a_record_starts_from_the_beginning_after_one_that_ended() -> None:
    """Attempts belong to a record, not to its key."""
    partition = state()
    (run,) = runs_of(partition, (0, b"a"), (1, b"a"))
    item = failed(partition, run)
    partition.due(1.0)
    (follower,) = [partition.settle(item)]
    assert follower is not None

    assert offsets(follower) == [[1]]
    assert partition.attempts_of(follower[0]) == 0
    assert isinstance(partition.fail(partition.interrupt(follower, 0), DOWN, 2.0, 1), Hold)
    assert partition.attempts_of(follower[0]) == 1


# -- the lease and the end ----------------------------------------------------------------------


def test_without_the_lease_nothing_runs_again() -> None:
    """What is due, and what an executor brought back, waits until a commit is acknowledged."""
    partition = state(lease_until=50.0)
    lane_a, lane_b = runs_of(partition, (0, b"a"), (1, b"b"))
    failed(partition, lane_a)
    partition.postpone(partition.interrupt(lane_b, 0))

    assert partition.has_waiting
    assert partition.due(51.0) == []
    partition.renew(80.0)
    assert sorted(offsets(*partition.due(52.0))) == [[0], [1]]
    assert not partition.has_waiting


def test_what_is_closed_is_not_renewed() -> None:
    """After the close nothing starts again, and what ran may settle."""
    partition = state()
    lane_a, lane_b = runs_of(partition, (0, b"a"), (1, b"b"))
    failed(partition, lane_a)
    partition.close()
    partition.renew(1_000.0)
    list(finish([lane_b]))

    assert partition.lease_until == NEVER
    assert partition.due(100.0) == []
    assert (partition.outstanding, list(partition.ledger.ranges())) == (1, [range(1, 2)])


def test_what_is_dropped_is_closed() -> None:
    """A partition of another owner starts nothing."""
    partition = state()
    partition.drop()

    assert partition.is_dropped
    assert partition.is_closed
    assert partition.lease_until == NEVER


# -- what commits say -----------------------------------------------------------------------------


def test_a_commit_names_the_lowest_open_offset_and_what_settled_above() -> None:
    """The offset is the lowest that is open; the metadata holds the assignment and the settled ranges."""
    partition = state()
    _, lane_b, _ = runs_of(partition, (0, b"a"), (1, b"b"), (5, b"c"))
    list(finish([lane_b]))
    offset, snapshot = last_commit(partition)

    assert offset == 0
    assert snapshot.assignment_id == b"assigned"
    assert list(snapshot.settled(offset)) == [range(1, 2)]


def owner(committed: int, starts: int) -> PartitionState:
    """An owner that is the *starts*-th to begin at *committed*."""
    partition = state(committed=committed)
    partition.tenure.starts = starts
    return partition


@pytest.mark.parametrize(
    ("moves_on", "ends_gracefully", "starts"),
    [(False, False, 3), (False, True, 2), (True, False, 1), (True, True, 0)],
    ids=["dies where it began", "ends where it began", "dies further on", "ends further on"],
)
def test_commits_count_the_owners_that_began_here_and_died(
    *, moves_on: bool, ends_gracefully: bool, starts: int
) -> None:
    """The count grows with each owner that starts from the same offset, and a graceful end is no death."""
    partition = owner(committed=7, starts=3)
    if moves_on:
        partition.settle_chunk(admitted(partition, message(7)))
    if ends_gracefully:
        partition.close()
        partition.tenure.end_gracefully()

    assert last_commit(partition)[1].starts == starts


def test_too_many_ranges_are_cut_and_told() -> None:
    """A ledger that outgrows the metadata says that it is not complete."""
    partition = state(restored=[range(at * at, at * at + at % 97 + 1) for at in range(100, 9_000)])
    _, text, is_complete = partition.snapshot()

    assert not is_complete
    assert len(text) <= 4_095
