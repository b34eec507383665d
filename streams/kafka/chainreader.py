"""What an owner reads of its chain: onward from a place, or from end to end before it starts.

The group's consumer reads the source alone.  The topics of the chain have a
reader of their own, which is no member: the owner of a source partition puts
it where there is something to read, and commits for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Final

from streams.config import Settings
from streams.kafka.cursor import Cursor
from streams.kafka.message import Message
from streams.kafka.reader import Stretch, walk
from streams.record import Partition

_SILENCE_S: Final = 30.0

_CHAIN: Final = {
    "auto.offset.reset": "error",  # a copy that is gone is told, not jumped over
    "isolation.level": "read_uncommitted",  # a transaction that somebody left open must hide no copy
}
_READING: Final = _CHAIN | {
    "queued.max.messages.kbytes": 8 * 1024,  # what was read ahead is dropped when the reader is placed anew
    "max.partition.fetch.bytes": 256 * 1024,
}
_SCANNING: Final = _CHAIN | {
    "queued.max.messages.kbytes": 16 * 1024,
    "max.partition.fetch.bytes": 1024 * 1024,
}


class ChainReader:
    """Reads partitions of the chain, each from where it was put.

    Owned by the poll thread.  Nothing is connected until something is to be
    read.

    Always true: a record is given only while its partition is read, at or
    after the offset that was asked for last, and once.
    """

    def __init__(self, settings: Settings) -> None:
        """Read the cluster of *settings*."""
        self._settings = settings
        self._cursor = Cursor(settings, _READING)

    @property
    def positions(self) -> Mapping[Partition, int]:
        """What is being read, and the next offset of each; at the end of a log it is the log's end."""
        return self._cursor.positions

    @property
    def trouble(self) -> str:
        """What the client complained of since it last read something; it goes on trying."""
        error = self._cursor.trouble
        return "" if error is None else error.str()

    def read_from(self, partition: Partition, offset: int) -> None:
        """Read *partition* from *offset* on, wherever it was being read before."""
        self._cursor.place({partition: offset})

    def leave(self, partition: Partition) -> None:
        """Read *partition* no further."""
        self._cursor.leave([partition])

    def poll(self, limit: int) -> list[Message]:
        """Give up to *limit* records that have arrived, each partition's in order; does not wait.

        Raises:
            BrokerError: The client can't go on, may not read, or can't make sense of what it read.
        """
        moves = self._cursor.take(limit, 0)
        if len(moves) == 1:
            return moves[0][1]
        return [message for _, messages in moves for message in messages]

    def out_of_range(self) -> dict[Partition, int]:
        """Give the partitions, since the last call, whose log has nothing at their position, and that position.

        Something but the owner removed records, or cut the log.  They stand still
        until they are read from another place, or left.
        """
        return self._cursor.missed()

    def scan(
        self, ranges: Mapping[Partition, Stretch], *, silence_s: float = _SILENCE_S
    ) -> Iterator[tuple[Partition, list[Message]]]:
        """Give all records of *ranges*, in batches of one partition, and wait for them.

        A range ends at an end that the broker has told, and is read up to there
        even by a leader that does not show it yet.  It does not touch what is
        being polled: it has a connection of its own.

        Raises:
            BrokerError: Nothing came for *silence_s*; or a range begins before its log does, or after its end.
        """
        with closing(Cursor(self._settings, _SCANNING)) as cursor:
            yield from walk(cursor, ranges, silence_s, may_end_early=False)

    def close(self) -> None:
        """Let go of the connection; it is opened anew when something is to be read."""
        self._cursor.close()
