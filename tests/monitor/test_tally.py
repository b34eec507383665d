"""The totals of a run."""

from __future__ import annotations

from streams.monitor.tally import Tally, Totals
from tests.monitor.views import ORDERS, OTHER


def test_a_tally_adds_up_what_it_is_told() -> None:
    """Every count is the sum of what was told; dead letters count when they are acknowledged."""
    tally = Tally()
    tally.assigned([ORDERS, OTHER])
    tally.consumed(ORDERS, 10, 1_000)
    tally.consumed(OTHER, 5, 500)
    tally.finished("orders", "done", 9)
    tally.finished("orders", "skipped", 2)
    tally.finished("orders", "retried", 3)
    tally.finished("orders", "dead_lettered", 4)
    tally.dead_lettered(ORDERS, 7, 3, ValueError())
    tally.expired(OTHER, 6)
    tally.committed(ORDERS, 10, 0.01)
    tally.revoked([ORDERS], lost=False)
    tally.revoked([OTHER], lost=True)

    assert tally.totals == Totals(
        consumed=15, done=9, skipped=2, retried=3, dead_lettered=1, expired=6, commits=1, rebalances=3
    )


def test_a_rebalance_that_moves_nothing_is_none() -> None:
    """The group's answer to a member that gets nothing changes nothing."""
    tally = Tally()
    tally.assigned([])

    assert tally.totals.as_dict() == Totals().as_dict()
