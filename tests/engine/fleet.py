"""Processes of one group, one after the other, and records that kill them: what brokers keep is all that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from streams.app import App
from streams.engine.chain import dlq_topic
from streams.engine.snapshot import Snapshot, decode, encode
from streams.kafka.consumer import EndReached, Event, Stored
from streams.kafka.message import Message
from streams.record import Partition, Record
from streams.testing.clock import ManualClock
from tests.engine.edges import ChainLog, ScriptedConsumer, ScriptedProducer
from tests.engine.rooms import Member
from tests.engine.stage import ORDERS, message
from tests.waiting import eventually

_TURN_S: Final = 0.1
_LIFE_S: Final = 90.0


class Broker(ScriptedConsumer):
    """Gives what the topics hold, as far as nothing is paused, and then their ends."""

    def __init__(self, records: Mapping[Partition, Sequence[int]], stored: Mapping[Partition, Stored]) -> None:
        super().__init__()
        self._records = records
        self._told: set[Partition] = set()
        self.stored = dict(stored)
        self.is_silent = False
        """Nothing is told any more."""

    def poll(self, limit: int, timeout_s: float) -> tuple[list[Message], list[Event]]:
        found: list[Message] = []
        events: list[Event] = []
        for partition in [one for one in self.reading if one not in self.paused and not self.is_silent]:
            left = [offset for offset in self._records[partition] if offset >= self.reading[partition]]
            part = left[: limit - len(found)]
            found += [_record(partition, offset) for offset in part]
            end = max(self._records[partition], default=-1) + 1
            self.reading[partition] = part[-1] + 1 if part else self.reading[partition]
            if len(part) == len(left) and partition not in self._told:
                self._told.add(partition)
                events.append(EndReached(partition, end))
        return found, events

    def named(self, partition: Partition) -> Snapshot:
        """What stands beside the committed offset of *partition*."""
        snapshot = decode(self.stored[partition].metadata)
        assert snapshot is not None
        return snapshot


def _record(partition: Partition, offset: int) -> Message:
    """A record of a key of its own, whose value says where it stands."""
    return message(offset, b"%d" % offset, b"%d %d" % (partition.number, offset), partition=partition)


class Places:
    """A codec that tells whose value it is given."""

    content_type = "text/plain"

    def __init__(self, hear: Callable[[Partition, int], None]) -> None:
        self._hear = hear

    def decode(self, data: bytes) -> str:
        number, offset = data.split()
        self._hear(Partition("orders", int(number)), int(offset))
        return data.decode()

    def encode(self, value: str) -> bytes:
        return value.encode()


class Seen(NamedTuple):
    """One start of a handler, and whom the broker knew to be named at that moment."""

    partition: Partition
    offset: int
    named: int


class Fleet:
    """One process after the other, each with what the one before had committed when it died.

    `kills` is asked whenever a handler starts; a process that was killed does nothing more.
    """

    def __init__(
        self,
        records: Mapping[Partition, Sequence[int]],
        kills: Callable[[Seen], bool] = lambda _: False,
        route: Mapping[str, Any] | None = None,
        *,
        is_decoder: bool = False,
        **settings: Any,
    ) -> None:
        self.records = records
        self.kills = kills
        self.settings = settings
        self.clock = ManualClock(monotonic_s=time.monotonic() + 1_000_000)
        self.log = ChainLog(self.clock)
        self.stored: dict[Partition, Stored] = {}
        self.seen: list[list[Seen]] = []
        """By process."""
        self.work: Callable[[Record], Any] = lambda _: None
        """What a handler does that is not killed."""
        self.is_dead = False
        self.route: dict[str, Any] = {"run": "inline"} | dict(route or {})
        self._is_decoder = is_decoder
        self.broker = Broker(records, {})
        """What the process of this time knows the broker by."""
        self.app = App("billing")

    def start(self, *partitions: Partition) -> Member:
        """Begin a process; the group gives it *partitions*, or everything."""
        self.broker = Broker(self.records, {place: _foreign(one) for place, one in self.stored.items()})
        self.app.routes.clear()
        self._declare()
        member = Member(
            self.app, consumer=self.broker, producer=ScriptedProducer(self.log), clock=self.clock, **self.settings
        )
        self.is_dead = False
        self.seen.append([])
        member.grant(*(partitions or self.records))
        return member

    def _declare(self) -> None:
        """Handle ``orders`` as the test wants it; with a decoder that kills nothing is left to the handler.

        A thread of a process that died may come to its handler when the next one lives already: it does nothing.
        """
        life = len(self.seen)

        def begins(place: Partition, offset: int) -> None:
            if life == len(self.seen) - 1:
                self._begins(place, offset)

        def handle(record: Record) -> Any:
            begins(Partition(record.topic, record.partition), record.offset)
            return None if self.is_dead else self.work(record)

        def handle_all(records: list[Record]) -> list[Any]:
            return [handle(record) for record in records]

        if self._is_decoder:
            self.app.on("orders", codec=Places(begins), **self.route)(_ignore)
        else:
            self.app.on("orders", **self.route)(handle_all if "batch" in self.route else handle)

    def _begins(self, place: Partition, offset: int) -> None:
        if self.is_dead:
            return
        seen = Seen(place, offset, self.broker.named(place).named)
        self.seen[-1].append(seen)
        if self.kills(seen):
            self.is_dead = True
            self.stored = dict(self.broker.stored)

    def live(self, member: Member, life_s: float = _LIFE_S) -> bool:
        """Let *member* work until it is killed, or all is settled, or *life_s* have passed; say whether it lives."""
        ends_at = self.clock.monotonic() + life_s
        eventually(lambda: self._goes_on(member, ends_at), every_s=0)
        if self.is_dead:
            return False
        member.commit()
        self.stored = dict(self.broker.stored)
        return True

    def _goes_on(self, member: Member, ends_at: float) -> bool:
        """Let the loop go round once; say whether that was the last time."""
        member.loop.run_once()
        if self.is_dead:
            return True
        member.answer()
        member.producer.answer_all()
        if not member.loop.places(member.assignment.all()):
            self.clock.advance(_TURN_S)
        return self._is_done(member) or self.clock.monotonic() > ends_at

    def deaths(self, most: int = 20) -> int:
        """Start process after process until one lives; give how many did not."""
        return next((died for died in range(most) if self.live(self.start())), most)

    def dead_letters(self, partition: Partition = ORDERS) -> list[int]:
        """The origins of the dead letters of *partition*, in their order."""
        dlq = Partition(dlq_topic(partition.topic, "billing"), partition.number)
        return [int(one.key() or b"-1") for one in self.log.since(dlq, 0)]

    def _is_done(self, member: Member) -> bool:
        return not member.loop.caution.is_active and all(
            state.has_caught_up and not state.outstanding and not state.chain.outstanding
            for state in member.assignment.all()
        )


def _ignore(_: str) -> None:
    """Nothing is left to do."""


def _foreign(stored: Stored) -> Stored:
    """Give *stored* as another process would have written it."""
    snapshot = decode(stored.metadata)
    if snapshot is None or not snapshot.process:
        return stored
    return stored._replace(metadata=encode(msgspec.structs.replace(snapshot, process=b"former")))
