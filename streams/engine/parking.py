"""The traffic between memory and the chain: what waits moves out, what may run is read in again.

Functions on a `PartitionState`, sans I/O as it is.  `relieve` says what has to
leave memory; `load` takes in what was read from a topic of the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from streams.engine.backlog import MOVING, Backlog, LaneKey, pack
from streams.engine.chain import unpack as read_header
from streams.engine.partition import Bury, Item, Move, PartitionState, Run
from streams.errors import KeyFullError
from streams.kafka.message import Message

_FULL = KeyFullError("as many records of its key wait as may (key_records), and on_key_full says dead_letter")


def relieve(state: PartitionState, now_s: float, *, is_forced: bool = False) -> list[Move | Bury]:
    """Move records that wait in memory into the chain: those that have waited long, or with *is_forced* all."""
    if state.chain.parked is None:
        return []
    moves = _move_held(state) if is_forced else []
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
    and read again when it may.
    """
    part = state.chain.parts[number]
    touched: dict[LaneKey, None] = {}
    moves: list[Move] = []
    for message in messages:
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        is_relief = offset in part.relief
        if part.is_outstanding(offset):  # else it is settled, or nobody's (rule 11)
            if part.is_tier and not is_relief and (part.due_ms(offset) > wall_ms or part.skips(offset)):
                break
            header = read_header(message.headers())
            key = state.chain.lane_of(message, header)
            backlog = state.chain.index.get(key)
            place = None if backlog is None else backlog.place(header.offset)
            if backlog is None or place is None or place not in (MOVING, pack(number, header.hop, offset)):
                _forget_copy(state, number, offset)
            elif place != MOVING:
                is_followed = state.chain.is_followed(backlog) and number != state.chain.dlq
                if (is_relief or is_followed) and backlog.rank(header.offset) >= backlog.in_memory:
                    home = state.chain.dlq if is_followed else _home(state, number, backlog.rank(header.offset))
                    moves.append(state.depart(state.take_in(message, header, key), cast("int", home)))
                elif _may_load(state, number, backlog, header.offset):
                    state.loaded(backlog).append(state.take_in(message, header, key))
                    backlog.in_memory += 1
                    touched[key] = None
        part.passed(offset)
    return [run for key in touched if (run := state.advance(key)) is not None], moves


def _may_load(state: PartitionState, number: int, backlog: Backlog[Item], origin: int) -> bool:
    """Say whether the record of *origin* is the next of its key: rules 1 to 4."""
    return (
        number != state.chain.dlq
        and not backlog.is_suspect
        and origin < state.ledger.position
        and backlog.rank(origin) == backlog.in_memory
    )


def _forget_copy(state: PartitionState, number: int, offset: int) -> None:
    """Settle a copy that is not the live one of its record (rule 4); dead letters stay for their operator."""
    if number != state.chain.dlq:
        state.chain.parts[number].settle(offset)
        state.chain.fenced += 1


def _park(state: PartitionState, key: LaneKey) -> list[Move | Bury]:
    """Move what waits in the lane of *key*, oldest first; what is beyond its limit into the dead letters.

    Of a followed key the younger records join the dead one; an older one stays: it runs.
    """
    waiting, older = state.lanes[key] or [], list[Item]()
    backlog, home = state.chain.index.get(key), state.chain.parked
    if backlog is not None and state.chain.is_followed(backlog):
        home, dead = state.chain.dlq, cast("int", backlog.first)
        older = [item for item in waiting if cast("int", item[0].offset()) < dead]
    state.lanes[key] = older or None
    state.crowd.pop(key, None)
    room = max(0, state.key_limit - (0 if backlog is None else len(backlog)))
    leaving = waiting[len(older) :]
    moved = [state.depart(item, cast("int", home)) for item in leaving[:room]]
    return [*moved, *(_give_up(state, item) for item in leaving[room:])]


def _give_up(state: PartitionState, item: Item) -> Bury:
    assert state.chain.dlq is not None, "every chain has a dead-letter topic"  # noqa: S101  # so it is declared
    move = state.depart(item, state.chain.dlq)
    return Bury(item, move.number, move.header, _FULL, "its key is full")


def _move_held(state: PartitionState) -> list[Move | Bury]:
    """Move what waits behind records that wait in memory for another attempt, and these too if there is a tier."""
    moves: list[Move | Bury] = []
    tiers = [number for number, part in enumerate(state.chain.parts) if part.is_tier and not part.stage.is_old]
    held = {key for _, _, key in state.held}
    for key in held:
        item = state.trouble[key].item
        if tiers:
            moves.append(state.depart(item, tiers[0]))
        if state.lanes.get(key):
            moves += _park(state, key)
            state.chain.index[key].is_running = not tiers
    if tiers:
        state.held = []
    return moves


def _home(state: PartitionState, number: int, rank: int) -> int:
    """Give the topic that a copy moves to so that the ledger of topic *number* can go on.

    A head in a tier stays in that tier, as nothing waits in `parked`; where
    there is no parked topic, each stays in its own.
    """
    parked = next((one for one, part in enumerate(state.chain.parts) if part.stage.kind == "parked"), number)
    return number if rank == 0 and state.chain.parts[number].is_tier else parked
