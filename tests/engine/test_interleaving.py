"""Anything in any order, with runs under way: whatever comes between them, each key goes on and its order holds.

Records are read, run, fail, leave for the chain, arrive there, are read back and asked for by an operator, in an order
that a seed chooses; runs and copies stay under way for as long as it likes.  Then all that is left is brought to its
end, and nothing may stand still.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

import pytest

from streams.engine.backlog import LaneKey
from streams.engine.command import Wanted
from streams.engine.parking import load
from streams.engine.partition import Bury, Move, PartitionState, Run, finish, offset_of
from streams.engine.redrive import ask, look
from streams.outcome import Retry
from streams.retry import GiveUp, RetryPolicy
from tests.engine.shelf import Shelf
from tests.engine.stage import AT_DLQ, AT_MINUTE, AT_PARKED, AT_TEN_MINUTES

KEYS: Final = (b"a", b"b")
POLICY = RetryPolicy(delays=(0.05, 0.2, 60, 600), jitter=0, memory_up_to="1s")
WAITS_S: Final = (0.03, 0.1, 0.3, 61.0, 601.0)
NUMBERS: Final = (AT_MINUTE, AT_TEN_MINUTES, AT_PARKED, AT_DLQ)
CALM_STEPS: Final = 3_000
"""So many steps bring everything to its end that can come to one."""


class Table:
    """An owner whose handlers, copies and operators take as long as a seed likes."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.shelf = Shelf(policy=POLICY)
        self.state = self.shelf.state
        self.state.park_after_s = 0.5
        self.shelf.commit()
        self.under_way: list[Run] = []
        self.moving: list[Move | Bury] = []
        self.dead: dict[int, tuple[int, int]] = {}
        self.next_offset = 0
        self.disorder: list[str] = []
        self.again: set[int] = set()
        self.last: dict[bytes | None, int] = {}

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing runs, waits, or is asked for."""
        chain = self.state.chain
        return not (self.under_way or self.moving or chain.index or chain.asked or self.state.outstanding)

    def add(self, runs: Iterable[Run]) -> None:
        """*runs* begin; one key has one at a time."""
        for run in runs:
            key = run[0][0].key()
            if any(other[0][0].key() == key for other in self.under_way):
                self.disorder.append(f"{offset_of(run[0])} of {key!r} began beside another")
            self.under_way.append(list(run))

    def step(self, *, is_calm: bool) -> None:
        """Do one thing; in the calm nothing new comes, and nothing fails."""
        draw = self.chance.random()
        if draw < 0.15 and not is_calm:
            self.read()
        elif draw < 0.45 and self.under_way:
            run = self.under_way.pop(self.chance.randrange(len(self.under_way)))
            done = len(run) if is_calm else self.chance.randrange(len(run) + 1)
            self.end(run, done)
        elif draw < 0.65 and self.moving:
            self.arrive(self.moving.pop(0))
        elif draw < 0.75:
            self.shelf.clock.advance(self.chance.choice(WAITS_S))
            self.add(self.state.due(self.shelf.clock.monotonic()))
        elif draw < 0.9:
            self.look_into(self.chance.choice(NUMBERS))
        elif draw < 0.95 and not is_calm and self.dead:
            origin = self.chance.choice(list(self.dead))
            letter, redrives = self.dead.pop(origin)
            self.again.add(origin)
            ask(self.state, "retry", [Wanted(origin, redrives, 0)])
            del letter
        else:
            look(self.state)
            self.moving += self.shelf.relieve(is_forced=not is_calm and self.chance.random() < 0.3)

    def read(self) -> None:
        """Some records of the source are read."""
        places = [(self.next_offset + at, self.chance.choice(KEYS)) for at in range(self.chance.randrange(1, 4))]
        self.next_offset += len(places)
        self.add(self.shelf.read(*places))

    def end(self, run: Run, done: int) -> None:
        """*run* ends well, or stops after *done* records: at one that failed, was postponed, or is given up."""
        for item in list(run)[:done]:
            self.settle(offset_of(item), item[0].key())
        if done == len(run):
            self.add(finish([run]))
            return
        item = self.state.interrupt(run, done)
        now_s, wall_ms = self.shelf.clock.monotonic(), int(self.shelf.clock.now() * 1000)
        draw = self.chance.random()
        if draw < 0.25:
            self.settle(offset_of(item), item[0].key())
            decided: object = self.state.bury(item, ValueError("x"), GiveUp("no"), now_s, wall_ms)
        elif draw < 0.33:
            self.state.postpone(item)
            return
        else:
            decided = self.state.fail(item, Retry(OSError("down")), now_s, wall_ms)
            if isinstance(decided, Bury):
                self.settle(offset_of(item), item[0].key())
        if isinstance(decided, Move):
            self.moving.append(decided)

    def settle(self, origin: int, key: bytes | None) -> None:
        """The record at *origin* has ended; what an operator had run again may be behind younger ones."""
        if origin in self.again:
            return
        if origin <= self.last.get(key, -1):
            self.disorder.append(f"{origin} of {key!r} ended after {self.last[key]}")
        self.last[key] = origin

    def arrive(self, move: Move | Bury) -> None:
        """The broker takes the copy of *move*."""
        run = self.shelf.take(move)
        if isinstance(move, Bury):
            self.dead[offset_of(move.item)] = (move.offset, move.header.redrives)
        self.add([] if run is None else [run])

    def look_into(self, number: int) -> None:
        """A few copies are read from one topic of the chain, where its ledger wants them."""
        wall_ms = int(self.shelf.clock.now() * 1000)
        part = self.state.chain.parts[number]
        wanted = part.wanted(wall_ms) if part.outstanding else None
        if wanted is None:
            return
        found = self.shelf.log.since(self.shelf.place(number), wanted)[: self.chance.randrange(1, 5)]
        runs, moves = load(self.state, number, found, wall_ms)
        self.add(runs)
        self.moving += moves


def play(seed: int) -> list[str]:
    """What goes wrong on the table of *seed*: out of order, or still there when all has had its time."""
    table = Table(seed)
    for _ in range(table.chance.randrange(20, 250)):
        table.step(is_calm=False)
    for _ in range(CALM_STEPS):
        if table.is_at_rest:
            break
        table.step(is_calm=True)
    standing = [] if table.is_at_rest else [f"{key!r} stands still" for key in table.state.chain.index] or ["stands"]
    return table.disorder + standing


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_every_key_goes_on_whatever_comes_between_its_runs(first: int) -> None:
    """In order, one run of a key at a time, and nothing is left standing."""
    wrong = {seed: found for seed in range(first, first + 100) if (found := play(seed))}

    assert not wrong


def test_a_key_that_forgets_what_was_read_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that was read while a younger record ran is forgotten when that one leaves: the table tells."""
    sound = PartitionState._give_way  # noqa: SLF001 - what is broken here

    def forgetful(state: PartitionState, key: LaneKey, origin: int) -> None:
        sound(state, key, origin)
        state.chain.index[key].in_memory = 0

    monkeypatch.setattr(PartitionState, "_give_way", forgetful)

    assert any(play(seed) for seed in range(1_000))
