"""Outcomes are values that a handler gives back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from streams import Ack, DeadLetter, Retry, Skip, Stop
from streams.outcome import Outcome

BAD = ValueError("bad")
OUTCOMES: list[Outcome] = [Ack(), Skip("seen"), Retry(BAD, after=timedelta(seconds=1)), DeadLetter(BAD)]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=str)
def test_an_outcome_is_a_value(outcome: Outcome) -> None:
    """It can be compared, kept and shown, and not be changed."""
    with pytest.raises((AttributeError, TypeError)):
        outcome.reason = "other"  # type: ignore[union-attr, misc]

    assert [one for one in OUTCOMES if one == outcome] == [outcome]
    assert hash(outcome) == hash(outcome)
    assert type(outcome).__name__ in repr(outcome)


def test_what_need_not_be_said_has_a_default() -> None:
    """A skip needs no reason and a retry no wait."""
    assert Skip().reason == ""
    assert Retry(BAD).after is None


def test_stop_carries_an_outcome_through_any_depth() -> None:
    """It is an exception, so that a handler can end from deep inside a call."""

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        raise Stop(Skip("enough"))

    with pytest.raises(Stop) as caught:
        deep(5)

    assert caught.value.outcome == Skip("enough")
