"""The checks of a promise are run on engines that break it."""

from __future__ import annotations

import pytest

from benchmarks.peers.controls import Controls, seen
from streams.bench.ground import BenchError


def test_checks_that_see_what_is_broken_pass() -> None:
    """Each found something."""
    assert seen(Controls(violations=1, lost=1)) == (1, 1)


@pytest.mark.parametrize("controls", [Controls(violations=0, lost=1), Controls(violations=1, lost=0)])
def test_a_check_that_finds_nothing_ends_the_bench(controls: Controls) -> None:
    """A check that can't fail proves nothing."""
    with pytest.raises(BenchError, match="the check is blind"):
        seen(controls)
