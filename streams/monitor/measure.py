"""The observer behind ``/metrics``: it keeps what the table of metrics names."""

from __future__ import annotations

import math
import platform
import time
from collections import Counter as Count
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector

from streams.clock import Clock, SystemClock
from streams.engine.command import Fate
from streams.monitor.lag import LagAge, lag_records
from streams.monitor.metrics import PLACE, TABLE, TOPIC
from streams.monitor.series import Counter, Gauge, Histogram, Labels, SeriesCollector
from streams.observer import (
    ChainKind,
    CircuitState,
    Failure,
    MemberView,
    Observer,
    OutcomeName,
    PartitionView,
    PauseReason,
)
from streams.record import Partition
from streams.scaling.load import Load, LoadEstimator, Work


class MetricsObserver(Observer):
    """Keeps the numbers of one member and offers them in a registry of its own.

    Written by the poll thread, read by whoever serves `registry`.  An event
    costs a few look-ups: no lock, no call into the metrics client.

    Always true:

    * A gauge of a partition that is not owned is not shown.
    * The counters of an owned topic are shown from 0, so that their first
      increase can be seen.
    """

    def __init__(
        self,
        group: str,
        *,
        clock: Clock | None = None,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        """Keep the numbers of a member of *group*.

        Args:
            group: The consumer group.
            clock: Where the time comes from.
            cpu: CPU seconds of this process so far.
        """
        self._clock = clock or SystemClock()
        self._cpu = cpu
        self._age = LagAge()
        self._estimator = LoadEstimator()
        self.load = Load()
        """This member's load, as of the last view."""
        self._ended = self._retried = 0
        self._handler_s = 0.0
        self._open_breakers: dict[Labels, float] = {}
        self._open_guards: dict[Labels, float] = {}
        self._suspected: set[Partition] = set()
        self._counters = {row.name: Counter(row) for row in TABLE if row.kind == "counter"}
        self._gauges = {row.name: Gauge(row) for row in TABLE if row.kind == "gauge"}
        self._histograms = {row.name: Histogram(row) for row in TABLE if row.kind == "histogram"}
        self._name_hot_ones()
        self._show_constants()
        self.registry = CollectorRegistry()
        """The metrics of the table and those of the process; your own may join them."""
        everything = self._counters | self._histograms | self._gauges
        self.registry.register(SeriesCollector(group, [everything[row.name] for row in TABLE]))
        ProcessCollector(registry=self.registry)

    def _name_hot_ones(self) -> None:
        self._consumed_records = self._counters["streams_consumed_records_total"]
        self._consumed_bytes = self._counters["streams_consumed_bytes_total"]
        self._outcomes = self._counters["streams_outcomes_total"]
        self._settled_records = self._counters["streams_settled_records_total"]
        self._handler = self._histograms["streams_handler_seconds"]
        self._latency = self._histograms["streams_end_to_end_latency_seconds"]

    def _show_constants(self) -> None:
        self._gauges["streams_build_info"].show({(version("streams"), platform.python_version()): 1})
        for event in ("assigned", "revoked", "lost"):
            self._counters["streams_rebalances_total"].add((event,), 0)
        for fatal in ("false", "true"):
            self._counters["streams_broker_errors_total"].add((fatal,), 0)

    # ------------------------------------------------------------------ once a batch

    def consumed(self, partition: Partition, records: int, size_bytes: int) -> None:
        """Count records and bytes that were read."""
        labels = (partition[0],)
        self._consumed_records.add(labels, records)
        self._consumed_bytes.add(labels, size_bytes)

    def finished(self, topic: str, outcome: OutcomeName, records: int) -> None:
        """Count runs by what became of their records."""
        self._outcomes.add((topic, outcome), records)
        self._ended += records
        if outcome == "retried":
            self._retried += records

    def handled(self, topic: str, runs: int, total_s: float) -> None:
        """Spread the time of *runs* evenly over them."""
        if runs > 0:
            self._handler.observe((topic,), total_s / runs, runs)
            self._handler_s += total_s

    def settled(self, partition: Partition, latency_s: float, records: int) -> None:
        """Count settled records and observe their oldest one's age."""
        labels = (partition[0],)
        self._settled_records.add(labels, records)
        self._latency.observe(labels, max(0.0, latency_s))
        self._age.settled(partition, self._clock.now() - latency_s)

    def exemplify(self, topic: str, run_s: float, age_s: float | None, trace: Mapping[str, str]) -> None:
        """Name the *trace* of a run, and of a record that was *age_s* old at its end.  From any thread."""
        labels, now_s = (topic,), self._clock.now()
        self._handler.exemplify(labels, run_s, trace, now_s)
        if age_s is not None:
            self._latency.exemplify(labels, max(0.0, age_s), trace, now_s)

    # ------------------------------------------------------------------ once an event

    def retrying(self, partition: Partition, failures: Sequence[Failure]) -> None:
        """Count retries."""
        self._counters["streams_retries_total"].add((partition.topic,), len(failures))

    def dead_lettered(self, partition: Partition, offset: int, attempts: int, error: BaseException) -> None:
        """Count a dead letter."""
        self._counters["streams_dead_letters_total"].add((partition.topic,))

    def letter_refused(self, partition: Partition, offset: int, code: str) -> None:
        """Count a dead letter that the broker refused."""
        self._counters["streams_dead_letters_refused_total"].add((partition.topic,))

    def relocated(self, partition: Partition, kind: str, records: int) -> None:
        """Count records that left for another topic of the chain."""
        self._counters["streams_relocated_records_total"].add((partition.topic, kind), records)

    def swept(self, partition: Partition, kind: str, records: int) -> None:
        """Count records that came back from one."""
        self._counters["streams_swept_records_total"].add((partition.topic,), records)

    def fenced(self, partition: Partition, copies: int) -> None:
        """Count copies that are nobody's."""
        self._counters["streams_fenced_copies_total"].add((partition.topic,), copies)

    def obeyed(self, partition: Partition, verb: str, fates: Mapping[str, int]) -> None:
        """Count dead letters that an operator acted on."""
        for fate, letters in fates.items():
            self._counters["streams_operator_letters_total"].add((partition.topic, fate), letters)

    def committed(self, partition: Partition, offset: int, took_s: float) -> None:
        """Observe how long the broker took."""
        self._histograms["streams_commit_seconds"].observe((partition.topic,), max(0.0, took_s))

    def commit_failed(self, partition: Partition, code: str) -> None:
        """Count a commit that was not accepted."""
        self._counters["streams_commit_failures_total"].add((partition.topic,))

    def ledger_cut(self, partition: Partition) -> None:
        """Count a ledger that outgrew its commit."""
        self._counters["streams_ledger_cuts_total"].add((partition.topic,))

    def expired(self, partition: Partition, records: int) -> None:
        """Count what retention took."""
        self._counters["streams_expired_records_total"].add((partition.topic,), records)

    def restarted(self, partition: Partition, cause: str) -> None:
        """Count an assignment that began anew; whether it is suspected again is told."""
        self._suspected.discard(partition)
        self._counters["streams_restarts_total"].add((partition.topic,))

    def breaker_turned(self, dependency: str, state: CircuitState, why: str) -> None:
        """Show whether a dependency counts as down."""
        self._open_breakers[dependency,] = state != "closed"
        self._gauges["streams_breaker_open"].show(self._open_breakers)

    def guard_turned(self, topic: str, state: CircuitState, why: str) -> None:
        """Show whether a topic's dead letters are too many."""
        self._open_guards[topic,] = state != "closed"
        self._gauges["streams_guard_open"].show(self._open_guards)

    def suspected(self, partition: Partition, starts: int, blamed: int) -> None:
        """Show a partition whose records are tried one at a time."""
        self._suspected.add(partition)

    def acquitted(self, partition: Partition, why: str) -> None:
        """Show it no longer."""
        self._suspected.discard(partition)

    def broker_error(self, text: str, *, fatal: bool) -> None:
        """Count an error of the client."""
        self._counters["streams_broker_errors_total"].add(("true" if fatal else "false",))

    def assigned(self, partitions: Sequence[Partition]) -> None:
        """Count the event, and show the counters of topics that are new here."""
        self._counters["streams_rebalances_total"].add(("assigned",))
        self._age.forget(partitions)
        for topic in {partition.topic for partition in partitions}:
            self._know(topic)

    def revoked(self, partitions: Sequence[Partition], *, lost: bool) -> None:
        """Count the event, and show *partitions* no longer."""
        self._counters["streams_rebalances_total"].add(("lost" if lost else "revoked",))
        self._age.forget(partitions)
        self._suspected.difference_update(partitions)
        gone = {_labels(partition) for partition in partitions}
        for gauge in self._gauges.values():
            if gauge.row.labels == PLACE:
                gauge.forget(gone)

    def _know(self, topic: str) -> None:
        for counter in self._counters.values():
            if counter.row.labels == TOPIC:
                counter.add((topic,), 0)
        for outcome in get_args(OutcomeName):
            self._outcomes.add((topic, outcome), 0)
        for fate in get_args(Fate):
            self._counters["streams_operator_letters_total"].add((topic, fate), 0)
        for kind in get_args(ChainKind):
            self._counters["streams_relocated_records_total"].add((topic, kind), 0)
        for histogram in self._histograms.values():
            histogram.know((topic,))

    # ------------------------------------------------------------------ once a second

    def viewed(self, view: MemberView) -> None:
        """Show what stands now."""
        now_s = self._clock.now()
        self._show_partitions(view.partitions, now_s)
        self._show_member(view)
        self._show_load(view)
        self._show("streams_view_timestamp_seconds", now_s)

    def _show_partitions(self, partitions: Sequence[PartitionView], now_s: float) -> None:
        places = {_labels(one.partition): one for one in partitions}
        numbers: dict[str, Callable[[PartitionView], float | None]] = {
            "streams_lag_records": lag_records,
            "streams_lag_seconds": lambda one: self._age.seconds(one, now_s),
            "streams_retrying_records": lambda one: one.retrying,
            "streams_waiting_behind_records": lambda one: one.behind,
            "streams_tier_records": lambda one: one.in_tiers,
            "streams_parked_records": lambda one: one.parked,
            "streams_moving_records": lambda one: one.moving,
            "streams_troubled_keys": lambda one: one.in_trouble,
            "streams_blocked_keys": lambda one: one.blocked,
            "streams_dead_letter_records": lambda one: one.dead,
            "streams_commit_age_seconds": lambda one: one.commit_age_s if math.isfinite(one.commit_age_s) else None,
            "streams_ledger_used_ratio": lambda one: one.ledger_used,
        }
        for name, number in numbers.items():
            self._gauges[name].show({labels: number(one) for labels, one in places.items()})

    def _show_member(self, view: MemberView) -> None:
        paused = Count(one.paused for one in view.partitions)
        self._gauges["streams_paused_partitions"].show({(reason,): paused[reason] for reason in get_args(PauseReason)})
        self._show("streams_assigned_partitions", len(view.partitions))
        self._show("streams_suspected_partitions", len(self._suspected))
        self._show("streams_in_flight_records", view.outstanding)
        self._show("streams_in_flight_bytes", view.outstanding_bytes)
        self._show("streams_handler_runs", view.running)
        self._show("streams_handler_capacity_runs", view.capacity)
        self._show("streams_stuck_runs", view.stuck)

    def _show_load(self, view: MemberView) -> None:
        work = Work(self._ended, self._retried, self._handler_s, self._cpu())
        self.load = self._estimator.update(self._clock.monotonic(), view, work)
        self._show("streams_scale_load", self.load.replicas)
        self._show("streams_due_records", self.load.backlog)
        self._show("streams_arrival_records_per_second", self.load.arrivals_per_s)
        self._show("streams_service_records_per_second", self.load.service_per_s)

    def _show(self, name: str, number: float) -> None:
        """Show a gauge of the whole member; one that is NaN, unknown, is not shown."""
        self._gauges[name].show({(): None if math.isnan(number) else number})


def _labels(partition: Partition) -> Labels:
    return partition.topic, str(partition.number)
