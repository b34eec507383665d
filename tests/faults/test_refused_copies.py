"""Copies that the broker does not take for a while: nothing is settled before it has them, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from streams import App, Context, Record, RetryPolicy
from streams.dev import DevCluster
from streams.engine.chain import dlq_topic
from streams.kafka.admin import Admin
from streams.kafka.topics import set_config
from tests.brokers import Kafka, Topics
from tests.faults.figures import Injected
from tests.path.members import Bench, Running, numbered

BAD = b"bad"
_TIERS = RetryPolicy(delays=("1s",), jitter=0, memory_up_to="100ms")
_OTHERS = [b"%d" % number for number in range(20)]
_STAGES = pytest.mark.parametrize("stage", ["dlq", pytest.param("retry.1s", marks=pytest.mark.chaos)])


class Work:
    """A handler that fails one key, always or once, and notes what ended well."""

    def __init__(self, app: App, topic: str, stage: str) -> None:
        self.stage = stage
        self.done = list[int]()
        self.refused = dlq_topic(topic, app.group) if stage == "dlq" else f"{topic}.{app.group}.{stage}"
        app.on(topic, policy="park", retry=_TIERS)(self.handle)

    def handle(self, record: Record, ctx: Context) -> None:
        if record.key == BAD and (self.stage == "dlq" or ctx.attempt == 1):
            raise ValueError("bad")
        self.done.append(record.offset)

    def await_standstill(self, member: Running) -> int:
        """Wait until all others are done, and the one record is on its way; give how many are open."""
        (state,) = member.until(member.member.assignment.all)
        member.until(lambda: len(self.done) >= 100 and 0 < state.outstanding <= 2)
        return state.outstanding


def ends_well(bench: Bench, app: App, topic: str, work: Work, values: list[bytes]) -> bool:
    """Whether the two records of the bad key have the one end that they were to have, and all others too."""
    letters = [letter.value() for letter in bench.dead(topic, app.group)]
    others = set(range(1, 101))
    if work.stage == "dlq":
        return letters == values and sorted(work.done) == sorted(others)
    return not letters and sorted(work.done) == sorted({0, *others, 101})


@_STAGES
def test_a_topic_that_is_full_for_a_copy(stage: str, bench: Bench, topic: Topics, app: App, injected: Injected) -> None:
    """What does not fit stays open, and others go on; with more room it is written whole, once."""
    orders, large = topic(), os.urandom(50_000)
    work = Work(app, orders, stage)
    member = bench.run(app)
    member.until(lambda: member.ear.heard("assigned"))
    with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
        set_config(admin, work.refused, {"max.message.bytes": "20000"})
        bench.write(orders, [(BAD, large), *numbered(100, _OTHERS), (BAD, b"1")])
        member.until(lambda: member.ear.heard("letter_refused"))
        open_then = member.member.assignment.all()[0].outstanding
        set_config(admin, work.refused, {"max.message.bytes": "200000"})
    member.settled(within_s=60)
    injected(26, times=len(member.ear.heard("letter_refused")), members=1, in_flight=open_then)

    assert ends_well(bench, app, orders, work, [large, b"1"])


@pytest.mark.chaos
@_STAGES
def test_too_few_replicas_for_a_copy(
    stage: str, cluster3: DevCluster, group: Callable[..., str], injected: Injected
) -> None:
    """Its record stays open and others go on; when there are enough again it is written, once."""
    kafka = Kafka(cluster3.bootstrap, is_borrowed=True)
    topic, app = Topics(kafka), App(group())
    orders, bench = topic(), Bench(kafka, topic)
    work = Work(app, orders, stage)
    member = bench.run(app, session_timeout_s=30.0)
    try:
        member.until(lambda: member.ear.heard("assigned"))
        with Admin(app.settings.over(bootstrap=bench.bootstrap)) as admin:
            set_config(admin, work.refused, {"min.insync.replicas": "3"})
        cluster3.brokers[-1].kill()
        bench.write(orders, [(BAD, b"0"), *numbered(100, _OTHERS), (BAD, b"1")])
        open_then = work.await_standstill(member)
        written = len(bench.read(work.refused))
        cluster3.heal()
        member.settled(within_s=90)
    finally:
        cluster3.heal()
        bench.end()
    injected(26, times=1, members=1, in_flight=open_then)

    assert written == 0
    assert ends_well(bench, app, orders, work, [b"0", b"1"])
