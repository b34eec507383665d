"""A member that is told to stop ends in order; told twice, at once."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.chaos.conftest import Scenes
from tests.chaos.scene import IN_FLIGHT
from tests.faults.figures import Injected

pytestmark = pytest.mark.chaos

_WAYS = [(run, protocol) for run in ("threads", "async", "inline", "batch") for protocol in ("consumer", "classic")]
_QUICK = ("inline", "whole", "whole async", "whole batch")


@pytest.mark.parametrize(("run", "protocol"), [*_WAYS, *((run, "consumer") for run in _QUICK[1:])])
def test_a_stop_with_work_in_flight_repeats_nothing(
    run: str, protocol: str, scenes: Scenes, tell: Callable[[str], None], injected: Injected
) -> None:
    """What runs at a SIGTERM ends and is committed before the member leaves: 0 duplicates."""
    scene = scenes(seed=11, run=run, protocol=protocol)
    leaver = scene.start()
    scene.start()
    in_flight = scene.busy(leaver, after=100, in_flight=1 if run in _QUICK else IN_FLIGHT)
    leaver.tell(signal.SIGTERM)

    assert leaver.await_end() == 0, leaver.last_words

    verdict = scene.verdict()
    injected(2, times=1, members=1, in_flight=in_flight)
    tell(f"{run}, {protocol}: {verdict.line}")

    assert verdict.is_clean, str(verdict)


def test_a_second_signal_ends_the_member_at_once(scenes: Scenes, tell: Callable[[str], None]) -> None:
    """It does not wait for what runs; that runs again, and nothing else does."""
    scene = scenes(seed=12)
    scene.load.slow(3)
    leaver = scene.start()
    scene.busy(leaver)
    leaver.tell(signal.SIGTERM)
    scene.under_load(lambda: b"stopping" in leaver.log.read_bytes())
    leaver.tell(signal.SIGTERM)
    code = leaver.await_end(3)
    fault = scene.note_end(leaver, "a second SIGTERM")
    scene.load.quick()
    scene.start()
    verdict = scene.verdict()
    tell(verdict.line)

    assert code == 130
    assert fault.in_flight >= IN_FLIGHT
    assert verdict.is_clean, str(verdict)
