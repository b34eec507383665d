"""A time is read as a person writes it."""

from __future__ import annotations

import pytest

from streams.errors import UsageError
from streams.replay.target import parse_time

NOW_S = 1_000_000.0


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:02Z", 2_000),
        ("1970-01-01T02:00:02+02:00", 2_000),
        ("1970-01-01T00:00:02.500", 2_500),
        ("1970-01-02", 86_400_000),
        ("-1h", 996_400_000),
        ("-90m", 994_600_000),
        ("-2d", 827_200_000),
    ],
)
def test_a_time_is_milliseconds(text: str, ms: int) -> None:
    """ISO 8601, UTC where no zone is named, or how long ago."""
    assert parse_time(text, NOW_S) == ms


@pytest.mark.parametrize("text", ["yesterday", "", "-1", "-h", "2025-13-01", "1h"])
def test_what_is_no_time_is_said(text: str) -> None:
    """The words show both forms."""
    with pytest.raises(UsageError, match="ISO 8601"):
        parse_time(text, NOW_S)
