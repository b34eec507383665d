"""The load of a member, in scenarios whose result can be said beforehand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.observer import MemberView, PartitionView
from streams.record import Partition
from streams.scaling.load import ARRIVAL_WINDOW_S, DRAIN_S, Load, LoadEstimator, Work, due


def partition(
    number: int = 0,
    *,
    end: int = 0,
    unread: int = 0,
    outstanding: int = 0,
    retrying: int = 0,
    behind: int = 0,
) -> PartitionView:
    """A partition that ends at *end* and was read up to *unread* before that."""
    return PartitionView(
        partition=Partition("orders", number),
        position=end - unread if end >= 0 else -1,
        committed=-1,
        high_watermark=end,
        outstanding=outstanding,
        retrying=retrying,
        behind=behind,
        oldest_ms=-1,
        ledger_used=0.0,
        commit_age_s=0.0,
    )


def member(*partitions: PartitionView, running: int = 0, capacity: int = 1) -> MemberView:
    """A member that owns *partitions*."""
    outstanding = sum(one.outstanding for one in partitions)
    return MemberView(partitions, running, capacity, outstanding, outstanding_bytes=0, stuck=0)


@dataclass
class Scenario:
    """One member of one partition whose days are told a second at a time."""

    capacity: int = 1
    estimator: LoadEstimator = field(default_factory=LoadEstimator)
    work: Work = field(default_factory=Work)
    now_s: float = 100.0
    end: int = 1_000_000
    load: Load = field(default_factory=Load)

    def __post_init__(self) -> None:
        self.load = self.estimator.update(
            self.now_s, member(partition(end=self.end), capacity=self.capacity), self.work
        )

    def seconds(  # noqa: PLR0913  # each is one thing that can differ in a second
        self,
        count: int,
        *,
        arriving: int = 0,
        ending: int = 0,
        retries: int = 0,
        handler_s: float = 0.0,
        cpu_s: float = 0.0,
        unread: int = 0,
        running: int = 0,
        retrying: int = 0,
        behind: int = 0,
    ) -> Load:
        """Let *count* seconds pass, each like the others, and give the load after them."""
        for _ in range(count):
            self.now_s += 1
            self.end += arriving
            before = self.work
            self.work = Work(
                before.records + ending,
                before.retries + retries,
                before.handler_s + handler_s,
                before.cpu_s + cpu_s,
            )
            place = partition(
                end=self.end,
                unread=unread,
                outstanding=running + retrying + behind,
                retrying=retrying,
                behind=behind,
            )
            view = member(place, running=running, capacity=self.capacity)
            self.load = self.estimator.update(self.now_s, view, self.work)
        return self.load


def test_an_idle_member_has_no_work() -> None:
    """Nothing arrives and nothing waits: the load is 0, though no service rate was ever measured."""
    load = Scenario().seconds(5)

    assert load.replicas == 0
    assert math.isnan(load.service_per_s)


def test_a_member_without_partitions_has_no_work() -> None:
    """A spare member adds nothing to the sum, from its first view on."""
    assert LoadEstimator().update(0, member(), Work()).replicas == 0


def test_a_member_that_is_busy_half_the_time_is_half_a_replica() -> None:
    """100 records a second that take 5 ms each are 0.5 of a member that runs one at a time."""
    load = Scenario().seconds(10, arriving=100, ending=100, handler_s=0.5)

    assert load.arrivals_per_s == pytest.approx(100)
    assert load.service_per_s == pytest.approx(200)
    assert load.replicas == pytest.approx(0.5)


def test_concurrent_runs_share_the_time() -> None:
    """Sixteen runs at once that are busy half of their time are half a replica, however long each takes."""
    load = Scenario(capacity=16).seconds(10, arriving=80, ending=80, handler_s=8.0)

    assert load.service_per_s == pytest.approx(160)
    assert load.replicas == pytest.approx(0.5)


def test_work_on_the_processor_fills_a_member_whose_runs_are_few() -> None:
    """Sixteen threads share one interpreter: where the processor is the tighter bound, it is the one that counts."""
    load = Scenario(capacity=16).seconds(10, arriving=500, ending=500, handler_s=0.5, cpu_s=0.75)

    assert load.replicas == pytest.approx(0.75)


def test_a_backlog_asks_for_what_drains_it_in_time() -> None:
    """Work for two drain targets at the measured rate is two replicas, beside what arrives."""
    scenario = Scenario()
    scenario.seconds(10, arriving=100, ending=100, handler_s=0.5)
    load = scenario.seconds(1, arriving=100, ending=100, handler_s=0.5, unread=2 * 200 * int(DRAIN_S))

    assert load.backlog == 24_000
    assert load.replicas == pytest.approx(2.5)


def test_a_shorter_drain_target_asks_for_more() -> None:
    """The same backlog in half the time is twice the replicas."""
    loads = []
    for drain_s in (60, 30):
        scenario = Scenario(estimator=LoadEstimator(drain_s=drain_s))
        loads.append(scenario.seconds(10, ending=200, handler_s=1.0, unread=12_000))

    assert [load.replicas for load in loads] == pytest.approx([1, 2])


def test_a_member_that_never_lacked_work_shows_its_true_rate() -> None:
    """With runs under way and a backlog throughout, what ended is all it can do, idle as its slots look."""
    load = Scenario(capacity=16).seconds(600, arriving=50, ending=50, handler_s=0.5, unread=30_000, running=1)

    assert load.service_per_s == pytest.approx(50, rel=1e-3)
    assert load.replicas == pytest.approx(1 + 30_000 / (50 * DRAIN_S), rel=1e-3)


def test_a_slow_dependency_raises_the_load_in_step() -> None:
    """Runs that take ten times as long make ten times the work, once the window has passed."""
    scenario = Scenario(capacity=10)
    quick = scenario.seconds(60, arriving=20, ending=20, handler_s=1.0)
    slow = scenario.seconds(600, arriving=20, ending=20, handler_s=10.0)

    assert quick.replicas == pytest.approx(0.1)
    assert slow.replicas == pytest.approx(1.0, rel=1e-3)


def test_runs_that_do_not_end_lower_the_rate() -> None:
    """Handlers that stand still in front of a backlog count as time without a result."""
    scenario = Scenario()
    scenario.seconds(1, ending=100, handler_s=1.0, unread=6_000, running=1)
    load = scenario.seconds(9, unread=6_000, running=1)

    assert load.service_per_s == pytest.approx(10)


def test_a_long_run_counts_with_all_its_time() -> None:
    """A run of 30 s that ends in this second took 30 s, not one."""
    scenario = Scenario()
    scenario.seconds(29, running=1)
    load = scenario.seconds(1, ending=1, handler_s=30.0)

    assert load.service_per_s == pytest.approx(1 / 30)


def test_records_that_wait_for_an_attempt_are_no_backlog() -> None:
    """A dependency's outage fills memory with waiting records; none of them asks for a replica."""
    scenario = Scenario()
    scenario.seconds(10, arriving=100, ending=100, handler_s=0.5)
    load = scenario.seconds(1, arriving=100, ending=100, handler_s=0.5, retrying=4_000, behind=900)

    assert load.backlog == 0
    assert load.replicas == pytest.approx(0.5)


def test_a_record_that_runs_again_is_work_again() -> None:
    """Retries arrive like records: ten records a second that run twice keep a member busy for twenty runs."""
    load = Scenario().seconds(10, arriving=10, ending=20, retries=10, handler_s=0.2)

    assert load.arrivals_per_s == pytest.approx(20)
    assert load.replicas == pytest.approx(0.2)


def test_an_outage_of_the_broker_leaves_the_service_rate() -> None:
    """Nothing is read and nothing runs: that says nothing about how fast this member works."""
    scenario = Scenario()
    scenario.seconds(10, arriving=100, ending=100, handler_s=0.5)
    load = scenario.seconds(300, unread=600)

    assert load.service_per_s == pytest.approx(200)


def test_without_a_measured_rate_the_load_is_unknown() -> None:
    """A backlog in front of a member that has ended nothing yet is NaN, neither 0 nor a guess."""
    load = Scenario().seconds(3, unread=1_000)

    assert math.isnan(load.replicas)
    assert load.backlog == 1_000


def test_without_a_known_end_the_load_is_unknown() -> None:
    """A member that has not heard of any of its partitions' ends does not call itself idle."""
    estimator = LoadEstimator()
    for now_s in (1.0, 2.0):
        load = estimator.update(now_s, member(partition(end=-1)), Work())

        assert math.isnan(load.replicas)


def test_one_view_alone_tells_no_rate() -> None:
    """The first view only says where to measure from."""
    assert math.isnan(Scenario().load.replicas)


def test_two_views_of_one_moment_change_nothing() -> None:
    """A second view at the same time gives the load of the first."""
    scenario = Scenario()
    load = scenario.seconds(10, arriving=100, ending=100, handler_s=0.5)

    assert scenario.estimator.update(scenario.now_s, member(partition(end=9_999)), scenario.work) == load


def test_a_partition_takes_its_arrivals_along() -> None:
    """What arrived in a partition that went to another member is that member's work, at once."""
    estimator = LoadEstimator()
    loads = []
    for second in range(10):
        both = member(partition(0, end=30 * second), partition(1, end=70 * second))
        loads.append(estimator.update(second, both, Work(100 * second, 0, second / 2, 0)))
    after = estimator.update(10, member(partition(1, end=700)), Work(1_000, 0, 5, 0))

    assert loads[-1].replicas == pytest.approx(0.5)
    assert after.arrivals_per_s == pytest.approx(70)


def test_a_burst_is_spread_over_the_seconds_seen_and_then_fades() -> None:
    """A jump counts as its mean over the time watched so far, and by half the window's weight later on."""
    scenario = Scenario()
    scenario.seconds(1, arriving=1_000, ending=1_000, handler_s=0.5)
    early = scenario.seconds(1)
    late = scenario.seconds(300)

    kept = math.exp(-1 / ARRIVAL_WINDOW_S)
    assert early.arrivals_per_s == pytest.approx(1_000 * kept / (1 + kept))
    assert late.arrivals_per_s == pytest.approx(0, abs=0.01)


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_backlog_is_what_could_run(unread: int, free: int, retrying: int, behind: int) -> None:
    """Backlog is what is unread and what is free to run, over all partitions, whatever else waits."""
    place = partition(end=20_000, unread=unread, outstanding=free + retrying + behind, retrying=retrying, behind=behind)

    assert due([place, partition(1, end=-1, outstanding=3)]) == unread + free + 3


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0.01, 1)), min_size=2, max_size=30))
def test_the_load_is_finite_and_not_negative(seconds: list[tuple[int, float]]) -> None:
    """Whatever is done with whatever arrives, a member that has worked has a load."""
    scenario = Scenario()
    for records, busy_s in seconds:
        load = scenario.seconds(1, arriving=records, ending=records, handler_s=busy_s)

        assert 0 <= load.replicas < math.inf
