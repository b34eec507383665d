"""How far a partition is behind."""

from __future__ import annotations

import pytest

from streams.monitor.lag import LagAge, lag_records
from streams.observer import PartitionView
from tests.monitor.views import ORDERS, place

NOW_S = 1_700_000_000.0


def test_lag_is_what_is_unread_and_what_is_in_flight() -> None:
    """Records are behind until they settle, not only until they are read."""
    assert lag_records(place(position=90, outstanding=5)) == 15


def test_lag_at_the_end_of_a_log_with_gaps_is_zero() -> None:
    """Offsets of transaction markers behind the last record are nothing to wait for."""
    assert lag_records(place(position=98, caught_up=True)) == 0


def test_lag_is_unknown_while_the_end_is() -> None:
    """No end heard of: no number."""
    assert lag_records(place(high_watermark=-1)) is None


def test_with_nothing_to_do_nothing_is_old() -> None:
    """All settled, nothing unread: 0 s."""
    assert LagAge().seconds(place(), NOW_S) == 0


def test_a_record_in_flight_is_as_old_as_its_timestamp() -> None:
    """The engine's oldest timestamp decides while records are in flight; one from the future is new."""
    age = LagAge()

    assert age.seconds(place(outstanding=1, oldest_ms=int(NOW_S * 1000) - 9_000), NOW_S) == 9
    assert age.seconds(place(outstanding=1, oldest_ms=int(NOW_S * 1000) + 9_000), NOW_S) == 0


def test_records_in_flight_without_a_timestamp_have_no_age() -> None:
    """Unknown is not 0."""
    assert LagAge().seconds(place(outstanding=1, oldest_ms=-1), NOW_S) is None


def test_an_unread_backlog_is_as_old_as_what_was_settled_last() -> None:
    """A member that works off an old backlog shows how far back in time it is, though nothing is in flight."""
    age = LagAge()
    age.settled(ORDERS, NOW_S - 3_600)
    age.settled(ORDERS, NOW_S - 4_000)

    assert age.seconds(place(position=50), NOW_S) == 3_600


def test_a_first_record_after_a_quiet_hour_is_not_an_hour_old() -> None:
    """What is unread came after the end was last seen, however long ago the record before it was."""
    age = LagAge()
    age.settled(ORDERS, NOW_S - 3_600)
    age.seconds(place(), NOW_S - 1)

    assert age.seconds(place(position=99), NOW_S) == 1


@pytest.mark.parametrize("view", [place(position=50), place(high_watermark=-1)], ids=["unread", "no end"])
def test_the_age_of_what_nobody_has_seen_is_unknown(view: PartitionView) -> None:
    """Before anything was read there is no timestamp to go by."""
    assert LagAge().seconds(view, NOW_S) is None


def test_what_was_known_of_a_partition_goes_with_it() -> None:
    """Another member has gone on with it in between."""
    age = LagAge()
    age.settled(ORDERS, NOW_S - 60)
    age.forget([ORDERS])

    assert age.seconds(place(position=50), NOW_S) is None
