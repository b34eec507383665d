"""What happened, read from the files of the run and from the broker.

Half of the referee (the other half is `count`): it shares nothing with the
players, and imports the Kafka client, the standard library, and nothing of
`streams`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, TopicPartition
from confluent_kafka.admin import AdminClient

TOPIC: Final = "flights"
GROUP: Final = "tower"
DEAD_LETTERS: Final = "flights.tower.dlq"
_WITHIN_S = 30.0


class Accepted(NamedTuple):
    """One event as the broker acknowledged it."""

    key: str | None
    seq: int
    """The how-manieth event of its key."""
    partition: int
    offset: int


class Run(NamedTuple):
    """One run of the handler."""

    id: str
    start_ns: int
    end_ns: int | None
    """None where the process died in it."""
    step: str
    """How it ended: done, refused, failed; or ``cut off``."""


@dataclass
class History:
    """All that was written down, and all that the broker holds."""

    accepted: dict[str, Accepted]
    runs: list[Run]
    dead: Counter[str]
    """Event id to how often it stands in the dead-letter topic."""
    reasons: Counter[str]
    """Why they are dead, in the words of the dead letters."""
    committed: dict[int, int]
    """Partition to the group's committed offset."""


def read(folder: Path, bootstrap: str) -> History:
    """Read what was written to *folder*, and what the broker at *bootstrap* holds.

    ``accepted.jsonl`` is what the producer was told, ``journal/`` what the
    workers did, one file a process.

    Raises:
        OSError: A file is missing, or the broker does not answer.
    """
    dead, reasons = dead_letters(bootstrap)
    accepted = {name: Accepted(*event) for name, *event in lines(folder / "accepted.jsonl")}
    runs = [run for file in sorted((folder / "journal").glob("*.jsonl")) for run in runs_of(lines(file))]
    return History(accepted, runs, dead, reasons, committed_offsets(bootstrap))


def lines(file: Path) -> Iterator[Any]:
    """Give each line of *file* as JSON; one that a kill cut short was never written."""
    with file.open("rb") as text:
        yield from (json.loads(line) for line in text if line.endswith(b"\n"))


def runs_of(steps: Iterable[list[Any]]) -> Iterator[Run]:
    """Give the runs of one process, from the lines ``[step, nanoseconds, id, ...]`` that it wrote."""
    started: dict[str, int] = {}
    for step, time_ns, name, *_ in steps:
        if step != "start":
            yield Run(name, started.pop(name), time_ns, step)
            continue
        if name in started:
            yield Run(name, started[name], None, "cut off")
        started[name] = time_ns
    yield from (Run(name, start_ns, None, "cut off") for name, start_ns in started.items())


def dead_letters(bootstrap: str) -> tuple[Counter[str], Counter[str]]:
    """Read the dead-letter topic to its end: how often each id stands there, and the reasons that are given."""
    names: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for message in _messages(bootstrap):
        headers: dict[str, Any] = dict(message.headers() or ())
        name = headers["ce_id"].decode()
        names[name] += 1
        if names[name] == 1:
            reasons[json.loads(headers["streams-error"])["message"]] += 1
    return names, reasons


def _messages(bootstrap: str) -> Iterator[Message]:
    """Give each record of the dead-letter topic."""
    settings = {"group.id": "count", "enable.auto.commit": False, "auto.offset.reset": "earliest", "log_level": 0}
    consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
    try:
        partitions = consumer.list_topics(DEAD_LETTERS, timeout=_WITHIN_S).topics[DEAD_LETTERS].partitions
        places = [TopicPartition(DEAD_LETTERS, number, 0) for number in partitions]
        left = sum(consumer.get_watermark_offsets(place, timeout=_WITHIN_S)[1] for place in places)
        consumer.assign(places)
        while left:
            message = consumer.poll(_WITHIN_S)
            if message is None or message.error():
                raise OSError(f"{DEAD_LETTERS} can't be read: {message.error() if message else 'no answer'}")
            left -= 1
            yield message
    finally:
        consumer.close()


def committed_offsets(bootstrap: str) -> dict[int, int]:
    """Ask the broker for the group's committed offset in each partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    answers = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)], request_timeout=_WITHIN_S)
    places = answers[GROUP].result().topic_partitions or []
    return {place.partition: place.offset for place in places if place.topic == TOPIC and place.offset >= 0}
