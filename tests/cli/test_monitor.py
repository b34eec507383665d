"""`streams monitor`: how it starts, and what it says where it can't."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from streams.dev.ports import HOST, free_ports
from streams.monitor.dashboard.access import read_tokens
from streams.monitor.dashboard.thresholds import MEASURES
from tests.brokers import Kafka
from tests.cli.shell import Shell
from tests.waiting import eventually


def test_a_missing_extra_is_named() -> None:
    """The words say what to install, and no other command needs it."""
    program = (
        "import sys; sys.modules.update({name: None for name in ('starlette', 'uvicorn')});"
        "from streams.cli import main; main({arguments})"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program.replace("{arguments}", repr(arguments))],
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments in (["monitor"], ["monitor", "--help"], ["status", "--help"])
    ]

    assert [one.returncode for one in said] == [2, 0, 0]
    assert "pip install 'streams[monitor]'" in said[0].stderr
    assert "starlette, uvicorn" in said[0].stderr


def test_a_token_is_made_that_its_line_knows(kafka: Kafka) -> None:
    """The line holds its sum alone."""
    said = Shell(kafka.bootstrap)("monitor --make-token otto:operator")
    token, line = (text.split(maxsplit=1)[1] for text in said.out.splitlines())
    (known,) = read_tokens(line, "a test")

    assert (known.name, known.role) == ("otto", "operator")
    assert token not in line
    assert known.digest == read_tokens(f"x admin {token}", "a test")[0].digest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tokens", "nowhere.txt"], "nowhere.txt: can't be read"),
        (["--make-token", "otto:captain"], "none of viewer, operator, admin"),
    ],
)
def test_what_can_t_be_served_is_a_usage_error(arguments: list[str], words: str, kafka: Kafka) -> None:
    """Nothing is started."""
    assert words in Shell(kafka.bootstrap)("monitor", *arguments, code=2).err


def test_all_that_is_wrong_with_alerts_is_told_at_once(kafka: Kafka) -> None:
    """Expressions and targets together, and which is missing beside the other; secrets of an address are not told."""
    streams = Shell(kafka.bootstrap)
    both = streams("monitor --alert lag>60s --alert speed>1 --notify ftp://ann:hush@there", code=2).err
    alone = streams("monitor --alert lag>60", code=2).err
    nothing = streams("monitor --notify http://there", code=2).err
    environment = streams("monitor", code=2, STREAMS_MONITOR_NOTIFY="http://there/\nftp://hush\n").err

    assert all(words in both for words in ("'lag>60s'", "'speed>1'", "--notify, number 1"))
    assert "--alert needs --notify" in alone
    assert "--notify needs --alert" in nothing
    assert "--notify, number 2" in environment
    assert "hush" not in both + environment


def test_the_help_names_everything_that_is_measured(kafka: Kafka) -> None:
    """No name is left out, and none is told that there is not."""
    words = Shell(kafka.bootstrap)("monitor --help").out.split("Names:")[1].split("Whoever")[0]
    named = {word for word in re.findall(r"[a-z_]+", re.sub(r"\([^)]*\)", "", words)) if word}

    assert named == set(MEASURES)


def test_somebody_is_told_without_a_browser(tmp_path: Path) -> None:
    """A cluster that can't be seen is told to a command, and to the probe; secrets are in no log."""
    told, (port, nobody) = tmp_path / "told", free_ports(2)
    command = [sys.executable, "-m", "streams", "monitor", "--port", str(port), "--bootstrap", f"{HOST}:{nobody}"]
    alert = [
        "--alert",
        "look_age>=0s for 0s",
        "--notify",
        f"exec:sh -c 'cat > {told}.new; mv {told}.new {told}; : hush'",
    ]
    process = subprocess.Popen([*command, *alert], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        notice = json.loads(eventually(lambda: told.read_text() if told.exists() else ""))
        health = eventually(lambda: _health(f"http://{HOST}:{port}/healthz", sent=1))
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()

    assert (notice["kind"], notice["group"], notice["measure"]) == ("firing", None, "look_age")
    assert "no broker answers" in notice["text"]
    assert (health["firing"], health["failing_targets"]) == (1, 0)
    assert process.returncode == 0, said
    assert "alert: the cluster: look_age" in said
    assert "hush" not in said


def test_a_port_that_is_taken_is_told(kafka: Kafka) -> None:
    """With the option that names another one."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        said = Shell(kafka.bootstrap)(f"monitor --port {taken.getsockname()[1]}", code=2)

    assert "--port" in said.err


def test_it_serves_until_it_is_told_to_stop(kafka: Kafka, tmp_path: Path) -> None:
    """With a page listening too, it ends well and soon, and its log holds no token."""
    (port,) = free_ports(1)
    tokens = tmp_path / "tokens"
    tokens.write_text("otto operator token-of-otto-the-operator\n")
    command = [sys.executable, "-m", "streams", "monitor", "--port", str(port), "--tokens", str(tokens)]
    process = subprocess.Popen(
        [*command, "--bootstrap", kafka.bootstrap], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        address = f"http://{HOST}:{port}"
        shown = {"Authorization": "Bearer token-of-otto-the-operator"}
        eventually(lambda: _answers(f"{address}/healthz"))
        with urllib.request.urlopen(urllib.request.Request(f"{address}/events", headers=shown)) as listening:  # noqa: S310  # our own address
            listening.readline()
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=15)
    finally:
        process.kill()

    assert process.returncode == 0, said
    assert "dashboard served" in said
    assert "token-of-otto" not in said


def _health(url: str, *, sent: int) -> dict[str, int]:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
        alerts: dict[str, int] = json.load(answer)["alerts"]
    return alerts if alerts["notices_sent"] >= sent else {}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except OSError:
        return False
