"""`streams groups` has a running group stand still, go on, begin anew, finish and leave; and says so everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Topics
from tests.cli.shell import Shell
from tests.path.members import Bench, Written, numbered
from tests.waiting import eventually

APP = """
from pathlib import Path
from streams import App, Guard, RetryPolicy
app = App({group!r})
POISON = RetryPolicy(delays=("2s",), memory_up_to="10ms", dead_letter_on=(ValueError,))

@app.on({topic!r}, retry=POISON, guard=Guard(in_a_row=50))
def handle(value: bytes) -> None:
    with Path("served").open("a") as file:
        file.write(value.decode() + "\\n")
    if value == b"poison":
        raise ValueError("no order at all")
    if value == b"fails":
        marker = Path("failed")
        if not marker.exists():
            marker.touch()
            raise ConnectionError("try later")
"""


class Shop:
    """A topic, its group, and members of it in processes of their own."""

    def __init__(self, bench: Bench, orders: str, billing: str, folder: Path) -> None:
        self.bench, self.orders, self.billing, self.folder = bench, orders, billing, folder
        self.streams = Shell(bench.bootstrap)
        self.members: list[subprocess.Popen[bytes]] = []
        (folder / "shop.py").write_text(APP.format(group=billing, topic=orders))

    def start(self) -> subprocess.Popen[bytes]:
        """Start a member, and wait until it has joined."""
        environment = {**os.environ, "STREAMS_BOOTSTRAP": self.bench.bootstrap, "STREAMS_STATUS_EVERY_S": "0.5"}
        command = [sys.executable, "-m", "streams", "run", "shop:app"]
        with (self.folder / "log").open("ab") as log:
            self.members.append(subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log))
        eventually(lambda: len(self.reports) == 1)
        return self.members[-1]

    def write(self, records: Iterable[Written]) -> None:
        """Write to its topic."""
        self.bench.write(self.orders, records)

    def ask(self, line: str) -> Any:
        """What a command about the group says to machines."""
        return self.streams(f"{line} {self.billing} --json").json

    @property
    def log(self) -> str:
        """What members have logged."""
        return (self.folder / "log").read_text()

    @property
    def served(self) -> list[str]:
        """What the handler was given, in its order."""
        path = self.folder / "served"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def reports(self) -> list[Any]:
        """What its members report."""
        try:
            return list(self.ask("why")["reports"])
        except AssertionError:  # there is no such group yet
            return []

    @property
    def is_at_rest(self) -> bool:
        """All is done."""
        (one,) = self.ask("status")["groups"]
        return not (one["outstanding"] or one["waiting"] or one["parked"])


@pytest.fixture
def shop(bench: Bench, topic: Topics, group: Callable[..., str], tmp_path: Path) -> Iterator[Shop]:
    """One of two partitions."""
    shop = Shop(bench, topic(partitions=2), group(), tmp_path)
    yield shop
    for process in shop.members:
        process.kill()
        process.wait()


def test_a_paused_group_serves_nothing_until_it_is_resumed(shop: Shop) -> None:
    """A restart of its members included; `why` says who paused it, and the audit tells both."""
    first = shop.start()
    shop.write(numbered(5))
    eventually(lambda: len(shop.served) == 5 and shop.is_at_rest)
    paused = shop.streams(f"groups pause {shop.billing} --who ann --json", "--why", "the ledger is moved").json
    shop.write(numbered(5))
    said = shop.streams(f"why {shop.billing}").out
    first.terminate()
    code = first.wait(60)
    shop.start()
    before, was_at_rest = len(shop.served), shop.is_at_rest
    shop.streams(f"groups resume {shop.billing} --who bob")
    eventually(lambda: shop.is_at_rest)
    given = shop.ask("audit")["directives"]

    assert (paused["members"], paused["followers"], code) == (1, 1, 0)
    assert "PAUSED by ann" in said
    assert "the ledger is moved. Let it go on: streams groups resume" in said
    assert (before, was_at_rest) == (5, False)
    assert len(shop.served) == 10
    assert [(one["who"], one["lifted"]) for one in given] == [("ann", False), ("bob", True)]


def test_members_restart_in_order_once(shop: Shop) -> None:
    """In the same process, with all that is done committed: nothing runs twice."""
    member = shop.start()
    shop.write(numbered(20))
    eventually(lambda: len(shop.served) == 20)
    (before,) = shop.reports
    shop.streams(f"groups restart {shop.billing} --over 0")
    eventually(lambda: [one["member"] != before["member"] for one in shop.reports] == [True])
    shop.write(numbered(20))
    eventually(lambda: len(shop.served) >= 40 and shop.is_at_rest)

    assert member.poll() is None
    assert len(shop.served) == 40
    assert shop.log.count("an operator had it restarted") == 1


def test_a_drained_group_has_nothing_left_in_its_chain(shop: Shop) -> None:
    """What waits in a retry topic is waited for; then the member leaves, and ends with 0."""
    member = shop.start()
    shop.write([(b"a", b"fails"), (b"a", b"behind"), (b"b", b"well")])
    eventually((shop.folder / "failed").exists)
    shop.streams(f"groups drain {shop.billing}")
    code = member.wait(60)

    assert code == 0
    assert shop.is_at_rest
    assert [value for value in shop.served if value != "well"] == ["fails", "fails", "behind"]


def test_a_log_level_is_changed_while_it_runs_and_put_back(shop: Shop) -> None:
    """At DEBUG each commit is told; at the default none is."""
    shop.start()
    shop.write(numbered(5))
    eventually(lambda: len(shop.served) == 5 and shop.is_at_rest)
    quiet = shop.log.count("[debug")
    shop.streams(f"groups log-level {shop.billing} DEBUG")
    shop.write(numbered(5))
    eventually(lambda: "[debug" in shop.log)
    shown = shop.ask("groups show")["directives"]
    shop.streams(f"groups log-level {shop.billing} default")

    assert quiet == 0
    assert [(one["kind"], one["value"]) for one in shown] == [("log_level", "DEBUG")]
    assert shop.ask("groups show")["directives"] == []


def test_what_a_guard_stopped_is_resumed(shop: Shop) -> None:
    """By the command that `why` names, without a restart; the audit tells who."""
    shop.start()
    shop.write((b"a", b"poison") for _ in range(60))
    eventually(lambda: "TOO MANY DEAD LETTERS" in shop.streams(f"why {shop.billing}").out, every_s=0.3)
    said = shop.streams(f"why {shop.billing}").out
    other = shop.streams(f"groups resume {shop.billing} --topic invoices", code=2).err
    told = shop.streams(f"groups resume {shop.billing} --topic {shop.orders} --who ann --json").json
    eventually(lambda: shop.is_at_rest)
    given = shop.ask("audit")["directives"]

    assert f"streams groups resume {shop.billing} --topic {shop.orders}" in said
    assert f"paused is topic {shop.orders}, by its guard" in other
    assert (told["members"], told["followers"]) == (1, 1)
    assert [(one["kind"], one["who"]) for one in given] == [("resume", "ann")]


def test_what_is_not_paused_can_not_be_resumed(shop: Shop) -> None:
    """It says what is paused instead."""
    shop.start()
    nothing = shop.streams(f"groups resume {shop.billing}", code=2).err
    shop.streams(f"groups pause {shop.billing} --topic {shop.orders}")
    whole = shop.streams(f"groups resume {shop.billing}", code=2).err

    assert "paused is nothing" in nothing
    assert f"paused is topic {shop.orders}" in whole
