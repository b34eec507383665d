"""The pages of a member, over real HTTP."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from streams.errors import UsageError
from streams.monitor.health import Health
from streams.monitor.measure import MetricsObserver
from streams.monitor.server import Server, start_server
from tests.monitor.views import ORDERS, TurnedClock, member
from tests.waiting import eventually


class Served:
    """A member's pages and what they are made from."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.metrics = MetricsObserver("billing", clock=self.clock)
        self.health = Health(clock=self.clock, limit_s=60)
        self.server = start_server(self.metrics.registry, self.health)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        """Give the answer to one request, and its body."""
        connection = HTTPConnection(self.server.host, self.server.port, timeout=10)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def told(self, path: str) -> tuple[int, bool, str]:
        """Give status and verdict of a health page."""
        response, body = self.ask(path)
        verdict = json.loads(body)
        return response.status, verdict["ok"], verdict["reason"]


@pytest.fixture
def served() -> Iterator[Served]:
    """A member that has just started, and its pages."""
    one = Served()
    with one.server:
        yield one


def test_metrics_are_served_as_text(served: Served) -> None:
    """A scraper that asks for nothing special gets Prometheus text with the numbers as they are."""
    served.metrics.consumed(ORDERS, 500, 1_000)
    response, body = served.ask("/metrics")
    samples = [sample for family in parse_text(body.decode()) for sample in family.samples]

    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert ("streams_consumed_records_total", 500) in [(sample.name, sample.value) for sample in samples]


def test_metrics_are_served_as_openmetrics_where_asked(served: Served) -> None:
    """Prometheus names the formats that it takes, best first."""
    response, body = served.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    names = [family.name for family in parse_openmetrics(body.decode())]  # type: ignore[no-untyped-call]

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert "streams_rebalances" in names


def test_readiness_follows_the_member(served: Served) -> None:
    """503 with the reason while starting and draining, 200 in between."""
    starting = served.told("/readyz")
    served.health.assigned([ORDERS])
    served.health.viewed(member())
    ready = served.told("/readyz")
    served.health.stopping()

    assert starting == (503, False, "joining: the group has not answered since it started")
    assert ready == (200, True, "in the group, every assigned partition is open")
    assert served.told("/readyz") == (503, False, "draining: a stop has begun")


def test_liveness_follows_the_poll_thread_alone(served: Served) -> None:
    """A draining member that complains of its broker is alive; one whose poll thread stands still is not."""
    served.health.stopping()
    served.health.broker_error("all brokers are down", fatal=False)
    alive = served.told("/livez")
    served.clock.at_s += 61

    assert alive == (200, True, "the poll thread goes round")
    assert served.told("/livez") == (503, False, "the poll thread has stood still for 61 s, more than 60 s")


def test_any_other_page_is_not_there(served: Served) -> None:
    """404 names the pages that there are."""
    response, body = served.ask("/")

    assert response.status == 404
    assert body == b"pages: /metrics /livez /readyz\n"


@pytest.mark.parametrize("path", ["/livez?verbose=1", "/metrics?x"])
def test_what_follows_a_question_mark_is_passed_over(served: Served, path: str) -> None:
    """Probes that add parameters get the page."""
    assert served.ask(path)[0].status == 200


def test_a_head_request_gets_no_body(served: Served) -> None:
    """HEAD tells length and kind alone."""
    response, body = served.ask("/metrics", "HEAD")

    assert int(response.headers["Content-Length"]) > 0
    assert body == b""


def test_nothing_can_be_posted(served: Served) -> None:
    """The pages are for reading."""
    assert served.ask("/metrics", "POST")[0].status == 501


def test_a_request_without_endis_closed(served: Served) -> None:
    """A head past its bound is not read further, and the pages are still there for others."""
    place = served.server.host, served.server.port
    with socket.create_connection(place, timeout=10) as connection, pytest.raises(OSError, match=r"reset|pipe|abort"):
        send_without_end(connection)

    assert served.ask("/livez")[0].status == 200


def test_a_client_that_only_looks_in_is_no_trouble(served: Served) -> None:
    """A probe of the bare port, which sends nothing and leaves, costs nothing."""
    socket.create_connection((served.server.host, served.server.port), timeout=10).close()

    assert served.ask("/livez")[0].status == 200


def test_idle_clients_do_not_pile_up(served: Served) -> None:
    """Connections past the bound are closed at once; the number of threads has an end."""
    before = threading.active_count()
    idle = [socket.create_connection((served.server.host, served.server.port), timeout=10) for _ in range(40)]
    try:
        eventually(lambda: sum(map(is_closed, idle)) >= 40 - 16)

        assert threading.active_count() - before <= 16
    finally:
        for one in idle:
            one.close()


def test_a_collector_that_fails_spoils_its_page_alone(served: Served) -> None:
    """A user's own metric that raises is said in the log; health is still told."""

    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise ValueError("no number")

    served.metrics.registry.register(Broken())
    with pytest.raises(OSError, match="closed connection"):
        served.ask("/metrics")

    assert served.ask("/livez")[0].status == 200


def test_the_log_says_where_the_pages_are(caplog: pytest.LogCaptureFixture) -> None:
    """A free port is of use to those who are told which one it is."""
    caplog.set_level(logging.INFO, logger="streams.monitor.server")
    with start_server(CollectorRegistry(), Health()) as server:
        (line,) = caplog.records

        assert vars(line)["url"] == server.url


def test_a_taken_port_is_the_user_s_to_change(served: Served) -> None:
    """The error names the place, the setting, and a way out."""
    port = served.server.port
    with pytest.raises(UsageError, match=rf"metrics_port: can't listen on 127.0.0.1:{port} .*STREAMS_METRICS_PORT"):
        start_server(served.metrics.registry, served.health, port=port)


def test_a_host_that_is_none_is_the_user_s_to_change() -> None:
    """A name that stands for no address of this machine is said in words too."""
    with pytest.raises(UsageError, match=r"can't listen on no\.such\.host\.invalid:0"):
        start_server(CollectorRegistry(), Health(), host="no.such.host.invalid")


def test_a_stopped_server_gives_its_port_back(served: Served) -> None:
    """After a stop, and a second one, the port can be had again."""
    port = served.server.port
    served.server.stop()
    served.server.stop()

    again: Server = start_server(served.metrics.registry, served.health, port=port)
    with again:
        assert again.url == f"http://127.0.0.1:{port}"


def test_pages_are_served_on_ipv6() -> None:
    """An address with colons is an address of version 6."""
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        server = start_server(CollectorRegistry(), Health(), host="::1")
    except UsageError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with server:
        assert server.url == f"http://[::1]:{server.port}"


def send_without_end(connection: socket.socket) -> None:
    """Send one header until the other side has had enough."""
    connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
    while True:
        connection.sendall(b"x" * 4_096)


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side has closed, without waiting for it."""
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
