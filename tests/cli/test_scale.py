"""`streams scale hint` of a group that runs: from what its members measure, with the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Kafka, Topics
from tests.cli.shell import Shell
from tests.kafka.logs import write
from tests.waiting import eventually

APP = """
import time
from streams import App
app = App({group!r})

@app.on({topic!r}, run="inline")
def handle(value: bytes) -> None:
    time.sleep(0.02)
"""


@pytest.fixture
def busy(kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """A group of one member that ends at most 50 records a second, with two partitions full of them."""
    orders, billing = topic(partitions=2), group()
    for number in range(2):
        write(kafka, orders, [b"x"] * 4_000, partition=number)
    (tmp_path / "shop.py").write_text(APP.format(group=billing, topic=orders))
    environment = os.environ | {"STREAMS_BOOTSTRAP": kafka.bootstrap, "STREAMS_STATUS_EVERY_S": "0.5"}
    command = [sys.executable, "-m", "streams", "run", "shop:app"]
    with (tmp_path / "log").open("wb") as log:
        member = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    yield billing
    member.kill()
    member.wait()


def test_a_group_that_is_busy_needs_more(streams: Shell, busy: str) -> None:
    """As many as have partitions; machines are told what it was made from."""

    def hint() -> Any:
        try:
            told = streams(f"scale hint {busy} --drain 30 --json").json
        except AssertionError:  # the group is not there yet
            return None
        return told if told["signals"]["service_per_s"] and told["desired"] == 2 else None

    told = eventually(hint, every_s=0.3)
    said = streams(f"scale hint {busy} --drain 30 --max 1").out
    signals = told["signals"]

    assert (told["bounds"], signals["replicas"], signals["partitions"]) == (["partitions"], 1, 2)
    assert 10 < signals["service_per_s"] <= 50
    assert 6_000 < signals["due_records"] <= 8_000
    assert signals["startup_s"] > 0
    assert "capped at 2 by the partitions that have work" in told["reason"]
    assert said.startswith(f"1 replica(s) for {busy}: drain ")
    assert "at most 1 may run" in said


def test_members_are_started_as_the_work_needs_them(
    streams: Shell, kafka: Kafka, topic: Topics, group: Callable[..., str], tmp_path: Path
) -> None:
    """On this machine, within the bounds; a stop ends all of them in order."""
    orders, billing = topic(partitions=3), group()
    for number in range(3):
        write(kafka, orders, [b"x"] * 4_000, partition=number)
    (tmp_path / "shop.py").write_text(APP.format(group=billing, topic=orders))
    environment = os.environ | {"STREAMS_BOOTSTRAP": kafka.bootstrap, "STREAMS_STATUS_EVERY_S": "0.5"}
    command = [sys.executable, "-m", "streams", "run", "shop:app", "--autoscale", "1..3", "--drain-backlog", "20s"]
    with (tmp_path / "log").open("wb") as log:
        member = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        eventually(lambda: _members(streams, billing) == 3, every_s=0.5)
        member.terminate()
        code = member.wait(60)
    finally:
        member.kill()
        member.wait()
    told = (tmp_path / "log").read_text()

    assert code == 0, told
    assert "3 member(s) wanted: drain" in told
    assert told.count("Stopped: ") == 3


def _members(streams: Shell, name: str) -> int:
    try:
        return int(streams(f"status {name} --json").json["groups"][0]["members"])
    except AssertionError:  # the group is not there yet
        return 0


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("--autoscale 8", "name the bounds, as in 1..8"),
        ("--autoscale 3..2", "name the bounds"),
        ("--autoscale 0..0", "name the bounds"),
        ("--autoscale 1..3 --processes 2", "choose one"),
        ("--autoscale 1..3 --stop-when-empty", "--stop-when-empty ends members"),
        ("--drain-backlog 5s", "name that too"),
    ],
)
def test_what_contradicts_itself_starts_nobody(streams: Shell, options: str, fault: str) -> None:
    """It is told first."""
    assert fault in streams(f"run examples.orders:app {options}", code=2).err


def test_a_group_that_is_not_known_is_refused(streams: Shell) -> None:
    """With what to do."""
    assert "is not known here" in streams("scale hint nobody", code=1).err


def test_a_goal_that_contradicts_itself_is_refused(streams: Shell) -> None:
    """Before anything is asked."""
    assert "min_replicas: 3 is more than max_replicas, 2" in streams("scale hint x --min 3 --max 2", code=2).err
