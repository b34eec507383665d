"""The traffic between memory and the chain: what waits moves out, what may run is read in again.

Functions on a `PartitionState`, sans I/O as it is.  `relieve` says what has to
leave memory; `load` takes in what was read from a topic of the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from streams.engine.backlog import MOVING, Backlog, LaneKey, number_of, pack
from streams.engine.chain import CopyHeader, unpack_error
from streams.engine.chain import unpack as read_header
from streams.engine.partition import Bury, Item, Move, PartitionState, Run
from streams.engine.redrive import obey
from streams.errors import KeyFullError
from streams.kafka.message import Message
from streams.record import Headers

_MOST_LONGER: Final = 10
"""A wait in memory becomes at most so many times as long by being spent in a tier."""
_FULL = KeyFullError("as many records of its key wait as may (key_records), and on_key_full says dead_letter")


def relieve(state: PartitionState, now_s: float, *, is_forced: bool = False) -> list[Move]:
    """Move records that wait in memory into the chain: those that have waited long, or with *is_forced* all."""
    if state.chain.parked is None:
        return []
    moves = _move_held(state, now_s) if is_forced else []
    for key, since_s in list(state.crowd.items()):
        if not state.lanes.get(key):
            del state.crowd[key]
        elif is_forced or state.chain.is_followed(state.chain.index[key]):
            moves += _park(state, key)
        elif since_s is None:
            state.crowd[key] = now_s
        elif now_s - since_s >= state.park_after_s:
            moves += _park(state, key)
    return moves


def load(state: PartitionState, number: int, messages: Sequence[Message], wall_ms: int) -> tuple[list[Run], list[Move]]:
    """Take in copies that were read from one topic of the chain; give what may run, and what is to move on.

    What is not due ends the reading; what may not run yet is passed over
    and read again when it may.  What is to be relieved moves on, unless it may
    run: that relieves its ledger too.
    """
    part = state.chain.parts[number]
    touched: dict[LaneKey, None] = {}
    moves: list[Move] = []
    for message in messages:
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        if part.is_outstanding(offset):  # else it is settled, or nobody's (rule 11)
            is_early = part.is_tier and (not part.is_due(offset, wall_ms) or part.skips(offset))
            if is_early and offset not in part.relief:
                break
            taken = _take(state, number, message, wall_ms)
            if isinstance(taken, Move):
                moves.append(taken)
            elif taken is not None:
                touched[taken] = None
        part.passed(offset)
    return [run for key in touched if (run := state.advance(key)) is not None], moves


def _take(state: PartitionState, number: int, message: Message, wall_ms: int) -> Move | LaneKey | None:
    """Take in one outstanding copy: give where it moves on to, or its key if it may run; None leaves it in its log."""
    offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
    chain, header = state.chain, read_header(message.headers())
    key, is_relief = chain.lane_of(message, header), offset in chain.parts[number].relief
    backlog, here = chain.index.get(key), pack(number, header.hop, offset)
    place = None if backlog is None else backlog.place(header.offset)
    if number == chain.dlq and header.offset in chain.asked and not chain.asked[header.offset].is_moving:
        return obey(state, message, header, key, here)
    if number == chain.dlq:
        return _move_letter(state, message, header, None if place is None else key, here) if is_relief else None
    if backlog is None or place not in (MOVING, here):  # not the live copy of its record (rule 4)
        chain.parts[number].settle(offset)
        chain.fenced += 1
        return None
    is_free = place == here and backlog.rank(header.offset) >= backlog.in_memory
    is_followed = chain.is_followed(backlog)
    may_run = is_free and _may_load(state, backlog, header.offset) and chain.parts[number].is_due(offset, wall_ms)
    if is_free and (is_followed or (is_relief and (state.is_suspended or not may_run))):
        home = cast("int", chain.dlq) if is_followed else _home(state, number, offset, wall_ms)
        return state.depart(state.take_in(message, header.doubted(is_suspect=backlog.is_suspect), key), home)
    if may_run:
        state.loaded(backlog).append(state.take_in(message, header.doubted(is_suspect=False), key))
        backlog.in_memory += 1
        return key
    return None


def _move_letter(
    state: PartitionState, message: Message, header: CopyHeader, key: LaneKey | None, here: int
) -> Move | None:
    """Move a dead letter to the end of its topic; why it is dead goes with it.

    Where it holds no key, under `continue`, it travels in a lane of its own,
    named by its origin as that of a record without a key: its key goes on.
    """
    chain, origin = state.chain, header.offset
    if key is None:
        if origin in chain.index or origin in state.lanes:
            return None
        key, state.lanes[origin], chain.index[origin] = origin, None, Backlog()
        chain.index[origin].put(origin, here)
    elif chain.index[key].place(origin) != here:
        return None
    reason = unpack_error(cast("Headers", message.headers()))
    if reason is not None:
        chain.reasons[origin] = reason
    return state.depart(state.take_in(message, header, key), number_of(here))


def _may_load(state: PartitionState, backlog: Backlog[Item], origin: int) -> bool:
    """Say whether the record of *origin* is the next of its key: rules 1 to 4."""
    return not backlog.is_suspect and origin < state.ledger.position and backlog.rank(origin) == backlog.in_memory


def _park(state: PartitionState, key: LaneKey) -> list[Move]:
    """Move what waits in the lane of *key*, oldest first; what is beyond its limit into the dead letters.

    Of a followed key the younger records join the dead one; an older one stays: it runs.
    """
    waiting, older = state.lanes[key] or [], list[Item]()
    backlog, home = state.chain.index.get(key), cast("int", state.chain.parked)
    if backlog is not None and state.chain.is_followed(backlog):
        home, dead = cast("int", state.chain.dlq), cast("int", backlog.first)
        older = [item for item in waiting if cast("int", item[0].offset()) < dead]
    state.lanes[key] = older or None
    state.crowd.pop(key, None)
    room = max(0, state.key_limit - (0 if backlog is None else len(backlog)))
    leaving = waiting[len(older) :] if older else waiting
    if len(leaving) <= room:
        return [state.depart(item, home) for item in leaving]
    moved = [state.depart(item, home) for item in leaving[:room]]
    return [*moved, *(_give_up(state, item) for item in leaving[room:])]


def _give_up(state: PartitionState, item: Item) -> Bury:
    assert state.chain.dlq is not None, "every chain has a dead-letter topic"  # noqa: S101  # so it is declared
    return Bury.by(state.depart(item, state.chain.dlq), _FULL, "its key is full")


def _move_held(state: PartitionState, now_s: float) -> list[Move]:
    """Move what waits behind records that wait in memory for another attempt, and these too where a tier suits them.

    A short wait must not become a long one: a record goes to the shortest tier
    only if that is at most ten times as long as what is left of its wait.  One
    that no tier suits stays, and keeps its key: it runs soon, as waits in
    memory are short, and until then its partition's intake waits.
    """
    moves: list[Move] = []
    staying = []
    for due_s, number, key in state.retries.held:
        item = state.trouble[key].item
        tier = _shortest_tier(state, 0)
        stays = tier is None or state.chain.parts[tier].stage.delay_s > _MOST_LONGER * (due_s - now_s)
        if stays:
            staying.append((due_s, number, key))
        elif tier is not None:
            moves.append(state.depart(item, tier))
        if state.lanes.get(key):
            moves += _park(state, key)
            state.chain.index[key].is_running = stays
    state.retries.keep(staying)
    return moves


def _home(state: PartitionState, number: int, offset: int, wall_ms: int) -> int:
    """Give the topic to which the copy at *offset* of topic *number* moves, so that the ledger there can go on.

    One that waits for its time goes to the shortest tier that is no shorter
    than what is left of it.  One whose time has come waits for its key alone:
    in `parked`; where there is none, in the shortest tier.
    """
    chain = state.chain
    part = chain.parts[number]
    if not part.is_tier:
        return number
    left_ms = part.due_ms(offset) - wall_ms
    parked = next((one for one, other in enumerate(chain.parts) if other.stage.kind == "parked"), None)
    home = parked if left_ms <= 0 and parked is not None else _shortest_tier(state, left_ms)
    return number if home is None else home


def _shortest_tier(state: PartitionState, least_ms: int) -> int | None:
    """Give the shortest tier in which a copy waits *least_ms* or longer; None with none."""
    parts = state.chain.parts
    tiers = [one for one, part in enumerate(parts) if part.is_tier and not part.stage.is_old]
    return min(
        (one for one in tiers if parts[one].delay_ms >= least_ms), key=lambda one: parts[one].delay_ms, default=None
    )
