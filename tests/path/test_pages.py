"""A member's pages answer while it runs: alive, ready, and what it counts."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.brokers import Topics
from tests.path.members import Bench, numbered
from tests.waiting import eventually

APP = """
from streams import App
app = App({group!r})

@app.on({topic!r})
def handle(value: bytes) -> None: ...
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_pages_of_a_process(form: str, bench: Bench, topic: Topics, group: Callable[..., str], tmp_path: Path) -> None:
    """On a free port that the log names; told to stop, the process says what it did and ends with 0."""
    orders, billing = topic(), group()
    (tmp_path / "shop.py").write_text(APP.format(group=billing, topic=orders))
    bench.write(orders, numbered(50))
    command = [
        sys.executable,
        "-m",
        "streams",
        "run",
        "shop:app",
        "--metrics-port",
        "0",
        "--log-format",
        form,
        "--json",
    ]
    environment = {**os.environ, "STREAMS_BOOTSTRAP": bench.bootstrap}
    log = tmp_path / "log"
    with log.open("wb") as said, (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=out, stderr=said)
    try:
        (url, *_) = eventually(lambda: re.findall(r"http://127\.0\.0\.1:\d+", log.read_text()))
        eventually(lambda: _counted(url, orders) == 50)
        eventually(lambda: _is_ready(url))
        alive, ready = _ask(url, "/livez"), _ask(url, "/readyz")
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        process.kill()
        process.wait()
    summary = json.loads((tmp_path / "out").read_text())

    assert json.loads(alive)["ok"] is json.loads(ready)["ok"] is True
    assert code == 0, log.read_text()
    assert (summary["reason"], summary["done"], summary["left"]) == ("SIGTERM", 50, 0)
    assert "Traceback" not in log.read_text()
    assert form == "text" or all(json.loads(line) for line in log.read_text().splitlines())


def _ask(url: str, path: str) -> str:
    with urlopen(url + path, timeout=10) as answer:  # noqa: S310  # a page of our own
        text: str = answer.read().decode()
        return text


def _is_ready(url: str) -> bool:
    """It says so at its next view, a second after its partitions were opened at the latest."""
    try:
        return bool(json.loads(_ask(url, "/readyz"))["ok"])
    except HTTPError:
        return False


def _counted(url: str, topic: str) -> float:
    found = re.search(
        rf'streams_outcomes_total\{{[^}}]*outcome="done"[^}}]*topic="{topic}"\}} (\S+)', _ask(url, "/metrics")
    )
    return float(found[1]) if found else 0
