"""The ledger of one partition as text, for the commit's metadata.

Kafka keeps one offset a partition and up to 4,095 characters beside it.  The
offset is the lowest one that is not settled; the text holds which offsets
above it are, and under which assignment this was written::

    s1<base85 of: CRC-32 of the rest, deflated msgpack of the snapshot>

Versioned, checksummed, ASCII.  Unreadable text costs repeated work in order,
never a record: the reader then starts at the committed offset with an empty
ledger.  Blanks at its end mean nothing: the first commit of an assignment is
padded to the limit with them.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from streams.errors import LedgerError, NewerLedgerError

METADATA_LIMIT: Final = 4_095
"""Characters that a broker stores with default settings, the client's trailing NUL counted."""

_PREFIX: Final = "s"
_VERSION: Final = 1
_MAX_PLAIN: Final = 4 * 1024 * 1024


class Replay(msgspec.Struct, array_like=True, frozen=True):
    """That operators had the partition go to another offset while it was owned."""

    id: str
    """One for all partitions that went together; copies of records that fail carry it on."""
    begun_by: bytes
    """Id of the assignment that ended for it: under this the audit keeps what had settled before."""
    start: int
    """Where it began."""
    until: int
    """Records below this offset had been read before it."""
    rate: float = 0.0
    """Records a second at most, on average; 0: as fast as it goes."""
    is_ended: bool = False
    """It was cancelled: what had settled before it counts again."""


class Snapshot(msgspec.Struct, array_like=True, frozen=True):
    """What one commit says beside its offset."""

    assignment_id: bytes
    """Random, made anew at each assignment of the partition."""
    starts: int = 0
    """Owners that began at this same offset and did not end gracefully."""
    runs: tuple[int, ...] = ()
    """Lengths in offsets, from the committed one up: outstanding, settled, outstanding, settled, ..."""
    complete: bool = True
    """False where settled offsets were left out because they did not fit."""
    scan_end: int = -1
    """Of a topic of the chain: its end when this assignment scanned it. What others appended above it is dead."""
    scanned: int = -1
    """Of a dead-letter topic: what stands below has ended its records; the next owner scans from here."""

    unsure_until: int = -1
    """Of a topic of the chain: its ledger was lost once, and copies below this offset are from before that."""
    process: bytes = b""
    """Of the source: names the process that wrote this."""
    named: int = -1
    """Origin of the record that was about to run alone; -1 for none."""
    blamed: int = -1
    """Origin of a record that ran alone when a process died, and how often that was so."""
    deaths: int = 0
    control: int = -1
    """Of the source: operators' commands below this offset of the control topic have been carried out; -1: none."""
    replay: Replay | None = None
    """Of the source: the last replay, until it is undone; None: none while the group ran."""

    def scanned_to(self, end: int) -> Snapshot:
        """Give a copy that says how far a dead-letter topic was scanned."""
        return msgspec.structs.replace(self, scanned=end)

    def settled(self, committed: int) -> Iterator[range]:
        """Give the settled ranges of offsets above *committed*."""
        at = committed
        for index, length in enumerate(self.runs):
            if index % 2:
                yield range(at, at + length)
            at += length


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def encode(snapshot: Snapshot) -> str:
    """Give *snapshot* as text, of whatever length."""
    packed = _encode(snapshot)
    deflated = zlib.compress(packed, level=6, wbits=-15)
    checksum = zlib.crc32(packed).to_bytes(4, "big")
    return f"{_PREFIX}{_VERSION}{base64.b85encode(checksum + deflated).decode('ascii')}"


def encode_within(snapshot: Snapshot, limit: int = METADATA_LIMIT) -> tuple[str, Snapshot]:
    """Give *snapshot* as text of at most *limit* characters, and what of it was kept.

    Where all of it does not fit, the highest settled ranges are left out and
    the result says so (`Snapshot.complete`): they would run again after a crash.
    """
    text = encode(snapshot)
    while len(text) > limit and snapshot.runs:
        keep = int(len(snapshot.runs) * min(0.9, limit / len(text))) // 2 * 2
        snapshot = msgspec.structs.replace(snapshot, runs=snapshot.runs[:keep], complete=False)
        text = encode(snapshot)
    return text, snapshot


def decode(text: str | None) -> Snapshot | None:
    """Read a commit's metadata; None where there is none.

    Raises:
        LedgerError: It is not ours, or damaged.
        NewerLedgerError: A later version of this program wrote it.
    """
    if not text:
        return None
    if not text.startswith(_PREFIX):
        raise LedgerError("the commit's metadata was not written by streams")
    version = text[1:2]
    if version.isdecimal() and int(version) > _VERSION:
        raise NewerLedgerError(
            f"the commit's metadata is of version {version}, this program reads {_VERSION}: a later streams wrote it."
            f" Nothing was changed; run that version or a later one"
        )
    if version != str(_VERSION):
        raise LedgerError("the commit's metadata was not written by streams")
    try:
        raw = base64.b85decode(text[2:].rstrip())
        inflate = zlib.decompressobj(wbits=-15)
        packed = inflate.decompress(raw[4:], _MAX_PLAIN)
        if zlib.crc32(packed).to_bytes(4, "big") != raw[:4]:
            raise LedgerError("the commit's metadata is damaged: its checksum does not match")
        return _decode(packed)
    except (ValueError, RecursionError, zlib.error, binascii.Error, msgspec.MsgspecError) as error:
        raise LedgerError(f"the commit's metadata is damaged: {error}") from error


def runs_of(ranges: Iterable[range], committed: int) -> tuple[int, ...]:
    """Give ascending, disjoint settled *ranges* above *committed* as alternating lengths; neighbours are joined."""
    runs: list[int] = []
    at = committed
    for settled in ranges:
        if not settled:
            continue
        if runs and settled.start == at:
            runs[-1] += len(settled)
        else:
            runs += (settled.start - at, len(settled))
        at = settled.stop
    return tuple(runs)


def count_settled(runs: Sequence[int]) -> int:
    """Count the settled offsets in *runs*."""
    return sum(runs[1::2])
