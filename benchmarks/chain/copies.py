"""Copies as an earlier owner would have left them, for a broker and without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.chain.job import Job
from streams.bench.ground import BenchError
from streams.config import Settings
from streams.engine.chain import Attempt, CopyHeader, copy_headers, new_header
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.message import Message, make_message
from streams.kafka.topics import require_topics
from streams.record import Origin

ASSIGNMENT: Final = b"assignme"
"""Of the owner that left them."""
VALUE: Final = b"v" * 300
_FLUSH_WITHIN_S: Final = 120


def header_of(job: Job, number: int, topic_id: str) -> CopyHeader:
    """Give what the copy of the *number*-th record says of itself."""
    return new_header(
        Origin(job.topic, 0, number, 1_700_000_000_000),
        topic_id=topic_id,
        group=job.group,
        assignment_id=ASSIGNMENT,
        attempts=1,
        history=(Attempt(1_700_000_000_000, "DownError"),),
    )


def key_of(job: Job, number: int) -> bytes:
    """Give the key of the *number*-th record: the keys take turns."""
    return b"key-%06d" % (number % job.keys)


def made(job: Job, topic: str, numbers: range) -> Iterator[Message]:
    """Give copies that nobody produced, each at the offset of its record."""
    for number in numbers:
        headers = copy_headers(None, header_of(job, number, ""))
        yield make_message(topic, 0, number, key=key_of(job, number), value=VALUE, headers=headers)


def produce(settings: Settings, job: Job, topic: str, topic_id: str) -> None:
    """Write the copies of *job* to *topic*.

    Raises:
        BenchError: Not all were acknowledged.
    """
    with Admin(settings) as admin:
        sender = BulkSender(settings, require_topics(admin, [topic], with_config=True)[topic])
    for number in range(job.records):
        sender.send(number, key_of(job, number), VALUE, copy_headers(None, header_of(job, number, topic_id)))
    if sender.finish(_FLUSH_WITHIN_S) or sender.failed:
        raise BenchError(f"{topic} acknowledged only {sender.acknowledged.total():,} of {job.records:,} copies")
