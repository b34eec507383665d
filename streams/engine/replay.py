"""A replay of a running group: what is asked for, what the audit keeps, and how the partition's next stay begins.

A partition that is to go to another offset comes to rest: nothing of it
starts, what runs ends, all of it is committed.  What had settled by then goes
into the audit; once that is acknowledged the stay ends, and the next one
begins at the offset.  Its first commit says where it is, which replay this is,
and that the command was carried out, all in one; nothing starts before that is
stored.  So a death in between leaves the replay undone or done, and a command
that comes again finds it done.

To end a replay is to begin a stay likewise, with what had settled before it
and since.  Chain and dead letters keep the order of keys as ever: a copy runs
only once the source is read past its record, and a record of the source that
stands in the chain settles there unrun (protocol, rules 1, 2 and 5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from streams.engine.snapshot import Replay, Snapshot, decode, encode, runs_of
from streams.errors import LedgerError

LATE_S: Final = 900.0
"""A replay that nobody began within this time of its being asked for is not begun any more."""
_MOST_LEDGER: Final = 256 * 1024
_Offset: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]

Turn: TypeAlias = Literal["begun", "cancelled", "undone", "gone", "late"]
"""What became of a command about a replay.

``gone``: it was carried out before, or there is no such replay (any more).
``late``: nobody owned the partition for too long after it was asked for.
"""


class Before(NamedTuple):
    """What had settled in a partition's source when a replay began."""

    offset: int
    """The lowest offset that had not."""
    settled: tuple[range, ...] = ()
    """What had above it, ascending, without neighbours."""

    def has(self, origin: int) -> bool:
        """Say whether the record at *origin* had settled."""
        if origin < self.offset:
            return True
        at = bisect_right(self.settled, origin, key=_start)
        return at > 0 and origin in self.settled[at - 1]

    def joined(self, offset: int, settled: Iterable[range]) -> Before:
        """Give it with what has settled since: all below *offset*, and *settled* above it."""
        at, ranges = max(self.offset, offset), list[range]()
        for one in sorted([*self.settled, *settled], key=_start):
            if one.start <= at:
                at = max(at, one.stop)
            elif ranges and one.start <= ranges[-1].stop:
                ranges[-1] = range(ranges[-1].start, max(ranges[-1].stop, one.stop))
            else:
                ranges.append(one)
        return Before(at, tuple(ranges))

    def pack(self) -> str:
        """Give it as text."""
        return encode(Snapshot(b"", runs=runs_of(self.settled, self.offset)))

    @classmethod
    def read(cls, offset: int, text: str) -> Before:
        """Read what `pack` gave.

        Raises:
            LedgerError: It is something else.
        """
        snapshot = decode(text)
        if snapshot is None:
            raise LedgerError("what had settled before the replay is missing")
        return cls(offset, tuple(snapshot.settled(offset)))


class Rewind(msgspec.Struct, frozen=True, kw_only=True):
    """What a command about a replay carries."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """The replay's; the same in all its partitions."""
    start: _Offset = 0
    """Of the verb ``replay``: where the partition is to go on."""
    rate: Annotated[float, Meta(ge=0)] = 0.0
    """Of the same: records a second at most, on average; 0: as fast as it goes."""
    begun_by: Annotated[str, Meta(max_length=64)] = ""
    """Of the others, as the audit has it: the assignment that ended for the replay, in hex."""
    offset: _Offset = 0
    """The same, with `ledger`: what had settled before."""
    ledger: Annotated[str, Meta(max_length=_MOST_LEDGER)] = ""

    @property
    def before(self) -> Before:
        """What had settled before the replay.

        Raises:
            LedgerError: It can't be read.
        """
        return Before.read(self.offset, self.ledger)

    def is_of(self, replay: Replay | None) -> bool:
        """Say whether *replay* is the one that is meant: another assignment's answer may stand in the audit too."""
        return replay is not None and (replay.id, replay.begun_by.hex()) == (self.id, self.begun_by)


class Rewound(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says of a command about a replay; with it the replay can be ended."""

    id: str
    """The replay's."""
    turn: Turn
    begun_by: str = ""
    """The assignment that ends for it, in hex."""
    start: int = 0
    """Where it begins."""
    until: int = 0
    """Records below this offset have been read before."""
    offset: int = 0
    """With `ledger`: what has settled before, as in `Before`."""
    ledger: str = ""

    @property
    def told(self) -> str:
        """For people: what became of it."""
        return f"begun at {self.start:,}, to {self.until:,}" if self.turn == "begun" else self.turn

    def rewind(self) -> Rewind:
        """Give what a command carries that ends it."""
        return Rewind(id=self.id, begun_by=self.begun_by, offset=self.offset, ledger=self.ledger)


class Undone(NamedTuple):
    """Copies that a replay has made of records that had settled before it."""

    id: str
    before: Before

    def has(self, replay_id: str, origin: int) -> bool:
        """Say whether a copy of the record at *origin* that carries *replay_id* is one."""
        return replay_id == self.id and self.before.has(origin)


class Beginning(NamedTuple):
    """How a stay begins, in what it is other than as the commits say."""

    start: int | None = None
    """There, with nothing settled above."""
    epoch: int = -1
    """The leader epoch under which at the latest was written what was read below it; -1: not known."""
    before: Before | None = None
    """Beside what is committed this has settled."""
    undone: Undone | None = None
    """Copies that are not taken in."""
    control: int | None = None
    """Commands below this offset are carried out, and `replay` is what they have come to."""
    replay: Replay | None = None


AS_COMMITTED: Final = Beginning()


def _start(one: range) -> int:
    return one.start
