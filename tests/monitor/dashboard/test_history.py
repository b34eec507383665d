"""What was seen is kept in a ring of a fixed size, and told as speeds that are true."""

from __future__ import annotations

from itertools import pairwise

from streams.monitor.dashboard.charts import HEIGHT, WIDTH, charts
from streams.monitor.dashboard.history import EVERY_S, POINTS, Counters, History, Speed, between, total
from streams.monitor.dashboard.pace import Pace


def seen(time_s: float, done: int = 0, partitions: int = 1) -> Counters:
    """A look at which so much was done."""
    return Counters(time_s, came=2 * done, done=done, outstanding=3, partitions=partitions)


def test_the_ring_is_bounded_and_spread_out() -> None:
    """However often somebody looks: six hours, and the newest look besides."""
    history = History()
    for at in range(POINTS * 30):
        history.add(seen(at * 3.0, at))
    points = history.points

    assert len(points) <= POINTS + 1
    assert all(second.time_s - first.time_s >= EVERY_S for first, second in pairwise(points[:-1]))
    assert points[-1].done == POINTS * 30 - 1


def test_a_speed_is_a_mean_of_the_last_minute() -> None:
    """Ten a second for long, then none."""
    history = History()
    for at in range(30):
        history.add(seen(at * 6.0, at * 60))
    busy = history.speed()
    for at in range(30, 60):
        history.add(seen(at * 6.0, 29 * 60))

    assert busy == Speed(20.0, 10.0)
    assert history.speed() == Speed(0.0, 0.0)


def test_no_speed_is_told_where_none_was_measured() -> None:
    """Of one look, across partitions that came, and where a topic was made anew."""
    alone = History()
    alone.add(seen(0.0, 5))

    assert alone.speed() == Speed()
    assert between(seen(0, 5, partitions=1), seen(10, 90, partitions=2)) == Speed()
    assert between(seen(0, 50), seen(10, 5)) == Speed(None, None)


def test_all_groups_add_up() -> None:
    """Counts are added, the age is the oldest one's."""
    one, two = History(), History()
    one.add(Counters(60.0, 1, 2, 3, 4, 5, 6, 7.0, 1))
    two.add(Counters(61.0, 10, 20, 30, 40, 50, 60, 5.0, 2))

    assert total([one, two]) == [Counters(61.0, 11, 22, 33, 44, 55, 66, 7.0, 3)]


def test_charts_stay_within_their_edges() -> None:
    """Also of one point, and of none; a gap interrupts the line."""
    points = [seen(at * 60.0, at * at, partitions=1 + (at > 50)) for at in range(100)]
    drawn = charts(points, 99 * 60.0)
    places = [pair.split(",") for one in drawn for line in one.lines for part in line.parts for pair in part.split()]

    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in places)
    assert [len(line.parts) for line in drawn[0].lines] == [2, 2]
    assert [one.is_empty for one in charts([], 0.0)] == [True] * 5


def test_what_a_look_costs_decides_when_the_next_one_comes() -> None:
    """Never more than a share of a core; cheap looks come at their time, and none is put off for ever."""
    pace = Pace(watched_s=3, rest_s=30, watched_share=0.1, rest_share=0.01, longest_s=300)

    assert pace.pause_s(0.001, is_watched=True) == 3
    assert pace.pause_s(0.001, is_watched=False) == 30
    assert pace.pause_s(0.5, is_watched=True) == 5
    assert pace.pause_s(0.5, is_watched=False) == 50
    assert pace.pause_s(50.0, is_watched=False) == 300
