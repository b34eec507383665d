"""Dead letters that an operator wants tried again, as they are or mended, or forgotten: what their owner does.

Functions on a `PartitionState`, sans I/O as it is, beside those of
`parking.py`: `ask` says what is wanted, reading the dead-letter topic meets it
(`obey`), `look` ends the search; each `Asked` says what became of its letter.

A letter that is tried again moves to where records wait for their key, and
from then on is one of its key's outstanding records as any other: the oldest
of them runs first.  Under ``continue`` younger ones may have run before it;
while one of them is running, or waits for another attempt, it waits behind.
One that is edited moves alike, with another value (`edit.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, cast

from streams.engine.backlog import MOVING, Backlog, LaneKey
from streams.engine.chain import CopyHeader
from streams.engine.command import Asked, Verb, Wanted
from streams.engine.edit import Mending, mended
from streams.engine.partition import Item, Move, PartitionState
from streams.kafka.message import Message

_HOMES: Final = ("parked", "tier")


def ask(state: PartitionState, verb: Verb, letters: Iterable[Wanted], mending: Mending | None = None) -> list[Asked]:
    """Have *letters* of *state* looked for; each answer gets its fate once that is known.

    Args:
        state: The partition.
        verb: What is wanted of them.
        letters: Which.
        mending: Of an edit, what its letter is to say.
    """
    chain = state.chain
    asked = [Asked(verb, one, mending=mending) for one in letters]
    is_possible = verb == "forget" or _home(state) is not None
    for one in asked:
        origin = one.wanted.origin
        if not is_possible:
            one.fate = "impossible"
        elif origin in chain.asked:  # named twice by one command
            one.fate = "gone"
        else:
            chain.asked[origin] = one
    _seek(state)
    return asked


def look(state: PartitionState) -> None:
    """Go over the dead letters again for what could not be done yet; what is not among them is gone."""
    chain = state.chain
    if not chain.asked or chain.dlq is None or chain.parts[chain.dlq].next_sought() is not None:
        return
    if not chain.put_off:
        for origin, one in list(chain.asked.items()):
            if not one.is_moving:
                one.fate = "gone"
                del chain.asked[origin]
    _seek(state)


def obey(state: PartitionState, message: Message, header: CopyHeader, key: LaneKey, here: int) -> Move | LaneKey | None:
    """Do what is wanted of the outstanding dead letter in *message*, which stands at *here*.

    Gives how it moves on, or its key where that may go on now; None where nothing is to follow.
    """
    chain, origin = state.chain, header.offset
    one = chain.asked[origin]
    backlog = chain.index.get(key)
    place = None if backlog is None else backlog.place(origin)
    is_leaving = place == MOVING or (place is None and origin in chain.index)  # relief moves it, in a lane of its own
    is_early = origin >= state.ledger.position or state.ledger.is_open(origin)  # rule 1; a replay gives it again
    if is_early or is_leaving or state.is_whole:
        chain.put_off = True  # nor may it run beside a record of its key that stands in no lane
        return None
    if header.redrives != one.wanted.redrives or place not in (None, here):
        return None
    if one.mending is not None:
        if not one.mending.fits(message):
            return None
        message = mended(message, header.origin, one.mending)
    if one.verb == "forget":
        return _forget(state, one, key, here, backlog if place == here else None)
    if backlog is None:
        backlog = chain.index[key] = Backlog(is_running=key in state.lanes)
        if state.lanes.setdefault(key, None):
            state.crowd.setdefault(key, None)
    if place is None:
        backlog.put(origin, here)
        chain.reopened.add(key)
    one.is_moving = True
    return state.depart(state.take_in(message, header.redriven(), key), cast("int", _home(state)))


def _forget(
    state: PartitionState, one: Asked, key: LaneKey, here: int, backlog: Backlog[Item] | None
) -> LaneKey | None:
    """Settle a dead letter; give its key where that was blocked by it."""
    chain, origin = state.chain, one.wanted.origin
    chain.leave(origin, here)
    del chain.asked[origin]
    one.fate = "forgotten"
    if backlog is None:
        return None
    backlog.remove(origin)
    return key


def _seek(state: PartitionState) -> None:
    """Have the dead letters read from the first one that is wanted."""
    chain = state.chain
    chain.put_off = False
    starts = [one.wanted.at for one in chain.asked.values() if not one.is_moving]
    if starts and chain.dlq is not None:
        chain.parts[chain.dlq].sought = min(starts)


def _home(state: PartitionState) -> int | None:
    """Give the topic from which a letter runs again: where records wait for their key, else the shortest tier."""
    parts = [(number, part.stage) for number, part in enumerate(state.chain.parts) if not part.stage.is_old]
    for kind in _HOMES:
        found = [(stage.delay_s, number) for number, stage in parts if stage.kind == kind]
        if found:
            return min(found)[1]
    return None


def unanswered(asked: Iterable[Asked]) -> Iterator[Asked]:
    """Give those of *asked* that are still to be answered."""
    return (one for one in asked if one.fate is None)
