"""An idle member's offsets do not expire: all of its chain's are written again and again.

A broker forgets the offsets of topics that a group does not subscribe to, as
those of a chain, some days after their last commit, members or not (KIP-211).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from streams import App, Record, RetryPolicy
from streams.record import Partition
from tests.brokers import Kafka, Topics
from tests.path.members import Bench, Running, numbered

_OFFSETS = "__consumer_offsets"


class Committed:
    """The commits of one group as the broker's own log of them shows them, from now on."""

    def __init__(self, kafka: Kafka, group: str) -> None:
        self._group = group.encode()
        self._consumer = Consumer(kafka.client(group_id=f"{group}-reader", enable_auto_commit=False))
        parts = self._consumer.list_topics(_OFFSETS, timeout=30).topics[_OFFSETS].partitions
        starts = [self._consumer.get_watermark_offsets(TopicPartition(_OFFSETS, number))[1] for number in parts]
        self._consumer.assign([TopicPartition(_OFFSETS, number, at) for number, at in zip(parts, starts, strict=True)])
        self.times: dict[Partition, list[int]] = defaultdict(list)
        """When each place was committed, ms since 1970."""
        self.offsets: dict[Partition, set[int]] = defaultdict(set)

    def read(self) -> None:
        """Take in what came since the last call."""
        for message in self._consumer.consume(500, 0.1):
            key, value = message.key(), message.value()
            if key is not None and value is not None and key[:2] in {b"\0\0", b"\0\1"}:
                self._note(key[2:], value, message.timestamp()[1])

    def _note(self, key: bytes, value: bytes, time_ms: int) -> None:
        group, rest = _text(key)
        topic, rest = _text(rest)
        if group == self._group:
            place = Partition(topic.decode(), struct.unpack(">i", rest)[0])
            self.offsets[place].add(struct.unpack(">q", value[2:10])[0])
            self.times[place].append(time_ms)

    def close(self) -> None:
        """Read no further."""
        self._consumer.close()


def _text(data: bytes) -> tuple[bytes, bytes]:
    """Take a text off the front of *data*: its length in two bytes, and itself."""
    end = 2 + struct.unpack(">h", data[:2])[0]
    return data[2:end], data[end:]


def await_commits(member: Running, seen: Committed, chain: set[str], times: int) -> None:
    """Wait until every topic in *chain* was committed *times* times."""

    def committed() -> bool:
        seen.read()
        return all(len(seen.times[Partition(topic, 0)]) >= times for topic in chain)

    member.until(committed)


@pytest.mark.chaos
def test_offsets_of_an_idle_chain_are_written_again(bench: Bench, topic: Topics, app: App, kafka: Kafka) -> None:
    """Those of the source too, with what they say, within a quarter of the session each time."""
    orders = topic()

    @app.on(orders, policy="park", retry=RetryPolicy(delays=("1h",), jitter=0))
    def handle(_record: Record) -> None:
        raise ValueError("not today")

    bench.write(orders, numbered(3))
    member = bench.run(app, waiting_records=1)
    member.passed()
    member.until(lambda: sum(count for _, _, count in member.ear.heard("relocated")) == 3)
    member.until(
        lambda: any(one.in_tiers + one.parked == 3 for view in member.ear.views[-1:] for one in view.partitions)
    )
    chain = {orders, *(f"{orders}.{app.group}.{end}" for end in ("retry.1h", "parked", "dlq"))}
    quiet = len(member.ear.views)
    member.until(lambda: len(member.ear.views) > quiet + 1)
    with closing(Committed(kafka, app.group)) as seen:
        await_commits(member, seen, chain, 3)

    assert {place.topic for place in seen.times} == chain
    assert all(times == sorted(set(times)) for times in seen.times.values())
    assert {place.topic: offsets for place, offsets in seen.offsets.items()} == {
        orders: {3},
        f"{orders}.{app.group}.retry.1h": {0},
        f"{orders}.{app.group}.parked": {0},
        f"{orders}.{app.group}.dlq": {0},
    }
