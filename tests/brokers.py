"""Real brokers for the tests: which one, who starts it, and when it ends.

`STREAMS_TEST_KAFKA` says which: `native` (the default, started here),
`host:port` (one that runs already) or `container`.  A native broker is
started by the first test that asks, in whichever process that runs; all
processes of one test run share it, and it ends with the process that the
user started, however that ends.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.dev import DevCluster, Process, Runtime, this_process
from streams.errors import StreamsError
from streams.kafka.probe import await_broker
from tests.waiting import eventually

QUIET = "quiet"
"""Names the broker with few groups, for tests that look at all that there are."""
_UNHEARD = logging.getLogger("tests.librdkafka")
_UNHEARD.setLevel(logging.CRITICAL + 1)


class Kafka:
    """A broker, or several, that a test may use but not break."""

    def __init__(self, bootstrap: str, *, is_borrowed: bool = False) -> None:
        self.bootstrap = bootstrap
        self.is_borrowed = is_borrowed

    def client(self, **settings: object) -> dict[str, Any]:
        """Settings for a bare client: this broker, no noise on the console, and *settings* (`_` for `.`)."""
        more = {name.replace("_", "."): value for name, value in settings.items()}
        return {"bootstrap.servers": self.bootstrap, "logger": _UNHEARD, "error_cb": lambda _error: None} | more

    @cached_property
    def admin(self) -> AdminClient:
        """An administrator's client."""
        return AdminClient(self.client())

    def write(self, topic: str, value: bytes = b"value", key: bytes | None = None) -> int:
        """Write one record, wait for its acknowledgement and give back its offset."""
        offsets: list[int | None] = []
        producer = Producer(self.client())
        producer.produce(topic, value, key, on_delivery=lambda _error, message: offsets.append(message.offset()))
        producer.flush(30)
        assert offsets, f"{topic} did not acknowledge a record within 30 s"
        assert offsets[0] is not None, f"{topic} refused a record"
        return offsets[0]


@dataclass
class Topics:
    """Makes topics under names that nobody else uses."""

    kafka: Kafka

    made: list[str] = field(default_factory=list)

    def __call__(
        self,
        name: str = "orders",
        *,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replication: int = -1,
    ) -> str:
        """Create a topic called *name* and something; it can be used when this returns."""
        topic = unique(name)
        wanted = NewTopic(topic, partitions, replication, config=dict(config or {}))
        self.kafka.admin.create_topics([wanted])[topic].result(30)
        self.made.append(topic)
        eventually(lambda: self._has_leaders(topic, partitions))
        return topic

    def remove(self) -> None:
        """Leave a borrowed broker as it was, chain topics included; one of our own is thrown away whole."""
        if not (self.kafka.is_borrowed and self.made):
            return
        there = self.kafka.admin.list_topics(timeout=30).topics
        ours = [topic for topic in there if topic.startswith(tuple(self.made))]
        for removed in self.kafka.admin.delete_topics(ours).values():
            removed.result(30)

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        found = self.kafka.admin.list_topics(topic, timeout=30).topics[topic].partitions
        return len(found) == partitions and all(one.leader >= 0 for one in found.values())


@dataclass(frozen=True)
class TestRun:
    """What the processes of one test run share: a folder, and the process that the user started."""

    __test__ = False

    folder: Path

    owner: Process

    @classmethod
    def begin(cls) -> TestRun:
        """Open one; this process owns it."""
        return cls(Path(tempfile.mkdtemp(prefix="streams-tests-")), this_process())

    @classmethod
    def joined(cls, handed_over: Mapping[str, Any]) -> TestRun:
        """The one whose `handover` the owner sent."""
        return cls(Path(handed_over["folder"]), Process(handed_over["pid"], handed_over["birth"]))

    @property
    def handover(self) -> dict[str, Any]:
        """What another process needs to join."""
        return {"folder": str(self.folder), "pid": self.owner.pid, "birth": self.owner.birth}

    def kafka(self, name: str = "kafka") -> Kafka:
        """The one broker of this run, or another one called *name*."""
        choice = os.environ.get("STREAMS_TEST_KAFKA", "native")
        if choice == "native":
            require_native()
            return Kafka(DevCluster.start(self.folder / name, brokers=1, lives_with=self.owner).bootstrap)
        if choice == "container":
            unavailable("STREAMS_TEST_KAFKA=container: this version starts no container; use native or host:port")
        try:
            await_broker(choice, 20)
        except StreamsError as absent:
            unavailable(f"STREAMS_TEST_KAFKA={choice}: {absent}")
        return Kafka(choice, is_borrowed=True)

    def end(self) -> None:
        """End what was started and remove the folder, if this process owns it."""
        if self.owner == this_process():
            for name in ("kafka", QUIET):
                DevCluster(self.folder / name).down()
            shutil.rmtree(self.folder)


def unique(name: str) -> str:
    """*name* and something that makes it nobody else's."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def require_native() -> None:
    """Go on only where a broker can be started."""
    try:
        Runtime.find(lambda _step: None)
    except StreamsError as absent:
        unavailable(f"no broker can be started here: {absent}")


def unavailable(reason: str) -> NoReturn:
    """Skip on a laptop; fail on CI, where nothing may be missing."""
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
