"""The faults that the promise is to survive, and what injects each one into members at work on a real Kafka.

Numbers are for good; 38 and 41 come with the parts that they are about.
Names are those of tests under `tests`, and of faults of ``streams verify``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Fault(NamedTuple):
    """One of them."""

    what: str
    tests: tuple[str, ...] = ()
    """``file::name``."""
    verify: tuple[str, ...] = ()
    """Names that ``streams verify --faults`` knows."""


FAULTS: Final[Mapping[int, Fault]] = {
    1: Fault(
        "SIGKILL in mid-batch",
        (
            "chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing",
            "chaos/test_kill.py::test_a_killed_worker_loses_nothing",
            "chaos/test_chain.py::test_a_killed_worker_with_a_chain_loses_nothing",
            "chaos/test_kill.py::test_what_was_done_was_sent",
        ),
        ("sigkill",),
    ),
    2: Fault(
        "SIGTERM with work in flight",
        ("chaos/test_stop.py::test_a_stop_with_work_in_flight_repeats_nothing",),
        ("sigterm",),
    ),
    3: Fault("a second SIGTERM", ("chaos/test_stop.py::test_a_second_signal_ends_the_member_at_once",), ("sigterm2",)),
    4: Fault(
        "the leader's broker killed",
        (
            "chaos/test_brokers.py::test_a_killed_broker_costs_nothing",
            "chaos/test_brokers.py::test_a_leader_killed_before_its_copies_are_scanned_costs_nothing",
        ),
        ("broker",),
    ),
    5: Fault(
        "the coordinator killed while members commit",
        ("chaos/test_brokers.py::test_a_killed_broker_costs_nothing",),
        ("failover",),
    ),
    6: Fault(
        "brokers restarted one after the other",
        ("chaos/test_brokers.py::test_a_rolling_restart_costs_nothing",),
        ("rolling",),
    ),
    7: Fault(
        "the whole cluster down, past two sessions",
        ("chaos/test_brokers.py::test_a_cluster_that_was_down_loses_nothing",),
        ("outage",),
    ),
    8: Fault(
        "brokers suspended",
        (
            "chaos/test_brokers.py::test_a_cluster_that_stands_still_has_nothing_started",
            "chaos/test_unknown.py::test_dead_letter_of_unknown_fate_is_written_again",
        ),
        ("suspend",),
    ),
    9: Fault(
        "a member suspended beyond its session, then woken",
        (
            "chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing",
            "chaos/test_zombie.py::test_a_zombie_starts_nothing",
            "chaos/test_fence.py::test_copies_that_come_too_late_raise_no_record",
        ),
        ("sigstop",),
    ),
    10: Fault(
        "a handler longer than the poll interval",
        (
            "faults/test_poll_interval.py::test_an_inline_handler_past_the_poll_interval",
            "chaos/test_moments.py::test_work_that_outlasts_the_poll_interval_is_nobody_s_concern",
        ),
    ),
    11: Fault(
        "storms of joins and leaves, classic and KIP-848",
        (
            "chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing",
            "chaos/test_storm.py::test_members_that_come_and_go_in_order_repeat_nothing",
            "chaos/test_storm.py::test_members_that_come_and_go_and_die_lose_nothing",
        ),
        ("storm",),
    ),
    12: Fault(
        "a revoke with work in flight",
        (
            "chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing",
            "chaos/test_storm.py::test_slow_work_is_waited_for_before_a_partition_goes",
            "chaos/test_storm.py::test_work_past_the_drain_budget_runs_again_elsewhere",
        ),
        ("rebalance",),
    ),
    13: Fault(
        "lost and assigned again with work in flight",
        (
            "chaos/test_zombie.py::test_a_zombie_starts_nothing",
            "chaos/test_moments.py::test_a_poll_thread_that_hangs_loses_its_partitions",
        ),
        ("sigstop", "cutoff", "foreign"),
    ),
    14: Fault(
        "partitions added to a live topic", ("path/test_growth.py::test_records_of_new_partitions_are_all_done",)
    ),
    15: Fault(
        "a topic deleted and made anew under a live group",
        (
            "path/test_made_anew.py::test_a_running_member_ends_before_it_mixes_the_two",
            "path/test_made_anew.py::test_a_stopped_group_is_told_what_still_waits",
        ),
    ),
    16: Fault(
        "retention removes what was not read",
        (
            "path/test_expired.py::test_records_in_memory_outlive_their_log",
            "path/test_expired.py::test_group_goes_on_where_it_declared",
        ),
    ),
    17: Fault(
        "committed offsets are gone",
        (
            "faults/test_lost_offsets.py::test_a_group_that_was_forgotten_begins_again",
            "path/test_start.py::test_unreadable_ledger_repeats_and_skips_nothing",
        ),
    ),
    18: Fault(
        "a compacted topic with gaps",
        (
            "faults/test_offsets_without_records.py::test_a_log_that_is_compacted_under_its_readers",
            "faults/test_offsets_without_records.py::test_a_log_that_was_compacted_before_it_is_read",
        ),
    ),
    19: Fault(
        "transactions: markers, aborted ones, an open one",
        (
            "faults/test_offsets_without_records.py::test_transactions_around_what_runs",
            "path/test_gaps.py::test_markers_between_records_that_settle_out_of_order",
        ),
    ),
    20: Fault("a log cut short by its broker", ("faults/test_truncation.py::test_a_log_that_was_cut_short",)),
    21: Fault(
        "the network: delays, resets, half-open connections",
        ("verify/test_command.py::test_the_promise_holds_when_the_network_breaks",),
        ("delay", "reset", "halfopen"),
    ),
    22: Fault(
        "a member cut off from the coordinator alone",
        ("verify/test_command.py::test_the_promise_holds_while_brokers_are_out_of_reach",),
        ("coordinator",),
    ),
    23: Fault(
        "records that always fail",
        (
            "chaos/test_short.py::test_a_kill_a_zombie_and_a_storm_cost_nothing",
            "path/test_retry.py::test_last_attempt_is_followed_by_a_dead_letter",
        ),
    ),
    24: Fault(
        "a record that kills the process", ("chaos/test_killer.py::test_a_killer_is_given_up_after_so_many_deaths",)
    ),
    25: Fault(
        "undecodable bytes, null value, null key, 10 MB, 1,000 headers",
        (
            "path/test_dead_letter.py::test_bytes_that_cannot_be_read_are_a_dead_letter",
            "path/test_values.py::test_null_values_are_skipped",
            "path/test_values.py::test_null_and_empty_keys_are_told_apart",
            "path/test_values.py::test_ten_megabytes_and_a_thousand_headers_go_through",
        ),
    ),
    26: Fault(
        "a retry or dead-letter topic missing, full, without replicas, denied",
        (
            "faults/test_refused_copies.py::test_a_topic_that_is_full_for_a_copy",
            "faults/test_refused_copies.py::test_too_few_replicas_for_a_copy",
            "path/test_dead_letter_topic.py::test_partitions_wait_for_a_topic_that_was_deleted",
            "path/test_dead_letter_topic.py::test_partition_waits_for_the_right_to_write",
            "path/test_growth.py::test_a_topic_of_the_chain_that_is_gone_is_named",
        ),
    ),
    27: Fault(
        "a crash between the dead letter's acknowledgement and the commit",
        ("chaos/test_moments.py::test_a_crash_between_acknowledgement_and_commit_costs_nothing",),
    ),
    28: Fault(
        "what the work needs is down",
        (
            "path/test_standstill.py::test_a_dependency_that_is_down_costs_no_record_an_attempt",
            "path/test_standstill.py::test_an_outage_moves_nothing_into_the_chain",
        ),
    ),
    29: Fault(
        "a hot key, a stuck key",
        (
            "path/test_block.py::test_one_key_stuck_for_ten_minutes_holds_up_nothing_else",
            "path/test_block.py::test_key_that_is_stuck_for_ten_real_minutes",
        ),
    ),
    30: Fault(
        "commits that fail for long",
        ("chaos/test_surroundings.py::test_commits_that_fail_for_long_end_in_no_loss",),
        ("headless",),
    ),
    31: Fault("a ledger that fills up", ("path/test_block.py::test_ledger_that_fills_up_stops_its_partition",)),
    32: Fault(
        "static members: a restart, one name twice",
        (
            "path/test_static.py::test_restart_moves_nothing",
            "path/test_static.py::test_second_member_of_one_name_is_told",
        ),
    ),
    33: Fault("a clock that jumps", ("faults/test_clocks.py::test_a_clock_that_jumps_loses_and_overtakes_nothing",)),
    34: Fault(
        "a full disk, a closed pipe",
        ("chaos/test_surroundings.py::test_a_log_that_can_not_be_written_is_no_reason_to_stop",),
    ),
    35: Fault(
        "little memory",
        (
            "chaos/test_surroundings.py::test_a_large_backlog_takes_bounded_memory",
            "faults/test_exceptions.py::test_whatever_a_handler_raises_is_its_record_s_failure",
        ),
    ),
    36: Fault(
        "a replay while the group runs, interrupted",
        (
            "chaos/test_replays.py::test_members_die_while_a_group_goes_back",
            "chaos/test_replays.py::test_a_replay_is_begun_once_whenever_its_owner_dies",
            "chaos/test_replays.py::test_a_replay_is_ended_once_whenever_its_owner_dies",
        ),
    ),
    37: Fault(
        "another protocol, a later version's ledger",
        (
            "chaos/test_storm.py::test_a_group_that_changes_its_protocol_repeats_nothing",
            "path/test_start.py::test_ledger_of_a_later_version_is_left_alone",
        ),
    ),
    39: Fault(
        "a handler raises what is no Exception, is cancelled, leaves a generator",
        (
            "faults/test_exceptions.py::test_whatever_a_handler_raises_is_its_record_s_failure",
            "faults/test_exceptions.py::test_generators_that_are_left_early_cost_nothing",
            "path/test_timeout.py::test_async_handler_is_cancelled_and_tried_again",
        ),
    ),
    40: Fault(
        "the poll thread dies or hangs",
        (
            "chaos/test_moments.py::test_a_poll_thread_that_dies_takes_its_member_with_it",
            "chaos/test_moments.py::test_a_poll_thread_that_hangs_loses_its_partitions",
        ),
    ),
    42: Fault(
        "all of them at a low rate, for long",
        ("verify/test_command.py::test_a_long_run_shows_whether_members_stay_level",),
    ),
}

LATER: Final = frozenset({38, 41})
"""Hints that flap, credentials that expire."""

SHORT: Final = (1, 4, 9, 11, 12, 18, 19, 21, 24, 26, 27, 36)
"""Those that `make test` injects each time."""
