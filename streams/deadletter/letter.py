"""One dead letter: the record as it was, where it came from, and why it is dead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from streams.deadletter.counting import CopyLedger, Verdict
from streams.engine.chain import ERROR_HEADER, HEADER, CopyHeader, ErrorHeader, unpack, unpack_error
from streams.engine.edit import Edited, edits_in
from streams.kafka.message import Message, place_of
from streams.record import Headers, Origin, Partition, headers_of


class RecordName(NamedTuple):
    """What names a record in all its copies: two groups may bury the same one, a topic made anew is another lineage."""

    group: str
    topic_id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One copy of a record in a dead-letter topic."""

    place: Partition
    """Where this copy stands."""
    offset: int
    """The same."""
    header: CopyHeader
    error: ErrorHeader | None
    """None where it does not say why, or not readably."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    """The source record's own."""
    timestamp_ms: int
    """When this copy was written."""
    verdict: Verdict
    """Whether it counts."""

    @classmethod
    def read(cls, message: Message, ledger: CopyLedger) -> Letter:
        """Read what stands in a dead-letter topic, in the partition that *ledger* tells of.

        Raises:
            LedgerError: streams did not write it, or this program can't read it.
            DecodeError: Its headers can't be read.
        """
        headers = headers_of(message)
        header = unpack(headers)
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        return cls(
            place=place_of(message),
            offset=offset,
            header=header,
            error=unpack_error(headers),
            key=message.key(),
            value=message.value(),
            headers=[(name, value) for name, value in headers if name not in (HEADER, ERROR_HEADER)],
            timestamp_ms=message.timestamp()[1],
            verdict=ledger.verdict(offset, header),
        )

    @property
    def name(self) -> RecordName:
        """What names the record."""
        return RecordName(self.header.group, self.header.topic_id, self.header.partition, self.header.offset)

    @property
    def origin(self) -> Origin:
        """Where the record was first consumed."""
        return self.header.origin

    @property
    def edits(self) -> tuple[Edited, ...]:
        """The changes of its payload by operators, oldest first."""
        return edits_in(self.headers, self.source, self.header.offset)

    @property
    def source(self) -> Partition:
        """The partition in which its record was first consumed."""
        return Partition(self.header.topic, self.header.partition)

    @property
    def died_ms(self) -> int:
        """When it was given up; where that is not told, when this copy was written."""
        return self.error.time_ms if self.error is not None and self.error.time_ms else self.timestamp_ms

    def is_better_than(self, other: Letter) -> bool:
        """Say which of two copies of one record it is: one that may count, then the highest hop, the lowest offset."""
        return self._rank > other._rank

    @property
    def _rank(self) -> tuple[bool, int, int]:
        return self.verdict.may_count, self.header.hop, -self.offset


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are wanted; in what is a part of a text upper and lower case count the same."""

    error: str = ""
    """A part of the error's class, message or reason."""
    handler: str = ""
    """A part of the handler's name."""
    text: str = ""
    """A part of the payload, where that is UTF-8."""
    key: bytes | None = None
    """The Kafka key; None: any."""
    since_ms: int | None = None
    """Dead since then, ms since 1970, or later; None: any."""
    until_ms: int | None = None
    """Dead before then; None: any."""

    def takes(self, letter: Letter) -> bool:
        """Say whether *letter* is wanted."""
        if self.key is not None and letter.key != self.key:
            return False
        if self.since_ms is not None and letter.died_ms < self.since_ms:
            return False
        if self.until_ms is not None and letter.died_ms >= self.until_ms:
            return False
        error = letter.error
        told = ("", "") if error is None else (f"{error.error}\n{error.message}\n{error.reason}", error.handler)
        return (
            self.error.lower() in told[0].lower()
            and self.handler.lower() in told[1].lower()
            and (not self.text or self.text.lower() in (letter.value or b"").decode(errors="replace").lower())
        )
