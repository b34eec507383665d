"""What one key has outstanding in the chain, by origin, against a plain dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engine.backlog import MOVING, Backlog, Place, number_of, offset_of, unpack

PLACES = st.builds(Place, st.integers(0, 9), st.integers(0, 65_535), st.integers(0, 2**42 - 1))


@given(place=PLACES)
def test_a_place_comes_back_as_it_was(place: Place) -> None:
    """Topic, hop and offset fit into one number of eight bytes, which is never that of a copy on its way."""
    packed = place.pack()

    assert unpack(packed) == place
    assert (number_of(packed), offset_of(packed)) == (place.number, place.offset)
    assert 0 <= packed < 2**63
    assert packed != MOVING


@pytest.mark.parametrize("place", [Place(0, 65_536, 0), Place(0, 0, 2**42)], ids=str)
def test_a_place_beyond_the_index_is_refused(place: Place) -> None:
    """What does not fit is told, and never taken for another place."""
    with pytest.raises(OverflowError, match="beyond"):
        place.pack()


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "move", "remove", "first"]), st.integers(0, 30)), max_size=120
)


@given(steps=STEPS)
def test_a_backlog_is_a_sorted_dictionary(steps: list[tuple[str, int]]) -> None:
    """Whatever enters and leaves in whatever order: origins ascend, and each has the place it was given last."""
    backlog: Backlog[object] = Backlog()
    model: dict[int, int] = {}
    for count, (what, origin) in enumerate(steps):
        match what:
            case "put":
                backlog.put(origin, count)
                model[origin] = count
            case "move":
                backlog.put(origin, MOVING)
                model[origin] = MOVING
            case "remove":
                assert backlog.remove(origin) == model.pop(origin, None)
            case _ if model:
                oldest = min(model)
                assert backlog.first_place == model[oldest]
                assert backlog.remove(oldest) == model.pop(oldest)

        assert len(backlog) == len(model)
        assert backlog.first == min(model, default=None)
    assert dict(backlog.entries()) == model
    assert [origin for origin, _ in backlog.entries()] == sorted(model)
    assert [backlog.place(origin) for origin in range(31)] == [model.get(origin) for origin in range(31)]
    assert [backlog.rank(origin) for origin in range(31)] == [
        sum(one < origin for one in model) for origin in range(31)
    ]


def test_a_long_backlog_forgets_what_has_left() -> None:
    """Thousands that leave at the front take nothing with them that is still there."""
    backlog: Backlog[object] = Backlog()
    for origin in range(5_000):
        backlog.put(origin, origin)
    for origin in range(4_000):
        assert backlog.remove(origin) == origin

    assert backlog.first == 4_000
    assert len(backlog) == 1_000
    assert (backlog.place(3_999), backlog.place(4_500)) == (None, 4_500)
    assert backlog.rank(4_500) == 500
