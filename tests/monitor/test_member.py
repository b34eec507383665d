"""What a real member shows of itself is what happened."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from http.client import HTTPConnection

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families as parse

from streams import App, DeadLetter, Retry, RetryPolicy, Skip
from streams.engine.ending import Until
from streams.observer import MemberView, Observer
from streams.outcome import Outcome
from streams.record import Record
from streams.service import Summary, run
from tests.brokers import Kafka, Topics

OUTCOMES: dict[int, Outcome] = {
    1: Skip(),
    2: DeadLetter(ValueError("two")),
    3: Retry(ValueError("three")),
}
"""What becomes of a record, by its last digit; others are done."""

RECORDS = 300
RUNS = RECORDS + 30
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Visitor(Observer):
    """Looks at a member's pages from outside, at every view; once they show that all is done it stops the member."""

    summary: Summary
    """What the member said at its end."""

    def __init__(self, topic: str, group: str, port: int) -> None:
        self.port = port
        self._labels = {"group": group, "topic": topic}
        self.ready: list[tuple[int, str]] = []
        self.samples: Samples = {}
        self.has_told = False

    def viewed(self, view: MemberView) -> None:
        self._look()
        ended = sum(value for (name, _), value in self.samples.items() if name == "streams_outcomes_total")
        if ended == RUNS and not view.outstanding and not self.has_told:
            self.has_told = True
            signal.raise_signal(signal.SIGTERM)

    def stopping(self) -> None:
        self._look()

    def _look(self) -> None:
        status, verdict = self._ask("/readyz")
        self.ready.append((status, json.loads(verdict)["reason"]))
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parse(self._ask("/metrics")[1])
            for sample in family.samples
        }

    def _ask(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def sample(self, name: str, **labels: str | None) -> float:
        """The value of one sample, as last seen; of the group and topic, but for *labels*."""
        wanted = {label: value for label, value in (self._labels | labels).items() if value is not None}
        return self.samples[name, frozenset(wanted.items())]


@pytest.fixture(params=["inline", "threads"])
def visitor(request: pytest.FixtureRequest, kafka: Kafka, topic: Topics, group: Callable[..., str]) -> Visitor:
    """Who has looked at a member until it had worked off 300 records, of which some were skipped, retried, given up."""
    orders, billing = topic(partitions=2), group()
    producer = Producer(kafka.client(enable_idempotence=True))
    for number in range(RECORDS):
        producer.produce(orders, b"%d" % number, b"%d" % (number % 7))
    producer.flush(30)
    visitor = Visitor(orders, billing, free_port())
    app = App(billing, bootstrap=kafka.bootstrap, metrics_port=visitor.port)

    @app.on(orders, run=request.param, retry=RetryPolicy(delays=("10ms",)))
    def handle(record: Record) -> Outcome | None:
        return OUTCOMES.get(int(record.value or b"") % 10)

    visitor.summary = run(app, app.settings, Until(max_time_s=60), observer=visitor)
    return visitor


def test_a_member_shows_what_it_did(visitor: Visitor) -> None:
    """Every record is counted once in what was read, and every run once in what became of it."""
    outcomes = {
        outcome: visitor.sample("streams_outcomes_total", outcome=outcome)
        for outcome in ("done", "skipped", "retried", "dead_lettered")
    }

    assert visitor.sample("streams_consumed_records_total") == RECORDS
    assert outcomes == {"done": 210, "skipped": 30, "retried": 30, "dead_lettered": 60}
    assert visitor.sample("streams_retries_total") == 30
    assert visitor.sample("streams_dead_letters_total") == 60
    assert visitor.sample("streams_commit_failures_total") == 0


def test_a_member_shows_where_it_stands(visitor: Visitor) -> None:
    """At the end nothing lags and nothing is in flight; readiness went with the member's life."""
    lags = {visitor.sample("streams_lag_records", partition=number) for number in "01"}
    ages = {visitor.sample("streams_lag_seconds", partition=number) for number in "01"}

    assert (lags, ages) == ({0}, {0})
    assert visitor.sample("streams_in_flight_records", topic=None) == 0
    assert visitor.sample("streams_rebalances_total", topic=None, event="assigned") >= 1
    assert (200, "in the group, every assigned partition is open") in visitor.ready
    assert visitor.ready[-1] == (503, "draining: a stop has begun")


def test_the_report_of_a_run_says_the_same(visitor: Visitor) -> None:
    """Totals are those of the metrics."""
    totals = visitor.summary.totals

    assert (totals.consumed, totals.done, totals.skipped) == (300, 210, 30)
    assert (totals.retried, totals.dead_lettered, totals.expired) == (30, 60, 0)
    assert totals.commits > 0


def test_every_settled_record_and_every_run_is_measured(visitor: Visitor) -> None:
    """What settled is what was read, and each run, failed ones too, counts in the handler's time."""
    assert visitor.sample("streams_settled_records_total") == RECORDS
    assert visitor.sample("streams_handler_seconds_count") == RECORDS + 30


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
