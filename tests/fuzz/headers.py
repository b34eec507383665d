"""The header of copies: one that can't be read stops the chain by its place, and in a dead-letter topic it is passed.

What the reader says is held against a second one that is written without it:
the bytes as msgpack means them, and the rules of the scan in ten lines.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from streams.engine.backlog import LaneKey, offset_of
from streams.engine.chain import HEADER, Attempt, CopyHeader, FirstHeaders
from streams.engine.chainstate import ChainState
from streams.engine.snapshot import Snapshot, runs_of
from streams.errors import ChainError
from streams.kafka.message import Message
from streams.record import Headers, Partition
from tests.engine.stage import AT_DLQ, AT_PARKED, ORDERS, PARK, TOPIC_ID, chain_state, message
from tests.fuzz.damage import DEEP, NUMBERS, damaged, packed, some_bytes, some_text
from tests.fuzz.search import demand

_FIELDS: Final = (int, str, str, int, int, int, str, bytes, int, str, int, int, tuple, int, str, int, bool, int)
_REQUIRED: Final = 12
_MOST_HOPS: Final = 65_535
_OURS: Final = b"assigned"
_DAMAGED: Final = 0.7
_ROWS: Final = 0.3
"""Share of the cases that begin with a row of copies that are alike."""

_Name: TypeAlias = tuple[LaneKey, int]
"""Key and origin."""


@dataclass(frozen=True)
class Scan:
    """Copies in one topic of a chain, as the next owner finds them, and what was committed of them."""

    number: int
    copies: Sequence[tuple[bytes, Headers]]
    """Key and headers of each, by offset."""
    snapshot: Snapshot | None


class HeaderTarget:
    """Scans copies of which some are damaged."""

    name = "headers"

    def __init__(self, chain_class: type[ChainState[Any]] = ChainState) -> None:
        """Scan with *chain_class*."""
        self._chain_class = chain_class

    def case(self, rng: random.Random) -> Scan:
        """Make a topic with up to four copies, of any kind; before them may stand some that are alike."""
        copies = [(rng.choice((b"a", b"b")), _headers(rng)) for _ in range(rng.randint(1, 4))]
        if rng.random() < _ROWS:
            copies = [*_row(rng), *copies]
        count = len(copies)
        settled = [range(at, at + 1) for at in range(1, count) if rng.random() < 0.2]
        fence = rng.randint(0, count)
        snapshot = Snapshot(_OURS, runs=runs_of(settled, 0), scan_end=fence) if rng.random() < 0.7 else None
        return Scan(rng.choice((0, AT_PARKED, AT_DLQ)), copies, snapshot)

    def check(self, case: Scan) -> None:
        """Scan; every readable copy of ours is known afterwards, and nothing else."""
        chain = self._chain_class(PARK, chain_state().lineage, assignment_id=b"new", after_death="hold")
        place = Partition(PARK[case.number].topic, ORDERS.number)
        copies = [message(at, key, partition=place, headers=headers) for at, (key, headers) in enumerate(case.copies)]
        chain.restore(case.number, 0, case.snapshot, range(len(copies)))
        wanted = _expected(case)
        try:
            chain.scan(case.number, copies)
        except ChainError as error:
            demand(isinstance(wanted, int), f"refused a chain that is whole: {error}")
            demand(str(error).startswith(f"{place}/{wanted}: "), f"it names another place than {wanted}: {error}")
            return
        assert not isinstance(wanted, int), f"{place}/{wanted} can't be read, and nobody was told"
        _compare(chain, case.number, copies, wanted)


def _compare(chain: ChainState[Any], number: int, copies: Sequence[Message], wanted: Mapping[_Name, int]) -> None:
    index = chain.index.items()
    found = {(lane, origin): offset_of(packed) for lane, backlog in index for origin, packed in backlog.entries()}
    outstanding = [at for at in range(len(copies)) if chain.parts[number].is_outstanding(at)]
    assert found == wanted, f"the index knows {found}, by key and origin, and {wanted} are there"
    assert outstanding == sorted(wanted.values()), f"the ledger has {outstanding} open, and {wanted} are"


def _expected(case: Scan) -> dict[_Name, int] | int:
    """Give the offset of each record's copy that counts; where the chain has to stop, the offset of its reason."""
    done = set() if case.snapshot is None else {at for span in case.snapshot.settled(0) for at in span}
    live: dict[_Name, tuple[int, int]] = {}
    for at, (key, headers) in enumerate(case.copies):
        if at in done:
            continue
        header = meaning(headers)
        if header is None or (header[1], header[6]) != (TOPIC_ID, "billing"):
            if case.number == AT_DLQ:
                continue
            return at
        is_dead = case.snapshot is not None and at >= case.snapshot.scan_end and header[7] != _OURS
        if not is_dead:
            name = (key, header[4])
            live[name] = max(live.get(name, (0, -1)), (header[8], at))
    return {name: at for name, (_, at) in live.items()}


def meaning(headers: Headers) -> list[Any] | None:
    """Read the last header of our name as msgpack means it; None where it is no whole header of version 1."""
    data = next((value for name, value in reversed(headers) if name == HEADER), None)
    try:
        fields = msgspec.msgpack.decode(data or b"")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if not isinstance(fields, list) or len(fields) < _REQUIRED:
        return None
    is_whole = all(_is_a(field, kind) for field, kind in zip(fields, _FIELDS, strict=False))
    return fields if is_whole and fields[0] == 1 and _is_possible(fields) else None


def _is_possible(fields: list[Any]) -> bool:
    bounds = ((3, 0, 2**31), (4, 0, 2**63), (5, -1, 2**63), (8, 1, _MOST_HOPS + 1))
    return all(low <= fields[at] < high for at, low, high in bounds)


def _is_a(field: object, kind: type) -> bool:
    if kind is tuple:
        return isinstance(field, list) and all(
            isinstance(one, list) and len(one) >= 2 and type(one[0]) is int and type(one[1]) is str  # time, error
            for one in field
        )
    return type(field) is kind


def _headers(rng: random.Random) -> Headers:
    header: Headers = [(HEADER, _packed(rng))]
    if rng.random() < 0.8:
        return header
    others: list[Headers] = [[], [(HEADER, None)], [(HEADER, some_bytes(rng))], [("other", b"1")]]
    return rng.choice([[*rng.choice(others), *header], [*header, *rng.choice(others)], rng.choice(others)])


def _row(rng: random.Random) -> list[tuple[bytes, Headers]]:
    """Give copies that are alike, as a scan expects them after some; of most rows one is damaged."""
    example = msgspec.structs.replace(_header(rng), hop=1, from_topic=ORDERS.topic)
    headers = [FirstHeaders(example).pack(rng.randint(0, 9), rng.randint(-1, 2**41)) for _ in range(rng.randint(4, 9))]
    if rng.random() < _DAMAGED:
        at = rng.randrange(len(headers))
        headers[at] = damaged(rng, headers[at])
    return [(rng.choice((b"a", b"b")), [(HEADER, one)]) for one in headers]


def _packed(rng: random.Random) -> bytes:
    header = _header(rng)
    kind = rng.random()
    if kind < 0.5:
        return header.pack()
    if kind < 0.75:
        return damaged(rng, header.pack())
    fields = list(msgspec.structs.astuple(header))
    return packed(_misshapen(rng, fields))


def _header(rng: random.Random) -> CopyHeader:
    return CopyHeader(
        version=1,
        topic_id=TOPIC_ID,
        topic=ORDERS.topic,
        partition=ORDERS.number,
        offset=rng.randint(0, 3),
        timestamp_ms=rng.randrange(2**41),
        group="billing",
        assignment_id=rng.choice((_OURS, _OURS, b"former")),
        hop=(hop := rng.randint(1, 5)),
        from_topic=ORDERS.topic if hop == 1 else "orders.billing.retry.5s",
        from_offset=0,
        attempts=1,
        history=tuple(Attempt(one, "E") for one in range(rng.randint(0, 2))),
    )


def _misshapen(rng: random.Random, fields: list[Any]) -> list[Any]:
    """Give the fields of a header with one of them otherwise, missing, or one too many."""
    what = rng.random()
    if what < 0.15:
        return fields[: rng.randint(0, len(fields))]
    if what < 0.3:
        return [*fields, rng.choice((some_text(rng), DEEP))]
    at = rng.choice([at for at in range(len(fields)) if at not in _KEPT])
    fields[at] = rng.choice((*NUMBERS, None, True, 1.5, some_text(rng), some_bytes(rng), [], [1], [[1, "E"]], {}))
    return fields


_KEPT: Final = frozenset((9, 10))
"""The copy before: whatever is a number there is taken at its word."""
