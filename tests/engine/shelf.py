"""A partition with a whole chain, and a log of it: what moves can be read back, and another owner can take over."""

from __future__ import annotations

from collections.abc import Iterable

from streams.engine.chain import Attempt, CopyHeader, copy_headers, new_header, unpack
from streams.engine.chainstate import ChainState
from streams.engine.copies import Stage
from streams.engine.parking import load, relieve
from streams.engine.partition import Bury, Item, Move, PartitionState, Run, finish
from streams.engine.policy import DeadLetterPolicy
from streams.engine.replay import Undone
from streams.engine.snapshot import decode
from streams.kafka.consumer import Stored
from streams.kafka.message import Message
from streams.outcome import Retry
from streams.record import Headers, Origin, Partition, headers_of
from streams.retry import RetryPolicy
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog
from tests.engine.stage import ORDERS, PARK, TIERED, TOPIC_ID, chain_state, message, state

DOWN = OSError("down")


class Shelf:
    """One owner of ``orders/0`` after another, over the same log."""

    def __init__(
        self,
        stages: tuple[Stage, ...] = PARK,
        *,
        after_death: DeadLetterPolicy = "continue",
        policy: RetryPolicy = TIERED,
        is_ordered: bool = True,
    ) -> None:
        self.stages = stages
        self.after_death: DeadLetterPolicy = after_death
        self.policy = policy
        self.is_ordered = is_ordered
        self.clock = ManualClock(now_s=1_000.0)
        self.log = ChainLog(self.clock)
        self.stored: dict[Partition, Stored] = {}
        self.state = self.own(b"first")

    def place(self, number: int) -> Partition:
        """Where the partition's part of a topic of the chain stands."""
        return Partition(self.stages[number].topic, ORDERS.number)

    # -- owners ----------------------------------------------------------------------------------------

    def own(self, assignment_id: bytes, replay_id: str = "", undone: Undone | None = None) -> PartitionState:
        """An owner takes the partition: commits, then ends, then the scan."""
        chain = chain_state(
            stages=self.stages,
            assignment_id=assignment_id,
            after_death=self.after_death,
            is_ordered=self.is_ordered,
            replay_id=replay_id,
            undone=undone,
        )
        stretches = [self.restore(chain, number) for number in range(len(self.stages))]
        for number, stretch in enumerate(stretches):
            chain.scan(number, self.between(number, stretch))
        found = self.stored.get(ORDERS, Stored(0, ""))
        snapshot = decode(found.metadata)
        committed = found.offset or 0
        restored = () if snapshot is None else snapshot.settled(committed)
        self.state = state(committed=committed, restored=restored, policy=self.policy, chain=chain)
        self.state.assignment_id = assignment_id
        return self.state

    def scan(self, chain: ChainState[Item], number: int) -> None:
        """One topic is scanned, from what is committed to its end."""
        chain.scan(number, self.between(number, self.restore(chain, number)))

    def restore(self, chain: ChainState[Item], number: int) -> range:
        """The ledger of one topic begins where it is committed; give what is to be scanned."""
        place = self.place(number)
        found = self.stored.get(place, Stored(None, ""))
        return chain.restore(number, found.offset, decode(found.metadata), range(self.log.end(place)))

    def between(self, number: int, stretch: range) -> list[Message]:
        """What a topic of the chain holds in *stretch*."""
        return [one for one in self.log.since(self.place(number), stretch.start) if (one.offset() or 0) < stretch.stop]

    def commit(self) -> None:
        """The broker stores what the owner's ledgers say."""
        request, _ = self.state.snapshots()
        self.stored.update({entry.partition: Stored(entry.offset, entry.metadata) for entry in request})

    # -- records ---------------------------------------------------------------------------------------

    def read(self, *places: tuple[int, bytes | None]) -> list[Run]:
        """Records of the source are read; give what runs."""
        chunk = self.state.admit([message(offset, key) for offset, key in places])
        runs = [] if chunk is None else list(self.state.enlane(chunk))
        return [*runs, *self.state.due(self.clock.monotonic())]

    def fail(self, run: Run, done: int = 0, error: Exception = DOWN) -> Move:
        """*run* stops at a record that is to wait in a tier."""
        move = self.decide(run, done, error)
        assert isinstance(move, Move)
        return move

    def decide(self, run: Run, done: int = 0, error: Exception = DOWN) -> object:
        """*run* stops at a record whose handler raised *error*."""
        item = self.state.interrupt(run, done)
        now_s, wall_ms = self.clock.monotonic(), int(self.clock.now() * 1000)
        return self.state.fail(item, Retry(error), now_s, wall_ms)

    def retry(self, run: Run) -> Run:
        """*run* fails, waits its second in memory, and runs again."""
        self.decide(run)
        self.clock.advance(1)
        (again,) = self.state.due(self.clock.monotonic())
        return again

    def end(self, *runs: Run) -> list[Run]:
        """*runs* end well; give what follows."""
        return list(finish(runs))

    def take(self, move: object) -> Run | None:
        """The broker takes the copy of *move*; give what runs next of its key."""
        assert isinstance(move, Move | Bury)
        message = move.item[0]
        record = self.append(move.number, move.header, message.key(), message.value(), headers_of(message))
        move.offset, move.appended_ms = record.offset() or 0, record.timestamp()[1]
        return next((run for _, run in self.state.moved([move])), None)

    def relieve(self, *, is_forced: bool = False) -> list[Move | Bury]:
        """What waits in memory is looked at."""
        return relieve(self.state, self.clock.monotonic(), is_forced=is_forced)

    def park(self, *, is_forced: bool = True) -> None:
        """What waits in memory moves into the chain."""
        for move in self.relieve(is_forced=is_forced):
            self.take(move)

    def load(self, number: int, start: int = 0) -> tuple[list[Run], list[Move]]:
        """A topic of the chain is read from *start* to its end."""
        return load(self.state, number, self.log.since(self.place(number), start), int(self.clock.now() * 1000))

    # -- copies ----------------------------------------------------------------------------------------

    def append(
        self,
        number: int,
        header: CopyHeader,
        key: bytes | None = b"a",
        value: bytes | None = b"{}",
        own: Headers | None = None,
    ) -> Message:
        """A copy comes to a topic of the chain, whoever sent it."""
        return self.log.append(self.place(number), key, value, copy_headers(own, header))

    def headers(self, number: int) -> list[CopyHeader]:
        """What the copies in a topic of the chain say of themselves."""
        return [unpack(record.headers()) for record in self.log.since(self.place(number), 0)]


def header(  # noqa: PLR0913  # each names one thing
    origin: int,
    *,
    hop: int = 1,
    left: tuple[str, int] | None = None,
    by: bytes = b"first",
    topic_id: str = TOPIC_ID,
    group: str = "billing",
    error: str = "",
    replay_id: str = "",
) -> CopyHeader:
    """The header of a copy of the record at *origin*, sent *by* an assignment, from the place that it *left*."""
    history = (Attempt(5, error),) if error else ()
    made = new_header(
        Origin("orders", 0, origin, 5),
        topic_id=topic_id,
        group=group,
        assignment_id=by,
        attempts=1,
        history=history,
        replay_id=replay_id,
    )
    topic, offset = left or ("orders", origin)
    return made if hop == 1 else made.after(hop - 1, topic, offset, made)


def offsets(runs: Iterable[Run]) -> list[list[int | None]]:
    """The source offsets of each run."""
    return [[item[0].offset() for item in run] for run in runs]
