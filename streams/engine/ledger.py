"""Which offsets of one partition are settled.

Records settle in any order; Kafka keeps one number a partition.  The ledger
gives that number, the lowest offset that is not settled, and the settled
ranges above it for the commit's metadata.

It works on offsets seen, in chunks: the records of one partition out of one
poll, with one byte each.  To settle is to store a 1 in that byte; to find the
lowest open offset is one `find`.  Chunks that have settled behind an open
record become spans of two numbers, so that one stuck record costs no memory
for each record that passes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, takewhile
from typing import ClassVar, NamedTuple

from streams.kafka.message import Message


class Chunk:
    """Records of one partition out of one poll.

    Always true: `settled` has one byte a record, and a byte never returns to 0.
    """

    __slots__ = (
        "base",
        "indexes",
        "keys",
        "last",
        "mark",
        "messages",
        "offsets",
        "oldest_ms",
        "rounds",
        "settled",
        "size_bytes",
    )

    def __init__(self, messages: list[Message]) -> None:
        """Hold *messages*: one partition's, ascending offsets, at least one."""
        count = len(messages)
        self.messages = messages
        """Those that are to run and stand in no lane yet."""
        self.size_bytes = sum(map(len, messages))
        """Bytes of the values of those that are to run."""
        self.indexes: Sequence[int] = range(count)
        """Where each of `messages` stands in `settled`."""
        self.keys: list[bytes | int] | None = None
        """The lane of each of `messages`, once that was looked at."""
        self.rounds = 0
        """How often it was begun as a whole and stopped at a record that did not end well."""
        self.base: int = _offset(messages[0])
        self.last: int = _offset(messages[-1])
        self.offsets: list[int] | None = None
        """Each record's offset, kept only where they have gaps."""
        if self.last - self.base != count - 1:
            self.offsets = [_offset(message) for message in messages]
        self.settled = bytearray(count)
        self.mark = 0
        """Everything below this index is settled."""
        self.oldest_ms: int = messages[0].timestamp()[1]

    def offset_at(self, index: int) -> int:
        """Give the offset of the record at *index*."""
        return self.base + index if self.offsets is None else self.offsets[index]

    def settle_all(self) -> None:
        """Note that none of `messages` needs more work: those in lanes settle by themselves."""
        settled = self.settled
        if len(self.messages) == len(settled):
            self.settled = bytearray(b"\x01") * len(settled)
        else:
            for index in self.indexes:
                settled[index] = 1
        self.messages = []

    def take(self, count: int | None = None) -> tuple[list[Message], Sequence[int]]:
        """Take the first *count* of `messages` out, or all: give them, and where they stand in `settled`."""
        messages, indexes = self.messages, self.indexes
        if count is None:
            self.messages, self.keys, self.size_bytes = [], None, 0
            return messages, indexes
        taken = messages[:count]
        self.messages, self.indexes = messages[count:], indexes[count:]
        self.keys = None if self.keys is None else self.keys[count:]
        self.size_bytes -= sum(map(len, taken))
        return taken, indexes[:count]

    def pick(self, wanted: Sequence[bool]) -> tuple[list[Message], Sequence[int]]:
        """Take out those of the first `messages` that are *wanted*, one answer each; as `take` gives them."""
        messages, indexes, keys = self.messages, self.indexes, self.keys
        picked, places = list(compress(messages, wanted)), list(compress(indexes, wanted))
        kept, count = [not one for one in wanted], len(wanted)
        self.messages = [*compress(messages, kept), *messages[count:]]
        self.indexes = [*compress(indexes, kept), *indexes[count:]]
        self.keys = None if keys is None else [*compress(keys, kept), *keys[count:]]
        self.size_bytes -= sum(map(len, picked))
        return picked, places

    def settle_ranges(self, ranges: Iterable[range]) -> None:
        """Settle the records whose offsets lie in *ranges* and drop them from `messages`."""
        offsets = self.offsets or range(self.base, self.last + 1)
        for settled in ranges:
            for index, offset in enumerate(offsets):
                if offset in settled:
                    self.settled[index] = 1
        self._keep_open()

    def leave_out(self, is_known: Callable[[Message], bool]) -> None:
        """Settle the records that *is_known* says are taken care of elsewhere, and drop them from `messages`."""
        for index, message in zip(self.indexes, self.messages, strict=True):
            self.settled[index] = is_known(message)
        self._keep_open()

    @property
    def is_settled(self) -> bool:
        """No record of it is open."""
        return self.settled.find(0, self.mark) < 0

    def _keep_open(self) -> None:
        kept = [(index, one) for index, one in zip(self.indexes, self.messages, strict=True) if not self.settled[index]]
        self.indexes = [index for index, _ in kept]
        self.messages = [message for _, message in kept]
        self.size_bytes = sum(map(len, self.messages))

    def ranges(self) -> Iterator[range]:
        """Give the settled offsets as ascending ranges; gaps between two settled records count as settled."""
        settled, at, end = self.settled, 0, len(self.settled)
        while (start := settled.find(1, at)) >= 0:
            at = settled.find(0, start)
            at = end if at < 0 else at
            yield range(self.offset_at(start), self.offset_at(at - 1) + 1)


class Span(NamedTuple):
    """Neighbouring chunks that have settled; gaps between them hold no record."""

    base: int
    last: int

    @property
    def is_settled(self) -> bool:
        """Always: that is what it is made of."""
        return True

    def ranges(self) -> Iterator[range]:
        """Give the one range it is."""
        yield range(self.base, self.last + 1)


class Ledger:
    """The offsets of one partition that were read and not yet given up.

    Owned by the poll thread; takes no locks.

    Always true:

    * Every record below `committable` has settled.
    * `committable` never moves back.
    * Offsets the broker never delivered (compaction, transaction markers)
      are not waited for.
    * Its size goes with the open records, not with those that have settled.
    """

    crowded: ClassVar[int] = 64
    """Chunks from which on it is worth looking for settled ones."""

    def __init__(self, committed: int, restored: Iterable[range] = (), epoch: int = -1) -> None:
        """Begin at *committed*, with the ranges above it that an earlier owner settled.

        Args:
            committed: Everything below it has settled.
            restored: What has settled above it.
            epoch: No record of all that was written under a later leader epoch; -1: not known.
        """
        self._chunks: deque[Chunk | Span] = deque()
        self._join_at = self.crowded
        self._committable = committed
        self.position = committed
        """The offset that will be read next."""
        self._epoch = self._restored_epoch = epoch
        self._read_to = committed
        self._restored = deque(sorted(restored, key=lambda settled: settled.start))

    def admit(self, messages: list[Message]) -> Chunk | None:
        """Note that *messages* were read; give the new ones as a chunk, None where there are none.

        Its `messages` are those that are to run: what an earlier owner settled
        is left out of them, and that may be all.
        """
        if _offset(messages[0]) < self.position:
            messages = [message for message in messages if _offset(message) >= self.position]
            if not messages:
                return None
        chunk = Chunk(messages)
        if len(self._chunks) >= self._join_at:
            self._join()
        self._chunks.append(chunk)
        self.position = self._read_to = chunk.last + 1
        self._epoch = _epoch(messages[-1])
        if self._restored:
            self._void_restored(messages)
            self._settle_restored(chunk)
        return chunk

    def restore(self, offsets: Iterable[int]) -> None:
        """Note, before anything is read, that *offsets* above `committable` are settled too."""
        more = [range(offset, offset + 1) for offset in offsets]
        self._restored = deque(sorted([*self._restored, *more], key=lambda settled: settled.start))

    def was_settled(self, offset: int) -> bool:
        """Say, before anything is read, whether an earlier owner settled *offset*."""
        return offset < self._committable or any(offset in settled for settled in self._restored)

    def is_open(self, offset: int) -> bool:
        """Say whether the record at *offset* was read and has not settled."""
        return self.committable <= offset < self.position and not any(offset in settled for settled in self.ranges())

    def reach(self, offset: int) -> None:
        """Note that the log has no record between `position` and *offset*, its end."""
        self.position = max(self.position, offset)

    @property
    def committable(self) -> int:
        """The lowest offset that has not settled."""
        chunks = self._chunks
        while chunks:
            first = chunks[0]
            index = first.settled.find(0, first.mark) if isinstance(first, Chunk) else -1
            if isinstance(first, Chunk) and index >= 0:
                first.mark = index
                self._committable = max(self._committable, first.offset_at(index))
                return self._committable
            chunks.popleft()
            self._committable = max(self._committable, first.last + 1)
        self._committable = max(self._committable, self.position)
        return self._committable

    @property
    def epoch(self) -> int:
        """No record below `committable` was written under a later leader epoch; -1: not known, as past a gap's end."""
        return self._epoch if self.committable <= self._read_to else -1

    @property
    def oldest_ms(self) -> int:
        """Timestamp of the oldest chunk with an open record, ms since 1970; -1 with none."""
        oldest = self._chunks[0] if self.committable < self.position and self._chunks else None
        return oldest.oldest_ms if isinstance(oldest, Chunk) else -1

    def ranges(self) -> Iterator[range]:
        """Give the settled offsets above `committable` as ascending ranges."""
        committable = self.committable
        for chunk in self._chunks:
            for settled in chunk.ranges():
                if settled.stop > committable:
                    yield range(max(settled.start, committable), settled.stop)
        yield from (settled for settled in self._restored if settled.start >= self.position)

    def _join(self) -> None:
        """Make spans of what has settled; looks again once there are twice as many chunks."""
        joined: deque[Chunk | Span] = deque()
        for chunk in self._chunks:
            before = joined[-1] if joined else None
            if not chunk.is_settled:
                joined.append(chunk)
            elif isinstance(before, Span):
                joined[-1] = Span(before.base, chunk.last)
            else:
                joined.append(Span(chunk.base, chunk.last))
        self._chunks = joined
        self._join_at = max(self.crowded, 2 * len(joined))

    def _void_restored(self, messages: list[Message]) -> None:
        """Forget what settled behind a record that was written later: the log was cut off there, and written anew."""
        if not 0 <= self._restored_epoch < _epoch(messages[-1]):
            return
        cut = next(_offset(message) for message in messages if _epoch(message) > self._restored_epoch)
        kept = (range(settled.start, min(settled.stop, cut)) for settled in self._restored)
        self._restored = deque(settled for settled in kept if settled)

    def _settle_restored(self, chunk: Chunk) -> None:
        restored = self._restored
        chunk.settle_ranges(list(takewhile(lambda settled: settled.start <= chunk.last, restored)))
        while restored and restored[0].stop <= self.position:
            restored.popleft()
        if restored and restored[0].start < self.position:
            restored[0] = range(self.position, restored[0].stop)


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _epoch(message: Message) -> int:
    epoch = message.leader_epoch()
    return -1 if epoch is None else epoch
