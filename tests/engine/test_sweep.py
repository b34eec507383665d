"""The chain is read where something is due or has become free, nowhere else, and only for partitions that are owned."""

from __future__ import annotations

from typing import Any

import pytest

from streams.engine.partition import PartitionState, Run, finish
from streams.engine.sweep import Home, Sweeper
from streams.record import Partition
from tests.engine.edges import ScriptedReader
from tests.engine.shelf import Shelf, header, offsets
from tests.engine.stage import AT_MINUTE, AT_PARKED, Heard


class Broom:
    """A sweeper over one partition's chain."""

    def __init__(self, shelf: Shelf, room: int = 10_000) -> None:
        self.shelf = shelf
        self.heard = Heard()
        self.reader = ScriptedReader(shelf.log)
        homes = {stage.topic: Home("orders", number) for number, stage in enumerate(shelf.stages)}
        self.limits: list[int] = []
        self.room = room
        self.sweeper = Sweeper(self.reader, homes, lambda: self.room, shelf.clock, self.heard)

    def sweep(self, *states: PartitionState, after_s: float = 0.02) -> list[Run]:
        """One turn, a while after the one before; give what may run."""
        self.shelf.clock.advance(after_s)
        swept = list(self.sweeper.sweep(states or [self.shelf.state]))
        for one in swept:
            for move in one.moves:
                self.shelf.take(move)
        return [run for one in swept for run in one.runs]

    def placed(self) -> list[tuple[int, int]]:
        """Where the reader was put: which topic, from which offset."""
        numbers = {self.shelf.place(number): number for number in range(len(self.shelf.stages))}
        return [(numbers[place], offset) for place, offset in self.reader.placed]


def broom(*copies: tuple[int, int, bytes], read: int = 9, **options: Any) -> Broom:
    """A sweeper over a chain that holds *copies*: topic, origin, key; the source was read up to *read*."""
    shelf = Shelf(**options)
    shelf.commit()
    for number, origin, key in copies:
        shelf.append(number, header(origin), key)
    shelf.own(b"second")
    finish_all(shelf.read((read, b"z")))
    return Broom(shelf)


def finish_all(runs: list[Run]) -> None:
    """*runs*, and all that follows them, end well."""
    while runs:
        runs = list(finish(runs))


def test_an_untroubled_partition_pays_nothing() -> None:
    """With an empty chain no reader is opened."""
    one = broom()

    assert one.sweep() == []
    assert one.reader.placed == []


def test_what_has_become_free_is_read_and_runs() -> None:
    """The reader goes to the oldest record that may run, and hands over what follows it."""
    one = broom((AT_PARKED, 1, b"a"), (AT_PARKED, 2, b"a"))
    runs = one.sweep()

    assert one.placed() == [(AT_PARKED, 0)]
    assert offsets(runs) == [[1, 2]]
    assert [told[2] for told in one.heard.of("swept")] == [2]


def test_one_pass_serves_all_keys() -> None:
    """Keys that became free together are read together, from the smallest offset on."""
    one = broom((AT_PARKED, 1, b"a"), (AT_PARKED, 2, b"b"), (AT_PARKED, 3, b"a"), (AT_PARKED, 4, b"c"))
    runs = one.sweep()

    assert one.placed() == [(AT_PARKED, 0)]
    assert offsets(runs) == [[1, 3], [2], [4]]


def test_a_tier_is_read_when_it_is_due() -> None:
    """Until then nobody reads it."""
    one = broom((AT_MINUTE, 1, b"a"))
    early = one.sweep()
    before = one.placed()
    runs = one.sweep(after_s=60)

    assert (early, before) == ([], [])
    assert offsets(runs) == [[1]]


def test_a_topic_that_holds_nothing_more_is_left() -> None:
    """After a while at its end the reader lets go of it."""
    one = broom((AT_PARKED, 1, b"a"))
    finish_all(one.sweep())
    at_once = dict(one.reader.positions)
    one.sweep()
    one.sweep(after_s=1)

    assert list(at_once) == [one.shelf.place(AT_PARKED)]
    assert one.reader.positions == {}


def test_what_lies_behind_is_gone_back_to() -> None:
    """A record that became free behind the reader is read in a pass of its own."""
    one = broom((AT_PARKED, 1, b"a"), (AT_MINUTE, 0, b"a"), (AT_PARKED, 2, b"b"))
    first = one.sweep()
    finish_all(first)
    head = one.sweep(after_s=60)
    finish_all(head)
    last = one.sweep()

    assert [offsets(runs) for runs in (first, head, last)] == [[[2]], [[0]], [[1]]]
    assert one.placed()[-1] == (AT_PARKED, 0)


def test_nothing_is_read_for_a_partition_that_went() -> None:
    """What was fetched for it is dropped, and the reader leaves it."""
    one = broom((AT_PARKED, 1, b"a"))
    one.reader.read_from(one.shelf.place(AT_PARKED), 0)
    stranger = Shelf().state
    stranger.partition = Partition("orders", 7)
    runs = one.sweep(stranger)

    assert runs == []
    assert one.reader.positions == {}


def test_nothing_is_read_for_a_partition_that_is_closed() -> None:
    """Whoever is about to go begins nothing."""
    one = broom((AT_PARKED, 1, b"a"))
    one.shelf.state.close()

    assert one.sweep() == []
    assert one.reader.placed == []


def test_copies_that_somebody_removed_begin_the_partition_anew() -> None:
    """The place is told, and what it belongs to."""
    one = broom((AT_PARKED, 1, b"a"))
    place = one.shelf.place(AT_PARKED)
    one.reader.gone = {place: 0}
    one.sweep()
    failed = one.sweeper.failed()

    assert list(failed) == [Partition("orders", 0)]
    assert f"{place}/0" in failed[Partition("orders", 0)]
    assert one.sweeper.failed() == {}


@pytest.mark.parametrize(("room", "least"), [(10_000, 10_000), (3, 500), (-7, 500)])
def test_memory_bounds_what_is_read_but_for_a_reserve(room: int, least: int) -> None:
    """What waits in memory may wait for what stands in the chain: some of it is always read."""
    one = broom((AT_PARKED, 1, b"a"))
    one.room = room
    one.sweep()

    assert one.reader.limits == [least]


def test_closing_lets_go_of_the_reader() -> None:
    """The connection is the sweeper's to close."""
    one = broom()
    one.sweeper.close()

    assert one.reader.is_closed
