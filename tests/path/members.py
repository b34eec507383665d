"""Members of a group inside the test process: started, heard, stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from confluent_kafka import IsolationLevel, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # its types do not mark it as public

from streams import App
from streams.clock import Clock
from streams.config import Settings
from streams.engine.chain import dlq_topic
from streams.engine.context import Context
from streams.engine.ending import RunReport, Until
from streams.engine.executors.eventloop import EventLoop
from streams.engine.member import Member
from streams.engine.plan import plan_of
from streams.kafka.protocol import resolve_protocol
from streams.kafka.session import session_of
from streams.kafka.witness import messages_of
from streams.observer import MemberView, Observer
from streams.record import Headers, Partition
from streams.service import prepare_topics
from tests.brokers import Kafka, Topics
from tests.waiting import eventually

_T = TypeVar("_T")

_UNUSUAL = ("restarted", "commit_failed", "revoked", "fenced", "suspect", "suspected", "lacking", "stuck", "expired")

Written: TypeAlias = (
    "tuple[bytes | None, bytes | None] | tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]"
)
"""Key, value, and headers or not."""


class Heard(NamedTuple):
    """One event of an `Observer`."""

    name: str
    arguments: tuple[Any, ...]
    named: dict[str, Any]


class Ear(Observer):
    """Keeps everything that a member tells."""

    def __init__(self) -> None:
        self.events: list[Heard] = []
        self.views: list[MemberView] = []
        for name in vars(Observer):
            if not name.startswith("_") and name != "viewed":
                setattr(self, name, partial(self._keep, name))

    def viewed(self, view: MemberView) -> None:
        self.views.append(view)

    def heard(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every event called *name*."""
        return [event.arguments for event in list(self.events) if event.name == name]

    def _keep(self, name: str, *arguments: Any, **named: Any) -> None:
        self.events.append(Heard(name, arguments, named))


class Running:
    """A member that runs in a thread of its own."""

    def __init__(self, app: App, settings: Settings, until: Until | None = None, *, clock: Clock | None = None) -> None:
        self.ear = Ear()
        self.report: RunReport | None = None
        self.error: BaseException | None = None
        self._admin = AdminClient({**settings.kafka, "bootstrap.servers": settings.bootstrap})
        self._topics = list(app.routes)
        self._loop = EventLoop() if any(route.run == "async" for route in app.routes.values()) else None
        protocol, _ = resolve_protocol(settings)
        keys = {topic: route.key_field for topic, route in app.routes.items() if route.key_field}
        for route in app.routes.values():
            object.__setattr__(route, "context", partial(Context, keys=keys))
        self.member = Member(
            settings,
            app.routes,
            protocol,
            session_of(settings, protocol),
            plans={
                topic: plan_of(topic, settings.group, chain, app.routes[topic].policy, app.routes[topic].dead_letters)
                for topic, chain in prepare_topics(settings, app.routes).items()
            },
            event_loop=self._loop,
            observer=self.ear,
            clock=clock,
        )
        self._until = until
        self._thread = threading.Thread(target=self._run, name="member")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.report = self.member.run(self._until)
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def unusual(self) -> list[Heard]:
        """What it told of that does not belong to a quiet day, and its end: for whoever reads a failure."""
        told = [event for event in list(self.ear.events) if event.name in _UNUSUAL]
        return [*told, Heard("ended", (self.report, self.error), {})]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def until(self, condition: Callable[[], _T], *, within_s: float = 60) -> _T:
        """Wait for *condition* while the member runs."""

        def met() -> _T:
            answer = condition()
            assert answer or self.is_running, f"the member ended: {self.error or self.report}"
            return answer

        return eventually(met, within_s=within_s)

    def passed(self, *, within_s: float = 60) -> None:
        """Wait until all that stands in the topics now is committed as settled; in the chain it may wait on."""
        ends = self._ends()
        self.until(lambda: self._has_committed(ends), within_s=within_s)

    def settled(self, *, within_s: float = 60) -> None:
        """Wait until it is, and nothing of it waits in the chain but what stands behind a held dead letter."""
        ends = self._ends()
        self.until(lambda: self._has_committed(ends) and not self._is_waiting(), within_s=within_s)

    def _ends(self) -> dict[Partition, int]:
        found = self._admin.list_topics(timeout=30).topics
        places = [TopicPartition(topic, number) for topic in self._topics for number in found[topic].partitions]
        latest = {place: OffsetSpec.latest() for place in places}  # type: ignore[no-untyped-call]
        answers = self._admin.list_offsets(latest, isolation_level=IsolationLevel.READ_COMMITTED)
        return {Partition(place.topic, place.partition): answer.result(30).offset for place, answer in answers.items()}

    def _has_committed(self, ends: dict[Partition, int]) -> bool:
        committed = {partition: offset for partition, offset, _ in self.ear.heard("committed")}
        return all(committed.get(partition, -1) >= end for partition, end in ends.items())

    def _is_waiting(self) -> bool:
        chains = [state.chain for state in self.member.assignment.all()]
        return any(len(chain.index) > chain.blocked for chain in chains)

    def stop(self, *, within_s: float = 60) -> RunReport:
        """Stop it in order, and give its report."""
        self.member.stop()
        self.await_end(within_s=within_s)
        assert self.report is not None, f"the member ended with {self.error!r}"
        return self.report

    def await_end(self, *, within_s: float = 60) -> None:
        """Wait until it has ended."""
        self._thread.join(within_s)
        assert not self.is_running, f"the member had not ended after {within_s:g} s"
        if self._loop is not None:
            self._loop.close()


class Bench:
    """A broker, and what a test does with it."""

    def __init__(self, kafka: Kafka, topics: Topics) -> None:
        self.kafka = kafka
        self.topics = topics
        self.bootstrap = kafka.bootstrap
        self.running: list[Running] = []

    def run(self, app: App, until: Until | None = None, *, clock: Clock | None = None, **settings: Any) -> Running:
        """Start a member of *app*'s group; its commits are frequent, so that tests are quick."""
        chosen = {"bootstrap": self.bootstrap, "commit_every_s": 0.1, "session_timeout_s": 6.0, "protocol": "consumer"}
        running = Running(app, app.settings.over(**(chosen | settings)).checked(), until, clock=clock)
        self.running.append(running)
        return running

    def write(self, topic: str, records: Iterable[Written], *, partition: int | None = None) -> list[tuple[int, int]]:
        """Write *records* and give their partitions and offsets, all acknowledged, in this order.

        A producer that is not idempotent may change it: a leader that is elected just now refuses a batch and takes
        the one after it.
        """
        places: list[tuple[int, int]] = []

        def acknowledged(error: KafkaError | None, message: Message) -> None:
            assert error is None, f"{topic} refused a record: {error}"
            places.append((cast("int", message.partition()), cast("int", message.offset())))

        producer = Producer(self.kafka.client(linger_ms=5, message_max_bytes=200_000_000, enable_idempotence=True))
        chosen = {} if partition is None else {"partition": partition}
        for record in records:
            headers: Any = list(record[2]) if len(record) > 2 else []
            producer.produce(topic, record[1], record[0], headers=headers, on_delivery=acknowledged, **chosen)  # type: ignore[arg-type]
            producer.poll(0)
        left = producer.flush(60)
        assert not left, f"{topic} did not acknowledge {left} records"
        return places

    def read(self, topic: str) -> list[Message]:
        """Read the whole of *topic*."""
        return list(messages_of(self.kafka.client(), topic))

    def dead(self, topic: str, group: str) -> list[Message]:
        """Read all dead letters of *group* on *topic*."""
        return self.read(dlq_topic(topic, group))

    def end(self) -> None:
        """End every member that still runs."""
        for running in self.running:
            running.member.stop("the test is over")
        for running in self.running:
            running.await_end(within_s=60)


def numbered(count: int, keys: Sequence[bytes | None] = (b"a",)) -> list[Written]:
    """Give *count* records whose values are their numbers, with *keys* in turn."""
    return [(keys[number % len(keys)], b"%d" % number) for number in range(count)]


def headers_of(message: Message) -> Headers:
    """The headers of *message*."""
    return cast("Headers", message.headers() or [])
