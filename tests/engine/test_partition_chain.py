"""Order through failure: what of a key runs next while some of it stands in the chain."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams.engine.partition import Bury, Move
from streams.engine.retries import Hold
from streams.outcome import Retry
from streams.retry import GiveUp, RetryPolicy
from tests.engine.shelf import DOWN, Shelf, header, offsets
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, AT_TEN_MINUTES, MINUTE, TEN_MINUTES


@pytest.fixture
def shelf() -> Shelf:
    """A partition whose first owner has committed once."""
    shelf = Shelf()
    shelf.commit()
    return shelf


# -- a head leaves ---------------------------------------------------------------------------------------


def test_a_short_wait_passes_in_memory_and_a_long_one_in_its_tier(shelf: Shelf) -> None:
    """The first attempt is a second away, the second a minute, the third ten."""
    (run,) = shelf.read((0, b"a"))
    first = shelf.decide(run)
    shelf.clock.advance(1)
    (run,) = shelf.state.due(shelf.clock.monotonic())
    second = shelf.fail(run)
    shelf.take(second)
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    third = shelf.fail(run)

    assert isinstance(first, Hold)
    assert (second.number, third.number) == (AT_MINUTE, AT_TEN_MINUTES)


def test_the_handlers_wait_gets_a_tier_that_is_long_enough(shelf: Shelf) -> None:
    """`Retry.after` is rounded up to a tier, and repeats the longest."""
    runs = shelf.read((0, b"a"), (1, b"b"), (2, b"c"))
    moves = []
    for run, seconds in zip(runs, (5, 61, 86_400), strict=True):
        outcome = Retry(DOWN, after=timedelta(seconds=seconds))
        moves.append(shelf.state.fail(shelf.state.interrupt(run, 0), outcome, 0.0, 0))

    assert isinstance(moves[0], Hold)
    assert [move.number for move in moves[1:] if isinstance(move, Move)] == [AT_TEN_MINUTES, AT_TEN_MINUTES]


def test_behind_a_head_that_left_its_key_waits_and_others_go_on(shelf: Shelf) -> None:
    """The record is settled in the source, its key waits, other keys run, and offsets are committed."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    follower = shelf.take(shelf.fail(shelf.retry(run)))
    runs = shelf.read((2, b"b"), (3, b"a"))

    assert follower is None
    assert offsets(runs) == [[2]]
    assert shelf.state.ledger.committable == 1
    assert shelf.state.behind == 2


def test_nothing_of_a_key_runs_while_its_copy_is_on_its_way(shelf: Shelf) -> None:
    """Until the broker has it the record is open, and so is its key."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    move = shelf.fail(shelf.retry(run))
    runs = shelf.read((2, b"a"))
    before = shelf.state.ledger.committable
    shelf.take(move)

    assert runs == []
    assert (before, shelf.state.ledger.committable) == (0, 1)


def test_the_key_goes_on_once_its_head_has_ended(shelf: Shelf) -> None:
    """What waited in memory runs, in order, and the key is out of the index."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.read((2, b"a"))
    shelf.clock.advance(60)
    (head,), _ = shelf.load(AT_MINUTE)
    followers = shelf.end(head)

    assert offsets(followers) == [[1, 2]]
    assert shelf.state.chain.index == {}
    assert shelf.end(*followers) == []
    assert shelf.state.lanes == {}


def test_a_head_that_dies_lets_its_key_go_on(shelf: Shelf) -> None:
    """Under `continue` the dead letter is the record's end, as soon as the broker has it."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    bury = shelf.state.bury(shelf.state.interrupt(run, 0), DOWN, GiveUp("bad"), 0.0, 5)
    follower = shelf.take(bury)

    assert follower is not None
    assert offsets([follower]) == [[1]]
    assert shelf.state.chain.index == {}
    assert shelf.state.ledger.committable == 1


@pytest.mark.parametrize("after_death", ["hold", "follow"])
def test_a_head_that_dies_stops_its_key(after_death: str) -> None:
    """Under the other policies nothing younger runs."""
    shelf = Shelf(after_death=after_death)  # type: ignore[arg-type]  # one of the words
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    follower = shelf.take(shelf.state.bury(shelf.state.interrupt(run, 0), DOWN, GiveUp("bad"), 0.0, 5))

    assert follower is None
    assert shelf.read((2, b"a")) == []
    assert shelf.state.chain.blocked == 1


def test_the_last_of_a_followed_key_leaves_its_lane_free_for_nothing() -> None:
    """Each younger record joins the dead ones, whenever it comes."""
    shelf = Shelf(after_death="follow")
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.take(shelf.state.bury(shelf.state.interrupt(run, 0), DOWN, GiveUp("bad"), 0.0, 5))
    shelf.park(is_forced=False)
    shelf.read((2, b"a"))
    shelf.park(is_forced=False)

    assert [copy.offset for copy in shelf.headers(AT_DLQ)] == [0, 1, 2]
    assert shelf.state.ledger.committable == 3
    assert shelf.state.outstanding == 0


# -- the smallest origin ---------------------------------------------------------------------------------


def test_the_smallest_origin_runs_next_wherever_it_is(shelf: Shelf) -> None:
    """Rule 2: of what stands in tiers, in parked and in memory the oldest record is the head."""
    shelf.append(AT_PARKED, header(1))
    shelf.append(AT_MINUTE, header(3))
    shelf.own(b"second")
    order = [offsets(runs := shelf.read((0, b"a"), (2, b"a"), (4, b"a")))]
    shelf.end(*runs)
    order.append(offsets(runs := shelf.load(AT_PARKED)[0]))
    order.append(offsets(runs := shelf.end(*runs)))
    shelf.end(*runs)
    shelf.clock.advance(60)
    order.append(offsets(runs := shelf.load(AT_MINUTE)[0]))
    order.append(offsets(runs := shelf.end(*runs)))

    assert order == [[[0]], [[1]], [[2]], [[3]], [[4]]]


def test_what_was_read_ahead_does_not_overtake_what_moves(shelf: Shelf) -> None:
    """A record that leaves memory between two that were read from the chain still comes between them."""
    shelf.append(AT_PARKED, header(1))
    shelf.append(AT_PARKED, header(3))
    shelf.own(b"second")
    shelf.end(*shelf.read((0, b"a"), (2, b"a"), (4, b"b")))
    (head,), _ = shelf.load(AT_PARKED)
    shelf.load(AT_PARKED, 1)
    shelf.park()
    first = shelf.end(head)
    second, _ = shelf.load(AT_PARKED, 2)
    third = shelf.end(*second)
    fourth = third or shelf.load(AT_PARKED, 1)[0]

    assert first == []
    assert offsets(second) == [[2]]
    assert offsets(fourth) == [[3]]


def test_what_did_not_run_is_next_after_a_failure(shelf: Shelf) -> None:
    """Copies that were read with a head that fails again wait until it has ended."""
    for origin in range(3):
        shelf.append(AT_PARKED, header(origin))
    shelf.own(b"second")
    shelf.read((3, b"b"))
    (run,), _ = shelf.load(AT_PARKED)
    shelf.take(shelf.fail(run, done=1))
    shelf.clock.advance(60)
    (again,), _ = shelf.load(AT_MINUTE)
    followers = shelf.end(again)

    assert offsets([run]) == [[0, 1, 2]]
    assert offsets([again]) == [[1]]
    assert followers == []
    assert shelf.state.chain.parts[AT_PARKED].wanted(0) == 2
    assert offsets(shelf.load(AT_PARKED, 2)[0]) == [[2]]


def test_records_without_a_key_wait_for_nobody(shelf: Shelf) -> None:
    """Each has a lane of its own, and the chain holds each alone."""
    first, second = shelf.read((0, None), (1, None))
    shelf.take(shelf.fail(shelf.retry(first)))
    again = shelf.read((2, None))

    assert offsets([second, *again]) == [[1], [2]]
    assert set(shelf.state.chain.index) == {0}


def test_without_order_nothing_waits() -> None:
    """Under `unordered` a failed record waits in its tier, and the later ones of its key overtake it."""
    shelf = Shelf((MINUTE, TEN_MINUTES, *Shelf().stages[3:]), is_ordered=False)
    first, second = shelf.read((0, b"a"), (1, b"a"))
    follower = shelf.take(shelf.fail(shelf.retry(first)))
    ends = shelf.end(second)
    shelf.clock.advance(60)
    runs, _ = shelf.load(0)

    assert follower is None
    assert ends == []
    assert offsets(runs) == [[0]]
    assert shelf.end(*runs) == []
    assert shelf.state.lanes == {}


# -- what a record carries ---------------------------------------------------------------------------------


def test_attempts_travel_with_the_record(shelf: Shelf) -> None:
    """Runs before a move count, whoever made them; the last of the policy's ends in a dead letter that tells of all."""
    (run,) = shelf.read((0, b"a"))
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.own(b"second")
    shelf.read((0, b"a"), (1, b"b"))
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    shelf.take(shelf.fail(run))
    shelf.clock.advance(600)
    (run,), _ = shelf.load(AT_TEN_MINUTES)
    bury = shelf.decide(run)

    assert isinstance(bury, Bury)
    assert (bury.attempts, bury.reason) == (4, "attempt 4 of 4 failed")
    assert [copy.attempts for number in (AT_MINUTE, AT_TEN_MINUTES) for copy in shelf.headers(number)] == [2, 3]
    assert [one.time_ms for one in bury.header.history] == [1_000_000, 1_001_000, 1_061_000, 1_661_000]
    assert bury.header.first_failed_ms == 1_000_000


def test_hops_count_moves_and_name_where_each_came_from(shelf: Shelf) -> None:
    """The next copy is one hop further, settles the one it left, and keeps its origin."""
    (run,) = shelf.read((7, b"a"))
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    shelf.take(shelf.fail(run))
    (first,), (second,) = shelf.headers(AT_MINUTE), shelf.headers(AT_TEN_MINUTES)

    assert (first.hop, first.from_topic, first.from_offset) == (1, "orders", 7)
    assert (second.hop, second.from_topic, second.from_offset) == (2, MINUTE.topic, 0)
    assert first.origin == second.origin
    assert shelf.state.chain.parts[AT_MINUTE].outstanding == 0


def test_the_deadline_spans_tiers() -> None:
    """It counts from the first failure, across moves and owners."""
    shelf = Shelf(policy=RetryPolicy(delays=(60,), max_attempts=9, deadline=150, jitter=0))
    (run,) = shelf.read((0, b"a"))
    shelf.take(shelf.fail(run))
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    shelf.take(shelf.fail(run))
    shelf.commit()
    shelf.own(b"second")
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE, 1)
    bury = shelf.decide(run)

    assert isinstance(bury, Bury)
    assert "deadline" in bury.reason


def test_a_parked_record_has_failed_nothing(shelf: Shelf) -> None:
    """What merely waited begins with its first attempt."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.park()
    shelf.clock.advance(60)
    (head,), _ = shelf.load(AT_MINUTE)
    shelf.end(head)
    (run,), _ = shelf.load(AT_PARKED)

    assert isinstance(shelf.decide(run), Hold)
    assert shelf.state.attempts_of(run[0]) == 1


# -- counts ------------------------------------------------------------------------------------------------


def test_memory_is_what_is_in_memory(shelf: Shelf) -> None:
    """What left for the chain is neither outstanding nor settled, and counts again when it is read."""
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    counts = [(shelf.state.outstanding, shelf.state.settled, shelf.state.chain.outstanding)]
    shelf.take(shelf.fail(shelf.retry(run)))
    shelf.park()
    counts.append((shelf.state.outstanding, shelf.state.settled, shelf.state.chain.outstanding))
    shelf.clock.advance(60)
    (head,), _ = shelf.load(AT_MINUTE)
    counts.append((shelf.state.outstanding, shelf.state.settled, shelf.state.chain.outstanding))
    shelf.end(head)
    shelf.end(*shelf.load(AT_PARKED)[0])
    counts.append((shelf.state.outstanding, shelf.state.settled, shelf.state.chain.outstanding))

    assert counts == [(2, 0, 0), (0, 0, 2), (1, 0, 2), (0, 2, 0)]
    assert shelf.state.outstanding_bytes == 0
