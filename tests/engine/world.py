"""A group's world in one process: a log, a coordinator, and an engine that has to bear what they do.

Everything that may go wrong goes wrong at random, out of one seed: partitions
are lost, asked back and granted, commits are answered late, refused, stored
without an answer, produced records are refused or of unknown fate, the process
dies.  A history is kept of what handlers did and what the broker has, and held
against the promise: nothing lost, keys in order, commits that are true.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError

from streams.app import App
from streams.engine.chain import unpack
from streams.engine.context import Context
from streams.engine.partition import PartitionState
from streams.engine.snapshot import decode
from streams.kafka.commits import CommitAnswer, Entry
from streams.kafka.consumer import EndReached, Event, Stored
from streams.kafka.message import Message
from streams.kafka.producer import Delivery
from streams.outcome import DeadLetter, Skip
from streams.record import Partition, Record
from streams.retry import RetryPolicy
from streams.testing.clock import ManualClock
from tests.engine.edges import Produced, ScriptedConsumer, ScriptedProducer
from tests.engine.rooms import Member
from tests.engine.stage import message

PARTITIONS = (Partition("orders", 0), Partition("orders", 1))
TROUBLE = ((KafkaError.REQUEST_TIMED_OUT, "REQUEST_TIMED_OUT"), (KafkaError.UNKNOWN, "UNKNOWN"))
"""What commits may end in: one after which nothing was stored, and one after which nobody knows."""
DOWN = OSError("down")
BAD = ValueError("bad")


class History:
    """What happened to each record, and what of it breaks the promise."""

    def __init__(self) -> None:
        self.keys: dict[Partition, dict[int, bytes | None]] = {partition: {} for partition in PARTITIONS}
        self.started: set[tuple[Partition, int]] = set()
        self.ended: set[tuple[Partition, int]] = set()
        self.faults: list[str] = []

    def start(self, partition: Partition, offset: int) -> None:
        """A handler begins."""
        key = self.keys[partition][offset]
        same = [other for other, one in self.keys[partition].items() if one == key and key is not None]
        if any(other < offset and (partition, other) not in self.ended for other in same):
            self.faults.append(f"{partition}/{offset} began before an older one of its key had ended")
        younger = any(other > offset and (partition, other) in self.started for other in same)
        if younger and (partition, offset) not in self.ended:
            self.faults.append(f"{partition}/{offset} began after a younger one of its key")
        self.started.add((partition, offset))

    def end(self, partition: Partition, offset: int) -> None:
        """Its work is done, or its dead letter stands in the topic."""
        self.ended.add((partition, offset))

    def commit(self, partition: Partition, stored: Stored) -> None:
        """The broker stores a commit: everything that it says has to be true."""
        offset = stored.offset or 0
        snapshot = decode(stored.metadata)
        settled = [] if snapshot is None else list(snapshot.settled(offset))
        said = {one for one in self.keys[partition] if one < offset or any(one in done for done in settled)}
        open_ = sorted(one for one in said if (partition, one) not in self.ended)
        if open_:
            self.faults.append(f"a commit of {partition} says that {open_} have ended")

    @property
    def missing(self) -> list[tuple[Partition, int]]:
        """Records that have not ended."""
        return [(one, at) for one in PARTITIONS for at in self.keys[one] if (one, at) not in self.ended]


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

    def assign(self, starts: Mapping[Partition, int]) -> None:
        super().assign(starts)
        for partition in starts:
            self._ends_told.pop(partition, None)

    def commit_now(self, entries: Sequence[Entry]) -> CommitAnswer:
        if self._world.is_calm or self._world.rng.random() < 0.7:
            for partition, offset, metadata in entries:
                self._world.store(partition, Stored(offset, metadata))
            return CommitAnswer(tuple(entries), None, "")
        self._world.clock.advance(2)
        return CommitAnswer(tuple(entries), KafkaError.REBALANCE_IN_PROGRESS, "REBALANCE_IN_PROGRESS")


class World:
    """One seed's world."""

    def __init__(self, seed: int, state_class: type[PartitionState] = PartitionState) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock(monotonic_s=time.monotonic() + 1_000_000)
        self.history = History()
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.stored: dict[Partition, Stored] = {}
        self.sent: dict[int, int] = {}
        """Handler run to how many of its sends the broker does not have."""
        self.is_calm = False
        self.crashes = 0
        self._state_class = state_class
        self.member = self._begin()

    # -- what the engine meets --------------------------------------------------------------------

    def message(self, partition: Partition, offset: int) -> Message:
        """One record of the log."""
        return message(offset, self.history.keys[partition][offset], partition=partition)

    def store(self, partition: Partition, stored: Stored) -> None:
        """The broker has a commit."""
        self.history.commit(partition, stored)
        self.stored[partition] = self.member.consumer.stored[partition] = stored

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
        self._answer_commits()

    def _answer_commits(self) -> None:
        consumer = self.member.consumer
        for commit in list(consumer.commits):
            if not self.is_calm and self.rng.random() < 0.3:
                continue  # later
            consumer.commits.remove(commit)
            code, error, is_stored = None, "", True
            if not self.is_calm and self.rng.random() < 0.15:
                code, error = self.rng.choice(
                    ((KafkaError.REQUEST_TIMED_OUT, "TIMED"), (KafkaError.UNKNOWN, "UNKNOWN"))
                )
                is_stored = self.rng.random() < 0.3
            if is_stored and (code is None or self.member.assignment.get(commit.partition) is not None):
                for partition, offset, metadata in commit.entries:
                    self.store(partition, Stored(offset, metadata))
            consumer.answered(CommitAnswer(commit.entries, code, error))

    def answer_produced(self) -> None:
        """The broker takes, refuses, or says nothing of what was produced."""
        producer = self.member.producer
        while producer.flying and (self.is_calm or self.rng.random() < 0.8):
            fate = "stored" if self.is_calm else self.rng.choices(("stored", "refused", "unknown"), (90, 7, 3))[0]
            one = producer.flying.pop(self.rng.randrange(len(producer.flying)))
            if fate == "stored" or (fate == "unknown" and self.rng.random() < 0.5):
                self._land(one)
            one.done(Delivery(fate, 0, "" if fate == "stored" else "ERROR"))  # type: ignore[arg-type]

    def _land(self, one: Produced) -> None:
        if one.topic.endswith(".dlq"):
            origin = unpack(one.headers).origin
            self.history.end(Partition(origin.topic, origin.partition), origin.offset)
        elif one.value is not None:
            partition, offset, run = (int(part) for part in one.value.decode().split("/"))
            self.sent[run] -= 1
            if self.sent[run] == 0:
                self.history.end(Partition("orders", partition), offset)

    # -- the engine -----------------------------------------------------------------------------------

    def _begin(self) -> Member:
        """A process starts, and knows what the broker knows."""
        app = App("billing")

        @app.on("orders", run="inline", retry=RetryPolicy(delays=(1, 2), jitter=0))
        def handle(record: Record, ctx: Context) -> Any:
            return self._work(record, ctx)

        member = Member(
            app,
            consumer=Coordinator(self),
            producer=ScriptedProducer(),
            clock=self.clock,
            state_class=self._state_class,
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
        self.history.start(partition, record.offset)
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
        if not self.is_calm and self.rng.random() < 0.01:
            self.crashes += 1
            self.member = self._begin()
        self.member.loop.run_once()

    def heal(self, turns: int = 3_000) -> None:
        """Nothing goes wrong any more; everything that is left is worked off."""
        self.is_calm = True
        for _ in range(turns):
            self.turn()
            if not self.history.missing and self._all_committed():
                return

    def _all_committed(self) -> bool:
        return all((self.stored.get(one, Stored(0, "")).offset or 0) >= self.ends[one] for one in PARTITIONS)


WAYS: dict[str, int] = {"done": 60, "skip": 5, "raise": 15, "dead letter": 7, "send": 13}
"""How a handler's run ends, and how often."""
