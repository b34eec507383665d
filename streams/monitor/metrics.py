"""Every metric of a member, one row each.

`TABLE` is a promise: users' dashboards and alerts are written against it.
``docs/METRICS.md`` is made from it, and `MetricsObserver` keeps what it names.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

from streams.observer import PauseReason

GROUP: Final = "group"
"""The label that every metric carries first."""


class Row(NamedTuple):
    """One metric, as users know it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    """Beside `GROUP`; never a key or an offset."""
    sentence: str
    """What it counts or measures, with the unit."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of a histogram's buckets, without infinity."""


_RUN_BOUNDS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_AGE_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600)
_COMMIT_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

TOPIC: Final = ("topic",)
PLACE: Final = ("topic", "partition")

TABLE: Final = (
    # What was done; these only grow.
    Row("streams_consumed_records_total", "counter", TOPIC, "Records read and admitted."),
    Row("streams_consumed_bytes_total", "counter", TOPIC, "Bytes of the values of these records."),
    Row(
        "streams_outcomes_total",
        "counter",
        ("topic", "outcome"),
        "Records whose run ended, by what became of it: done, skipped, retried or dead_lettered.",
    ),
    Row("streams_settled_records_total", "counter", TOPIC, "Records that need no more work."),
    Row("streams_retries_total", "counter", TOPIC, "Runs that failed and whose record runs again."),
    Row(
        "streams_relocated_records_total",
        "counter",
        ("topic", "kind"),
        "Records moved to another topic of the chain, acknowledged, by its kind: tier (they failed and wait for their "
        "time), parked (they wait behind one of their key) or dlq (they follow a dead letter of their key).",
    ),
    Row(
        "streams_swept_records_total",
        "counter",
        TOPIC,
        "Records read back from topics of the chain, as their time had come or their key was free.",
    ),
    Row(
        "streams_fenced_copies_total",
        "counter",
        TOPIC,
        "Copies in the chain that were passed over: late requests of a former owner, whose records stand elsewhere.",
    ),
    Row("streams_dead_letters_total", "counter", TOPIC, "Records in the dead-letter topic, acknowledged."),
    Row(
        "streams_dead_letters_refused_total",
        "counter",
        TOPIC,
        "Times that the broker refused a dead letter; its partition reads nothing further until it is taken.",
    ),
    Row(
        "streams_operator_letters_total",
        "counter",
        ("topic", "fate"),
        "Dead letters that operators acted on, by what became of them: retried, edited, forgotten, gone (no dead "
        "letter any more) or impossible (the chain has nowhere to run them from).",
    ),
    Row(
        "streams_expired_records_total",
        "counter",
        TOPIC,
        "Offsets that retention removed before they were read: these records were never processed.",
    ),
    Row(
        "streams_handler_seconds",
        "histogram",
        TOPIC,
        "Time of a handler's run, in seconds. Runs are told in batches and each counts with its batch's mean: "
        "count and sum are exact, the buckets are smoothed.",
        _RUN_BOUNDS,
    ),
    Row(
        "streams_end_to_end_latency_seconds",
        "histogram",
        TOPIC,
        "Age of a record when it settled, in seconds from its timestamp; one of the latest, each turn of the loop.",
        _AGE_BOUNDS,
    ),
    Row(
        "streams_commit_seconds",
        "histogram",
        TOPIC,
        "Time from sending a partition's commit to the broker's acknowledgement, in seconds.",
        _COMMIT_BOUNDS,
    ),
    Row("streams_commit_failures_total", "counter", TOPIC, "Commits of a partition that the broker did not accept."),
    Row(
        "streams_ledger_cuts_total",
        "counter",
        TOPIC,
        "Times that a partition's ledger outgrew its commit: what it leaves out would run again after a crash.",
    ),
    Row(
        "streams_rebalances_total",
        "counter",
        ("event",),
        "Changes of this member's partitions: assigned, revoked (given back in order) or lost (taken without asking).",
    ),
    Row(
        "streams_restarts_total",
        "counter",
        TOPIC,
        "Assignments of a partition that were ended and begun anew from its committed offset.",
    ),
    Row(
        "streams_broker_errors_total",
        "counter",
        ("fatal",),
        "Broker and connection errors that the client reported; after a fatal one (true) the member ends.",
    ),
    # What stands now, by partition; gone when the partition is.
    Row(
        "streams_lag_records",
        "gauge",
        PLACE,
        "Records of the topic that are not settled: unread ones and those in flight; what waits in the chain is not "
        "among them.",
    ),
    Row(
        "streams_lag_seconds",
        "gauge",
        PLACE,
        "Age of the oldest record that is not settled, in seconds from its timestamp; 0 when there is none. "
        "While all that is left is unread it is at most this old, as told by the last record that was read.",
    ),
    Row("streams_retrying_records", "gauge", PLACE, "Records that wait in memory for their next attempt."),
    Row("streams_waiting_behind_records", "gauge", PLACE, "Records that wait behind a record of their own key."),
    Row("streams_tier_records", "gauge", PLACE, "Records that wait in retry topics for their next attempt."),
    Row(
        "streams_parked_records", "gauge", PLACE, "Records that wait in the parked topic behind a record of their key."
    ),
    Row(
        "streams_moving_records",
        "gauge",
        PLACE,
        "Records on their way to another topic of the chain, not acknowledged yet.",
    ),
    Row("streams_troubled_keys", "gauge", PLACE, "Keys of which a record stands in the chain; later ones wait for it."),
    Row("streams_blocked_keys", "gauge", PLACE, "Keys of these that stand still until an operator decides."),
    Row("streams_dead_letter_records", "gauge", PLACE, "Dead letters that no operator has retried or forgotten yet."),
    Row("streams_commit_age_seconds", "gauge", PLACE, "Seconds since the last acknowledged commit was sent."),
    Row(
        "streams_ledger_used_ratio",
        "gauge",
        PLACE,
        "Share of the commit metadata's limit that the settled offsets above the committed one take, 0 to 1.",
    ),
    # What stands now, in this member.
    Row("streams_assigned_partitions", "gauge", (), "Partitions this member owns."),
    Row(
        "streams_paused_partitions",
        "gauge",
        ("reason",),
        "Partitions whose intake stands still, by reason: " + ", ".join(get_args(PauseReason)) + ".",
    ),
    Row(
        "streams_breaker_open",
        "gauge",
        ("dependency",),
        "1 while a dependency of handlers counts as down and every route that needs it stands still, probing included; "
        "else 0.",
    ),
    Row(
        "streams_guard_open",
        "gauge",
        TOPIC,
        "1 while a topic stands still because too many of its records would be dead letters; else 0.",
    ),
    Row(
        "streams_suspected_partitions",
        "gauge",
        (),
        "Partitions at which process after process died: their records run one at a time to find the one that kills, "
        "and the rest of the member stands still, paused for caution.",
    ),
    Row("streams_in_flight_records", "gauge", (), "Records admitted and not yet settled."),
    Row("streams_in_flight_bytes", "gauge", (), "Bytes of the values of these records."),
    Row("streams_handler_runs", "gauge", (), "Handler runs under way."),
    Row("streams_handler_capacity_runs", "gauge", (), "Handler runs that may be under way at once."),
    Row("streams_stuck_runs", "gauge", (), "Handler runs that passed their timeout and have not returned."),
    Row(
        "streams_scale_load",
        "gauge",
        (),
        "This member's work in replicas, from due backlog, arrivals and service rate; absent while unknown. "
        "Its sum over a group is the number of replicas that the group's work needs.",
    ),
    Row("streams_due_records", "gauge", (), "Records that could run now: the backlog in streams_scale_load."),
    Row(
        "streams_arrival_records_per_second",
        "gauge",
        (),
        "Records that become due a second, new ones and retries: the arrivals in streams_scale_load.",
    ),
    Row(
        "streams_service_records_per_second",
        "gauge",
        (),
        "Records this member ends in a second in which it has work: the service in streams_scale_load; "
        "absent before it had any.",
    ),
    Row(
        "streams_view_timestamp_seconds",
        "gauge",
        (),
        "When the gauges here were last written, in seconds since 1970-01-01 UTC: "
        "time() minus it grows while the poll thread stands still.",
    ),
    Row("streams_build_info", "gauge", ("version", "python"), "1; its labels tell what runs here."),
)
"""One row a metric."""
