"""The engine without one of its rules: what is put in the place of the function that keeps it.

Each one does what its sound twin does, and leaves out what the rule asks for.
"""

# ruff: noqa: ARG001
# Each has the parameters of its twin.

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from streams.deadletter.counting import CopyLedger
from streams.deadletter.letter import Letter
from streams.deadletter.read import Listing
from streams.engine import parking
from streams.engine.backlog import MOVING, Backlog, LaneKey, pack, unpack
from streams.engine.chain import CopyHeader
from streams.engine.chain import unpack as read_header
from streams.engine.chainstate import ChainState
from streams.engine.copies import Copies
from streams.engine.partition import LOADED, Item, Move, PartitionState, Run
from streams.engine.snapshot import Snapshot
from streams.kafka.message import Message

FAR: Final = 1 << 40

_want = ChainState.want
_restore = ChainState.restore
_advance = PartitionState.advance
_depart = PartitionState.depart
_scanned = ChainState.scanned
_sent = Copies.sent


class Patch(NamedTuple):
    """One function, and what stands in its place."""

    room: Any
    """The class or module that has it."""
    name: str
    instead: Any


# -- rule 1: source first ---------------------------------------------------------------------------------------------


def want_at_once(chain: ChainState[Item], lane: bytes, backlog: Backlog[Item], position: int) -> None:
    """Have the oldest copy read, wherever the source is read."""
    _want(chain, lane, backlog, FAR)


def may_load_ahead(state: PartitionState, backlog: Backlog[Item], origin: int) -> bool:
    """Let it run, wherever the source is read."""
    return not backlog.is_suspect and backlog.rank(origin) == backlog.in_memory


def pass_nothing(chain: ChainState[Item], position: int) -> Iterator[bytes]:
    """Free no key, however far the source is read."""
    return iter(())


# -- rule 2: the smallest origin is the head --------------------------------------------------------------------------


def advance_chain_first(state: PartitionState, key: bytes) -> Run | None:
    """Look for what runs next in the chain, and only then among what was read of the source."""
    backlog, waiting = state.chain.index.get(key), state.lanes.get(key)
    if backlog is None or not len(backlog) or not waiting:
        return _advance(state, key)
    state.lanes[key] = None
    run = _advance(state, key)
    state.lanes[key] = waiting + (state.lanes[key] or [])
    return run


# -- rule 3: a record of a tier runs when it is head ------------------------------------------------------------------


def may_load_any(state: PartitionState, backlog: Backlog[Item], origin: int) -> bool:
    """Let a copy run as soon as it is due."""
    return not backlog.is_suspect and origin < state.ledger.position


# -- rule 4: of several copies the highest hop wins, and the others are settled ---------------------------------------


def find_and_keep_losers(
    chain: ChainState[Item], number: int, offset: int, header: CopyHeader, message: Message
) -> None:
    """Take the highest hop for the live copy, and leave the others as they are."""
    lane = chain.lane_of(message, header)
    backlog = chain.index.setdefault(lane, Backlog())
    chain.parts[number].found(offset, message.timestamp()[1])
    known = backlog.place(header.offset)
    if known is None or unpack(known).hop < header.hop:
        backlog.put(header.offset, pack(number, header.hop, offset))
    if number == chain.dlq:
        chain._dead.add(lane)  # noqa: SLF001  # as its twin
    chain.seen_until = max(chain.seen_until, header.offset)


def take_and_keep_losers(state: PartitionState, number: int, message: Message, wall_ms: int) -> Move | LaneKey | None:
    """Leave a copy that is not the live one as it is."""
    header = read_header(message.headers())
    backlog = state.chain.index.get(state.chain.lane_of(message, header))
    place = None if backlog is None else backlog.place(header.offset)
    if number != state.chain.dlq and place not in {MOVING, pack(number, header.hop, message.offset() or 0)}:
        return None
    return _take(state, number, message, wall_ms)


_take = parking._take  # noqa: SLF001  # called by its twin


# -- rule 5: a source copy that comes again is settled ----------------------------------------------------------------


def know_nothing(state: PartitionState, message: Message) -> bool:
    """Take every record of the source for one that is not in the chain."""
    return False


# -- rule 8: settled only after the acknowledgement -------------------------------------------------------------------


def depart_and_settle(state: PartitionState, item: Item, number: int) -> Move:
    """Let a record leave, and settle it where it was at once."""
    move = _depart(state, item, number)
    if item[1] is LOADED:
        before = state.chain._numbers[move.header.from_topic]  # noqa: SLF001  # broken on purpose
        state.chain.parts[before].settle(move.header.from_offset)
    else:
        item[1][item[2]] = 1
    return move


# -- rule 11: what was neither scanned nor sent is dropped ------------------------------------------------------------


def sent_among_others(part: Copies, offsets: Sequence[int], appended_ms: Sequence[int]) -> None:
    """Take what stands before a copy of ours for outstanding too."""
    others = range(part.end, offsets[-1] + 1)
    _sent(part, others, [appended_ms[-1]] * len(others))


def load_whatever_comes(
    state: PartitionState, number: int, messages: list[Message], wall_ms: int
) -> tuple[list[Run], list[Move]]:
    """Take a copy that nobody knows of for the live one of its record."""
    chain = state.chain
    for message in messages:
        offset = message.offset() or 0
        header = read_header(message.headers())
        backlog = chain.index.setdefault(chain.lane_of(message, header), Backlog())
        state.lanes.setdefault(chain.lane_of(message, header), None)
        is_ours = header.assignment_id == state.assignment_id or offset < chain.parts[number].scan_end
        if chain.parts[number].is_outstanding(offset) and not is_ours and backlog.place(header.offset) is None:
            backlog.put(header.offset, pack(number, header.hop, offset))
    return _load(state, number, messages, wall_ms)


_load = parking.load


# -- rule 12: the fence -----------------------------------------------------------------------------------------------


def restore_without_fence(
    chain: ChainState[Item], number: int, committed: int | None, snapshot: Snapshot | None, marks: range
) -> range:
    """Begin the ledger of one topic, and forget what its commit says of late copies."""
    stretch = _restore(chain, number, committed, snapshot, marks)
    chain._fences[number] = None  # noqa: SLF001  # broken on purpose
    return stretch


# -- rule 16: dead letters are scanned --------------------------------------------------------------------------------


def restore_without_letters(
    chain: ChainState[Item], number: int, committed: int | None, snapshot: Snapshot | None, marks: range
) -> range:
    """Begin the ledger of one topic; of the dead letters take all for what they were, and look at none."""
    stretch = _restore(chain, number, committed, snapshot, marks)
    if number != chain.dlq:
        return stretch
    part = chain.parts[number]
    for offset in stretch:
        if not part.was_settled(offset):
            part.found(offset, 0)
    return range(stretch.stop, stretch.stop)


def scan_and_end_nothing(chain: ChainState[Item], is_settled: Callable[[int], bool]) -> list[int]:
    """End the scan; what the source has open stays open, dead or not."""
    _scanned(chain, is_settled)
    return []


# -- rule 17: a topic of the chain without a committed offset starts at its log's start -------------------------------


def restore_from_the_end(
    chain: ChainState[Item], number: int, committed: int | None, snapshot: Snapshot | None, marks: range
) -> range:
    """Begin the ledger of a topic that nothing is committed for at its end."""
    return _restore(chain, number, marks.stop if committed is None else committed, snapshot, marks)


# -- rule 20: who reads dead letters sees each record once ------------------------------------------------------------


def add_each(listing: Listing, letter: Letter) -> None:
    """Take each copy for a record of its own."""
    listing._best.pop(letter.name, None)  # noqa: SLF001  # broken on purpose
    _add(listing, letter)


_add = Listing.add


# -- rule 20: and only those that count -------------------------------------------------------------------------------


def is_fenced_never(ledger: CopyLedger, offset: int, header: CopyHeader) -> bool:
    """Take a copy for one of an owner, whenever it was appended."""
    return False


def is_settled_never(ledger: CopyLedger, offset: int) -> bool:
    """Take every copy for one that nobody is through with."""
    return False


# -- rule 21: the oldest copies move on, and a followed key keeps its dead head ---------------------------------------


def load_without_relief(
    state: PartitionState, number: int, messages: list[Message], wall_ms: int
) -> tuple[list[Run], list[Move]]:
    """Leave every copy where it is until it may run."""
    state.chain.parts[number].relief = range(0)
    return _load(state, number, messages, wall_ms)


def is_followed_never(chain: ChainState[Item], backlog: Backlog[Item]) -> bool:
    """Let what is younger than a dead record stay where it is."""
    return False


def arrive_and_settle_dead(  # noqa: PLR0917  # as in `arrive`
    chain: ChainState[Item], lane: bytes, origin: int, left: int | None, number: int, offset: int
) -> Backlog[Item]:
    """Let a dead record have ended, whatever its policy says."""
    backlog = _arrive(chain, lane, origin, left, number, offset)
    if number == chain.dlq:
        backlog.remove(origin)
    return backlog


_arrive = ChainState.arrive


SOURCE_FIRST: Final = (Patch(ChainState, "want", want_at_once), Patch(parking, "_may_load", may_load_ahead))
HELD_UP: Final = (Patch(ChainState, "passed", pass_nothing),)
SMALLEST_ORIGIN: Final = (Patch(PartitionState, "advance", advance_chain_first),)
HEAD_OF_TIER: Final = (Patch(parking, "_may_load", may_load_any),)
LOSERS_SETTLED: Final = (
    Patch(ChainState, "_find", find_and_keep_losers),
    Patch(parking, "_take", take_and_keep_losers),
)
COMES_AGAIN: Final = (Patch(PartitionState, "_is_known", know_nothing),)
AFTER_ACKNOWLEDGEMENT: Final = (Patch(PartitionState, "depart", depart_and_settle),)
FOREIGN_DROPPED: Final = (Patch(Copies, "sent", sent_among_others), Patch(parking, "load", load_whatever_comes))
FENCE: Final = (Patch(ChainState, "restore", restore_without_fence),)
LETTERS_SCANNED: Final = (Patch(ChainState, "restore", restore_without_letters),)
LETTERS_END: Final = (Patch(ChainState, "scanned", scan_and_end_nothing),)
FROM_THE_START: Final = (Patch(ChainState, "restore", restore_from_the_end),)
EACH_ONCE: Final = (Patch(Listing, "add", add_each),)
LETTERS_FENCED: Final = (Patch(CopyLedger, "is_fenced", is_fenced_never),)
LETTERS_SETTLED: Final = (Patch(CopyLedger, "is_settled", is_settled_never),)
MOVE_ON: Final = (Patch(parking, "load", load_without_relief),)
FOLLOWED: Final = (Patch(ChainState, "is_followed", is_followed_never),)
DEAD_HEAD: Final = (Patch(ChainState, "arrive", arrive_and_settle_dead),)
