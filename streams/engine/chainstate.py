"""The chain of one partition as its owner knows it: the ledgers of its topics, and the index of the keys in trouble.

Sans I/O, a part of `PartitionState`.  What earlier owners left comes in
through `restore` and `scan`; what this owner moves through `depart` and
`arrive`, or, of many first copies at once, through `fail_all` and `moved` of
the partition.  Nothing here runs a record; it says where the next one of a key is,
and which stretch of which topic is worth reading.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar, cast

from streams.engine.backlog import (
    MOVING,
    Backlog,
    LaneKey,
    Place,
    first_places,
    hop_of,
    number_of,
    offset_of,
    pack,
    unpack,
)
from streams.engine.chain import Alike, Attempt, CopyHeader, ErrorHeader, FirstHeaders, new_header, packed_in
from streams.engine.chain import read as read_header
from streams.engine.command import Asked
from streams.engine.copies import Copies, Stage
from streams.engine.policy import DeadLetterPolicy
from streams.engine.replay import Undone
from streams.engine.snapshot import Snapshot, encode
from streams.errors import ChainError, DecodeError, LedgerError
from streams.kafka.message import KEY, OFFSET, Message
from streams.record import Origin, Partition, headers_of

T = TypeVar("T")

_FAR: Final = 1 << 62


class Lineage(NamedTuple):
    """What every copy of a chain carries: whose it is."""

    source: Partition
    topic_id: str = ""
    group: str = ""


class ChainState(Generic[T]):
    """What is outstanding in the chain of one partition.

    Owned by the poll thread.

    Always true:

    * A key is in `index` exactly while a record of it stands in the chain or is moving there.
    * Each origin has one live copy; every other one is settled (protocol, rule 4).
    """

    def __init__(
        self,
        stages: Sequence[Stage] = (),
        lineage: Lineage = Lineage(Partition("", 0)),  # noqa: B008  # a tuple
        *,
        assignment_id: bytes = b"",
        after_death: DeadLetterPolicy = "continue",
        is_ordered: bool = True,
        replay_id: str = "",
        undone: Undone | None = None,
    ) -> None:
        """Know of nothing yet.

        Args:
            stages: The topics of the chain.
            lineage: Whose chain it is.
            assignment_id: What is sent under another one is not ours.
            after_death: What becomes of a key after a dead letter.
            is_ordered: Records of a key wait for each other; otherwise each has a lane of its own.
            replay_id: Of the replay that goes on: what fails in it says so, wherever it goes.
            undone: Copies that the scan is to leave out.
        """
        self.lineage = lineage
        self.assignment_id = assignment_id
        self.after_death: DeadLetterPolicy = after_death
        self.is_ordered = is_ordered
        self.replay_id = replay_id
        self.undone = undone
        self.parts = [Copies(stage) for stage in stages]
        self.index: dict[LaneKey, Backlog[T]] = {}
        self.carried: dict[int, CopyHeader] = {}
        """By origin: what the copies say that are in memory."""
        self.reasons: dict[int, ErrorHeader] = {}
        """By origin: why the dead letters are dead that are moving on."""
        self.asked: dict[int, Asked] = {}
        """By origin: dead letters of which an operator wants something."""
        self.put_off = False
        """Something could not be done yet of what was asked for."""
        self.reopened: set[LaneKey] = set()
        """Keys with a dead letter that is tried again: an older record came behind younger ones."""
        self.seen_until = -1
        """The highest origin that the scan found: records of the source up to it may come again."""
        self.fenced = 0
        """Dead copies met so far."""
        self.expired = [0] * len(stages)
        """By topic: offsets that were removed from its log before what stood there was settled."""
        self.moving = 0
        """Records on their way to another topic of the chain."""
        self._ahead: list[tuple[int, int, LaneKey]] = []
        self._sequence = 0
        self._numbers = {stage.topic: number for number, stage in enumerate(stages)}
        self._fences: list[tuple[int, bytes] | None] = [None] * len(self.parts)
        self._dead: set[LaneKey] = set()
        self.unrun_headers = self.first_headers((), 0)
        """Makes the headers of first copies of source records that have not run."""
        self.parked = self._number("parked")
        self.dlq = self._number("dlq")

    # -- what earlier owners left -------------------------------------------------------------

    def restore(self, number: int, committed: int | None, snapshot: Snapshot | None, marks: range) -> range:
        """Begin the ledger of one topic from its commit; give the stretch that has to be scanned.

        Args:
            number: Which topic.
            committed: The committed offset; None where there is none: the log is scanned from its start (rule 17).
            snapshot: What stood beside it; None where that is missing or unreadable.
            marks: The offsets that the log holds, read after the commit was (rule 16).
        """
        part = self.parts[number]
        if committed is not None and committed > marks.stop:  # the log was cut, or the topic made anew
            self.expired[number] += committed - marks.stop
            committed = snapshot = None
        base = marks.start if committed is None else committed
        end = max(marks.stop, base)
        self.expired[number] += max(0, marks.start - base)
        if snapshot is None:
            part.unsure_until = end if end > base else -1
            part.begin(base, end, ())
            return range(max(base, marks.start), end)
        part.unsure_until = snapshot.unsure_until
        self._fences[number] = (snapshot.scan_end, snapshot.assignment_id)
        settled = list(snapshot.settled(base))
        self.expired[number] -= sum(len(range(done.start, min(done.stop, marks.start))) for done in settled)
        part.begin(base, end, settled)
        start = max(base, marks.start)
        if self._ends_at_death(number) and self.undone is None and snapshot.scanned > start:
            trusted = range(start, min(snapshot.scanned, end))
            part.trust(trusted)  # these have ended their records in the snapshot that says so
            start = trusted.stop
        return range(start, end)

    def scan(self, number: int, messages: Sequence[Message]) -> None:
        """Take in copies of one topic, in their order.

        Raises:
            ChainError: A record is none of this group's copies of this topic.
        """
        part, alike = self.parts[number], Alike()
        differ = self.undone is not None or (self._ends_at_death(number) and self.replay_id != "")
        messages = part.left_open(messages)
        lacking: dict[int, str] = {}
        headers = [_packed(message, lacking) for message in messages]
        at = until = 0
        while at < len(messages):
            if not differ and alike.form is not None and _offset(messages[-1]) < until:
                origins = alike.form.origins(headers, at)
                if origins:
                    alike.has_read = True
                    self._find_row(number, messages[at : at + len(origins)], origins)
                    at += len(origins)
                    continue
            header = self._read(part, messages[at], headers[at], lacking)
            if header is not None:
                until, offset = self._until(number, header), _offset(messages[at])
                if offset < until:
                    self._find(number, offset, header, messages[at])
                    alike.see(header, headers[at])
                else:  # rule 12
                    self.fenced += 1
            at += 1

    def scanned(self, is_settled: Callable[[int], bool]) -> list[int]:
        """End the scan: mark what is suspect; give the origins that a dead letter ended and the source has open.

        They have to be settled in the source's ledger at once, as the next
        commit says that these dead letters were scanned (rule 16).

        Args:
            is_settled: Says whether the source's committed ledger has settled an origin.
        """
        for part in self.parts:
            part.scanned()
        if any(part.unsure_until >= 0 for part in self.parts):
            self._suspect(is_settled)
        ended: list[int] = []
        if self.after_death == "continue":
            for lane in self._dead:
                ended += self._end(lane)
        self._dead = set()
        return [origin for origin in ended if not is_settled(origin)]

    def _refuse(self, part: Copies, offset: int, what: str) -> None:
        """Stop at what is no copy of this chain; in a dead-letter topic it ends nothing, and anyone may write there.

        Raises:
            ChainError: It stands in another topic.
        """
        if part.stage.kind != "dlq":
            raise ChainError(f"{part.stage.topic}/{self.lineage.source.number}/{offset}: {what}. {_CLEAR}")

    def _read(self, part: Copies, message: Message, packed: bytes, lacking: Mapping[int, str]) -> CopyHeader | None:
        """Read the header of a copy; None where it is not one of ours."""
        try:
            header = read_header(packed)
        except LedgerError as error:
            offset = _offset(message)
            self._refuse(part, offset, lacking.get(offset) or str(error))
            return None
        if header.group != self.lineage.group:
            self._refuse(part, _offset(message), f"a copy that belongs to group {header.group!r}")
            return None
        if header.topic_id != self.lineage.topic_id:
            self._refuse(part, _offset(message), "a copy that belongs to an earlier topic of the same name")
            return None
        if self.undone is not None and self.undone.has(header.replay_id, header.offset):
            return None  # rule 22
        return header

    def _until(self, number: int, header: CopyHeader) -> int:
        """Give the offset before which copies by the owner that wrote *header* are live."""
        fence = self._fences[number]
        return _FAR if fence is None or header.assignment_id == fence[1] else fence[0]

    def _find(self, number: int, offset: int, header: CopyHeader, message: Message) -> None:
        part, origin, hop = self.parts[number], header.offset, header.hop
        key: bytes | None = KEY(message) if self.is_ordered else None
        lane = origin if key is None else key
        part.found(offset, message.timestamp()[1] if part.is_tier else 0)
        before = self._numbers.get(header.from_topic) if hop > 1 else None  # the first one comes from the source
        if before is not None:
            self.parts[before].settle(header.from_offset)
        if self.replay_id and header.replay_id != self.replay_id and self._ends_at_death(number):
            return  # rule 22: it ended its record before that came again
        backlog = self._put(lane, origin, pack(number, hop, offset))
        if number == self.dlq:
            self._dead.add(lane)
        if header.is_suspect:
            backlog.is_suspect = True
        if origin > self.seen_until:  # noqa: PLR1730  # `max` costs a call for each copy
            self.seen_until = origin

    def _find_row(self, number: int, row: Sequence[Message], origins: Sequence[int]) -> None:
        """Do what `_find` does, for first copies of the records at *origins*."""
        part, index, offsets = self.parts[number], self.index, list(map(_offset, row))
        part.found_all(offsets, [message.timestamp()[1] for message in row] if part.is_tier else offsets)
        lanes: Sequence[LaneKey] = origins
        if self.is_ordered:
            lanes = [origin if key is None else key for key, origin in zip(map(KEY, row), origins, strict=True)]
        first_place = first_places(number, offsets[-1])
        for lane, origin, offset in zip(lanes, origins, offsets, strict=True):
            if lane in index:
                self._put(lane, origin, first_place | offset)
            else:
                index[lane] = Backlog(origin, first_place | offset)
        if number == self.dlq:
            self._dead.update(lanes)
        self.seen_until = max(self.seen_until, *origins)

    def _put(self, lane: LaneKey, origin: int, packed: int) -> Backlog[T]:
        """Note where a copy of *origin* was found."""
        backlog = self.index.get(lane)
        if backlog is None:
            backlog = self.index[lane] = Backlog(origin, packed)
            return backlog
        known = backlog.put(origin, packed)
        if known is not None:  # rule 4: the highest hop wins, and the others are settled at once
            loser, winner = sorted((unpack(packed), unpack(known)), key=_rank)
            self.parts[loser.number].settle(loser.offset)
            backlog.put(origin, winner.pack())
        return backlog

    def _suspect(self, is_settled: Callable[[int], bool]) -> None:
        """Hold the keys of copies whose origin the source has settled, while nobody knows what became of them.

        Dead letters make none suspect: that the source has settled them is what they are.
        """
        until = [-1 if number == self.dlq else part.unsure_until for number, part in enumerate(self.parts)]
        for backlog in self.index.values():
            backlog.is_suspect = backlog.is_suspect or any(
                offset_of(place) < until[number_of(place)] and is_settled(origin) for origin, place in backlog.entries()
            )

    def _end(self, lane: LaneKey) -> Iterator[int]:
        """End the records of *lane* whose live copy is a dead letter; give their origins."""
        backlog = self.index[lane]
        for origin, place in list(backlog.entries()):
            if number_of(place) == self.dlq:
                backlog.remove(origin)
                yield origin
        if not len(backlog):
            del self.index[lane]

    # -- what this owner moves ------------------------------------------------------------------

    def depart(self, lane: LaneKey, origin: int) -> int | None:
        """Note that a copy of *origin* is on its way; give the place in the chain that it leaves, None: the source."""
        self.moving += 1
        backlog = self.index.get(lane)
        if backlog is None:
            self.index[lane] = Backlog(origin)
            return None
        return backlog.put(origin, MOVING)

    def arrive(self, lane: LaneKey, origin: int, left: int | None, number: int, offset: int) -> Backlog[T]:
        """Note that the broker has the copy: it is the live one, and what it left is settled (rules 4 and 8)."""
        self.moving -= 1
        if left is not None:  # else it comes from the source
            self.leave(origin, left)
            if origin in self.asked and self.asked[origin].is_moving:
                one = self.asked.pop(origin)
                one.fate = one.moved
        backlog = self.index[lane]
        if number == self.dlq and self.after_death == "continue":
            backlog.remove(origin)
        else:
            backlog.put(origin, pack(number, 1 if left is None else hop_of(left) + 1, offset))
        return backlog

    def leave(self, origin: int, left: int) -> None:
        """Settle the copy of *origin* in the place that another was made from."""
        self.parts[number_of(left)].settle(offset_of(left))
        self.carried.pop(origin, None)
        self.reasons.pop(origin, None)

    def finish(self, lane: LaneKey, origin: int) -> None:
        """Note that the copy of *origin*, which was in memory, needs no more work."""
        backlog = self.index[lane]
        packed = backlog.remove(origin)
        backlog.in_memory -= 1
        self.carried.pop(origin, None)
        if packed is not None and packed != MOVING:
            self.parts[number_of(packed)].settle(offset_of(packed))

    def first_headers(self, history: tuple[Attempt, ...], first_failed_ms: int) -> FirstHeaders:
        """Make the headers of first copies of source records that have run as often as *history* says."""
        origin = Origin(*self.lineage.source, 0, 0)
        return FirstHeaders(
            self.header(origin, None, attempts=len(history), history=history, first_failed_ms=first_failed_ms)
        )

    def header(
        self, origin: Origin, left: int | None, *, attempts: int, history: tuple[Attempt, ...], first_failed_ms: int
    ) -> CopyHeader:
        """Make the header of the next copy of *origin*, which leaves the place *left*."""
        first = new_header(
            origin,
            topic_id=self.lineage.topic_id,
            group=self.lineage.group,
            assignment_id=self.assignment_id,
            attempts=attempts,
            history=history,
            first_failed_ms=first_failed_ms,
            replay_id=self.replay_id,
        )
        if left is None:
            return first
        place = unpack(left)
        before = self.carried.get(origin.offset)
        return first.after(place.hop, self.parts[place.number].stage.topic, place.offset, before)

    # -- where to go on -------------------------------------------------------------------------

    def want(self, lane: LaneKey, backlog: Backlog[T], position: int) -> None:
        """Note that the oldest copy of *lane* may run, once the source was read past it and its delay is over."""
        origin = backlog.first
        if origin is None or backlog.is_suspect or (place := backlog.first_place) == MOVING:
            return
        if origin >= position:  # rule 1: nothing runs before the source is read past it
            self._sequence += 1
            heapq.heappush(self._ahead, (origin, self._sequence, lane))
            return
        number, offset = number_of(place), offset_of(place)
        part = self.parts[number]
        if number == self.dlq:
            if self.after_death == "follow":
                self._want_followers(backlog)
        elif not part.is_tier or offset < part.cursor:  # else it is met when it is due
            part.want(offset)

    def has_runnable(self, now_ms: int) -> bool:
        """Say whether anything in the chain could run now, once it is read."""
        return any(part.wanted(now_ms) is not None for part in self.parts if part.outstanding)

    def passed(self, position: int) -> Iterator[LaneKey]:
        """Give the keys whose oldest copy was waiting for the source to be read up to *position*.

        That the end of the source was reached frees none: a new leader may not
        show all of it yet.
        """
        while self._ahead and self._ahead[0][0] < position:
            yield heapq.heappop(self._ahead)[2]

    @property
    def is_held_up(self) -> bool:
        """Some copies wait for the source to be read past them."""
        return bool(self._ahead)

    def is_followed(self, backlog: Backlog[T]) -> bool:
        """Say whether younger records of this key join its dead one."""
        return (
            self.after_death == "follow"
            and len(backlog) > 0
            and backlog.first_place != MOVING
            and number_of(backlog.first_place) == self.dlq
        )

    def lane_of(self, message: Message, header: CopyHeader) -> LaneKey:
        """Give the lane that the copy in *message* belongs to."""
        key: bytes | None = KEY(message) if self.is_ordered else None
        return header.offset if key is None else key

    def number_of_tier(self, delay_s: float) -> int | None:
        """Give the topic in which copies wait for *delay_s*; None where the chain has none."""
        for number, part in enumerate(self.parts):
            if part.is_tier and not part.stage.is_old and part.stage.delay_s == delay_s:
                return number
        return None

    @property
    def outstanding(self) -> int:
        """Copies that need work; dead letters that block no key do not count."""
        return sum(part.outstanding for part in self.parts if part.stage.kind != "dlq")

    @property
    def indexed(self) -> int:
        """Copies that need work or are on their way; under `hold` and `follow` dead letters too, which stay indexed."""
        dead = 0 if self.dlq is None or self.after_death == "continue" else self.parts[self.dlq].outstanding
        return self.outstanding + self.moving + dead

    @property
    def blocked(self) -> int:
        """Keys that stand still until an operator decides."""
        if self.after_death == "continue" and all(part.unsure_until < 0 for part in self.parts):
            return 0
        return sum(
            backlog.is_suspect
            or (backlog.first_place != MOVING and len(backlog) > 0 and number_of(backlog.first_place) == self.dlq)
            for backlog in self.index.values()
        )

    def marks(self) -> tuple[int, ...]:
        """Give the lowest outstanding offset of each topic whose records run; -1 where it has none."""
        return tuple(part.committable if part.outstanding and part.stage.kind != "dlq" else -1 for part in self.parts)

    # -- what is committed -----------------------------------------------------------------------

    def snapshots(self) -> list[tuple[str, int, str]]:
        """Give topic, offset and metadata for each topic of the chain; each may be beyond the limit (rule 14)."""
        entries = []
        for part in self.parts:
            offset, snapshot = part.snapshot(self.assignment_id)
            if part.stage.kind == "dlq":
                snapshot = snapshot.scanned_to(part.end)
            text = encode(snapshot)
            part.characters = len(text)
            entries.append((part.stage.topic, offset, text))
        return entries

    def _ends_at_death(self, number: int) -> bool:
        """Say whether a copy in that topic has ended its record, and blocks nothing."""
        return number == self.dlq and self.after_death == "continue"

    def _want_followers(self, backlog: Backlog[T]) -> None:
        """Have the parked records of a followed key read: they join the dead one."""
        for _, packed in backlog.entries():
            if packed != MOVING and (place := unpack(packed)).number != self.dlq:
                self.parts[place.number].want(place.offset)

    def _number(self, kind: str) -> int | None:
        return next((n for n, part in enumerate(self.parts) if part.stage.kind == kind and not part.stage.is_old), None)


_offset = cast("Callable[[Message], int]", OFFSET)  # a delivered record has one


def _packed(message: Message, lacking: dict[int, str]) -> bytes:
    """Give the bytes of a copy's header; where none can be found none, and why goes into *lacking*."""
    try:
        return packed_in(headers_of(message))
    except (LedgerError, DecodeError) as error:
        lacking[_offset(message)] = str(error)
        return b""


_CLEAR: Final = (
    "Nothing was started. Choose another group name, or delete the chain topics of this one once nothing in them is"
    " needed, and make them anew with 'streams topics create'."
)


def _rank(place: Place) -> tuple[int, int, int]:
    return place.hop, place.number, place.offset
