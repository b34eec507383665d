"""Copies as an earlier owner would have left them, for a broker and without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from benchmarks.chain.job import Job
from streams.bench.ground import BenchError
from streams.config import Settings
from streams.engine.chain import HEADER, Attempt, FirstHeaders, new_header
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.message import Message, make_message
from streams.kafka.topics import require_topics
from streams.record import Headers, Origin

ASSIGNMENT: Final = b"assignme"
"""Of the owner that left them."""
VALUE: Final = b"v" * 300
_FLUSH_WITHIN_S: Final = 120
_FAILED_MS: Final = 1_700_000_000_000
_ERRORS: Final = ("DownError", "LostError")
_AT_ONCE: Final = 500
"""Records of a poll."""


def headers_of(job: Job, numbers: range, topic_id: str) -> Iterator[Headers]:
    """Give the headers of the copies of *numbers*: as many as come in one poll fail in one turn, at one time."""
    for start in range(numbers.start, numbers.stop, _AT_ONCE):
        failed_ms = _FAILED_MS + start
        packers = [_packer(job, topic_id, failed_ms, error) for error in _ERRORS[: job.errors]]
        for number in range(start, min(start + _AT_ONCE, numbers.stop)):
            yield [(HEADER, packers[number % job.errors].pack(number, _FAILED_MS))]


def _packer(job: Job, topic_id: str, failed_ms: int, error: str) -> FirstHeaders:
    example = new_header(
        Origin(job.topic, 0, 0, 0),
        topic_id=topic_id,
        group=job.group,
        assignment_id=ASSIGNMENT,
        attempts=1,
        history=(Attempt(failed_ms, error),),
        first_failed_ms=failed_ms,
    )
    return FirstHeaders(example)


def key_of(job: Job, number: int) -> bytes:
    """Give the key of the *number*-th record: the keys take turns."""
    return b"key-%06d" % (number % job.keys)


def made(job: Job, topic: str, numbers: range) -> Iterator[Message]:
    """Give copies that nobody produced, each at the offset of its record."""
    for number, headers in zip(numbers, headers_of(job, numbers, ""), strict=True):
        yield make_message(topic, 0, number, key=key_of(job, number), value=VALUE, headers=headers)


def produce(settings: Settings, job: Job, topic: str, topic_id: str) -> None:
    """Write the copies of *job* to *topic*.

    Raises:
        BenchError: Not all were acknowledged.
    """
    with Admin(settings) as admin:
        sender = BulkSender(settings, require_topics(admin, [topic], with_config=True)[topic])
    for number, headers in enumerate(headers_of(job, range(job.records), topic_id)):
        sender.send(number, key_of(job, number), VALUE, headers)
    if sender.finish(_FLUSH_WITHIN_S) or sender.failed:
        raise BenchError(f"{topic} acknowledged only {sender.acknowledged.total():,} of {job.records:,} copies")
