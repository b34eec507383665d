"""The orders: the first example, as the README has it run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from examples.orders import app, charge
from streams import App
from streams.engine.ending import Until
from streams.service import run
from tests.brokers import Kafka, Topics

ROOT = Path(__file__).parents[2]
ORDERS = ROOT / "examples" / "orders.jsonl"
BAD = {"o-4012", "o-4049", "o-4084", "o-4085", "o-4121"}
"""Orders with an event that can't be processed."""


def events() -> list[dict[str, Any]]:
    """Give the lines of the file."""
    return [json.loads(line) for line in ORDERS.read_text().splitlines()]


def streams(kafka: Kafka, *arguments: str) -> Any:
    """Run a command against *kafka*, and give what it prints as JSON."""
    command = [str(Path(sys.executable).with_name("streams")), *arguments, "--json"]
    environment = {**os.environ, "STREAMS_BOOTSTRAP": kafka.bootstrap}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=270)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_file_has_orders_of_every_kind() -> None:
    """316 events of 160 orders; each order is placed first."""
    first = {event["order_id"]: event["status"] for event in reversed(events())}

    assert len(events()) == 316
    assert len(first) == 160
    assert set(first.values()) == {"placed"}
    assert Counter(event["status"] for event in events())["cancelled"] == 21


def test_app_is_the_group_and_names_the_key() -> None:
    """The app handles orders as the group billing, with the order as its entity."""
    assert app.group == "billing"
    assert app.routes["orders"].key_field == "order_id"


def test_orders_are_charged_or_dead_lettered(kafka: Kafka, topic: Topics, group: Callable[..., str]) -> None:
    """Five events are dead letters; all others are done once the missed calls are made again."""
    own = App(group())
    orders = topic(partitions=6)
    own.on(orders, key="order_id", retry=app.routes["orders"].retry)(charge)
    streams(kafka, "produce", orders, "--file", str(ORDERS), "--key", "order_id")

    ran = run(own, own.settings.over(bootstrap=kafka.bootstrap), Until(settled=True))
    letters = streams(kafka, "dlq", "list", own.group)["letters"]

    assert (ran.report.read, ran.report.left, ran.totals.dead_lettered) == (316, 0, 5)
    assert ran.totals.done + ran.totals.skipped + ran.totals.dead_lettered == 316
    assert ran.totals.retried == 10
    assert {letter["key"] for letter in letters} == BAD
