"""What waits moves on when it holds up its ledger or grows old, as far as that gains something, and not for ever."""

from __future__ import annotations

import pytest

from streams.engine.chain import ErrorHeader, copy_headers, unpack, unpack_error
from streams.engine.copies import Copies
from streams.engine.letters import letter
from streams.engine.partition import Move
from streams.engine.policy import DeadLetterPolicy
from streams.engine.relief import Relief
from tests.engine.shelf import Shelf, header
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, AT_TEN_MINUTES, PARKED

WHY = ErrorHeader("ValueError", "bad", "it was bad", "handle")


class Mover:
    """Relieves one partition's chain: each look is a second after the one before, and all that moves arrives."""

    def __init__(self, shelf: Shelf, relief: Relief) -> None:
        self.shelf = shelf
        self.relief = relief
        self.gap = 0
        """Offsets of others behind each copy that comes."""
        self.moved = 0

    def look(self, seconds: int = 1) -> int:
        """So many looks; give the copies that moved."""
        before = self.moved
        for _ in range(seconds):
            self.shelf.clock.advance(1)
            self.relief.look([self.shelf.state], self.shelf.clock.monotonic())
            for number, part in enumerate(self.shelf.state.chain.parts):
                if part.relief:
                    self._take(number, part)
            self.shelf.commit()
        return self.moved - before

    def _take(self, number: int, part: Copies) -> None:
        _, moves = self.shelf.load(number, part.relief.start)
        for move in moves:
            self.shelf.take(move)
            self.shelf.log.gaps[self.shelf.place(move.number)] = self.gap
        self.moved += len(moves)


def parked(*origins: int, settled: int = 0, after_death: DeadLetterPolicy = "continue", gap: int = 0) -> Shelf:
    """Records of one key wait in `parked`, *gap* offsets of others behind each; behind them *settled* have ended."""
    shelf = Shelf(after_death=after_death)
    shelf.commit()
    shelf.append(AT_MINUTE, header(0))
    for origin in origins:
        shelf.append(AT_PARKED, header(origin))
        shelf.log.gaps[shelf.place(AT_PARKED)] = gap
    shelf.own(b"second")
    shelf.read((10_000, b"z"))
    part = shelf.state.chain.parts[AT_PARKED]
    for _ in range(settled):
        part.sent([part.end], [0])
        part.settle(part.end - 1)
    shelf.log.gaps[shelf.place(AT_PARKED)] = (
        part.end - 1 - (shelf.log.since(shelf.place(AT_PARKED), 0)[-1].offset() or 0)
    )
    shelf.commit()
    return shelf


# -- why, and how far -----------------------------------------------------------------------------------


def test_an_old_copy_with_everything_behind_it_settled_moves_on() -> None:
    """However little there is to tell in the metadata: memory and the next scan grow with the span."""
    shelf = parked(1, settled=200)
    part = shelf.state.chain.parts[AT_PARKED]
    before = part.end - part.committable
    moved = Mover(shelf, Relief(span=100)).look()

    assert (before, moved) == (201, 1)
    assert part.end - part.committable == 1
    assert part.characters < 100


def test_a_short_ledger_is_left_alone() -> None:
    """Below both bounds nothing moves."""
    assert Mover(parked(1, settled=200), Relief(span=1_000)).look(5) == 0


def test_a_long_ledger_that_is_full_is_left_alone() -> None:
    """Where most of the span is outstanding moving it gains nothing."""
    assert Mover(parked(*range(1, 200)), Relief(span=100)).look(5) == 0


def test_a_ledger_of_many_ranges_is_joined() -> None:
    """What stands between settled ranges moves to the end; the piece in front, which takes no room, stays."""
    shelf = parked(*range(1, 300))
    part = shelf.state.chain.parts[AT_PARKED]
    for offset in range(100, 299, 2):
        shelf.state.chain.finish(b"a", (shelf.headers(AT_PARKED)[offset]).offset)
    shelf.state.chain.index[b"a"].in_memory = 0
    before = sum(1 for _ in part.ranges())
    shelf.commit()
    moved = Mover(shelf, Relief(characters=part.characters - 1)).look()
    committable = part.committable

    assert before == 100
    assert 90 <= moved <= 100
    assert committable == 0
    assert sum(1 for _ in part.ranges()) == 1


def test_what_is_old_moves_once_for_each_answer() -> None:
    """Everything below the offset that was told, in any topic, and nothing else."""
    shelf = parked(1, 2, 3)
    part = shelf.state.chain.parts[AT_PARKED]
    mover = Mover(shelf, Relief())
    part.aged_until = 2
    moved = [mover.look(), mover.look(30)]

    assert moved == [2, 0]
    assert part.committable == 2
    assert [one.offset for one in shelf.headers(AT_PARKED)] == [1, 2, 3, 1, 2]


def test_a_log_full_of_what_is_not_ours_is_not_moved_for_ever() -> None:
    """Where the ledger is as long after a pass as before it, the next ones come ever later: bounded, and told apart."""
    shelf = parked(*range(1, 21), gap=9)
    mover = Mover(shelf, Relief(span=100))
    mover.gap = 9
    first, hour = mover.look(5), mover.look(3_600)

    assert first > 0
    assert hour <= 10 * 20


def test_a_pass_is_done_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more copies are under way at once than a portion."""
    monkeypatch.setattr("streams.engine.relief._PORTION", 10)
    monkeypatch.setattr("streams.engine.copies._BLOCK", 5)
    shelf = parked(*range(1, 31))
    shelf.state.chain.parts[AT_PARKED].aged_until = 30
    mover = Mover(shelf, Relief())

    assert [mover.look() for _ in range(4)] == [10, 10, 10, 0]


def test_a_partition_that_is_closed_is_left_alone() -> None:
    """What its owner lets go of, the next one moves."""
    shelf = parked(1, settled=200)
    shelf.state.close()

    assert not Relief(span=100).look([shelf.state], 0.0)


# -- where it goes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waited_s", "home"), [(0, AT_TEN_MINUTES), (560, AT_MINUTE), (700, AT_PARKED)])
def test_what_moves_out_of_a_tier_keeps_what_is_left_of_its_wait(waited_s: int, home: int) -> None:
    """It goes to the shortest tier that is long enough; once its time has come it waits for its key alone."""
    shelf = Shelf()
    shelf.commit()
    shelf.append(AT_TEN_MINUTES, header(1))
    shelf.append(AT_MINUTE, header(0))
    shelf.own(b"second")
    shelf.read((9, b"z"))
    shelf.clock.advance(waited_s)
    shelf.state.chain.parts[AT_TEN_MINUTES].relief = range(1)
    _, moves = shelf.load(AT_TEN_MINUTES)

    assert [(move.number, move.header.offset) for move in moves] == [(home, 1)]


def test_what_may_run_is_not_moved() -> None:
    """Its run relieves the ledger; of a route that stands still it moves."""
    shelf, still = parked(1), parked(1)
    for one in (shelf, still):
        one.clock.advance(60)
        one.state.chain.parts[AT_MINUTE].relief = range(1)
    still.state.suspend()
    runs, moves = shelf.load(AT_MINUTE)
    none, moved = still.load(AT_MINUTE)

    assert (len(runs), moves) == (1, [])
    assert (none, [move.number for move in moved]) == ([], [AT_PARKED])


def test_what_is_held_for_doubt_stays_so_where_it_moves_to() -> None:
    """The copy says it itself: it stands beyond the offsets whose ledger was lost."""
    shelf = Shelf((PARKED, Shelf().stages[AT_DLQ]))
    shelf.append(0, header(1))
    shelf.stored.clear()
    shelf.own(b"second")
    shelf.state.chain.index[b"a"].is_suspect = True
    shelf.read((0, b"z"), (9, b"z"))
    shelf.state.chain.parts[0].relief = range(1)
    _, (move,) = shelf.load(0)
    shelf.take(move)
    shelf.commit()
    shelf.own(b"third")

    assert shelf.state.chain.index[b"a"].is_suspect


# -- dead letters --------------------------------------------------------------------------------------------


def dead(after_death: DeadLetterPolicy) -> Shelf:
    """The record 1 of key ``a`` is dead, and the source was read."""
    shelf = Shelf(after_death=after_death)
    shelf.read((0, b"a"))
    shelf.commit()
    place = shelf.place(AT_DLQ)
    shelf.log.append(place, b"a", b"{}", copy_headers(None, header(1), WHY))
    shelf.own(b"second")
    shelf.read((9, b"z"))
    return shelf


def move_letters(shelf: Shelf) -> list[Move]:
    """Every dead letter is to move."""
    part = shelf.state.chain.parts[AT_DLQ]
    part.relief = range(part.end)
    return shelf.load(AT_DLQ)[1]


@pytest.mark.parametrize("after_death", ["continue", "hold", "follow"])
def test_a_dead_letter_moves_whole(after_death: DeadLetterPolicy) -> None:
    """Under every policy: to the end of its topic, one hop further, and it says why it is dead as before."""
    shelf = dead(after_death)
    (move,) = move_letters(shelf)
    sent = letter(move, handler="other", wall_ms=7)
    shelf.take(move)

    assert (sent.topic, unpack(sent.headers).hop, unpack_error(sent.headers)) == (shelf.stages[AT_DLQ].topic, 2, WHY)
    assert shelf.state.chain.parts[AT_DLQ].committable == 1
    assert not shelf.state.chain.reasons


@pytest.mark.parametrize("after_death", ["hold", "follow"])
def test_a_key_stands_still_while_its_dead_letter_moves(after_death: DeadLetterPolicy) -> None:
    """Before the broker has it, after that, and for the next owner."""
    shelf = dead(after_death)
    (move,) = move_letters(shelf)
    during = shelf.read((10, b"a"))
    follower = shelf.take(move)
    shelf.commit()
    shelf.own(b"third")

    assert (during, follower) == ([], None)
    assert shelf.state.chain.blocked == 1
    assert shelf.read((10, b"a")) == []


def test_a_key_goes_on_while_a_dead_letter_of_its_moves() -> None:
    """Under `continue` the letter holds nobody up, and nothing of it stays in memory."""
    shelf = dead("continue")
    (move,) = move_letters(shelf)
    again = move_letters(shelf)
    during = shelf.read((10, b"a"))
    follower = shelf.take(move)
    shelf.end(*during)
    shelf.commit()
    shelf.own(b"third")

    assert ([[item[0].offset() for item in run] for run in during], again, follower) == ([[10]], [], None)
    assert (shelf.state.chain.index, shelf.state.lanes) == ({}, {})
    assert shelf.state.chain.parts[AT_DLQ].outstanding == 1
