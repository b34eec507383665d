"""When a benchmark's ratios are worse than noise explains."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.gate import dearer

KEPT = {"inline": 0.8}


@pytest.mark.parametrize("ratios", [(0.8, 0.81, 0.79), (0.75, 0.74, 0.73), (0.6, 0.61, 0.81), (0.9, 0.95, 1.0)])
def test_what_noise_explains_passes(ratios: Sequence[float]) -> None:
    """A fifth less is noise, and so is one good run among bad ones: it shows what the code can do."""
    assert dearer(KEPT, {"inline": ratios}) == []


def test_what_has_become_dearer_is_named_with_both_figures() -> None:
    """A median that fell by a quarter, with no run as good as before, fails."""
    (found,) = dearer(KEPT, {"inline": (0.6, 0.58, 0.7)})

    assert found.startswith("inline: 0.60")
    assert "0.80" in found


def test_a_row_that_is_kept_and_not_measured_is_told() -> None:
    """A guard that has lost a row guards less than it says; a new row is not compared."""
    (found,) = dearer(KEPT, {"threads": (0.1,)})

    assert found.startswith("inline: not measured")
