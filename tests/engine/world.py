"""A group's world in one process: a log, a coordinator, and an engine that has to bear what they do.

Everything that may go wrong goes wrong at random, out of one seed: partitions
are lost, asked back and granted, commits are answered late, refused, stored
without an answer, produced records are refused, of unknown fate, or arrive
long after their sender died, the process dies.  A `History` is kept of it.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError

from streams.app import App
from streams.engine.chain import unpack
from streams.engine.chainstate import ChainState
from streams.engine.command import Asked, Verb, Wanted
from streams.engine.context import Context
from streams.engine.edit import Edit, Mending, digest
from streams.engine.partition import Item, PartitionState
from streams.engine.policy import DeadLetterPolicy, OrderPolicy
from streams.engine.redrive import ask, look
from streams.engine.relief import Relief
from streams.kafka.commits import CommitAnswer, Entry
from streams.kafka.consumer import EndReached, Event, Stored
from streams.kafka.message import Message
from streams.kafka.producer import Fate, Parcel
from streams.outcome import DeadLetter, Skip
from streams.record import Partition, Record
from streams.retry import RetryPolicy
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, Produced, ScriptedConsumer, ScriptedProducer, ScriptedReader
from tests.engine.history import PARTITIONS, History
from tests.engine.rooms import Member
from tests.engine.stage import message

TROUBLE = ((KafkaError.REQUEST_TIMED_OUT, "REQUEST_TIMED_OUT"), (KafkaError.UNKNOWN, "UNKNOWN"))
"""What commits may end in: one after which nothing was stored, and one after which nobody knows."""
DOWN = OSError("down")
BAD = ValueError("bad")


class Coordinator(ScriptedConsumer):
    """The broker as a consumer sees it: gives what the log has, stores what is committed, when it likes."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._ends_told: dict[Partition, int] = {}

    def poll(self, limit: int, timeout_s: float) -> tuple[list[Message], list[Event]]:
        """Rebalances and answers happen here; then records come, as far as nothing is paused."""
        self._world.happen()
        messages: list[Message] = []
        events: list[Event] = []
        for partition in list(self.reading):
            if partition in self.paused:
                continue
            room = min(limit - len(messages), self._world.rng.randrange(8))
            log = [one for one in self._world.history.keys[partition] if one >= self.reading[partition]]
            for offset in log[:room]:
                messages.append(self._world.message(partition, offset))
                self.reading[partition] = offset + 1
            end = self._world.ends[partition]
            if len(log) <= room and self._ends_told.get(partition) != end:
                self.reading[partition] = self._ends_told[partition] = end
                events.append(EndReached(partition, end))
        return messages, events

    def assign(self, starts: Mapping[Partition, int], _epochs: Mapping[Partition, int] | None = None) -> None:
        super().assign(starts)
        for partition in starts:
            self._ends_told.pop(partition, None)

    def committed(self, partitions: list[Partition], timeout_s: float) -> dict[Partition, Stored]:
        for partition in PARTITIONS:
            if partition in partitions:
                self._world.history.take(partition)
        return super().committed(partitions, timeout_s)

    def commit_now(self, entries: Sequence[Entry]) -> CommitAnswer:
        self._world.answer_commits(entries[0].partition)  # what was sent before it comes before it
        if self._world.is_calm or self._world.rng.random() < 0.7:
            self._world.store(entries)
            return CommitAnswer(tuple(entries), None, "")
        self._world.clock.advance(2)
        return CommitAnswer(tuple(entries), KafkaError.REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS")


class SlowReader(ScriptedReader):
    """Gives what the log has, a little at a time."""

    def __init__(self, log: ChainLog, rng: random.Random) -> None:
        super().__init__(log)
        self._rng = rng

    def poll(self, limit: int) -> list[Message]:
        return super().poll(min(limit, self._rng.randrange(6)))


class World:
    """One seed's world."""

    def __init__(  # noqa: PLR0913  # each names one thing
        self,
        seed: int,
        state_class: type[PartitionState] = PartitionState,
        *,
        policy: OrderPolicy = "block",
        dead_letters: DeadLetterPolicy = "continue",
        chain_class: type[ChainState[Item]] = ChainState,
        has_gaps: bool = True,
        is_relieved: bool = False,
        has_operators: bool = False,
        death_rate: float = 0.02,
    ) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock(monotonic_s=time.monotonic() + 1_000_000)
        self.history = History(dead_letters)
        self.log = ChainLog(self.clock)
        self.late: list[Produced] = []
        """Requests whose sender does not hear of them any more; they may still arrive."""
        self.answers: deque[Parcel[Any]] = deque()
        """What the broker has done and not told yet, in order."""
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.stored: dict[Partition, Stored] = {}
        self.sent: dict[int, int] = {}
        """Handler run to how many of its sends the broker does not have."""
        self.is_calm = False
        self.crashes = self.suspected = 0
        self.name_process: Callable[[], None] = lambda: None
        """Called when a process starts."""
        self._gaps = (0, 0, 0, 2) if has_gaps else (0,)
        self._is_relieved = is_relieved
        """Ledgers are relieved at a small size and a small span, and what waits in the chain ages all the time."""
        self._has_operators = has_operators
        """Dead letters are tried again and dropped, by commands that come twice and to any owner."""
        self.commands: list[tuple[Verb, Partition, Wanted, Mending | None]] = []
        self.answers_given: list[tuple[Partition, Asked]] = []
        self._death_rate = death_rate
        self._state_class = state_class
        self._chain_class = chain_class
        self._policy: OrderPolicy = policy
        self.member = self._begin()

    # -- what the engine meets --------------------------------------------------------------------

    def message(self, partition: Partition, offset: int) -> Message:
        """One record of the log."""
        return message(offset, self.history.keys[partition][offset], partition=partition)

    def store(self, entries: Sequence[Entry]) -> None:
        """The broker has a commit."""
        self.stored.update({entry.partition: Stored(entry.offset, entry.metadata) for entry in entries})
        self.member.consumer.stored.update(self.stored)
        self.history.commit(entries[0].partition, self.stored)

    def append(self, count: int) -> None:
        """Records come to both partitions, with gaps."""
        for partition in PARTITIONS:
            for _ in range(self.rng.randrange(count + 1)):
                offset = self.ends[partition] + self.rng.choice((0, 0, 0, 1))
                self.history.keys[partition][offset] = self.rng.choice((b"a", b"b", b"c", b"", None))
                self.ends[partition] = offset + 1

    def happen(self) -> None:
        """Inside a poll: the group changes its mind, the broker answers."""
        owned = [state.partition for state in self.member.assignment.all()]
        away = [partition for partition in PARTITIONS if partition not in owned]
        if away and (self.is_calm or self.rng.random() < 0.5):
            self.member.assignment.granted(away)
        elif owned and not self.is_calm and self.rng.random() < 0.04:
            leave = self.rng.choice((self.member.assignment.lost, self.member.assignment.revoked))
            leave([self.rng.choice(owned)])
        self.answer_commits()

    def answer_commits(self, only: Partition | None = None) -> None:
        """The broker answers commits, or some of them; with *only* all of that partition, in the order of sending."""
        consumer = self.member.consumer
        for commit in list(consumer.commits):
            if only not in (None, commit.partition):
                continue
            if only is None and not self.is_calm and self.rng.random() < 0.3:
                continue  # later
            consumer.commits.remove(commit)
            code, error, is_stored = None, "", True
            if not self.is_calm and self.rng.random() < 0.15:
                code, error = self.rng.choice(
                    ((KafkaError.REQUEST_TIMED_OUT, "TIMED"), (KafkaError.UNKNOWN, "UNKNOWN"))
                )
                is_stored = self.rng.random() < 0.3
            if is_stored and (code is None or self.member.assignment.get(commit.partition) is not None):
                self.store(commit.entries)
            consumer.answered(CommitAnswer(commit.entries, code, error))

    def answer_produced(self) -> None:
        """The broker takes, refuses, or says nothing of what was produced."""
        producer = self.member.producer
        while self.answers and (self.is_calm or self.rng.random() < 0.8):
            producer.answers.append(self.answers.popleft())
        while producer.flying and (self.is_calm or self.rng.random() < 0.8):
            fate: Fate = "stored" if self.is_calm else self.rng.choices(("stored", "refused", "unknown"), (90, 7, 3))[0]
            one = self._pick(producer.flying)
            if fate == "stored":
                one.meet("stored", "", self._land(one))
            else:
                self.late += [one] if fate == "unknown" else []
                one.meet(fate, "ERROR")
            self.answers.append(one.parcel)

    def arrive_late(self) -> None:
        """Requests that nobody waits for any more are taken, or never come."""
        while self.late and (self.is_calm or self.rng.random() < 0.2):
            one = self._pick(self.late)
            if self.rng.random() < 0.5:
                self._land(one)

    def _pick(self, requests: list[Produced]) -> Produced:
        """Take one; those of one partition come in their order."""
        chosen = self.rng.choice(requests)
        first = next(one for one in requests if (one.topic, one.partition) == (chosen.topic, chosen.partition))
        requests.remove(first)
        return first

    def _land(self, one: Produced) -> Message | None:
        record = self.member.producer.land(one)
        if record is not None:
            place = Partition(one.topic, one.partition or 0)
            self.history.land(record)
            self.log.gaps[place] = self.rng.choice(self._gaps)
        elif one.value is not None:
            partition, offset, run = (int(part) for part in one.value.decode().split("/"))
            self.sent[run] -= 1
            if self.sent[run] == 0:
                self.history.end(Partition("orders", partition), offset, is_settled=False)
        return record

    # -- the engine -----------------------------------------------------------------------------------

    def _begin(self) -> Member:
        """A process starts, and knows what the broker knows."""
        self.name_process()
        app = App("billing")

        retry = RetryPolicy(delays=(1, 3, 8), jitter=0, memory_up_to="2s")

        @app.on("orders", run="inline", retry=retry, policy=self._policy, dead_letters=self.history.dead_letters)
        def handle(record: Record, ctx: Context) -> Any:
            return self._work(record, ctx)

        member = Member(
            app,
            consumer=Coordinator(self),
            producer=ScriptedProducer(self.log),
            reader=SlowReader(self.log, self.rng),
            clock=self.clock,
            state_class=self._state_class,
            chain_class=self._chain_class,
            relief=Relief(90, 20) if self._is_relieved else None,
            max_in_flight=40,
            batch_records=20,
            partition_in_flight=30,
            waiting_records=10,
            commit_every_s=1.0,
        )
        member.loop.beat = self._wait
        member.consumer.stored.update(self.stored)
        return member

    def _work(self, record: Record, ctx: Context) -> Any:
        """A handler's run: it ends in any way there is."""
        partition = Partition(record.topic, record.partition)
        self.history.start(partition, record.offset, self.member.state(partition).assignment_id)
        edited = ctx.edited
        self.history.read(partition, record.offset, record.value, None if edited is None else edited.id)
        how = "done" if self.is_calm else self.rng.choices(*zip(*WAYS.items(), strict=True))[0]
        if how == "raise":
            raise DOWN
        if how == "dead letter":
            return DeadLetter(BAD)
        if how == "send":
            run = len(self.sent)
            self.sent[run] = 2
            for _ in range(2):
                ctx.send("invoices", f"{record.partition}/{record.offset}/{run}")
            return None
        self.history.end(partition, record.offset)
        return Skip() if how == "skip" else None

    def _wait(self) -> None:
        """The poll thread waits, in a drain: the world goes on."""
        self.clock.advance(1)
        self.answer_produced()

    def turn(self) -> None:
        """One turn of the loop, and what happens around it."""
        self.clock.advance(self.rng.choice((0.0, 0.2, 1.0)))
        if not self.is_calm:
            self.append(3)
        self.answer_produced()
        self.arrive_late()
        if not self.is_calm and self.rng.random() < self._death_rate:
            self.crashes += 1
            self.late += self.member.producer.flying
            self.answers.clear()
            self.suspected += len(self.member.heard.of("suspected"))
            self.member = self._begin()
        if self._is_relieved and not self.is_calm and self.rng.random() < 0.2:
            self._age()
        if self._has_operators:
            self._operate()
        self.member.loop.run_once()

    def _operate(self) -> None:
        """Somebody wants something of a dead letter; or what was wanted before comes once more."""
        states = self.member.assignment.all()
        if not self.is_calm and self.rng.random() < 0.3 and states:
            state = self.rng.choice(states)
            letters = self.log.records.get(Partition("orders.billing.dlq", state.partition.number), [])
            if letters and (not self.commands or self.rng.random() < 0.7):
                letter = self.rng.choice(letters)
                header = unpack(letter.headers())
                wanted = Wanted(header.offset, header.redrives, self.rng.randrange((letter.offset() or 0) + 1))
                verb: Verb = self.rng.choices(("retry", "edit", "forget"), (5, 3, 2))[0]
                mending = self._mending(letter) if verb == "edit" else None
                self.commands.append((verb, state.partition, wanted, mending))
            if self.commands:
                self._command(*self.rng.choice(self.commands))
        for state in states:
            look(state)
        for partition, asked in self.answers_given:
            if asked.fate == "forgotten":
                self.history.dropped.add((partition, asked.wanted.origin))
            if asked.fate == "edited" and asked.mending is not None and asked.mending.id not in self.history.edited:
                self.history.faults.append(f"{asked.mending.id} is said to be done, and no copy has its value")

    def _mending(self, letter: Message) -> Mending:
        """What an edit makes of *letter*: another value than any other edit gives."""
        name = f"edit-{len(self.commands)}"
        value = self.history.edits[name] = f'{{"by":"{name}"}}'.encode()
        return Mending(Edit(value, digest(letter.value())), name, "ann", 0)

    def _command(self, verb: Verb, partition: Partition, wanted: Wanted, mending: Mending | None) -> None:
        """The owner of *partition* hears a command."""
        state = self.member.assignment.get(partition)
        if state is not None and not state.is_closed:
            self.history.asked.add((partition, wanted.origin))
            self.answers_given += [(partition, one) for one in ask(state, verb, [wanted], mending)]

    def _age(self) -> None:
        """All that waits in the chain has become old."""
        for state in self.member.assignment.all():
            for part in state.chain.parts:
                part.aged_until = part.end

    def heal(self, turns: int = 3_000) -> None:
        """Nothing goes wrong any more; everything that is left is worked off."""
        self.is_calm = True
        for _ in range(turns):
            self.turn()
            if not self.history.missing and self._all_committed() and not self._is_waiting():
                return

    def _is_waiting(self) -> bool:
        if self.history.dead_letters != "continue":
            return False  # some stay where they are
        return any(state.chain.index for state in self.member.assignment.all())

    def _all_committed(self) -> bool:
        return all((self.stored.get(one, Stored(0, "")).offset or 0) >= self.ends[one] for one in PARTITIONS)


WAYS: dict[str, int] = {"done": 60, "skip": 5, "raise": 15, "dead letter": 7, "send": 13}
"""How a handler's run ends, and how often."""
