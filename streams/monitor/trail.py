"""What a group's chain holds of one record, or of one key: every copy, in the order in which they were written.

From the broker alone, so also where no member lives.  Each copy is judged by
what the group has committed, as dead letters are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from streams.deadletter.counting import SUPERSEDED, CopyLedger, CopyTopic, Verdict, read_copies
from streams.engine.chain import CopyHeader, ErrorHeader, delay_of, unpack, unpack_error
from streams.engine.topics import chain_names, kind_of
from streams.errors import DecodeError, LedgerError
from streams.kafka.admin import Admin
from streams.kafka.message import Message, place_of
from streams.kafka.topics import list_topics
from streams.observer import ChainKind
from streams.record import Partition, headers_of

MOST: Final = 10_000
"""Copies of one key that are told of: where there are more, those of its oldest records that still wait."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A record as it stands in one topic of the chain."""

    place: Partition
    offset: int
    kind: ChainKind
    delay_s: float | None
    """How long it waits there; None in topics that have no delay."""
    key: bytes | None
    header: CopyHeader
    error: ErrorHeader | None
    """Why a dead letter is dead; None where it does not say so, and of other copies."""
    appended_ms: int
    """When the broker, or for topics without a delay its writer, wrote it, ms since 1970."""
    verdict: Verdict
    """Whether it is the record's place now."""

    @property
    def due_ms(self) -> int | None:
        """When it may run, ms since 1970; None where there is no delay."""
        return None if self.delay_s is None else self.appended_ms + round(self.delay_s * 1000)

    @property
    def is_live(self) -> bool:
        """The record stands here, for all that is known."""
        return self.verdict.may_count

    @property
    def rank(self) -> tuple[int, int]:
        """Of several live copies of one record the highest is its place: the highest hop, then the lowest offset."""
        return self.header.hop, -self.offset


def trail(admin: Admin, group: str, source: Partition, takes: Callable[[Message, CopyHeader], bool]) -> list[Copy]:
    """Give the copies of records of *source* that *takes* wants, `MOST` of them at most, as they were written.

    Raises:
        BrokerError: The broker does not answer.
    """
    topics = chain_topics_of(admin, group, source.topic)
    found: list[Copy] = []
    for copy in copies(admin, topics, only=source.number, takes=takes):
        found.append(copy)
        if len(found) >= 2 * MOST:
            found = _first(found)
    return _judged(sorted(_first(found), key=lambda copy: (copy.appended_ms, copy.header.hop, copy.offset)))


def chain_topics_of(admin: Admin, group: str, source: str) -> list[CopyTopic]:
    """Find the topics of *group*'s chain on *source*."""
    names = chain_names(list_topics(admin), group)
    return [CopyTopic(name, topic, owner) for name, (topic, owner) in sorted(names.items()) if topic == source]


def copies(
    admin: Admin,
    topics: Sequence[CopyTopic],
    *,
    only: int | None = None,
    takes: Callable[[Message, CopyHeader], bool] = lambda _, __: True,
) -> Iterator[Copy]:
    """Give every copy in *topics*, all of one group, up to their present ends; of one partition or of all.

    Raises:
        BrokerError: The broker does not answer.
    """
    groups = {topic.group for topic in topics}
    for message, ledger in read_copies(admin, topics, only):
        try:
            header = unpack(headers_of(message))
        except (LedgerError, DecodeError):
            continue  # not written by streams: it is nobody's copy
        if header.group in groups and takes(message, header):
            yield _copy(message, header, ledger)


def _copy(message: Message, header: CopyHeader, ledger: CopyLedger) -> Copy:
    place, offset = place_of(message), message.offset() or 0
    kind = kind_of(place.topic)
    return Copy(
        place=place,
        offset=offset,
        kind=kind,
        delay_s=delay_of(place.topic) if kind == "tier" else None,
        key=message.key(),
        header=header,
        error=unpack_error(headers_of(message)) if kind == "dlq" else None,
        appended_ms=message.timestamp()[1],
        verdict=ledger.verdict(offset, header),
    )


def _first(found: list[Copy]) -> list[Copy]:
    """Leave `MOST` copies: those that count before those that don't, older records before younger ones."""
    return sorted(found, key=lambda copy: (not copy.is_live, copy.header.offset, -copy.header.hop))[:MOST]


def _judged(found: list[Copy]) -> list[Copy]:
    """Of several live copies of one record leave the one with the highest hop (protocol, rule 4)."""
    best: dict[tuple[str, int], Copy] = {}
    for copy in found:
        name = copy.header.topic_id, copy.header.offset
        if copy.is_live and (name not in best or copy.rank > best[name].rank):
            best[name] = copy
    return [
        replace(copy, verdict=SUPERSEDED)
        if copy.is_live and best[copy.header.topic_id, copy.header.offset] is not copy
        else copy
        for copy in found
    ]
