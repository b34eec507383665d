"""What scalers are told over HTTP: how many replicas, why, and nothing where nobody can tell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streams.config import Settings
from streams.engine.snapshot import Snapshot, encode
from streams.errors import ConfigError, UsageError
from streams.kafka.admin import Admin
from streams.kafka.offsets import Committed, commit_for_stopped
from streams.monitor import scaler as room
from streams.monitor.dashboard.scaling import goal_of
from streams.monitor.scaler import Scaler
from streams.record import Partition
from streams.scaling.hint import Goal
from tests.brokers import Kafka, Topics
from tests.kafka.logs import write
from tests.monitor.dashboard.board import TOKENS, Serve
from tests.waiting import eventually


@pytest.fixture
def stopped(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> str:
    """A group without members that has done nothing of ten records."""
    orders, billing = topic(), group()
    write(kafka, orders, [b"x"] * 10)
    with Admin(Settings(bootstrap=kafka.bootstrap)) as admin:
        commit_for_stopped(admin, billing, {Partition(orders, 0): Committed(0, encode(Snapshot(b"12345678")))})
    return billing


def test_a_scaler_is_told_how_many_and_why(serve: Serve, stopped: str) -> None:
    """Its goal stands in the address; Prometheus is told the same."""
    with serve().client() as client:
        told = client.get(f"/scale/{stopped}?drain=30&min=0&max=4").json()
        more = client.get(f"/scale/{stopped}?min=3").json()
        shown = client.get("/metrics").text

    assert (told["group"], told["desired"], told["signals"]["due_records"]) == (stopped, 1, 10)
    assert told["reason"].startswith("10 due records")
    assert more["desired"] == 3
    assert f'streams_scale_desired_replicas{{drain_seconds="30",group="{stopped}"}} 1.0' in shown
    assert f'streams_scale_desired_replicas{{drain_seconds="60",group="{stopped}"}} 3.0' in shown


def test_where_nobody_can_tell_a_scaler_is_told_so(serve: Serve) -> None:
    """With a status that has KEDA take its fallback."""
    with serve().client() as client:
        answer = client.get("/scale/nobody")

    assert answer.status_code == 503
    assert answer.json()["desired"] is None
    assert "is not known" in answer.json()["reason"]


def test_a_goal_that_is_none_is_refused(serve: Serve) -> None:
    """With every fault."""
    with serve().client() as client:
        answer = client.get("/scale/billing?drain=soon&most=3&min=1.5")

    assert answer.status_code == 400
    assert answer.json()["reason"].count(";") >= 2
    assert "drain: 'soon' is no number" in answer.json()["reason"]
    assert "min: '1.5' is no whole number" in answer.json()["reason"]


def test_who_has_no_token_is_told_nothing(serve: Serve, stopped: str) -> None:
    """A viewer's is enough."""
    served = serve(tokens=TOKENS)
    with served.client() as nobody, served.client("token-of-vera-the-viewer") as vera:
        refused = [
            nobody.get(path, headers={"Accept": "*/*"}).status_code for path in (f"/scale/{stopped}", "/metrics")
        ]
        told = vera.get(f"/scale/{stopped}").status_code

    assert 200 not in refused
    assert told == 200


def test_a_group_is_looked_at_on_until_nobody_asks(kafka: Kafka, stopped: str) -> None:
    """For a quarter of an hour; then nothing of it is kept."""
    clock = Clock()
    scaler = Scaler(Settings(bootstrap=kafka.bootstrap), every_s=0.1, clock=clock)
    try:
        first = scaler.ask(stopped, Goal()).signals
        eventually(lambda: scaler.ask(stopped, Goal()).signals is not first)
        clock.now_s += room.ASKED_S + 1
        eventually(lambda: scaler.all() == [])
    finally:
        scaler.stop()

    assert not [one for one in threading.enumerate() if one.name == "streams-scaler"]


def test_too_many_groups_are_refused(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it costs to look is bounded."""
    monkeypatch.setattr(room, "MOST", 1)
    scaler = Scaler(Settings(bootstrap=kafka.bootstrap))
    scaler.ask("billing", Goal())

    with pytest.raises(UsageError, match="ask about fewer"):
        scaler.ask("shipping", Goal())
    scaler.stop()


def test_a_goal_is_read_from_an_address() -> None:
    """Each part by its name."""
    assert goal_of(
        {"drain": "300", "min": "0", "max": "8", "headroom": "0.2", "keep_for": "30", "wake_every": "60"}
    ) == (Goal(drain_s=300, min_replicas=0, max_replicas=8, headroom=0.2, keep_for_s=30, wake_every_s=60))
    with pytest.raises(ConfigError):
        goal_of({"min": "9", "max": "8"})


@dataclass
class Clock:
    """Stands still until it is turned."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s
