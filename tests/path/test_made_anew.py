"""A source that was deleted and made anew is another topic: nothing of the two is mixed, and people are told."""

from __future__ import annotations

from typing import Any

import pytest

from streams import App, Record, RetryPolicy
from streams.config import Settings
from streams.errors import ChainError
from streams.kafka.admin import Admin
from streams.kafka.shape import NewTopic
from streams.kafka.topics import create_topics, delete_topics, find_topics
from tests.brokers import Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, Running, numbered
from tests.waiting import eventually

POLICY = RetryPolicy(delays=("1h",), jitter=0)


def declare(app: App, topic: str) -> list[int]:
    """Declare a handler that notes what it got; the record at offset 3 fails."""
    seen: list[int] = []

    @app.on(topic, policy="park", retry=POLICY)
    def handle(record: Record) -> None:
        seen.append(record.offset)
        if record.offset == 3:
            raise ValueError("not today")

    return seen


def wait_in_the_chain(bench: Bench, app: App, topic: str, **settings: Any) -> Running:
    """Run a member until one record waits in the tier, with followers behind it."""
    bench.write(topic, numbered(10))
    member = bench.run(app, **settings)
    member.until(lambda: member.ear.heard("relocated"))
    return member


def make_anew(bench: Bench, topic: str) -> None:
    """Delete *topic*, and make another one under its name that holds as many records and more."""
    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        delete_topics(admin, [topic])
        eventually(lambda: not find_topics(admin, [topic]))
        create_topics(admin, [NewTopic(topic, 1)])
    bench.write(topic, numbered(20))


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_running_member_ends_before_it_mixes_the_two(
    protocol: str, bench: Bench, topic: Topics, app: App, injected: Injected
) -> None:
    """Records of the new topic would be taken for those that wait: not one runs; the error says what to do."""
    orders = topic()
    seen = declare(app, orders)
    member = wait_in_the_chain(bench, app, orders, protocol=protocol)
    member.passed()
    before, waiting = list(seen), sum(state.chain.outstanding for state in member.member.assignment.all())
    make_anew(bench, orders)
    member.await_end(within_s=90)
    injected(15, times=1, members=1, in_flight=waiting)

    assert isinstance(member.error, ChainError)
    assert str(member.error).startswith(f"topic {orders} was deleted and made anew while this member ran")
    assert f"Start the members of group {app.group} again" in str(member.error)
    assert seen == before


def test_a_stopped_group_is_told_what_still_waits(bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """At its next start it names the copy, says whose it is, and what is to be done; nothing is started."""
    orders = topic()
    seen = declare(app, orders)
    waiting = wait_in_the_chain(bench, app, orders).stop().parked
    before = list(seen)
    make_anew(bench, orders)
    member = bench.run(app)
    member.await_end(within_s=30)
    injected(15, times=1, members=1, in_flight=waiting)
    told = str(member.error)

    assert isinstance(member.error, ChainError)
    assert told.startswith(
        f"{orders}.{app.group}.retry.1h/0/0: a copy that belongs to an earlier topic of the same name."
    )
    assert "Nothing was started. Choose another group name, or delete the chain topics of this one" in told
    assert seen == before


def test_a_group_whose_chain_is_empty_goes_on_with_the_new_topic(bench: Bench, topic: Topics, app: App) -> None:
    """What is settled is in nobody's way: all records of the new topic are done."""
    orders = topic()
    seen: list[int] = []

    @app.on(orders, policy="park", retry=POLICY)
    def handle(record: Record) -> None:
        seen.append(record.offset)

    bench.write(orders, numbered(30))
    first = bench.run(app)
    first.passed()
    first.stop()
    seen.clear()
    make_anew(bench, orders)
    bench.run(app).until(lambda: len(seen) == 20)

    assert seen == list(range(20))
