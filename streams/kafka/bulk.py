"""Sending many records to one topic, and knowing of each what became of it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka import faults
from streams.kafka.admin import wrong_setting
from streams.kafka.clientlog import client_log
from streams.kafka.settings import producer
from streams.kafka.shape import Topic
from streams.record import Headers

_CLIENT_MIN_BYTES: Final = 1_000
_SERVE_EVERY: Final = 512


class Failed(NamedTuple):
    """A record that was sent and not acknowledged."""

    number: int
    """The sender's own number of it."""
    value: bytes
    reason: str
    is_certain: bool
    """No broker has it; else it may be stored or not."""


class BulkSender:
    """Sends to one topic; a record counts as sent well only when all in-sync replicas have it.

    Owned by one thread.

    Always true: each record that `send` took is, after `finish`, either
    counted in `acknowledged` or listed in `failed`.
    """

    def __init__(self, settings: Settings, topic: Topic) -> None:
        """Prepare to send to *topic*, whose settings must have been looked up."""
        self._settings = settings
        self._topic = topic.name
        self.limit_bytes = int(topic.config["max.message.bytes"])
        self.acknowledged: Counter[int] = Counter()
        """Partition to records."""
        self.failed: list[Failed] = []
        self._taken = 0
        self._fatal: KafkaError | None = None
        self._producer = self._open()

    @property
    def outstanding(self) -> int:
        """Records taken whose fate is not known yet."""
        return self._taken - self.acknowledged.total() - len(self.failed)

    def send(self, number: int, key: bytes | None, value: bytes, headers: Headers | None = None) -> str:
        """Take one record; blocks while the client's queue is full.

        Gives "" where it was taken, else why it can't be sent.

        Raises:
            BrokerError: Nothing can be sent any more.
        """
        done = partial(self._done, number)
        while True:
            try:
                # The client's types leave out headers without a value.
                self._producer.produce(self._topic, value, key, on_delivery=done, headers=cast("Any", headers))
            except BufferError:
                self._producer.poll(0.1)
                continue
            except KafkaException as error:
                return self._not_taken(error, len(value))
            break
        self._taken += 1
        if not self._taken % _SERVE_EVERY:
            self._producer.poll(0)
        return ""

    def wait(self, seconds: float) -> None:
        """Let time pass while acknowledgements come in."""
        end = monotonic() + seconds
        while (left := end - monotonic()) > 0:
            self._producer.poll(left)

    def finish(self, timeout_s: float) -> int:
        """Wait for the fate of every record, at most *timeout_s*; give how many are still unknown."""
        self._producer.flush(timeout_s)
        return self.outstanding

    def _open(self) -> Producer:
        chosen = {
            **producer(self._settings),
            "linger.ms": 20,  # nobody waits for one record; larger batches are half again as fast
            "message.max.bytes": max(self.limit_bytes, _CLIENT_MIN_BYTES),  # so that too large is known at once
            "error_cb": self._hear,
        }
        try:
            return Producer(chosen, logger=client_log)
        except KafkaException as error:
            raise wrong_setting(error) from error

    def _done(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.acknowledged[cast("int", message.partition())] += 1
        else:
            reason = f"{error.name()}: {error.str()}"
            self.failed.append(Failed(number, message.value() or b"", reason, error.code() in faults.REFUSED))

    def _not_taken(self, error: KafkaException, size: int) -> str:
        inner = faults.client_error(error)
        if inner is not None and inner.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return (
                f"{size:,} bytes are more than topic {self._topic!r} takes (max.message.bytes={self.limit_bytes:,}, the"
                " whole record counted)"
            )
        cause = self._fatal or inner
        doing = f"sending to topic {self._topic!r}"
        if cause is None:
            raise BrokerError(f"{error}, while {doing}") from error
        raise faults.fault(cause, doing=doing, settings=self._settings, topic=self._topic) from error

    def _hear(self, error: KafkaError) -> None:
        is_fatal = error.code() == KafkaError._FATAL  # noqa: SLF001  # the client's own codes begin with an underscore
        if is_fatal or error.code() in faults.CREDENTIALS:
            self._fatal = error
