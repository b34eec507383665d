"""`streams why` tells what members have in hand: stuck, running, waiting in memory; and what the dead said last."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import Bench
from tests.waiting import eventually

APP = """
import time
from streams import App, RetryPolicy
app = App({group!r})

@app.on({topic!r}, timeout="500ms", concurrency=4, retry=RetryPolicy(delays=("30s",), memory_up_to="1m"))
def handle(value: bytes) -> None:
    if value == b"hangs":
        time.sleep(600)
    if value == b"fails":
        raise ConnectionError("try later")
"""


@pytest.fixture
def streams(bench: Bench) -> Shell:
    """The `streams` command."""
    return Shell(bench.bootstrap)


@pytest.fixture
def orders(topic: Topics) -> str:
    """A topic of one partition: 0 hangs, 1 fails, 2 is well, 3 waits behind the first."""
    return topic(partitions=1)


@pytest.fixture
def billing(group: Callable[..., str]) -> str:
    """Its group."""
    return group()


Start: TypeAlias = Callable[[], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(bench: Bench, orders: str, billing: str, tmp_path: Path) -> Iterator[Start]:
    """Start a member in a process of its own, which reports often."""
    (tmp_path / "shop.py").write_text(APP.format(group=billing, topic=orders))
    environment = {**os.environ, "STREAMS_BOOTSTRAP": bench.bootstrap, "STREAMS_STATUS_EVERY_S": "0.5"}
    started: list[subprocess.Popen[bytes]] = []
    with (tmp_path / "log").open("wb") as log:

        def begin() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "streams", "run", "shop:app"]
            started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log))
            return started[-1]

        yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def member(bench: Bench, orders: str, billing: str, streams: Shell, start: Start) -> subprocess.Popen[bytes]:
    """One with a handler that hangs, of which all that is to be told has been reported."""
    bench.write(orders, [(b"a", b"hangs"), (b"b", b"fails"), (b"c", b"well"), (b"a", b"behind")])
    process = start()
    eventually(lambda: _kinds(streams, billing) == {"stuck", "failing", "busy"} and _told(streams, billing)["held"])
    return process


def _kinds(streams: Shell, group: str) -> set[str]:
    try:
        return {one["kind"] for one in streams(f"why {group} --json").json["conditions"]}
    except AssertionError:  # the group is not there yet
        return set()


def _reports(streams: Shell, group: str) -> list[Any]:
    try:
        return list(streams(f"why {group} --json").json["reports"])
    except AssertionError:
        return []


def _told(streams: Shell, group: str) -> Any:
    (report,) = _reports(streams, group)
    return report


@pytest.mark.usefixtures("member")
def test_why_tells_stuck_from_waiting(streams: Shell, billing: str, orders: str) -> None:
    """By name: which record, for how long, in which process; and what waits in memory until when."""
    said = streams(f"why {billing}").out
    stuck = streams(f"why {billing} --record {orders}/0/0")
    waiting = streams(f"why {billing} --record {orders}/0/1 --json").json
    key = streams(f"why {billing} --key a --json").json["queues"][0]["records"]

    assert f"STUCK: {orders}/0/0 has run for" in said
    assert f"{orders}/0/0 of {billing}: STUCK for" in stuck.out
    assert (waiting["in_hand"]["state"], waiting["in_hand"]["error"]) == ("waiting", "ConnectionError")
    assert [(one["offset"], one["in_hand"] and one["in_hand"]["state"]) for one in key] == [(0, "stuck"), (3, None)]


def test_the_last_words_of_a_group_that_died(streams: Shell, billing: str, member: subprocess.Popen[bytes]) -> None:
    """After SIGKILL its report stays, and names what ran."""
    member.kill()
    member.wait()
    eventually(lambda: _kinds(streams, billing) == {"last words"})
    said = streams(f"why {billing}").out

    assert "/0/0" in said.partition("The last that member")[2]


def test_a_member_that_is_cut_short_leaves_its_report(
    streams: Shell, billing: str, member: subprocess.Popen[bytes]
) -> None:
    """Told to stop, it says so while it waits for what hangs; a second signal ends it at once."""
    member.send_signal(signal.SIGTERM)
    eventually(lambda: _told(streams, billing).get("is_stopping") is True)
    member.send_signal(signal.SIGTERM)
    member.wait(30)

    assert _told(streams, billing)["stuck"] == 1


def test_a_member_that_leaves_in_order_leaves_no_report(
    bench: Bench, streams: Shell, billing: str, orders: str, start: Start
) -> None:
    """There is nothing left to tell of it."""
    bench.write(orders, [(b"a", b"well")])
    process = start()
    eventually(lambda: bool(_reports(streams, billing)))
    process.terminate()

    assert process.wait(60) == 0
    assert _reports(streams, billing) == []
