"""Notices reach a real web server and a real command, again where that may help, and give no secret away."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.dev.ports import HOST, free_ports
from streams.errors import ConfigError
from streams.monitor.dashboard import courier as couriers
from streams.monitor.dashboard import targets
from streams.monitor.dashboard.alarms import Notice
from streams.monitor.dashboard.courier import Courier
from streams.monitor.dashboard.targets import Fault, read_targets
from streams.monitor.dashboard.thresholds import read_thresholds
from tests.monitor.dashboard.receiver import Receiver
from tests.waiting import eventually

(LAG,) = read_thresholds(["lag>30"])


def notice(number: int = 0) -> Notice:
    """One that can be told from others."""
    return Notice(f"id-{number}", "firing", LAG, "billing", 40 + number, 1_000.0, 1_010.0)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Start web servers; they end with the test."""
    started: list[Receiver] = []

    def start(*codes: int) -> Receiver:
        started.append(Receiver(*codes))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def send() -> Iterator[Callable[..., Courier]]:
    """Start couriers whose pauses are short; they end with the test."""
    started: list[Courier] = []

    def start(text: str, *, pauses_s: tuple[float, ...] = (0.01, 0.02), secret: str = "") -> Courier:
        (target,) = read_targets([text], secret)
        started.append(Courier(target, pauses_s))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_notices_are_posted_in_their_order(receive: Callable[..., Receiver], send: Callable[..., Courier]) -> None:
    """As JSON, to the path that was named, with name and password as a header and a signature over the body."""
    server = receive()
    courier = send(f"http://ann:s%C3%A4cret@{server.place}/hook?token=hush", secret="key")  # noqa: S106  # a test's
    for number in range(3):
        courier.take(notice(number))
    eventually(lambda: courier.delivery.sent == 3)
    signed = hmac.new(b"key", server.bodies[0], hashlib.sha256).hexdigest()

    assert [one["value"] for one in server.documents] == [40, 41, 42]
    assert set(server.paths) == {"/hook?token=hush"}
    assert server.headers[0]["Content-Type"] == "application/json"
    assert server.headers[0]["Authorization"] == "Basic YW5uOnPDpGNyZXQ="
    assert server.headers[0]["Streams-Signature"] == f"sha256={signed}"
    assert courier.delivery == (f"http://{server.place}/…", 3, 0, 0, "", None)


def test_without_a_secret_nothing_is_signed(receive: Callable[..., Receiver], send: Callable[..., Courier]) -> None:
    """No header promises what is not there."""
    server = receive()
    courier = send(f"http://{server.place}")
    courier.take(notice())
    eventually(lambda: courier.delivery.sent)

    assert server.paths == ["/"]
    assert not {"Streams-Signature", "Authorization"} & server.headers[0].keys()


def test_what_may_go_well_is_sent_again(receive: Callable[..., Receiver], send: Callable[..., Courier]) -> None:
    """With the same id, and before the notices behind it."""
    server = receive(503, 429)
    courier = send(f"http://{server.place}/")
    courier.take(notice(1))
    courier.take(notice(2))
    eventually(lambda: courier.delivery.sent == 2)

    assert [one["id"] for one in server.documents] == ["id-1", "id-1", "id-1", "id-2"]
    assert courier.delivery.failed == 0


@pytest.mark.parametrize(("codes", "tries"), [([500, 502, 503], 3), ([404], 1), ([302], 1)])
def test_what_goes_well_no_more_is_given_up(
    receive: Callable[..., Receiver], send: Callable[..., Courier], codes: list[int], tries: int
) -> None:
    """After so many tries, or at once where another one would come to the same; those behind it are sent."""
    server = receive(*codes)
    courier = send(f"http://{server.place}/")
    courier.take(notice(1))
    eventually(lambda: courier.delivery.failed)
    error = courier.delivery.error
    courier.take(notice(2))
    eventually(lambda: courier.delivery.sent)

    assert error == f"it answers {codes[-1]}"
    assert len(server.bodies) == tries + 1
    assert set(server.paths) == {"/"}
    assert courier.delivery.error == ""


def test_nobody_waits_for_a_server_that_is_silent(
    receive: Callable[..., Receiver], send: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hands over goes on at once; the try ends with its time, and says so."""
    monkeypatch.setattr(targets, "TIMEOUT_S", 0.3)
    server = receive(0)
    courier = send(f"http://{server.place}/", pauses_s=(0.01,))
    courier.take(notice())
    was_sent = courier.delivery.sent
    eventually(lambda: courier.delivery.error == "no answer within 0.3 s" or courier.delivery.sent)
    eventually(lambda: courier.delivery.sent)

    assert was_sent == 0
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_told_without_what_is_secret(
    send: Callable[..., Courier], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither name, password, path nor query are in the log, or in what the pages show."""
    caplog.set_level(logging.DEBUG)
    courier = send(f"http://ann:hush1@{HOST}:{free_ports(1)[0]}/hush2?token=hush3")
    courier.take(notice())
    eventually(lambda: courier.delivery.failed)
    logged = "\n".join(f"{one.getMessage()} {vars(one)}" for one in caplog.records)

    assert "Connection refused" in courier.delivery.error
    assert "a notice was given up" in logged
    assert courier.delivery.label in logged
    assert [secret for secret in ("ann", "hush1", "hush2", "hush3") if secret in logged + str(courier.delivery)] == []


def test_a_command_reads_the_notice(
    tmp_path: Path, send: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its standard input; its words are taken as they stand, by no shell; it does not see our secrets."""
    monkeypatch.setenv("STREAMS_NOTIFY_SECRET", "hush")
    monkeypatch.setenv("STREAMS_MONITOR_TOKENS", "hush")
    program = tmp_path / "take.py"
    program.write_text(
        "import json, os, sys\n"
        "told = json.load(sys.stdin) | {'words': sys.argv[1:], 'seen': 'hush' in os.environ.values()}\n"
        f"open({str(tmp_path / 'told')!r}, 'a').write(json.dumps(told) + chr(10))\n"
    )
    courier = send(f"exec:{sys.executable} {program} 'two words' $HOME ';'", secret="hush")  # noqa: S106  # a test's
    courier.take(notice(1))
    courier.take(notice(2))
    eventually(lambda: courier.delivery.sent == 2)
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]

    assert [one["id"] for one in told] == ["id-1", "id-2"]
    assert told[0]["words"] == ["two words", "$HOME", ";"]
    assert told[0]["seen"] is False
    assert courier.delivery.label == f"exec:{Path(sys.executable).name}"


def test_a_command_that_fails_is_run_again(tmp_path: Path, send: Callable[..., Courier]) -> None:
    """What it ended with is told."""
    courier = send(f"exec:sh -c 'cat >> {tmp_path}/told; exit 3'")
    courier.take(notice())
    eventually(lambda: courier.delivery.failed)

    assert courier.delivery.error == "it ended with 3"
    assert (tmp_path / "told").read_text().count('"id-0"') == 3


def test_a_command_that_does_not_end_is_ended(
    tmp_path: Path, send: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it began."""
    monkeypatch.setattr(targets, "TIMEOUT_S", 1.0)
    courier = send(f"exec:sh -c 'sleep 600 & echo $! > {tmp_path}/child; wait'", pauses_s=())
    courier.take(notice())
    eventually(lambda: courier.delivery.failed)
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "stat"

    assert courier.delivery.error == "it did not end within 1 s"
    assert eventually(lambda: not child.exists() or child.read_text().split()[2] == "Z")


class Slow:
    """A target that takes nothing before it is let."""

    label = "slow"

    def __init__(self) -> None:
        self.let = threading.Event()
        self.taken: list[str] = []

    def deliver(self, body: bytes) -> Fault | None:
        """Wait, and take it."""
        self.let.wait(60)
        self.taken.append(json.loads(body)["id"])
        return None


def test_at_the_bound_the_oldest_that_waits_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one under way is not; what was dropped counts as failed."""
    monkeypatch.setattr(couriers, "MOST_WAITING", 3)
    slow = Slow()
    courier = Courier(slow)
    courier.start()
    for number in range(5):
        courier.take(notice(number))
    waiting = courier.delivery.waiting
    slow.let.set()
    eventually(lambda: not courier.delivery.waiting)
    courier.stop()

    assert waiting == 3
    assert slow.taken == ["id-0", "id-3", "id-4"]
    assert (courier.delivery.sent, courier.delivery.failed) == (3, 2)


def test_a_stop_does_not_wait_for_the_next_try(caplog: pytest.LogCaptureFixture) -> None:
    """What is lost by it is told."""
    (target,) = read_targets([f"http://{HOST}:{free_ports(1)[0]}/"])
    courier = Courier(target, (600.0,))
    courier.start()
    courier.take(notice())
    eventually(lambda: courier.delivery.error)
    began_s = time.monotonic()
    courier.stop()

    assert time.monotonic() - began_s < 60
    assert caplog.records[-1].getMessage() == "notices were not sent"
    assert vars(caplog.records[-1])["notices"] == 1


def test_all_targets_that_are_none_are_told_at_once_without_their_secrets() -> None:
    """By their numbers."""
    wrong = [
        "ftp://ann:hush@there/x",
        "http://",
        "http://there:port-hush/",
        "https://there/ü",
        "http://there/a b",
        "exec:",
        "exec:'hush",
        "exec:no-such-program hush",
        "hush",
    ]
    with pytest.raises(ConfigError) as caught:
        read_targets(["http://there/", *wrong])

    assert [fault.split(":", 1)[0] for fault in caught.value.faults] == [
        f"--notify, number {number}" for number in range(2, 11)
    ]
    assert "hush" not in str(caught.value)
    assert "no program 'no-such-program'" in str(caught.value)
