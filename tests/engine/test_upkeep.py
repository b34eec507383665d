"""How long ago an offset was committed decides whether what is below it may go."""

from __future__ import annotations

from streams.engine.upkeep import History
from streams.record import Partition

DAY_S = 86_400.0
HERE, THERE = Partition("orders.billing.parked", 0), Partition("orders.billing.parked", 1)
OURS = (HERE, THERE)


def test_an_offset_is_old_once_it_was_committed_long_enough_ago() -> None:
    """The newest of those that are: what was committed since stays readable."""
    history = History(DAY_S)
    history.note({HERE: 100}, 0, OURS)
    history.note({HERE: 300}, 3_600, OURS)
    history.note({HERE: 300}, 7_200, OURS)
    history.note({HERE: 900}, DAY_S, OURS)

    assert history.old(DAY_S - 1) == {}
    assert history.old(DAY_S) == {HERE: 100}
    assert history.old(DAY_S + 3_600) == {HERE: 300}
    assert history.old(2 * DAY_S) == {HERE: 900}
    assert history.old(9 * DAY_S) == {HERE: 900}


def test_what_is_not_ours_any_more_is_forgotten() -> None:
    """A partition that comes back begins anew: nobody knows here what was committed meanwhile."""
    history = History(DAY_S)
    history.note({HERE: 100, THERE: 5}, 0, OURS)
    history.note({THERE: 5}, 3_600, (THERE,))
    history.note({HERE: 200, THERE: 5}, 7_200, OURS)

    assert history.old(DAY_S) == {THERE: 5}
    assert history.inherited(DAY_S) == {HERE: 200}


def test_a_topic_made_anew_has_no_history() -> None:
    """An offset below the one before is another log's."""
    history = History(DAY_S)
    history.note({HERE: 100}, 0, OURS)
    history.note({HERE: 10}, 3_600, OURS)

    assert history.old(DAY_S) == {}
    assert history.old(DAY_S + 3_600) == {HERE: 10}


def test_a_commit_that_is_not_known_yet_changes_nothing() -> None:
    """An assignment that was just begun anew has none; its partition is ours all the same."""
    history = History(DAY_S)
    history.note({HERE: 100}, 0, OURS)
    history.note({}, 3_600, OURS)

    assert history.old(DAY_S) == {HERE: 100}
