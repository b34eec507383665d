"""Where very many partitions begin and end, asked often: one connection that stays, one call for all of them.

`offsets` asks with a future for each partition, which for thousands of them
costs a hundred times as much as the broker's answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from time import monotonic
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from streams.kafka.admin import Admin, wrong_setting
from streams.kafka.clientlog import client_log
from streams.kafka.settings import reader
from streams.record import Partition

_GROUP: Final = "streams-reader"
"""The client wants a name; nothing is joined or committed."""
_TRY_S: Final = 2.0
_DOING: Final = "looking up where partitions end"


class Marks:
    """Owned by one thread.  The first question connects."""

    def __init__(self, admin: Admin) -> None:
        """Ask the cluster of *admin*."""
        self._admin = admin
        self._client: Consumer | None = None

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the offset that the next record of each will have; those without a leader are not in the answer.

        Raises:
            BrokerError: The broker does not answer.
        """
        return self._ask(partitions, OFFSET_END)

    def begins(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Give the oldest offset of each that is still there; the same holds.

        Raises:
            BrokerError: The broker does not answer.
        """
        return self._ask(partitions, OFFSET_BEGINNING)

    def close(self) -> None:
        """Let go of the connection; a later question opens it anew."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(self, partitions: Iterable[Partition], spec: int) -> dict[Partition, int]:
        asked = [TopicPartition(*place, spec) for place in partitions]
        if not asked:
            return {}
        try:
            return self._answer(asked, self._admin.timeout_s)
        except KafkaException as error:
            self.close()  # a client that knows a dead leader keeps asking it
            found = self._ask_apart(asked)
            if not found:
                raise self._admin.fault(error, _DOING) from error
            return found

    def _ask_apart(self, asked: list[TopicPartition]) -> dict[Partition, int]:
        """Ask topic by topic: one partition whose leader does not answer fails the whole question."""
        end, found = monotonic() + self._admin.timeout_s, dict[Partition, int]()
        for _, places in groupby(asked, key=lambda one: one.topic):
            left_s = end - monotonic()
            if left_s <= 0:
                break
            with suppress(KafkaException):
                found |= self._answer(list(places), min(_TRY_S, left_s))
        return found

    def _answer(self, asked: list[TopicPartition], timeout_s: float) -> dict[Partition, int]:
        self._client = self._client or self._open()
        answers = self._client.offsets_for_times(asked, timeout=timeout_s)
        return {
            Partition(one.topic, one.partition): one.offset for one in answers if one.error is None and one.offset >= 0
        }

    def _open(self) -> Consumer:
        chosen = {
            **reader(self._admin.settings),
            "group.id": self._admin.settings.group or _GROUP,
            "isolation.level": "read_uncommitted",  # the end of the log, not of what is committed in it
            "error_cb": lambda _error: None,  # what matters comes with the answer
        }
        try:
            return Consumer(chosen, logger=client_log)
        except KafkaException as error:
            raise wrong_setting(error) from error
