"""Hears what operators want of the group, has it done, and tells what became of it.

Each member reads the whole control topic and takes what concerns its own
partitions.  A partition carries out one command after the other; its commit
says how far it is, so that the next owner goes on there.  A command that comes
again, as after a crash, finds no such dead letter any more: its answer then
says so, and nothing is done twice (protocol, rule 19).

Off the records' way: looked at a few times a second, by the poll thread.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from streams.clock import Clock
from streams.engine.command import Answer, Asked, Command, audit_topic, read_command
from streams.engine.partition import PartitionState
from streams.engine.plan import ChainPlan
from streams.engine.redrive import ask, look, unanswered
from streams.engine.replay import Rewound
from streams.engine.rewinder import Rewinder
from streams.errors import BrokerError, LedgerError
from streams.kafka.message import Message
from streams.kafka.producer import EngineProducer, Parcel
from streams.observer import Observer
from streams.record import Partition

_LOOK_EVERY_S: Final = 0.2
_AT_ONCE: Final = 100
"""Records of the control topic that are taken at a look."""
_MOST_PENDING: Final = 1_000
"""Commands of one partition in memory; with more of them nothing further is read until it has caught up."""
_MOST_PENDING_BYTES: Final = 16 * 1024 * 1024
"""The same, of payloads that are to be changed."""
_AGAIN_S: Final = 5.0
"""Wait before an answer that the broker did not take is sent again."""


class Source(Protocol):
    """What commands are read from."""

    @property
    def position(self) -> int | None:
        """What comes next; None where nothing has come yet."""

    @property
    def was_reset(self) -> bool:
        """It was made anew since: what was heard before says nothing of its offsets."""

    @property
    def trouble(self) -> str:
        """Why nothing can be heard; empty where that is not known."""

    def begin(self, offset: int | None) -> None:
        """Read from *offset* on, or from the beginning."""

    def take(self, limit: int) -> Sequence[Message]:
        """Give what has arrived."""

    def end(self) -> int:
        """Ask where it ends; 0 where it holds nothing.  Waits some seconds at most.

        Raises:
            BrokerError: The broker does not answer.
        """

    def close(self) -> None:
        """Let go of it."""


class _Work(msgspec.Struct, eq=False):
    """A command, until its answer stands in the audit."""

    offset: int
    command: Command
    asked: list[Asked] | None = None
    """Its letters, once it is its turn."""
    answer: Parcel[_Work] | None = None
    """Its answer, once there is one, on its way."""
    is_told: bool = False
    """The broker has it."""
    again_s: float = 0.0
    rewound: Rewound | None = None
    """Of a command about a replay: what its answer says of it, once there is one."""


class _Book(msgspec.Struct, eq=False):
    """What one owned partition has to do."""

    state: PartitionState
    heard: int | None
    """Commands below this offset are known; None: nothing has been heard of any."""
    end: int | None = None
    """Of a partition that waits for what there is to hear: where that ends; None: not known yet."""
    work: deque[_Work] = msgspec.field(default_factory=deque)

    @property
    def is_full(self) -> bool:
        """It has as much to do as is kept in memory."""
        if len(self.work) >= _MOST_PENDING:
            return True
        return sum(work.command.size_bytes for work in self.work) >= _MOST_PENDING_BYTES


class Control:
    """Owned by the poll thread.

    Always true:

    * What a partition commits as carried out has its answers acknowledged.
    * Of one partition one command is under way at a time, in the order of the topic.
    """

    def __init__(
        self,
        *,
        group: str,
        plans: Mapping[str, ChainPlan],
        source: Source,
        producer: Callable[[], EngineProducer[_Work]],
        rewinder: Rewinder,
        clock: Clock,
        observer: Observer,
    ) -> None:
        """Hear of nothing yet.

        Args:
            group: Whose commands.
            plans: By source: the chains, whose lineage a command has to name.
            source: The control topic.
            producer: Makes what answers are sent with, when the first one is.
            rewinder: Brings a partition to rest, and has it go on from another offset.
            clock: Where the time comes from.
            observer: Hears what was done.
        """
        self._group = group
        self._plans = plans
        self._source = source
        self._make_producer = producer
        self._producer: EngineProducer[_Work] | None = None
        self._under_way = 0
        self._rewinder = rewinder
        self._clock = clock
        self._observer = observer
        self._books: dict[Partition, _Book] = {}
        self._has_begun = False
        self._look_at = float("-inf")

    def look(self, states: Sequence[PartitionState]) -> None:
        """Read on, and go on with what is to be done in *states*, those that are owned."""
        now_s = self._clock.monotonic()
        if now_s < self._look_at:
            return
        self._look_at = now_s + _LOOK_EVERY_S
        rests = self._rewinder.is_resting
        self._turn_over([state for state in states if not state.lacks and (not state.is_closed or rests(state))])
        if not self._books:
            return
        if not any(book.is_full for book in self._books.values()):
            self._listen()
        self._hear_of_answers()
        for book in self._books.values():
            self._go_on(book, now_s)
            if self._rewinder.is_deaf(book.state):
                self._look_for_end(book)

    def close(self) -> None:
        """Let go of the connections; what is not answered is done again by the next owner."""
        self._source.close()
        if self._producer is not None:
            self._producer.push(1.0)

    def _turn_over(self, states: Sequence[PartitionState]) -> None:
        """Forget what is not owned any more, and begin with what is new."""
        owned = {state.partition: state for state in states}
        for place, book in list(self._books.items()):
            if owned.get(place) is not book.state:
                del self._books[place]
        new = [state for place, state in owned.items() if place not in self._books]
        for state in new:
            heard = state.tenure.control if state.tenure.control >= 0 else None
            self._books[state.partition] = _Book(state, heard)
        if new:
            self._read_for(new)

    def _read_for(self, new: Sequence[PartitionState]) -> None:
        """Go back to where the first of *new* has to read on, unless that lies ahead."""
        at = self._source.position if self._has_begun else None
        starts = [state.tenure.control for state in new]
        if not self._has_begun or (at is not None and min(starts) < at):
            self._has_begun = True
            self._source.begin(min(starts) if min(starts) >= 0 else None)

    def _listen(self) -> None:
        """Take in what has come."""
        was_reset = self._source.was_reset
        messages = self._source.take(_AT_ONCE)
        if self._source.was_reset and not was_reset:
            for book in self._books.values():
                book.heard = None
        for message in messages:
            self._hear(message)
        if self._source.trouble:
            self._observer.misheard(None, self._source.trouble)

    def _look_for_end(self, book: _Book) -> None:
        """Let the partition of *book* be read once all is done that stood in the topic when it was taken."""
        if book.end is None:
            try:
                book.end = self._source.end()
            except BrokerError as error:
                self._observer.misheard(None, str(error))
                return
        if not book.work and (book.heard or 0) >= book.end:
            self._rewinder.has_heard(book.state)

    def _hear(self, message: Message) -> None:
        offset: int = message.offset()  # type: ignore[assignment]  # a delivered record has one
        try:
            command = read_command(message.value())
        except LedgerError as error:
            self._observer.misheard(offset, str(error))
            command = None
        for place, book in self._books.items():
            if book.heard is not None and offset < book.heard:
                continue
            book.heard = offset + 1
            if command is not None and self._concerns(command, place):
                book.work.append(_Work(offset, command))

    def _concerns(self, command: Command, place: Partition) -> bool:
        """Say whether *command* is about *place*, as the topic that it is now."""
        return (command.topic, command.partition) == place and command.topic_id == self._plans[place.topic].topic_id

    def _go_on(self, book: _Book, now_s: float) -> None:
        """Do what can be done of the first command, and note how far the partition is."""
        while book.work and book.work[0].is_told:
            done = book.work.popleft()
            if done.rewound is not None and self._rewinder.turn(book.state, done.command, done.rewound, done.offset):
                return  # another stay has begun
        tenure = book.state.tenure
        if not book.work:
            tenure.control = tenure.control if book.heard is None else book.heard
            return
        work = book.work[0]
        tenure.control = work.offset
        if work.command.rewind is not None:
            self._rewind(book, work, now_s)
            return
        if work.asked is None:
            work.asked = ask(book.state, work.command.verb, work.command.letters, work.command.mending)
        look(book.state)
        if work.answer is None and now_s >= work.again_s and not any(unanswered(work.asked)):
            self._answer(book, work)

    def _rewind(self, book: _Book, work: _Work, now_s: float) -> None:
        """Answer a command about a replay once its partition rests; it is done when the broker has the answer."""
        if self._rewinder.gives_up(book.state, work.command, work.offset):
            return
        if work.answer is None and now_s >= work.again_s:
            work.rewound = self._rewinder.look(book.state, work.command)
            if work.rewound is not None:
                self._answer(book, work)

    def _answer(self, book: _Book, work: _Work) -> None:
        """Tell what became of a command."""
        command, asked = work.command, work.asked or ()
        answer = Answer(
            id=command.id,
            verb=command.verb,
            group=self._group,
            topic=command.topic,
            partition=command.partition,
            fates=tuple((one.wanted.origin, one.fate) for one in asked if one.fate is not None),
            rewound=work.rewound,
            who=command.who,
            why=command.why,
            asked_ms=command.time_ms,
            time_ms=int(self._clock.now() * 1000),
        )
        self._producer = self._producer or self._make_producer()
        work.answer = Parcel(audit_topic(self._group), None, command.key, answer.pack(), [], work)
        self._under_way += 1
        if not self._producer.produce([work.answer]):  # its queue is full
            self._under_way -= 1
            work.answer, work.again_s = None, self._clock.monotonic() + _AGAIN_S
            return
        self._observer.obeyed(book.state.partition, command.verb, Counter(fate for _, fate in answer.fates))

    def _hear_of_answers(self) -> None:
        if self._producer is None or not self._under_way:
            return
        for parcel in self._producer.acknowledge():
            self._under_way -= 1
            work = parcel.what
            if parcel.fate == "stored":
                work.is_told = True
            else:  # told twice is better than never
                work.answer, work.again_s = None, self._clock.monotonic() + _AGAIN_S
                self._observer.unanswered(work.command.id, parcel.error)
