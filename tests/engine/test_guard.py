"""The guard lets a few bad records pass to the dead letters, and no whole topic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.guard import DEFAULT_GUARD, Guard, Tripwire
from streams.errors import ConfigError


def letters(tripwire: Tripwire, count: int, now_s: float = 0.0) -> int:
    """Let so many records in a row be dead letters; give how many may be written."""
    return sum(tripwire.letter(now_s) for _ in range(count))


def test_the_ordinary_bad_records_pass() -> None:
    """By default 49 in a row are written, over and over, and so is every other record of a mixed topic."""
    tripwire = Tripwire(DEFAULT_GUARD)
    for _ in range(3):
        written = letters(tripwire, 49)
        tripwire.passed(200)

        assert written == 49
    for _ in range(1_000):
        assert tripwire.letter(0)
        tripwire.passed(1)


def test_a_run_of_dead_letters_trips_it() -> None:
    """The last of the run is not written, nor is any after it."""
    tripwire = Tripwire(DEFAULT_GUARD)

    assert letters(tripwire, 1_000) == 49
    assert tripwire.circuit.state == "open"
    assert tripwire.circuit.why == "50 dead letters in a row"


def test_a_share_of_dead_letters_trips_it() -> None:
    """Two of three records in the long run are more than bad luck, though never many follow each other."""
    tripwire = Tripwire(DEFAULT_GUARD)
    written = 0
    for _ in range(1_000):
        written += letters(tripwire, 2)
        tripwire.passed(1)

    assert tripwire.circuit.state == "open"
    assert tripwire.circuit.why == "134 of the last 200 records are dead letters"
    assert written == 133


def test_the_first_records_of_a_topic_make_no_share() -> None:
    """Three of four is a high share of nearly nothing."""
    tripwire = Tripwire(Guard(share=0.1, of=200, in_a_row=50))
    written = letters(tripwire, 40)
    tripwire.passed(1)

    assert written + letters(tripwire, 40) == 80


def test_one_good_record_ends_a_run() -> None:
    """A run is what nothing else interrupts."""
    tripwire = Tripwire(Guard(share=1, in_a_row=3))
    for _ in range(100):
        assert letters(tripwire, 2) == 2
        tripwire.passed(1)

    assert letters(tripwire, 3) == 2


def test_many_good_records_count_as_no_more_than_the_window_holds() -> None:
    """A million good ones of yesterday do not pay for a bad topic today."""
    tripwire = Tripwire(Guard(share=0.5, of=10, in_a_row=1_000))
    tripwire.passed(1_000_000)

    assert letters(tripwire, 100) == 5


def test_without_a_wait_it_stays_open_until_somebody_closes_it() -> None:
    """By default an operator decides; then counting begins anew."""
    tripwire = Tripwire(DEFAULT_GUARD)
    letters(tripwire, 50)
    tripwire.circuit.look(1e12)
    state = tripwire.circuit.state
    tripwire.passed(1_000)
    tripwire.circuit.close("an operator resumed it")

    assert state == "open"
    assert letters(tripwire, 1_000) == 49


def test_a_dead_letter_among_those_that_try_opens_it_again() -> None:
    """Half-open it lets none through; the wait begins anew."""
    tripwire = Tripwire(Guard(probe_after="1m"))
    letters(tripwire, 50)
    tripwire.circuit.look(60)
    state = tripwire.circuit.state

    assert not tripwire.letter(61)
    assert (state, tripwire.circuit.state) == ("half_open", "open")
    assert tripwire.circuit.why == "a record that tried again is still a dead letter"


@given(
    events=st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=60),
    share=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
    of=st.integers(1, 50),
    in_a_row=st.integers(1, 40),
)
def test_it_trips_exactly_where_a_full_count_says(
    events: list[tuple[bool, int]], share: float, of: int, in_a_row: int
) -> None:
    """Kept as runs of one kind, the window trips where a list of all records would."""
    tripwire = Tripwire(Guard(share=share, of=of, in_a_row=in_a_row))
    ended: list[bool] = []
    for is_dead, count in events:
        if not is_dead:
            tripwire.passed(count)
            ended += [False] * count
            continue
        for _ in range(count):
            ended.append(True)
            window = ended[-of:]
            is_run = len(ended) >= in_a_row and all(ended[-in_a_row:])
            trips = is_run or (len(window) == of and sum(window) > share * of)

            assert tripwire.letter(0) == (not trips)
            if trips:
                return


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"share": 0}, "share=0"),
        ({"share": 1.5}, "share=1.5"),
        ({"share": "half"}, "share='half'"),
        ({"of": 0}, "of=0"),
        ({"of": True}, "of=True"),
        ({"in_a_row": 0}, "in_a_row=0"),
        ({"in_a_row": 1.5}, "in_a_row=1.5"),
        ({"probe_after": "0s"}, "probe_after='0s'"),
        ({"probe_after": "soon"}, "probe_after"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused(options: dict[str, Any], says: str) -> None:
    """Each fault is told with its option."""
    with pytest.raises(ConfigError) as caught:
        Guard(**options)

    assert says in str(caught.value)
    assert "guard" in str(caught.value)
