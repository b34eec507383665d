"""What keeps happening is said once, then counted."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.repeats import Repeats


class Said:
    """What was said, and how many events each line stands for."""

    def __init__(self, window_s: float = 60.0) -> None:
        self.repeats = Repeats(window_s)
        self.lines: list[tuple[str, int]] = []

    def happened(self, key: str, now_s: float) -> None:
        self.repeats.happened(key, now_s, lambda times: self.lines.append((key, times)))


def test_the_first_of_equal_events_is_said_at_once() -> None:
    """Different events do not wait for each other; equal ones that follow are silent."""
    said = Said()
    for key in ("down", "down", "refused", "down"):
        said.happened(key, 0)

    assert said.lines == [("down", 1), ("refused", 1)]


def test_what_followed_is_said_with_its_number_when_the_window_ends() -> None:
    """One line a window, which stands for all that happened in it."""
    said = Said()
    for now_s in range(11):
        said.happened("down", now_s)
    said.repeats.flush(59)
    early = list(said.lines)
    said.repeats.flush(60)

    assert early == [("down", 1)]
    assert said.lines == [("down", 1), ("down", 10)]


def test_after_a_quiet_window_an_event_is_new_again() -> None:
    """What has not happened for a whole window is said at once when it does."""
    said = Said()
    said.happened("down", 0)
    said.repeats.flush(60)
    said.happened("down", 61)

    assert said.lines == [("down", 1), ("down", 1)]


def test_the_end_says_what_is_held_back() -> None:
    """A member that ends within a window loses no count."""
    said = Said()
    for _ in range(3):
        said.happened("down", 0)
    said.repeats.flush(1, ending=True)

    assert said.lines == [("down", 1), ("down", 2)]


def test_ever_new_events_share_one_line() -> None:
    """Texts without end take bounded memory: past the bound they are counted together."""
    said = Said()
    for number in range(1_000):
        said.happened(f"error {number}", 0)
    said.repeats.flush(60)

    assert len(said.lines) < 250
    assert sum(times for _, times in said.lines) == 1_000


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=60))
def test_every_event_is_counted_in_exactly_one_line(events: list[tuple[str, float]]) -> None:
    """However events come, the lines of a key stand for as many as there were."""
    said, now_s = Said(window_s=20), 0.0
    for key, after_s in events:
        now_s += after_s
        said.happened(key, now_s)
        said.repeats.flush(now_s)
    said.repeats.flush(now_s, ending=True)

    told: Counter[str] = Counter()
    for key, times in said.lines:
        told[key] += times
    assert told == Counter(key for key, _ in events)
