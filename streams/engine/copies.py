"""The ledger of one topic of the chain: which copies in it are outstanding, and which are worth reading now.

Copies come in two ways only: from the scan at the start of an assignment, and
as acknowledgements of what this owner sent.  Whatever else stands between
them in the log was appended by somebody who no longer owned the partition: it
counts as settled, read or unread (protocol, rule 11).
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from streams.engine.snapshot import Snapshot, runs_of
from streams.kafka.message import Message

StageKind: TypeAlias = Literal["tier", "parked", "dlq"]

_MOST_RUNS: Final = 4_000
"""More settled ranges than fit into a commit in any case."""
_TRIM_AT: Final = 65_536
_BLOCK: Final = 1_000
"""Offsets that are looked over in one go."""

SETTLED: Final = 1
OUTSTANDING: Final = 0


class Stage(NamedTuple):
    """One topic of a chain."""

    topic: str
    kind: StageKind
    delay_s: float = 0.0
    """How long a copy waits in it; tiers only."""
    is_old: bool = False
    """The policy does not name it any more: it is drained and never written."""


class Copies:
    """What is outstanding in one topic of the chain, for one partition.

    Owned by the poll thread.

    Always true:

    * Every copy below `committable` needs no more work.
    * `cursor` of a tier: every copy below it was due and was read once.
    """

    def __init__(self, stage: Stage) -> None:
        """Know of no copy."""
        self.stage = stage
        self.delay_ms = round(stage.delay_s * 1000)
        self.is_tier = stage.kind == "tier"
        self.outstanding = 0
        self.cursor = 0
        self.scan_end = 0
        """End of the log when this owner scanned it: what others appended above it is dead."""
        self.unsure_until = -1
        """Of the copies below this offset nobody knows whether they were finished: their ledger was lost (rule 17)."""
        self.relief = range(0)
        """Outstanding copies at these offsets are to be moved, so that the ledger can move on."""
        self.sought = -1
        """Outstanding copies from this offset on are to be read: an operator wants some of them; -1: none."""
        self.aged_until = 0
        """Copies below this offset are so old that retention would take them in time."""
        self.characters = 0
        """Of the ledger, as the last commit wrote it."""
        self._base = 0
        self._flags = bytearray()
        self._mark = 0
        self._stamps = array("q")
        self._ready: set[int] = set()
        self._order: list[int] = []
        """What is or was in `_ready`, as a heap."""

    # -- in -------------------------------------------------------------------------------

    def begin(self, base: int, end: int, settled: Iterable[range]) -> None:
        """Begin at *base*; *settled* was settled by earlier owners, of the rest below *end* the scan tells."""
        self._base = self.cursor = base
        self.scan_end = end
        self._flags = bytearray((SETTLED,)) * max(0, end - base)
        self._stamps = array("q", bytes(8 * len(self._flags))) if self.is_tier else array("q")
        self._earlier = bytearray(len(self._flags))
        for done in settled:
            first, last = max(done.start, base) - base, min(done.stop, end) - base
            if first < last:
                self._earlier[first:last] = bytes((SETTLED,)) * (last - first)

    def was_settled(self, offset: int) -> bool:
        """Say, during the scan, whether an earlier owner settled *offset*."""
        return bool(self._earlier[offset - self._base])

    def left_open(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Give those of *messages*, in their order, that the scan is about and that earlier owners have not settled."""
        if not messages:
            return messages
        first, last = cast("int", messages[0].offset()), cast("int", messages[-1].offset())
        if last < self.scan_end and self._earlier.find(SETTLED, first - self._base, last + 1 - self._base) < 0:
            return messages
        known = [(cast("int", message.offset()), message) for message in messages]
        return [message for offset, message in known if offset < self.scan_end and not self.was_settled(offset)]

    def found(self, offset: int, appended_ms: int) -> None:
        """Note an outstanding copy that the scan found."""
        at = offset - self._base
        if self._flags[at] == SETTLED:
            self._flags[at] = OUTSTANDING
            self.outstanding += 1
        if self.is_tier:
            self._stamps[at] = appended_ms

    def found_all(self, offsets: Sequence[int], appended_ms: Sequence[int]) -> None:
        """Note outstanding copies that the scan found at *offsets*, ascending, there since *appended_ms*."""
        first, stop = offsets[0] - self._base, offsets[-1] + 1 - self._base
        if stop - first != len(offsets):
            for offset, stamp in zip(offsets, appended_ms, strict=True):
                self.found(offset, stamp)
            return
        self.outstanding += self._flags.count(SETTLED, first, stop)
        self._flags[first:stop] = bytes(len(offsets))
        if self.is_tier:
            self._stamps[first:stop] = array("q", appended_ms)

    def trust(self, stretch: range) -> None:
        """Take what an earlier owner had not settled in *stretch* for outstanding; it is not scanned."""
        first, last = stretch.start - self._base, stretch.stop - self._base
        self._flags[first:last] = self._earlier[first:last]
        self.outstanding = self._flags.count(OUTSTANDING, first, last)

    def scanned(self) -> None:
        """Note that the scan is over."""
        self._earlier = bytearray()

    def sent(self, offsets: Sequence[int], appended_ms: Sequence[int]) -> None:
        """Note that copies of ours stand at *offsets*, ascending, since *appended_ms*."""
        count, end = len(offsets), self.end
        assert offsets[0] >= end, f"{self.stage.topic}: a copy at {offsets[0]}, below the end {end}"  # noqa: S101  # logs grow
        foreign = offsets[-1] + 1 - end - count
        if not foreign:
            self._flags += bytes(count)
            if self.is_tier:
                self._stamps.extend(appended_ms)
        else:  # between ours stand others' copies, or the broker's own marks
            self._flags += bytes((SETTLED,)) * (count + foreign)
            stamps = array("q", bytes(8 * (count + foreign))) if self.is_tier else self._stamps
            for offset, stamp in zip(offsets, appended_ms, strict=True):
                self._flags[offset - self._base] = OUTSTANDING
                if self.is_tier:
                    stamps[offset - end] = stamp
            if self.is_tier:
                self._stamps += stamps
        self.outstanding += count

    def settle(self, offset: int) -> None:
        """Note that the copy at *offset* needs no more work."""
        at = offset - self._base
        if 0 <= at < len(self._flags) and self._flags[at] == OUTSTANDING:  # a copy may name one that its log has lost
            self._flags[at] = SETTLED
            self.outstanding -= 1
            if self._mark > _TRIM_AT and self._mark * 2 > len(self._flags):
                self._trim()

    def want(self, offset: int) -> None:
        """Note that the copy at *offset* may run as soon as it is read."""
        if offset not in self._ready:
            self._ready.add(offset)
            heapq.heappush(self._order, offset)

    def passed(self, offset: int) -> None:
        """Note that the copy at *offset*, or what stands there, was read."""
        if not self.skips(offset):
            self.cursor = max(self.cursor, min(offset + 1, self.end))  # beyond stands what is not acknowledged yet
        if offset in self.relief:
            self.relief = range(offset + 1, self.relief.stop)
        if 0 <= self.sought <= offset and self._flags.find(OUTSTANDING, *self._between(self.sought, offset)) < 0:
            self.sought = offset + 1
        self._ready.discard(offset)

    # -- out ------------------------------------------------------------------------------

    def skips(self, offset: int) -> bool:
        """Say whether outstanding copies before *offset* have not been met yet: they were not due when they came."""
        return self._flags.find(OUTSTANDING, *self._between(self.cursor, offset)) >= 0

    @property
    def end(self) -> int:
        """The offset after the last one that is known."""
        return self._base + len(self._flags)

    @property
    def committable(self) -> int:
        """The lowest offset that is outstanding; with none the end."""
        at = self._flags.find(OUTSTANDING, self._mark)
        self._mark = at if at >= 0 else len(self._flags)
        return self._base + self._mark

    def is_outstanding(self, offset: int) -> bool:
        """Say whether *offset* holds a copy that needs work."""
        at = offset - self._base
        return 0 <= at < len(self._flags) and self._flags[at] == OUTSTANDING

    def due_ms(self, offset: int) -> int:
        """Give when the copy at *offset* may run, ms since 1970."""
        return self._stamps[offset - self._base] + self.delay_ms

    def is_due(self, offset: int, now_ms: int) -> bool:
        """Say whether the copy at *offset* has waited its time; where there is no delay it always has."""
        return not self.is_tier or self.due_ms(offset) <= now_ms

    def next_due_ms(self) -> int | None:
        """Give when the next copy that was not read yet is due; None with none, and for topics that have no delay."""
        if not self.is_tier:
            return None
        at = self._flags.find(OUTSTANDING, max(0, self.cursor - self._base))
        if at < 0:
            self.cursor = max(self.cursor, self.end)
            return None
        self.cursor = max(self.cursor, self._base + at)
        return self._stamps[at] + self.delay_ms

    def wanted(self, now_ms: int, position: int | None = None) -> int | None:
        """Give the offset to read from now; None where nothing is worth reading.

        Args:
            now_ms: ms since 1970.
            position: Where the log is being read: what lies further on is read first, in one pass.
        """
        first = self._first_ready()
        offers = [] if first is None or (position is not None and first < position) else [first]
        if first is not None and position is not None and not offers:
            offers = [ahead] if (ahead := self._ready_from(position)) is not None else []
        due = self.next_due_ms()
        if due is not None and due <= now_ms:
            offers.append(self.cursor)
        if self.relief and (oldest := self._next_relief()) is not None:
            offers.append(oldest)
        if (next_sought := self.next_sought()) is not None:
            offers.append(next_sought)
        return min(offers) if offers else first

    def next_sought(self) -> int | None:
        """Give the next outstanding copy that is to be read for an operator; None where that is over."""
        if self.sought < 0:
            return None
        at = self._flags.find(OUTSTANDING, max(0, self.sought - self._base))
        self.sought = self._base + at if at >= 0 else -1
        return self.sought if at >= 0 else None

    def ranges(self) -> Iterator[range]:
        """Give the settled offsets above `committable` as ascending ranges."""
        flags, base, at = self._flags, self._base, self._mark
        while (start := flags.find(SETTLED, at)) >= 0:
            stop = flags.find(OUTSTANDING, start)
            at = len(flags) if stop < 0 else stop
            yield range(base + start, base + at)

    def end_of_runs(self, count: int) -> int:
        """Give the offset at which the first *count* settled ranges above `committable` end."""
        return max((done.stop for done in islice(self.ranges(), count)), default=self._base)

    def end_of_copies(self, stretch: range, count: int) -> int:
        """Give the offset in *stretch* before which about *count* copies are outstanding; its end where fewer are."""
        at, stop = max(0, stretch.start - self._base), stretch.stop - self._base
        while at < stop and count > 0:
            block_ends = min(at + _BLOCK, stop)
            count -= self._flags.count(OUTSTANDING, at, block_ends)
            at = block_ends
        return self._base + at

    def snapshot(self, assignment_id: bytes) -> tuple[int, Snapshot]:
        """Give the offset to commit and what stands beside it."""
        committable = self.committable
        runs = runs_of(islice(self.ranges(), _MOST_RUNS), committable)
        unsure_until = self.unsure_until if committable < self.unsure_until else -1
        return committable, Snapshot(assignment_id, runs=runs, scan_end=self.scan_end, unsure_until=unsure_until)

    def _next_relief(self) -> int | None:
        at = self._flags.find(OUTSTANDING, max(0, self.relief.start - self._base))
        self.relief = range(self._base + at, self.relief.stop) if at >= 0 else range(0)
        return self.relief.start if self.relief else None

    def _between(self, start: int, stop: int) -> tuple[int, int]:
        return max(0, start - self._base), max(0, stop - self._base)

    def _first_ready(self) -> int | None:
        order = self._order
        while order and not (order[0] in self._ready and self.is_outstanding(order[0])):
            self._ready.discard(heapq.heappop(order))
        return order[0] if order else None

    def _ready_from(self, position: int) -> int | None:
        return min((offset for offset in self._ready if offset >= position), default=None)

    def _trim(self) -> None:
        del self._flags[: self._mark]
        if self.is_tier:
            del self._stamps[: self._mark]
        self._base += self._mark
        self._mark = 0
