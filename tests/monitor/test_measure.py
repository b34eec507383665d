"""The numbers of a member are those that the engine told."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Counter as UserCounter
from prometheus_client import generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streams.monitor.measure import MetricsObserver
from streams.monitor.metrics import TABLE, TOPIC
from streams.observer import Failure, Observers
from tests.monitor.views import ORDERS, OTHER, TurnedClock, member, place


class Shown:
    """A member's metrics as a scraper reads them."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.cpu_s = 0.0
        self.observer = MetricsObserver("billing", clock=self.clock, cpu=lambda: self.cpu_s)

    def __call__(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None where it is not shown."""
        return self.observer.registry.get_sample_value(name, {"group": "billing", **labels})


@pytest.fixture
def shown() -> Shown:
    """A member that has seen nothing yet."""
    return Shown()


def test_what_was_read_is_counted_in_records_and_bytes(shown: Shown) -> None:
    """Batches of all partitions of a topic add up."""
    shown.observer.consumed(ORDERS, 500, 150_000)
    shown.observer.consumed(OTHER, 3, 90)

    assert shown("streams_consumed_records_total", topic="orders") == 503
    assert shown("streams_consumed_bytes_total", topic="orders") == 150_090


def test_outcomes_are_counted_by_kind(shown: Shown) -> None:
    """Each kind of outcome has its own number."""
    shown.observer.finished("orders", "done", 7)
    shown.observer.finished("orders", "done", 1)
    shown.observer.finished("orders", "retried", 2)

    assert shown("streams_outcomes_total", topic="orders", outcome="done") == 8
    assert shown("streams_outcomes_total", topic="orders", outcome="retried") == 2


def test_handler_time_keeps_count_and_sum_exact(shown: Shown) -> None:
    """A batch of 100 runs that took 2 s counts as 100 runs of 20 ms."""
    shown.observer.handled("orders", 100, 2.0)

    assert shown("streams_handler_seconds_count", topic="orders") == 100
    assert shown("streams_handler_seconds_sum", topic="orders") == pytest.approx(2.0)
    assert shown("streams_handler_seconds_bucket", topic="orders", le="0.01") == 0
    assert shown("streams_handler_seconds_bucket", topic="orders", le="0.05") == 100


def test_a_batch_without_runs_takes_no_time(shown: Shown) -> None:
    """No runs are no observation, and no division either."""
    shown.observer.handled("orders", 0, 0.0)

    assert shown("streams_handler_seconds_count", topic="orders") is None


def test_latency_is_that_of_each_batch_s_oldest_record(shown: Shown) -> None:
    """One observation a batch; a record from the future counts as new."""
    shown.observer.settled(ORDERS, 4.0, 500)
    shown.observer.settled(ORDERS, -1.0, 20)

    assert shown("streams_settled_records_total", topic="orders") == 520
    assert shown("streams_end_to_end_latency_seconds_count", topic="orders") == 2
    assert shown("streams_end_to_end_latency_seconds_sum", topic="orders") == 4.0
    assert shown("streams_end_to_end_latency_seconds_bucket", topic="orders", le="5.0") == 2


def test_events_are_counted(shown: Shown) -> None:
    """Each event that is told once counts once, under its topic."""
    error = ValueError("no")
    shown.observer.retrying(ORDERS, [Failure(1, 1, 0.5, error)])
    shown.observer.dead_lettered(ORDERS, 1, 2, error)
    shown.observer.letter_refused(ORDERS, 1, "TOPIC_AUTHORIZATION_FAILED")
    shown.observer.expired(ORDERS, 40)
    shown.observer.commit_failed(ORDERS, "COORDINATOR_NOT_AVAILABLE")
    shown.observer.ledger_cut(ORDERS)
    shown.observer.restarted(ORDERS, "unknown outcome")
    shown.observer.committed(ORDERS, 100, 0.02)
    shown.observer.broker_error("all brokers are down", fatal=False)

    assert shown("streams_retries_total", topic="orders") == 1
    assert shown("streams_dead_letters_total", topic="orders") == 1
    assert shown("streams_dead_letters_refused_total", topic="orders") == 1
    assert shown("streams_expired_records_total", topic="orders") == 40
    assert shown("streams_commit_failures_total", topic="orders") == 1
    assert shown("streams_ledger_cuts_total", topic="orders") == 1
    assert shown("streams_restarts_total", topic="orders") == 1
    assert shown("streams_commit_seconds_sum", topic="orders") == 0.02
    assert shown("streams_broker_errors_total", fatal="false") == 1
    assert shown("streams_broker_errors_total", fatal="true") == 0


def test_the_ways_of_records_through_the_chain_are_counted(shown: Shown) -> None:
    """By topic, those that leave by where they go; an owned topic shows all of it from 0."""
    shown.observer.assigned([ORDERS])
    shown.observer.relocated(ORDERS, "tier", 2)
    shown.observer.relocated(OTHER, "tier", 1)
    shown.observer.swept(ORDERS, "parked", 40)
    shown.observer.swept(ORDERS, "tier", 2)
    shown.observer.fenced(ORDERS, 3)

    assert shown("streams_relocated_records_total", topic="orders", kind="tier") == 3
    assert shown("streams_relocated_records_total", topic="orders", kind="parked") == 0
    assert shown("streams_swept_records_total", topic="orders") == 42
    assert shown("streams_fenced_copies_total", topic="orders") == 3


def test_what_waits_in_the_chain_is_shown(shown: Shown) -> None:
    """Records by where they are, keys by what they wait for; none of it is lag of the topic."""
    shown.observer.viewed(member(place(in_tiers=2, parked=7, moving=1, in_trouble=3, blocked=1, dead=5)))
    shows = {
        "streams_tier_records": 2,
        "streams_parked_records": 7,
        "streams_moving_records": 1,
        "streams_troubled_keys": 3,
        "streams_blocked_keys": 1,
        "streams_dead_letter_records": 5,
        "streams_lag_records": 0,
    }

    assert {name: shown(name, topic="orders", partition="0") for name in shows} == shows


def test_what_stands_still_is_shown(shown: Shown) -> None:
    """A dependency or a topic that stands still is 1, probing included, and 0 as soon as it goes on."""
    seen = []
    for state in ("closed", "open", "half_open", "closed"):
        shown.observer.breaker_turned("payments", state, "")
        shown.observer.guard_turned("orders", state, "")
        seen.append((shown("streams_breaker_open", dependency="payments"), shown("streams_guard_open", topic="orders")))
    shown.observer.breaker_turned("mail", "open", "")

    assert seen == [(0, 0), (1, 1), (1, 1), (0, 0)]
    assert (shown("streams_breaker_open", dependency="payments"), shown("streams_breaker_open", dependency="mail")) == (
        0,
        1,
    )


@pytest.mark.parametrize("how", ["acquitted", "revoked", "restarted"])
def test_a_partition_is_suspected_until_it_is_not_or_goes(shown: Shown, how: str) -> None:
    """Others that are suspected meanwhile count on."""
    ends: dict[str, Callable[[], None]] = {
        "acquitted": lambda: shown.observer.acquitted(ORDERS, "it has none"),
        "revoked": lambda: shown.observer.revoked([ORDERS], lost=True),
        "restarted": lambda: shown.observer.restarted(ORDERS, "unknown outcome"),
    }
    seen = []
    shown.observer.suspected(ORDERS, 3, -1)
    shown.observer.suspected(OTHER, 3, -1)
    shown.observer.viewed(member(place()))
    seen.append(shown("streams_suspected_partitions"))
    ends[how]()
    shown.observer.viewed(member(place()))

    assert [*seen, shown("streams_suspected_partitions")] == [2, 1]


def test_rebalances_are_counted_by_how_partitions_went(shown: Shown) -> None:
    """Assigned, revoked and lost are three numbers."""
    shown.observer.assigned([ORDERS, OTHER])
    shown.observer.revoked([ORDERS], lost=False)
    shown.observer.revoked([OTHER], lost=True)

    for event in ("assigned", "revoked", "lost"):
        assert shown("streams_rebalances_total", event=event) == 1


def test_counters_of_an_owned_topic_start_at_zero(shown: Shown) -> None:
    """An alert on an increase sees the first one, because the number was there before."""
    shown.observer.assigned([ORDERS])

    for row in TABLE:
        if row.kind == "counter" and row.labels == TOPIC:
            assert shown(row.name, topic="orders") == 0, row.name
    assert shown("streams_outcomes_total", topic="orders", outcome="dead_lettered") == 0


def test_a_view_becomes_gauges(shown: Shown) -> None:
    """What stands now is shown as the engine sees it."""
    shown.observer.viewed(
        member(
            place(
                position=60,
                high_watermark=100,
                outstanding=12,
                retrying=2,
                behind=3,
                oldest_ms=int(shown.clock.at_s * 1000) - 2_500,
                ledger_used=0.25,
                commit_age_s=1.5,
                paused="ledger",
            ),
            place(OTHER),
            running=4,
            capacity=16,
            outstanding=12,
            outstanding_bytes=3_600,
            stuck=1,
        )
    )

    first = {"topic": "orders", "partition": "0"}
    assert shown("streams_lag_records", **first) == 40 + 12
    assert shown("streams_lag_seconds", **first) == 2.5
    assert shown("streams_retrying_records", **first) == 2
    assert shown("streams_waiting_behind_records", **first) == 3
    assert shown("streams_ledger_used_ratio", **first) == 0.25
    assert shown("streams_commit_age_seconds", **first) == 1.5
    assert shown("streams_lag_records", topic="orders", partition="1") == 0
    assert shown("streams_assigned_partitions") == 2
    assert shown("streams_paused_partitions", reason="ledger") == 1
    assert shown("streams_paused_partitions", reason="in_flight") == 0
    assert shown("streams_in_flight_records") == 12
    assert shown("streams_in_flight_bytes") == 3_600
    assert shown("streams_handler_runs") == 4
    assert shown("streams_handler_capacity_runs") == 16
    assert shown("streams_stuck_runs") == 1
    assert shown("streams_view_timestamp_seconds") == shown.clock.at_s


@pytest.mark.parametrize("age_s", [math.nan, math.inf])
def test_what_is_unknown_is_not_shown(shown: Shown, age_s: float) -> None:
    """A partition whose end, last commit and oldest record are unknown has no such gauges, not zeros."""
    shown.observer.viewed(member(place(position=-1, committed=-1, high_watermark=-1, commit_age_s=age_s)))

    for name in ("streams_lag_records", "streams_lag_seconds", "streams_commit_age_seconds"):
        assert shown(name, topic="orders", partition="0") is None


@pytest.mark.parametrize("lost", [False, True])
def test_the_gauges_of_a_partition_go_with_it(shown: Shown, *, lost: bool) -> None:
    """From the moment a partition is given back or lost, no gauge of it is shown; others stay."""
    shown.observer.viewed(member(place(), place(OTHER)))
    shown.observer.revoked([ORDERS], lost=lost)

    pages = generate_latest(shown.observer.registry).decode()
    assert 'partition="0"' not in pages
    assert 'partition="1"' in pages


def test_gauges_of_a_partition_that_a_view_no_longer_has_are_gone(shown: Shown) -> None:
    """The newest view alone says what is owned."""
    shown.observer.viewed(member(place(), place(OTHER)))
    shown.observer.viewed(member(place(OTHER)))

    assert shown("streams_lag_records", topic="orders", partition="0") is None


def test_the_load_is_computed_from_what_was_told(shown: Shown) -> None:
    """100 records a second that keep the one slot busy half the time are half a replica."""
    for _ in range(5):
        shown.observer.finished("orders", "done", 100)
        shown.observer.handled("orders", 100, 0.5)
        shown.clock.at_s += 1
        end = 100 * int(shown.clock.at_s)
        shown.observer.viewed(member(place(position=end, high_watermark=end)))

    assert shown("streams_scale_load") == pytest.approx(0.5)
    assert shown("streams_arrival_records_per_second") == pytest.approx(100)
    assert shown("streams_service_records_per_second") == pytest.approx(200)
    assert shown("streams_due_records") == 0
    assert shown.observer.load.replicas == shown("streams_scale_load")


def test_retries_and_processor_time_count_in_the_load(shown: Shown) -> None:
    """Runs that come again are arrivals, and a busy processor is a busy member."""
    for _ in range(5):
        shown.observer.finished("orders", "retried", 10)
        shown.clock.at_s += 1
        shown.cpu_s += 0.25
        shown.observer.viewed(member(place()))

    assert shown("streams_arrival_records_per_second") == pytest.approx(10)
    assert shown("streams_scale_load") == pytest.approx(0.25)


def test_an_unknown_load_is_absent(shown: Shown) -> None:
    """One view alone tells no load; a sum over the group is not spoilt by it."""
    shown.observer.viewed(member(place()))

    assert shown("streams_scale_load") is None


def test_the_registry_shows_exactly_the_table(shown: Shown) -> None:
    """Every metric of ours that is served stands in the table, in its kind, with its labels, and the reverse."""
    fill(shown)
    families = parse_text(generate_latest(shown.observer.registry).decode())
    ours = {family.name: family for family in families if family.name.startswith("streams_")}

    assert set(ours) == {row.name.removesuffix("_total") for row in TABLE}
    for row in TABLE:
        family = ours[row.name.removesuffix("_total")]
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        assert family.type == row.kind
        assert labels == {"group", *row.labels}
        assert family.documentation == row.sentence


def test_openmetrics_is_well_formed(shown: Shown) -> None:
    """The strict parser of OpenMetrics takes the whole page."""
    fill(shown)
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    families = parse_openmetrics(encode(shown.observer.registry).decode())  # type: ignore[no-untyped-call]

    assert {row.name.removesuffix("_total") for row in TABLE} <= {family.name for family in families}


def test_the_process_is_measured_too(shown: Shown) -> None:
    """Memory of the process is served beside our numbers."""
    page = generate_latest(shown.observer.registry).decode()

    assert "process_resident_memory_bytes" in page


def test_users_may_add_their_own(shown: Shown) -> None:
    """A metric registered by an app stands beside ours; one of our names is refused."""
    UserCounter("orders_value", "Value of all orders.", registry=shown.observer.registry).inc(5)

    assert shown.observer.registry.get_sample_value("orders_value_total") == 5
    with pytest.raises(ValueError, match="Duplicated"):
        UserCounter("streams_retries", "Ours.", registry=shown.observer.registry)


@given(st.lists(st.floats(0, 1e5), max_size=40))
def test_buckets_only_grow_and_end_at_the_count(latencies: list[float]) -> None:
    """A histogram's buckets are cumulative whatever is observed, and its sum is the sum."""
    shown = Shown()
    shown.observer.assigned([ORDERS])
    for latency_s in latencies:
        shown.observer.settled(ORDERS, latency_s, 1)

    (family,) = (one for one in shown.observer.registry.collect() if one.name == "streams_end_to_end_latency_seconds")
    buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == len(latencies)
    assert shown("streams_end_to_end_latency_seconds_sum", topic="orders") == pytest.approx(math.fsum(latencies))


def fill(shown: Shown) -> None:
    """Give every metric at least one sample."""
    for _ in range(2):
        observers = Observers(shown.observer)
        observers.assigned([ORDERS])
        observers.finished("orders", "done", 1)
        observers.handled("orders", 1, 0.5)
        observers.settled(ORDERS, 0.1, 1)
        observers.committed(ORDERS, 1, 0.01)
        observers.breaker_turned("payments", "closed", "")
        observers.guard_turned("orders", "closed", "")
        shown.clock.at_s += 1
        observers.viewed(member(place()))


def test_an_exemplar_stands_in_the_bucket_of_its_own_length(shown: Shown) -> None:
    """Of each bucket the latest; a parser of OpenMetrics reads them, and plain text has none."""
    for run_s, span in ((0.003, "1"), (0.004, "2"), (0.2, "3")):
        shown.observer.exemplify("orders", run_s, 7.0 if span == "3" else None, {"trace_id": "t", "span_id": span})
    shown.observer.assigned([ORDERS])
    encode, _ = choose_encoder("application/openmetrics-text; version=1.0.0")
    families = parse_openmetrics(encode(shown.observer.registry).decode())  # type: ignore[no-untyped-call]
    found = {
        (sample.name, sample.labels["le"]): (sample.exemplar.labels["span_id"], sample.exemplar.value)
        for family in families
        for sample in family.samples
        if sample.exemplar
    }

    assert found == {
        ("streams_handler_seconds_bucket", "0.005"): ("2", 0.004),
        ("streams_handler_seconds_bucket", "0.25"): ("3", 0.2),
        ("streams_end_to_end_latency_seconds_bucket", "10.0"): ("3", 7.0),
    }
    assert "# {" not in generate_latest(shown.observer.registry).decode()
