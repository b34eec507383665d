"""With a declared retention nothing that waits ages away: it is written anew in time."""

from __future__ import annotations

from streams import App, DeadLetter, Record, RetryPolicy
from streams.config import Settings
from streams.engine.chain import dlq_topic, parked_topic
from streams.kafka.admin import Admin
from streams.kafka.offsets import committed, delete_before
from streams.kafka.topics import topic_configs
from streams.record import Partition
from tests.brokers import Topics
from tests.path.clocks import SpedClock
from tests.path.members import Bench

POLICY = RetryPolicy(delays=("1s",), jitter=0, memory_up_to="0.5s")
DAY_S = 86_400.0
BAD = ValueError("bad")


class LateClock(SpedClock):
    """Both clocks are ahead by what a test says."""

    def now(self) -> float:
        return super().now() + self.ahead_s


def test_what_waits_is_written_anew_before_retention_takes_it(bench: Bench, topic: Topics, app: App) -> None:
    """A held dead letter and what stands behind it move on by the third part of a day; the old may then be lost."""
    orders, clock, done = topic(), LateClock(), list[bytes | None]()
    parked, dlq = Partition(parked_topic(orders, app.group), 0), Partition(dlq_topic(orders, app.group), 0)

    @app.on(orders, policy="park", retry=POLICY, dead_letters="hold")
    def handle(record: Record) -> DeadLetter | None:
        if record.value == b"bad":
            return DeadLetter(BAD)
        done.append(record.value)
        return None

    def stored() -> list[int]:
        found = committed(admin, app.group)
        return [found[place].offset for place in (parked, dlq)]

    with Admin(Settings(bootstrap=bench.bootstrap)) as admin:
        bench.write(orders, [(b"a", b"bad"), (b"a", b"1"), (b"a", b"2"), (b"b", b"3")])
        member = bench.run(app, clock=clock, chain_retention_s=DAY_S, waiting_records=1)
        member.until(lambda: [state.chain.outstanding for state in member.member.assignment.all()] == [2])
        member.until(lambda: stored() == [0, 0])
        kept = topic_configs(admin, [parked.topic, dlq.topic])
        clock.ahead_s = 0.3 * DAY_S
        noted = len(member.ear.views)
        member.until(lambda: len(member.ear.views) > noted + 3)
        young = stored()
        clock.ahead_s = 0.34 * DAY_S
        member.until(lambda: stored() == [2, 1])
        member.stop()
        refused = delete_before(admin, {parked: 2, dlq: 1})
    again = bench.run(app, clock=clock, chain_retention_s=DAY_S)
    again.until(lambda: again.ear.heard("recovered"))

    assert {config["retention.ms"] for config in kept.values()} == {"86400000"}
    assert young == [0, 0]
    assert set(refused.values()) == {None}
    assert [told[1:3] for told in again.ear.heard("recovered")] == [(2, 1)]
    assert not again.ear.heard("expired")
    assert done == [b"3"]
    assert len(bench.dead(orders, app.group)) == 1
