"""A dashboard that is served over real HTTP while a test runs, and groups to look at."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from streams import App, DeadLetter, Record, RetryPolicy
from streams.config import Settings
from streams.dev.ports import answers
from streams.monitor.dashboard.access import read_tokens
from streams.monitor.dashboard.board import Board
from streams.monitor.dashboard.pace import Pace
from streams.monitor.dashboard.server import Choices, Dashboard
from streams.outcome import Outcome
from tests.path.members import Bench, Running
from tests.waiting import eventually

QUICK = RetryPolicy(delays=("50ms",), max_attempts=1)
TOKENS = """
    vera viewer token-of-vera-the-viewer
    otto operator token-of-otto-the-operator
    anna admin token-of-anna-the-admin
"""


class Served:
    """A dashboard with a thread of its own; it looks twice a second."""

    def __init__(self, bootstrap: str, *, tokens: str = "", **chosen: Any) -> None:
        pace = Pace(watched_s=0.2, rest_s=0.5, watched_share=1.0, rest_share=1.0)
        choices = Choices(
            Settings(bootstrap=bootstrap), port=0, tokens=read_tokens(tokens, "a test"), pace=pace, **chosen
        )
        self.dashboard = Dashboard(choices)
        self.url = self.dashboard.url
        self._thread = threading.Thread(target=self.dashboard.run, name="dashboard")
        self._thread.start()
        eventually(lambda: answers(httpx.URL(self.url).port or 0))

    @property
    def board(self) -> Board:
        """What its pages share."""
        board: Board = self.dashboard.app.state.board
        return board

    def client(self, token: str = "", **headers: str) -> httpx.Client:
        """A browser without a script, or a program with a *token*."""
        chosen = {"Accept": "text/html"} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
        return httpx.Client(base_url=self.url, headers=chosen, timeout=30)

    def stop(self) -> None:
        """End it."""
        self.dashboard.stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the dashboard did not end"


class Desk:
    """A service that is down until it is mended; records that say so need it, and its errors tell their card."""

    def __init__(self) -> None:
        self.is_down = True
        self.served: list[bytes | None] = []

    def call(self, record: Record) -> Outcome | None:
        """Serve *record*."""
        if self.is_down and b"needs" in (record.value or b""):
            card = json.loads(record.value or b"{}").get("card", "-")
            return DeadLetter(ConnectionError(f"card {card} was refused by {record.topic[:6]}"))
        self.served.append(record.value)
        return None


def declare(app: App, orders: str, desk: Desk) -> None:
    """Have records of *orders* served at *desk*."""

    @app.on(orders, policy="park", retry=QUICK)
    def handle(record: Record) -> Outcome | None:
        return desk.call(record)


def bury(bench: Bench, app: App, orders: str, values: Sequence[bytes]) -> Running:
    """Run a member that gives up those of *values* that need the desk."""
    bench.write(orders, [(b"k%d" % at, value) for at, value in enumerate(values)])
    member = bench.run(app)
    dead = sum(b"needs" in value for value in values)
    member.until(lambda: len(member.ear.heard("dead_lettered")) >= dead)
    member.passed()
    return member


def shows(client: httpx.Client, path: str, *texts: str, within_s: float = 30) -> str:
    """Ask for *path* until its page holds all of *texts*; give the page."""

    def met() -> str:
        answer = client.get(path)
        return answer.text if answer.status_code == 200 and all(text in answer.text for text in texts) else ""

    met.__qualname__ = f"{path} with {texts}"
    return eventually(met, within_s=within_s, every_s=0.1)


def field(page: str, name: str) -> str:
    """Give the value of a hidden field of *page*."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, f"the page has no field {name}"
    return found[1].replace("&amp;", "&")


Serve = Callable[..., Served]
