"""A group whose members speak classic with `range`, as most other clients do, is joined as it is."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

import pytest
from confluent_kafka import Consumer

from streams import App, Record, RetryPolicy
from tests.brokers import Topics
from tests.path.members import Bench, numbered
from tests.waiting import eventually

_KEYS = [b"key-%d" % number for number in range(20)]
_RECORDS = 400


@pytest.mark.kafka
def test_members_of_another_kind_are_joined_and_taken_over_from(bench: Bench, topic: Topics, app: App) -> None:
    """A member takes its share beside another client of its group, and, once that has left, all of it, in order."""
    orders, failed = topic(partitions=2), set[int]()
    done: dict[bytes | None, list[int]] = defaultdict(list)

    @app.on(orders, retry=RetryPolicy(delays=("1s",), jitter=0, memory_up_to="0.1s"))
    def take(record: Record) -> None:
        number = int(record.value or b"")
        if number % 50 == 0 and number not in failed:
            failed.add(number)
            raise ValueError("not yet")
        done[record.key].append(number)

    with closing(Consumer(bench.kafka.client(group_id=app.group, enable_auto_commit=False))) as other:
        other.subscribe([orders])
        eventually(lambda: other.poll(0.1) or len(other.assignment()) == 2)
        member = bench.run(app, protocol="auto")
        eventually(lambda: other.poll(0.1) or len(other.assignment()) == 1)
        bench.write(orders, numbered(_RECORDS, _KEYS))
        eventually(lambda: other.poll(0.1) or sum(map(len, done.values())) >= _RECORDS // 10)
    member.settled()

    assert len(failed) == _RECORDS // 50
    assert done == {key: list(range(at, _RECORDS, len(_KEYS))) for at, key in enumerate(_KEYS)}
