"""Keyed records from a seed, written while members run."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from streams.config import Settings
from streams.errors import BrokerError
from streams.kafka.admin import Admin
from streams.kafka.bulk import BulkSender
from streams.kafka.topics import require_topics
from streams.verify.mark import Mark
from streams.verify.payload import Payload

_HOT: Final = 3
_FATES_WITHIN_S: Final = 310.0
"""A little more than the client itself tries to send a record."""
_WORK_MS: Final = (20, 200)
_ALWAYS: Final = 99
"""So many failures are more than any policy allows attempts."""


class Load:
    """The records of one topic; owned by one thread.

    Always true: what was sent depends on the seed and the number of records
    alone, but for how long a few of them take.
    """

    def __init__(
        self, settings: Settings, topic: str, payload: Payload, *, seed: int, keys: int, failing: float
    ) -> None:
        """Write to *topic*; *failing* is the share of records whose first runs fail."""
        with Admin(settings) as admin:
            self._sender = BulkSender(settings, require_topics(admin, [topic], with_config=True)[topic])
        self.topic = topic
        self.sent = 0
        self._payload, self._keys, self._failing = payload, keys, failing
        self._rng, self._pace = random.Random(f"{seed} {topic}"), random.Random(f"{seed} {topic} pace")
        self._seqs: Counter[int] = Counter()

    def write(self, count: int, *, slow: float) -> None:
        """Write *count* records; of these the share *slow* takes a while to run.

        Raises:
            BrokerError: One was refused.
        """
        for _ in range(count):
            self._write_one(slow)
        self._sender.wait(0)

    def _write_one(self, slow: float) -> None:
        rng = self._rng
        hot, keyless, chosen = rng.random() < 0.03, rng.random() < 0.02, rng.randrange(self._keys)  # noqa: PLR2004  # shares
        number = chosen % min(_HOT, self._keys) if hot else chosen
        seq = self._seqs[number]
        self._seqs[number] += 1
        fails = self._fails()
        work_ms = self._pace.randint(*_WORK_MS) if self._pace.random() < slow else 0
        body, key = self._payload.body(number, seq), None if keyless else self._payload.key(number).encode()
        fault = self._sender.send(self.sent, key, body, [Mark(self.sent, seq, work_ms, fails).header()])
        if fault:
            raise BrokerError(f"topic {self.topic!r} does not take the load: {fault}")
        self.sent += 1

    def _fails(self) -> int:
        draw, times = self._rng.random(), self._rng.randint(1, 2)
        if draw >= self._failing:
            return 0
        return _ALWAYS if draw < self._failing / 10 else times

    def finish(self) -> frozenset[int]:
        """Wait for every acknowledgement; give the numbers of the records that were acknowledged.

        Raises:
            BrokerError: The fate of some stays unknown.
        """
        if left := self._sender.finish(_FATES_WITHIN_S):
            raise BrokerError(f"{left:,} records of the load to {self.topic!r} got no answer; nothing can be judged")
        return frozenset(range(self.sent)) - {failed.number for failed in self._sender.failed}
