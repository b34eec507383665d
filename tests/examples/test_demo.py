"""The demo, as a stranger runs it: on a Kafka of its own, with a worker killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import require_native

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).parents[2]
ROWS = 12_000
EVENTS = 35_920


def demo(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo; give its exit status, its result, and what a person sees."""
    require_native()
    command = [sys.executable, "-m", "examples.demo", "--json", "--rows", str(ROWS), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=270)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_demo_adds_up() -> None:
    """A worker dies with 50 records under way, others in retry topics and parked: nothing is lost or out of order."""
    status, result, seen = demo()

    assert status == 0, seen
    assert result["adds_up"]
    assert (result["accepted"], result["lost"], result["out_of_order"]) == (EVENTS, 0, 0)
    assert (result["waiting"], result["parked"]) == (0, 0)
    assert result["at_kill"]["in_flight"] >= 50
    assert result["at_kill"]["waiting"] > 0
    assert result["at_kill"]["parked"] > 0
    assert result["relocated"] >= result["at_kill"]["waiting"] + result["at_kill"]["parked"]
    assert result["dead_letters"] > 0
    assert result["retried"] > 0
    assert len(seen.splitlines()) <= 40


def test_demo_goes_red_when_it_should() -> None:
    """An engine that settles before the work is done loses records, by name, and the demo ends with 1."""
    status, result, seen = demo("--break", "settle-before-ack")

    assert status == 1, seen
    assert not result["adds_up"]
    assert result["lost"] > 0
    assert result["examples"]["lost"][0] in seen
