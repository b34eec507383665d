"""What leaves memory for the chain, and what of the chain comes back into memory."""

from __future__ import annotations

import pytest

from streams.engine.partition import Bury, Move
from streams.engine.policy import DeadLetterPolicy
from streams.retry import GiveUp, RetryPolicy
from tests.engine.shelf import DOWN, Shelf, header, offsets
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, AT_TEN_MINUTES, DLQ, PARKED


def troubled(*, after_death: DeadLetterPolicy = "continue", behind: int = 2) -> Shelf:
    """Key ``a`` has its oldest record in the tier of a minute, and *behind* records in memory."""
    shelf = Shelf(after_death=after_death)
    (run,) = shelf.read(*((offset, b"a") for offset in range(1 + behind)))
    shelf.take(shelf.fail(shelf.retry(run)))
    return shelf


def moved(shelf: Shelf, *, is_forced: bool = False) -> list[tuple[int, int | None]]:
    """What is to leave memory: to which topic, and which record."""
    return [(move.number, move.item[0].offset()) for move in shelf.relieve(is_forced=is_forced)]


# -- out of memory ------------------------------------------------------------------------------------


def test_what_has_waited_long_is_parked() -> None:
    """Records behind one in a tier wait in memory for as long as memory is for, and then leave it, oldest first."""
    shelf = troubled()
    steps = [moved(shelf)]
    shelf.clock.advance(9.9)
    steps.append(moved(shelf))
    shelf.clock.advance(0.1)
    steps.append(moved(shelf))

    assert steps == [[], [], [(AT_PARKED, 1), (AT_PARKED, 2)]]
    assert shelf.state.behind == 0


def test_under_pressure_everything_that_waits_is_parked() -> None:
    """Forced, nobody waits for their time."""
    assert moved(troubled(), is_forced=True) == [(AT_PARKED, 1), (AT_PARKED, 2)]


def test_under_pressure_what_waits_for_another_attempt_goes_to_a_tier() -> None:
    """Records that wait in memory move to the shortest tier, and those behind them are parked."""
    shelf = Shelf(policy=RetryPolicy(delays=(6, 60), jitter=0))
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.decide(run)
    moves = moved(shelf, is_forced=True)

    assert moves == [(AT_MINUTE, 0), (AT_PARKED, 1)]
    assert (shelf.state.retrying, shelf.state.next_due_s) == (0, float("inf"))


def test_a_short_wait_does_not_become_a_long_one() -> None:
    """Of a record that waits a second where the shortest tier is a minute only the followers leave; it runs in time."""
    shelf = Shelf()
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.decide(run)
    shelf.park()
    parked = [copy.offset for copy in shelf.headers(AT_PARKED)]
    shelf.clock.advance(1)
    (again,) = shelf.state.due(shelf.clock.monotonic())
    early, _ = shelf.load(AT_PARKED)

    assert parked == [1]
    assert (offsets([again]), early) == ([[0]], [])
    assert offsets(shelf.end(again)) == [[1]]


def test_without_a_tier_what_is_held_stays_and_what_follows_is_parked() -> None:
    """The record that waits in memory keeps its key, and its younger ones come back when it has ended."""
    shelf = Shelf((PARKED, DLQ), policy=RetryPolicy(delays=(1,), jitter=0))
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.decide(run)
    shelf.park()
    parked = shelf.headers(0)
    shelf.clock.advance(1)
    (again,) = shelf.state.due(shelf.clock.monotonic())
    early, _ = shelf.load(0)
    follower = shelf.end(again)

    assert [copy.offset for copy in parked] == [1]
    assert early == []
    assert offsets(follower) == [[1]]


def test_what_is_followed_leaves_at_once() -> None:
    """Under `follow` the younger records of a dead one need not wait: they join it."""
    shelf = Shelf(after_death="follow")
    (run,) = shelf.read((0, b"a"), (1, b"a"), (2, b"a"))
    item = shelf.state.interrupt(run, 0)
    bury = shelf.state.bury(item, DOWN, GiveUp("bad"), 0.0, 5)
    assert moved(shelf) == []
    shelf.take(bury)

    assert moved(shelf) == [(AT_DLQ, 1), (AT_DLQ, 2)]


def test_what_is_older_than_the_dead_does_not_follow_it() -> None:
    """Only younger records join a dead one: what the source still has from before it runs first."""
    shelf = Shelf(after_death="follow")
    shelf.commit()
    shelf.append(AT_DLQ, header(5))
    shelf.own(b"second")
    shelf.read((0, b"a"))
    moves = moved(shelf)
    runs = shelf.read((5, b"a"), (6, b"a"))

    assert moves == []
    assert offsets(runs) == [[0]]


def test_where_nothing_is_parked_nothing_leaves() -> None:
    """Under `block` records wait in memory, whatever the pressure."""
    shelf = Shelf((DLQ,), policy=RetryPolicy(delays=(1,), jitter=0))
    (run,) = shelf.read((0, b"a"), (1, b"a"))
    shelf.decide(run)

    assert moved(shelf, is_forced=True) == []


def test_what_is_beyond_a_keys_limit_becomes_a_dead_letter() -> None:
    """A full key takes no more copies: what it has no room for is given up, and told why."""
    shelf = troubled(behind=3)
    shelf.state.key_limit = 3
    first, second, third = shelf.relieve(is_forced=True)

    assert isinstance(first, Move)
    assert isinstance(second, Move)
    assert isinstance(third, Bury)
    assert (third.number, third.reason) == (AT_DLQ, "its key is full")


# -- back into memory -----------------------------------------------------------------------------------


def test_a_copy_runs_when_it_is_due_and_head() -> None:
    """The tier's delay counts from when the broker took it; reading it earlier changes nothing."""
    shelf = troubled()
    early = shelf.load(AT_MINUTE)
    shelf.clock.advance(60)
    runs, moves = shelf.load(AT_MINUTE)

    assert early == ([], [])
    assert offsets(runs) == [[0]]
    assert moves == []


def test_what_is_not_due_ends_the_reading() -> None:
    """Copies behind it come later, and none is passed over."""
    shelf = Shelf()
    for offset, key in ((0, b"a"), (1, b"b")):
        (run,) = shelf.read((offset, key))
        shelf.take(shelf.fail(shelf.retry(run)))
        shelf.clock.advance(30)
    first, _ = shelf.load(AT_MINUTE)
    cursor = shelf.state.chain.parts[AT_MINUTE].cursor
    shelf.clock.advance(60)
    second, _ = shelf.load(AT_MINUTE, 1)

    assert offsets(first) == [[0]]
    assert cursor == 1
    assert offsets(second) == [[1]]


def test_what_may_not_run_yet_is_passed_over_and_read_again() -> None:
    """A parked record that is no head stays where it is, and is wanted once it is one."""
    shelf = troubled()
    shelf.park()
    early, _ = shelf.load(AT_PARKED)
    before = shelf.state.chain.parts[AT_PARKED].wanted(0)
    shelf.clock.advance(60)
    runs, _ = shelf.load(AT_MINUTE)
    shelf.end(*runs)

    assert (early, before) == ([], None)
    assert shelf.state.chain.parts[AT_PARKED].wanted(0) == 0
    assert offsets(shelf.load(AT_PARKED)[0]) == [[1, 2]]


def test_what_follows_the_head_is_read_with_it() -> None:
    """Records of one key that stand in a row come into memory together, and run one after the other."""
    shelf = troubled()
    shelf.park()
    shelf.clock.advance(60)
    (head,), _ = shelf.load(AT_MINUTE)
    nothing, _ = shelf.load(AT_PARKED)
    followers = shelf.end(head)

    assert nothing == []
    assert shelf.state.outstanding == 2
    assert offsets(followers) == [[1, 2]]


def test_a_row_with_a_hole_ends_there() -> None:
    """Behind a record that stands in another topic nothing is taken into memory."""
    shelf = Shelf()
    shelf.commit()
    shelf.append(AT_PARKED, header(0))
    shelf.append(AT_MINUTE, header(1))
    shelf.append(AT_PARKED, header(2))
    shelf.own(b"second")
    shelf.read((3, b"b"))
    runs, _ = shelf.load(AT_PARKED)

    assert offsets(runs) == [[0]]
    assert shelf.end(*runs) == []


def test_nothing_runs_before_the_source_was_read_past_it() -> None:
    """Rule 1: what stands in the chain waits for the position, even where the key has nothing older."""
    shelf = Shelf()
    shelf.commit()
    shelf.append(AT_PARKED, header(5))
    shelf.own(b"second")
    early = shelf.load(AT_PARKED)
    freed = [shelf.read((0, b"b")), shelf.read((5, b"a"))]

    assert early == ([], [])
    assert [offsets(runs) for runs in freed] == [[[0]], []]
    assert shelf.state.chain.parts[AT_PARKED].wanted(0) == 0
    assert offsets(shelf.load(AT_PARKED)[0]) == [[5]]


def test_a_copy_that_is_not_the_live_one_is_settled() -> None:
    """Rule 4: reading it settles it, runs nothing, and is counted."""
    shelf = troubled()
    part = shelf.state.chain.parts[AT_PARKED]
    shelf.append(AT_PARKED, header(0))
    part.sent([0], [0])
    runs = shelf.load(AT_PARKED)

    assert runs == ([], [])
    assert part.outstanding == 0
    assert shelf.state.chain.fenced == 1


def test_what_nobody_of_ours_sent_is_passed() -> None:
    """Rule 11: a copy that was neither scanned nor acknowledged here is dead, whatever it says."""
    shelf = troubled()
    shelf.append(AT_PARKED, header(9, by=b"former"))

    assert shelf.load(AT_PARKED) == ([], [])
    assert shelf.state.outstanding == 2


def test_a_copy_on_its_way_does_not_run_where_it_was() -> None:
    """Until the broker has the next copy, the one before is neither run nor settled."""
    shelf = troubled(behind=0)
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    move = shelf.fail(run)
    again = shelf.load(AT_MINUTE)
    before = shelf.state.chain.parts[AT_MINUTE].outstanding
    shelf.take(move)

    assert again == ([], [])
    assert (before, shelf.state.chain.parts[AT_MINUTE].outstanding) == (1, 0)
    assert [copy.hop for copy in shelf.headers(AT_TEN_MINUTES)] == [2]


# -- relief ---------------------------------------------------------------------------------------------


def test_relief_moves_what_waits_whether_due_or_not() -> None:
    """The oldest copies of a ledger that fills leave for the end of the parked topic, one hop further."""
    shelf = troubled()
    shelf.park()
    shelf.state.chain.parts[AT_PARKED].relief = range(2)
    runs, moves = shelf.load(AT_PARKED)
    for move in moves:
        shelf.take(move)

    assert runs == []
    assert [(move.number, move.header.offset, move.header.hop) for move in moves] == [
        (AT_PARKED, 1, 2),
        (AT_PARKED, 2, 2),
    ]
    assert [(copy.from_topic, copy.from_offset) for copy in shelf.headers(AT_PARKED)[2:]] == [
        (PARKED.topic, 0),
        (PARKED.topic, 1),
    ]
    assert shelf.state.chain.parts[AT_PARKED].committable == 2


def test_relief_leaves_what_runs_alone() -> None:
    """A record in memory can't be moved: it settles its copy when it has ended."""
    shelf = troubled()
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    part = shelf.state.chain.parts[AT_MINUTE]
    part.relief = range(1)
    moves = shelf.load(AT_MINUTE)
    shelf.end(run)

    assert moves == ([], [])
    assert part.outstanding == 0


def test_what_was_relieved_runs_in_its_order() -> None:
    """The key goes on from where its copies are now."""
    shelf = troubled()
    shelf.park()
    shelf.state.chain.parts[AT_PARKED].relief = range(2)
    for move in shelf.load(AT_PARKED)[1]:
        shelf.take(move)
    shelf.clock.advance(60)
    (head,), _ = shelf.load(AT_MINUTE)
    shelf.end(head)

    assert shelf.state.chain.parts[AT_PARKED].wanted(0) == 2
    assert offsets(shelf.load(AT_PARKED, 2)[0]) == [[1, 2]]


def test_relief_of_a_head_keeps_its_wait() -> None:
    """A record that waits its minute and is moved to let the ledger go on does not run before that minute is over."""
    shelf = troubled(behind=0)
    shelf.state.chain.parts[AT_MINUTE].relief = range(1)
    for move in shelf.load(AT_MINUTE)[1]:
        shelf.take(move)
    early = [run for number in (AT_MINUTE, AT_PARKED) for run in shelf.load(number)[0]]

    assert early == []


@pytest.mark.parametrize(
    "is_old",
    [
        pytest.param(True, id="only emptied"),
        pytest.param(False, id="written"),
    ],
)
def test_relief_of_a_topic_that_is_only_emptied_finds_a_home(*, is_old: bool) -> None:
    """An earlier policy's parked topic fills its ledger under `block` too: what waits there moves, or stays."""
    shelf = Shelf((PARKED._replace(is_old=is_old), DLQ))
    shelf.commit()
    for origin in range(3):
        shelf.append(0, header(origin))
    shelf.own(b"second")
    shelf.state.chain.parts[0].relief = range(3)
    shelf.read((3, b"b"))
    runs, moves = shelf.load(0)

    assert len(moves) == 3 or offsets(runs) == [[0, 1, 2]]


# -- dead letters ------------------------------------------------------------------------------------------


def test_what_is_parked_follows_the_dead_too() -> None:
    """Under `follow` the copies that stand in the chain already are read, and move behind the dead one."""
    shelf = troubled(after_death="follow")
    shelf.park()
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    item = shelf.state.interrupt(run, 0)
    shelf.take(shelf.state.bury(item, DOWN, GiveUp("bad"), 0.0, 5))
    wanted = shelf.state.chain.parts[AT_PARKED].wanted(0)
    runs, moves = shelf.load(AT_PARKED)

    assert wanted == 0
    assert runs == []
    assert [(move.number, move.header.offset) for move in moves] == [(AT_DLQ, 1), (AT_DLQ, 2)]


def test_what_is_held_behind_the_dead_stays() -> None:
    """Under `hold` nothing younger is read, runs or moves."""
    shelf = troubled(after_death="hold")
    shelf.park()
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    item = shelf.state.interrupt(run, 0)
    follower = shelf.take(shelf.state.bury(item, DOWN, GiveUp("bad"), 0.0, 5))

    assert follower is None
    assert shelf.state.chain.parts[AT_PARKED].wanted(0) is None
    assert shelf.load(AT_PARKED) == ([], [])
    assert shelf.state.chain.blocked == 1
