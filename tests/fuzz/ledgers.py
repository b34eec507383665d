"""The ledger in a commit's metadata: damaged it is refused or says what it said; it never settles what was open.

Of a ledger that is refused nothing is believed: the source runs again from the
committed offset, and what its chain holds is held in doubt.
"""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from streams.engine.copies import Copies
from streams.engine.ledger import Ledger
from streams.engine.snapshot import METADATA_LIMIT, Snapshot, decode, encode, encode_within, runs_of
from streams.errors import LedgerError, NewerLedgerError
from tests.engine.stage import AT_PARKED, PARK, chain_state, message
from tests.fuzz.damage import DEEP, NUMBERS, damaged, damaged_text, packed, some_bytes, some_text

Decode = Callable[[str | None], Snapshot | None]

_SPAN: Final = 40
_COMMITTED: Final = 100


@dataclass(frozen=True)
class Commit:
    """What stands beside a committed offset."""

    text: str
    said: tuple[Snapshot, ...]
    """What was written, before it came to harm: of one commit, or of two that were mixed up."""


@dataclass(frozen=True)
class Filled:
    """Settled offsets above the committed one, and the room that there is to say so."""

    settled: tuple[int, ...]
    limit: int


@dataclass(frozen=True)
class Sealed:
    """A ledger that is whole by its checksum, and senseless."""

    fields: tuple[Any, ...]


class LedgerTarget:
    """Reads commits of which most are damaged."""

    name = "ledgers"

    def __init__(
        self,
        decode: Decode = decode,
        encode_within: Callable[[Snapshot, int], tuple[str, Snapshot]] = encode_within,
    ) -> None:
        """Read with *decode*, write with *encode_within*."""
        self._decode = decode
        self._encode_within = encode_within

    def case(self, rng: random.Random) -> Commit | Filled | Sealed:
        """Make a commit that came to harm, one that may not fit, or one that never was."""
        kind = rng.random()
        if kind < 0.35:
            density = rng.random()
            settled = tuple(_COMMITTED + at for at in range(1, _SPAN) if rng.random() < density)
            return Filled(settled, rng.choice((METADATA_LIMIT, 200, rng.randint(30, 80))))
        said = _snapshot(rng)
        if kind < 0.85:
            other = _snapshot(rng)
            return Commit(_harmed(rng, encode(said), encode(other)), (said, other))
        return Sealed(tuple(_senseless(rng, list(msgspec.structs.astuple(said)))))

    def check(self, case: Commit | Filled | Sealed) -> None:
        """Read it, and begin with what it says."""
        if isinstance(case, Commit):
            self._check_harmed(case)
        elif isinstance(case, Filled):
            self._check_filled(case)
        else:
            self._check_sealed(case)

    def _check_harmed(self, case: Commit) -> None:
        read = self._read(case.text)
        assert read is None or read in case.said, f"it says something else now: {read}"
        if read is None:
            _doubts_all()
            assert _runs(None) == list(range(_COMMITTED, _COMMITTED + _SPAN)), "a record was skipped"

    def _read(self, text: str) -> Snapshot | None:
        """Give what is read, None where it is refused in the declared way."""
        try:
            read = self._decode(text)
        except NewerLedgerError:
            assert text[0] == "s", "text of somebody else was taken for a later version's"
            assert text[1] > "1"
            return None
        except LedgerError:
            assert text, "no metadata is no damage"
            return None
        assert (read is None) == (not text), "metadata that says nothing was taken for none"
        return read

    def _check_filled(self, case: Filled) -> None:
        settled = set(case.settled)
        written = Snapshot(b"assigned", runs=runs_of((range(at, at + 1) for at in case.settled), _COMMITTED))
        text, kept = self._encode_within(written, case.limit)
        read = self._decode(text)
        assert read == kept, f"it kept {kept}, and reads {read}"
        assert read is not None
        told = {at for span in read.settled(_COMMITTED) for at in span}
        assert told <= settled, f"{sorted(told - settled)} were never settled"
        assert read.complete == (told == settled), "what was left out was not told"
        assert len(text) <= case.limit or not kept.runs
        open_ = [at for at in range(_COMMITTED, _COMMITTED + _SPAN) if at not in told]
        assert _runs(read) == open_, "the next owner runs something else than what is open"

    def _check_sealed(self, case: Sealed) -> None:
        whole = packed(case.fields)
        checksum = zlib.crc32(whole).to_bytes(4, "big")
        text = "s1" + base64.b85encode(checksum + zlib.compress(whole, wbits=-15)).decode()
        read = self._read(text)
        if read is not None:
            assert msgspec.structs.astuple(read)[: len(case.fields)] == case.fields[:_WIDTH], "it was read otherwise"


_RECORDS: Final = [message(at) for at in range(_COMMITTED, _COMMITTED + _SPAN)]
_WIDTH: Final = len(Snapshot.__struct_fields__)


def _runs(read: Snapshot | None) -> list[int]:
    """Give what the next owner of a source partition would run."""
    ledger = Ledger(_COMMITTED, () if read is None else read.settled(_COMMITTED))
    chunk = ledger.admit(list(_RECORDS))
    return [] if chunk is None else [one.offset() or 0 for one in chunk.messages]


def _doubts_all() -> None:
    """Begin a topic of the chain whose ledger is lost: all of it is scanned, and nothing believed."""
    chain = chain_state(stages=PARK)
    stretch = chain.restore(AT_PARKED, 3, None, range(9))
    part: Copies = chain.parts[AT_PARKED]
    assert stretch == range(3, 9)
    assert part.unsure_until == 9  # its end
    assert not any(part.was_settled(at) for at in stretch)


def _snapshot(rng: random.Random) -> Snapshot:
    return Snapshot(
        rng.randbytes(8),
        starts=rng.randint(0, 3),
        runs=tuple(rng.randint(1, 2 ** rng.randint(1, 40)) for _ in range(2 * rng.choice((0, 1, 3, 20)))),
        complete=rng.random() < 0.8,
        scan_end=rng.choice((-1, 5)),
        process=rng.choice((b"", b"proc-1")),
        named=rng.choice((-1, 7)),
    )


def _harmed(rng: random.Random, text: str, other: str) -> str:
    kind = rng.random()
    if kind < 0.5:
        return damaged_text(rng, text)
    if kind < 0.6:
        return damaged_text(rng, damaged_text(rng, text))
    if kind < 0.7:
        return text[: rng.randint(0, len(text))] + other[rng.randint(0, len(other)) :]
    if kind < 0.8:
        return text + " " * rng.randint(0, 50)
    if kind < 0.9:
        return text[:2] + base64.b85encode(damaged(rng, base64.b85decode(text[2:]))).decode()
    return some_text(rng)


def _senseless(rng: random.Random, fields: list[Any]) -> Iterable[Any]:
    what = rng.random()
    if what < 0.2:
        return fields[: rng.randint(0, len(fields))]
    if what < 0.4:
        return [*fields, rng.choice((some_text(rng), DEEP))]
    fields[rng.randrange(len(fields))] = rng.choice(
        (*NUMBERS, None, 1.5, some_text(rng), some_bytes(rng), (), (1,), ((1,),), ("a",))
    )
    return fields
