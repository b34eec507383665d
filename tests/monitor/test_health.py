"""When a member counts as alive, and when as ready."""

from __future__ import annotations

import pytest

from streams.monitor.health import Health
from tests.monitor.views import ORDERS, OTHER, TurnedClock, member, place


@pytest.fixture
def clock() -> TurnedClock:
    """A clock that the test turns."""
    return TurnedClock()


@pytest.fixture
def health(clock: TurnedClock) -> Health:
    """A member that has just started, and may stand still for a minute."""
    return Health(clock=clock, limit_s=60)


def test_a_member_that_starts_is_alive_and_not_ready(health: Health, clock: TurnedClock) -> None:
    """A start that waits for a broker is no reason to be restarted, however long it takes."""
    clock.at_s += 3_600

    assert health.live().ok
    assert health.ready() == (False, "joining: the group has not answered since it started")


def test_a_member_is_ready_once_its_partitions_are_open(health: Health) -> None:
    """Between the group's answer and the first view, partitions are being opened."""
    health.assigned([ORDERS, OTHER])
    opening = health.ready()
    health.viewed(member(place(), place(OTHER)))

    assert opening == (False, "opening 2 partitions: their committed state is being read")
    assert health.ready().ok


def test_a_member_without_partitions_is_ready(health: Health) -> None:
    """The group has answered that there is nothing to do: a spare member is no broken one."""
    health.assigned([])

    assert health.ready().ok


def test_a_member_that_gave_its_partitions_back_is_ready(health: Health) -> None:
    """A revoke is the group's ordinary business."""
    health.assigned([ORDERS])
    health.viewed(member(place()))
    health.revoked([ORDERS], lost=False)

    assert health.ready().ok


def test_a_member_that_lost_its_partitions_is_not_ready_until_the_group_answers(health: Health) -> None:
    """A loss means that the group went on without this member."""
    health.assigned([ORDERS])
    health.revoked([ORDERS], lost=True)
    lost = health.ready()
    health.assigned([])

    assert lost == (False, "joining: the group has not answered since its partitions were lost")
    assert health.ready().ok


def test_a_draining_member_is_alive_and_not_ready(health: Health) -> None:
    """A stop takes a member out of service, not out of life."""
    health.assigned([])
    health.stopping()

    assert health.live().ok
    assert health.ready() == (False, "draining: a stop has begun")


def test_a_poll_thread_that_stands_still_is_dead(health: Health, clock: TurnedClock) -> None:
    """Past the limit without a sign, a member is neither alive nor ready."""
    health.assigned([])
    clock.at_s += 60
    at_the_limit = health.live()
    clock.at_s += 1

    assert at_the_limit.ok
    assert health.live() == (False, "the poll thread has stood still for 61 s, more than 60 s")
    assert not health.ready().ok


def test_a_broker_that_is_away_kills_no_member(health: Health, clock: TurnedClock) -> None:
    """For an hour there is nothing but errors; the poll thread reports them, so it is alive."""
    health.assigned([ORDERS])
    for _ in range(60):
        clock.at_s += 59
        health.broker_error("all brokers are down", fatal=False)

        assert health.live().ok


def test_any_sign_brings_a_member_back(health: Health, clock: TurnedClock) -> None:
    """A poll thread that goes round again is alive again."""
    health.beat()
    clock.at_s += 100
    still = health.live()
    health.viewed(member())

    assert not still.ok
    assert health.live().ok
