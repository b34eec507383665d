"""Dead letters that an operator wants tried again, or forgotten."""

from __future__ import annotations

from itertools import chain

import msgspec
import pytest

from streams.engine.chain import CopyHeader
from streams.engine.command import Asked, Verb, Wanted
from streams.engine.partition import Bury, Move, Run
from streams.engine.policy import DeadLetterPolicy
from streams.engine.redrive import ask, look
from streams.outcome import Retry
from streams.retry import RetryPolicy
from tests.engine.shelf import DOWN, Shelf, header, offsets
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, DLQ, PARK

ONCE = RetryPolicy(delays=(60,), max_attempts=1, jitter=0)
POLICIES: tuple[DeadLetterPolicy, ...] = ("continue", "hold", "follow")


def morgue(after_death: DeadLetterPolicy = "continue", *dead: tuple[int, bytes | None]) -> Shelf:
    """A partition in which each of *dead* ran once, and is a dead letter."""
    shelf = Shelf(PARK, after_death=after_death, policy=ONCE)
    for place in dead or ((0, b"a"),):
        for run in shelf.read(place):
            bury(shelf, run)
    return shelf


def bury(shelf: Shelf, run: Run) -> Run | None:
    """*run* fails for good; give what follows of its key."""
    decision = shelf.decide(run)
    assert isinstance(decision, Bury)
    return shelf.take(decision)


def want(shelf: Shelf, verb: Verb, *letters: tuple[int, int, int]) -> list[Asked]:
    """An operator names letters: origin, redrives, and where each was seen."""
    return ask(shelf.state, verb, [Wanted(*one) for one in letters])


def meet(shelf: Shelf, start: int = 0) -> tuple[list[Run], list[Move]]:
    """The dead-letter topic is read from *start* on."""
    return shelf.load(AT_DLQ, start)


def fates(asked: list[Asked]) -> list[str | None]:
    """What became of each."""
    return [one.fate for one in asked]


def wanted(shelf: Shelf, number: int = AT_DLQ) -> int | None:
    """From where a topic of the chain is worth reading."""
    return shelf.state.chain.parts[number].wanted(int(shelf.clock.now() * 1000))


# -- tried again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_death", POLICIES)
def test_a_letter_that_is_tried_again_runs_once_the_broker_has_its_copy(after_death: DeadLetterPolicy) -> None:
    """It moves to where records wait for their key, is read there and runs; it is answered when it has moved."""
    shelf = morgue(after_death)
    asked = want(shelf, "retry", (0, 0, 0))
    before = wanted(shelf)
    (), (move,) = meet(shelf)
    on_its_way = fates(asked)
    shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)

    assert (before, on_its_way, fates(asked)) == (0, [None], ["retried"])
    assert offsets([run]) == [[0]]
    assert shelf.end(run) == []
    assert (shelf.state.lanes, shelf.state.chain.index, shelf.state.outstanding) == ({}, {}, 0)
    assert not shelf.state.chain.parts[AT_DLQ].outstanding
    assert not shelf.state.chain.parts[AT_PARKED].outstanding


def test_its_attempts_begin_anew_and_its_history_stays() -> None:
    """Three runs, dead; tried again it has three more, and the next letter tells of all six."""
    shelf = Shelf(policy=RetryPolicy(delays=(60, 60), jitter=0))
    (run,) = shelf.read((0, b"a"))
    for _ in range(2):
        shelf.take(shelf.fail(run))
        shelf.clock.advance(60)
        (run,), _ = shelf.load(AT_MINUTE)
    bury(shelf, run)
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)
    for _ in range(2):
        again = shelf.fail(run)
        shelf.take(again)
        shelf.clock.advance(60)
        (run,), _ = shelf.load(AT_MINUTE, again.offset)
    bury(shelf, run)
    first, last = shelf.headers(AT_DLQ)

    assert (first.attempts, first.redrives, first.spent) == (3, 0, 0)
    assert (last.attempts, last.redrives, last.spent) == (6, 1, 3)
    assert len(last.history) == 6
    assert last.hop > first.hop


def test_the_oldest_letter_of_a_key_runs_first() -> None:
    """Two letters of a key, asked for in the wrong order: the older one runs, then the younger."""
    shelf = morgue("continue", (0, b"a"), (1, b"a"))
    want(shelf, "retry", (1, 0, 1), (0, 0, 0))
    _, moves = meet(shelf)
    for move in moves:
        shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)
    first = offsets([run])
    while run:
        followers = shelf.end(run)
        if not followers:
            followers, _ = shelf.load(AT_PARKED)
        first += offsets(followers)
        run = followers[0] if followers else ()

    assert sorted(first) == first
    assert list(chain.from_iterable(first)) == [0, 1]


def test_it_waits_behind_a_younger_record_that_is_running() -> None:
    """Under continue the key has gone on: what runs ends first, and what waits behind that comes after the letter."""
    shelf = morgue()
    (running,) = shelf.read((1, b"a"))
    shelf.read((2, b"a"))
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    at_once = shelf.take(move)
    loaded = shelf.load(AT_PARKED)[0]
    (letter,) = shelf.end(running)
    rest = shelf.end(letter)

    assert (at_once, loaded) == (None, [])
    assert offsets([letter, *rest]) == [[0], [2]]


def test_it_runs_before_a_younger_record_that_failed_meanwhile() -> None:
    """The younger one was running when it came, and moves to a tier: the letter goes first all the same."""
    shelf = Shelf(policy=RetryPolicy(delays=(60,), jitter=0, dead_letter_on=(KeyError,)))
    (run,) = shelf.read((0, b"a"))
    decision = shelf.decide(run, error=KeyError())
    shelf.take(decision)
    (running,) = shelf.read((1, b"a"))
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    follower = shelf.take(shelf.fail(running))
    shelf.clock.advance(60)
    early, _ = shelf.load(AT_MINUTE)
    (letter,), _ = shelf.load(AT_PARKED)
    shelf.end(letter)
    (last,), _ = shelf.load(AT_MINUTE)

    assert (follower, early) == (None, [])
    assert offsets([letter, last]) == [[0], [1]]


def test_what_was_read_of_its_key_waits_for_it() -> None:
    """Younger copies that stand in memory behind a running one are let go of, and read again after it."""
    shelf = Shelf(policy=RetryPolicy(delays=(60,), jitter=0, dead_letter_on=(KeyError,)))
    (run,) = shelf.read((0, b"a"))
    shelf.take(shelf.decide(run, error=KeyError()))
    (run,) = shelf.read((1, b"a"), (2, b"a"), (3, b"a"))
    shelf.take(shelf.fail(run))
    shelf.park()
    shelf.clock.advance(60)
    (run,), _ = shelf.load(AT_MINUTE)
    followers = shelf.end(run) or shelf.load(AT_PARKED)[0]
    (pair,) = followers
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    item = shelf.state.interrupt(pair, 0)  # the first of the two has to run again, the second stands behind it
    shelf.state.fail(item, Retry(DOWN), shelf.clock.monotonic(), 0)
    ran = [offsets([pair])]

    assert ran == [[[2, 3]]]
    assert shelf.state.chain.index[b"a"].loaded is not None
    assert not shelf.state.chain.index[b"a"].loaded


@pytest.mark.parametrize(("redrives", "at"), [(1, 0), (0, 1)])
def test_another_letter_than_the_one_that_was_meant_is_left_alone(redrives: int, at: int) -> None:
    """With another number of redrives, or only before where it was seen: it is gone."""
    shelf = morgue()
    asked = want(shelf, "retry", (0, redrives, at))
    assert meet(shelf, at) == ([], [])
    read_on = wanted(shelf)
    look(shelf.state)

    assert (read_on, fates(asked)) == (None, ["gone"])
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 1
    assert shelf.state.chain.asked == {}


def test_the_same_command_again_does_nothing() -> None:
    """Delivered twice, to the same owner or to its successor: the record runs once more, not twice."""
    shelf = morgue()
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    again = want(shelf, "retry", (0, 0, 0))
    wanted(shelf)
    look(shelf.state)
    shelf.commit()
    shelf.own(b"second")
    shelf.state.begin_chain()
    later = want(shelf, "retry", (0, 0, 0))
    wanted(shelf)
    look(shelf.state)

    assert (fates(again), fates(later)) == (["gone"], ["gone"])
    assert shelf.state.chain.index.keys() == {b"a"}


def late_command(shelf: Shelf) -> str | None:
    """A letter is tried again and dies again; then the first command comes once more. Give what becomes of it."""
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)
    bury(shelf, run)
    late = want(shelf, "retry", (0, 0, 0))
    for move in meet(shelf)[1]:
        shelf.take(move)
    look(shelf.state)
    return fates(late)[0]


def test_a_command_that_comes_late_means_the_letter_that_there_was() -> None:
    """Dead again it is another letter, which nobody has asked for."""
    assert late_command(morgue()) == "gone"


def test_without_the_count_of_redrives_a_late_command_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rule is for: the same command would have the record tried a third time."""
    count = CopyHeader.redriven
    monkeypatch.setattr(CopyHeader, "redriven", lambda header: msgspec.structs.replace(count(header), redrives=0))

    assert late_command(morgue()) == "retried"


def test_after_a_crash_before_the_commit_the_copy_counts_and_not_the_letter() -> None:
    """The owner died once the broker had the copy: its successor finds that, and the same command comes again."""
    shelf = morgue()
    shelf.commit()
    want(shelf, "retry", (0, 0, 0))
    (), (move,) = meet(shelf)
    shelf.take(move)
    shelf.own(b"second")
    shelf.state.begin_chain()
    shelf.read((0, b"a"))
    shelf.state.reach(1)
    later = want(shelf, "retry", (0, 0, 0))
    wanted(shelf)
    look(shelf.state)

    assert fates(later) == ["gone"]
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 0
    assert shelf.state.chain.parts[AT_PARKED].outstanding == 1


def test_a_letter_that_moves_just_now_is_found_where_it_goes() -> None:
    """Relief is moving it to the end of its topic: it is looked for again, and tried from there."""
    shelf = morgue()
    part = shelf.state.chain.parts[AT_DLQ]
    part.relief = range(1)
    (), (relief,) = meet(shelf)
    asked = want(shelf, "retry", (0, 0, 0))
    assert meet(shelf) == ([], [])
    look(shelf.state)
    still = fates(asked)
    shelf.take(relief)
    look(shelf.state)
    (), (move,) = meet(shelf, 1)
    shelf.take(move)

    assert (still, fates(asked)) == ([None], ["retried"])
    assert shelf.headers(AT_PARKED)[0].redrives == 1


def test_nothing_is_tried_before_the_source_was_read_past_it() -> None:
    """Rule 1 holds for operators too: the owner's position is still before the letter."""
    shelf = morgue("continue", (0, b"b"), (7, b"a"))
    shelf.stored.clear()
    shelf.own(b"second")
    shelf.state.begin_chain()
    asked = want(shelf, "retry", (7, 0, 1))
    early = meet(shelf)[1]
    wanted(shelf)
    look(shelf.state)
    shelf.read((0, b"b"), (7, b"a"))
    (), (move,) = meet(shelf)
    shelf.take(move)

    assert (early, fates(asked)) == ([], ["retried"])


def test_nothing_is_tried_while_records_run_that_stand_in_no_lane() -> None:
    """A chunk runs whole, and a record of its key may be in it: it is looked for again afterwards."""
    shelf = morgue()
    shelf.state.is_whole = True
    asked = want(shelf, "retry", (0, 0, 0))
    early = meet(shelf)[1]
    wanted(shelf)
    look(shelf.state)
    shelf.state.is_whole = False
    (), (move,) = meet(shelf)
    shelf.take(move)

    assert (early, fates(asked)) == ([], ["retried"])


def test_without_a_topic_to_run_from_it_is_impossible() -> None:
    """A chain of dead letters alone: nothing is changed."""
    shelf = Shelf((DLQ,), policy=ONCE)
    (run,) = shelf.read((0, b"a"))
    decision = shelf.decide(run)
    shelf.take(decision)
    asked = want(shelf, "retry", (0, 0, 0))

    assert fates(asked) == ["impossible"]
    assert shelf.state.chain.asked == {}


def test_a_letter_without_a_key_has_a_lane_of_its_own() -> None:
    """It waits for nobody, and nobody for it."""
    shelf = morgue("hold", (0, None), (1, None))
    want(shelf, "retry", (1, 0, 1))
    (), (move,) = meet(shelf)
    shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)

    assert offsets([run]) == [[1]]
    assert shelf.state.lanes.keys() == {0, 1}


def test_where_keys_follow_all_letters_of_a_key_are_tried_in_order() -> None:
    """The dead one and those that joined it."""
    shelf = morgue("follow")
    shelf.read((1, b"a"))
    shelf.park()
    want(shelf, "retry", (0, 0, 0), (1, 0, 1))
    _, moves = meet(shelf)
    for move in moves:
        shelf.take(move)
    (run,), _ = shelf.load(AT_PARKED)
    ran = offsets([run])
    for follower in shelf.end(run) or shelf.load(AT_PARKED)[0]:
        ran += offsets([follower])

    assert list(chain.from_iterable(ran)) == [0, 1]


# -- forgotten ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_death", POLICIES)
def test_a_letter_that_is_forgotten_needs_no_more_work_and_frees_its_key(after_death: DeadLetterPolicy) -> None:
    """It settles, for the next owner too; what waited behind it runs."""
    shelf = morgue(after_death)
    waiting = shelf.read((1, b"a"))
    asked = want(shelf, "forget", (0, 0, 0))
    runs, moves = meet(shelf)
    shelf.end(*waiting, *runs)
    shelf.commit()
    shelf.own(b"second")
    shelf.state.begin_chain()

    assert (fates(asked), moves) == (["forgotten"], [])
    assert offsets([*waiting, *runs]) == [[1]]
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 0
    assert shelf.state.lanes == {}


def test_a_letter_that_is_forgotten_twice_is_gone() -> None:
    """The second time there is none."""
    shelf = morgue()
    want(shelf, "forget", (0, 0, 0))
    meet(shelf)
    asked = want(shelf, "forget", (0, 0, 0))
    wanted(shelf)
    look(shelf.state)

    assert fates(asked) == ["gone"]


def test_one_that_a_command_names_twice_is_answered_twice() -> None:
    """The second name means nothing."""
    shelf = morgue()
    asked = want(shelf, "forget", (0, 0, 0), (0, 0, 0))
    meet(shelf)

    assert fates(asked) == ["forgotten", "gone"]


def test_a_letter_that_was_read_while_a_younger_record_ran_does_not_keep_its_key_for_ever() -> None:
    """The younger one fails and leaves; the letter runs, then the younger one: what is in memory is counted right."""
    shelf = Shelf(PARK)
    shelf.append(AT_DLQ, header(0))
    shelf.own(b"first")
    (run,) = shelf.read((0, b"a"), (5, b"a"))
    ask(shelf.state, "retry", [Wanted(0, 0, 0)])
    (move,) = shelf.load(AT_DLQ)[1]
    shelf.take(move)
    before, _ = shelf.load(AT_PARKED)
    left = shelf.take(shelf.fail(shelf.retry(run)))
    after = shelf.end(left) if left else []
    shelf.clock.advance(60)
    last, _ = shelf.load(AT_MINUTE)

    assert before == []
    assert offsets([left or ()]) == [[0]]
    assert after == []
    assert offsets(last) == [[5]]
