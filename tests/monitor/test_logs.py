"""What a log line looks like, wherever it comes from."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import structlog

from streams.engine.partition import Item
from streams.engine.slot import CURRENT, Slot
from streams.errors import ConfigError
from streams.monitor.logs import configure_logs
from streams.monitor.states import LogObserver
from streams.record import Headers
from tests.monitor.views import ORDERS

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Delivered:
    """A record as the client library delivers it."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 42

    def headers(self) -> Headers:
        return self._headers


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.fixture
def page() -> io.StringIO:
    """Where lines go."""
    return io.StringIO()


@pytest.fixture
def record() -> Iterator[None]:
    """The code of the test runs in a handler, on one record."""
    slot = Slot()
    headers: Headers = [("ce_id", b"e-1"), ("ce_correlationid", b"flow-9"), ("ce_traceparent", TRACE.encode())]
    slot.item = cast("Item", (Delivered(headers),))  # the rest of an item is not looked at
    token = CURRENT.set(slot)
    yield
    CURRENT.reset(token)


def lines(page: io.StringIO) -> list[dict[str, Any]]:
    """What was written, parsed; strict about what JSON is."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in page.getvalue().splitlines()]


def test_a_line_is_json_with_its_fields_in_order(page: io.StringIO) -> None:
    """Time, level, logger, event, topic, partition, offset come first, in this order, however they were given."""
    configure_logs("json", stream=page)
    structlog.get_logger("shop").warning("charged", amount=5, offset=7, partition=1, topic="orders")
    (line,) = lines(page)

    assert list(line) == ["time", "level", "logger", "event", "topic", "partition", "offset", "amount"]
    assert list(line.values())[1:] == ["warning", "shop", "charged", "orders", 1, 7, 5]
    assert datetime.fromisoformat(line["time"]).tzinfo == UTC


def test_the_standard_library_s_lines_look_the_same(page: io.StringIO) -> None:
    """A library that logs by the standard library writes lines of the same form, extras included."""
    configure_logs("json", stream=page)
    structlog.get_logger("shop").info("charged 5 euros", topic="orders")
    logging.getLogger("shop").info("charged %d euros", 5, extra={"topic": "orders"})
    ours, theirs = lines(page)

    assert ours | {"time": ""} == theirs | {"time": ""}
    assert list(ours) == list(theirs)


def test_the_members_own_lines_have_their_fields(page: io.StringIO) -> None:
    """What the engine tells arrives as fields."""
    configure_logs("json", stream=page)
    LogObserver("billing").expired(ORDERS, 40)
    (line,) = lines(page)

    assert (line["logger"], line["topic"], line["partition"], line["records"], line["group"]) == (
        "streams.member",
        "orders",
        0,
        40,
        "billing",
    )


@pytest.mark.usefixtures("record")
@pytest.mark.parametrize("logger", [logging.getLogger("lib"), structlog.stdlib.get_logger("shop")])
def test_a_handler_s_line_names_its_record(page: io.StringIO, logger: Any) -> None:
    """Topic, partition, offset, correlation and trace come by themselves, whichever logger is used."""
    configure_logs("json", stream=page)
    logger.info("charged")
    (line,) = lines(page)

    assert list(line)[4:] == ["topic", "partition", "offset", "correlation_id", "trace_id"]
    assert list(line.values())[4:] == ["orders", 3, 42, "flow-9", "0af7651916cd43dd8448eb211c80319c"]


@pytest.mark.usefixtures("record")
def test_a_line_that_names_a_place_keeps_it(page: io.StringIO) -> None:
    """Places are not mixed: a line about another topic gets no offset of this record."""
    configure_logs("json", stream=page)
    structlog.get_logger().info("sent", topic="invoices")
    (line,) = lines(page)

    assert line["topic"] == "invoices"
    assert "offset" not in line
    assert line["correlation_id"] == "flow-9"


def test_outside_a_handler_a_line_names_no_record(page: io.StringIO) -> None:
    """Nothing is left over from a run that ended."""
    configure_logs("json", stream=page)
    token = CURRENT.set(Slot())
    structlog.get_logger().info("idle")
    CURRENT.reset(token)
    (line,) = lines(page)

    assert "topic" not in line
    assert "correlation_id" not in line


def test_what_users_bind_is_in_their_lines(page: io.StringIO) -> None:
    """Context variables of structlog are kept."""
    configure_logs("json", stream=page)
    with structlog.contextvars.bound_contextvars(tenant="acme"):
        logging.getLogger("lib").info("hello")
    (line,) = lines(page)

    assert line["tenant"] == "acme"


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_are_masked(page: io.StringIO, form: Any) -> None:
    """Values under the names of secrets are not written, however deep they lie, in either form."""
    configure_logs(form, stream=page)
    structlog.get_logger().info(
        "connecting",
        password="hunter2",  # noqa: S106  # the one to be masked
        headers={"Authorization": "Bearer hunter2", "Accept": "all"},
        parts=[{"access_token": "hunter2"}, ({"client_secret": "hunter2"},)],
        user="ada",
    )
    logging.getLogger("lib").info("connecting", extra={"api_key": "hunter2"})

    assert "hunter2" not in page.getvalue()
    assert page.getvalue().count("***") == 5
    assert "ada" in page.getvalue()


def test_no_value_breaks_a_line(page: io.StringIO) -> None:
    """Objects, bytes, numbers that are none, keys that are no text, rings: each line is valid JSON."""
    configure_logs("json", stream=page)
    ring: list[Any] = []
    ring.append(ring)
    for value in (object(), b"\xff", float("nan"), {(1, 2): 3}, 1 << 200, "\ud800", ring, datetime.now(UTC), "a\nb"):
        structlog.get_logger().info("odd", value=value)

    assert [line["event"] for line in lines(page)] == ["odd"] * 9


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_exception_is_told_without_the_values_around_it(page: io.StringIO, form: Any) -> None:
    """The traceback is there, and no local variables: they hold payloads and secrets."""
    configure_logs(form, stream=page)
    pin = 6 * 7 * 1_000_003
    try:
        divmod(pin, 0)
    except ZeroDivisionError:
        structlog.get_logger("shop").exception("failed")
        logging.getLogger("lib").exception("failed")

    assert page.getvalue().count("ZeroDivisionError") == 2
    assert page.getvalue().count("Traceback") == 2
    assert str(pin) not in page.getvalue()


def test_lines_below_the_level_are_dropped(page: io.StringIO) -> None:
    """The level holds for both kinds of loggers; a logger's own level goes before it."""
    configure_logs("json", "warning", stream=page)
    logging.getLogger("loud").setLevel(logging.DEBUG)
    for name in ("quiet", "loud"):
        structlog.get_logger(name).info("said")
        logging.getLogger(name).info("said")
    logging.getLogger("loud").setLevel(logging.NOTSET)

    assert [line["logger"] for line in lines(page)] == ["loud", "loud"]


def test_text_is_one_line_for_people(page: io.StringIO) -> None:
    """Time, level, event, logger, and the fields with their names; no colours where nobody sees them."""
    configure_logs("text", stream=page)
    structlog.get_logger("shop").info("charged", topic="orders", partition=1, offset=7)
    (line,) = page.getvalue().splitlines()

    assert "charged" in line
    assert "[shop]" in line
    assert line.endswith("topic=orders partition=1 offset=7")
    assert "\x1b" not in line


def test_a_second_call_replaces_the_first(page: io.StringIO) -> None:
    """Each line is written once, in the form that was asked for last; others' handlers stay."""
    others = logging.NullHandler()
    logging.getLogger().addHandler(others)
    configure_logs("text", stream=page)
    configure_logs("json", stream=page)
    structlog.get_logger("shop").info("charged")

    assert len(lines(page)) == 1
    assert others in logging.getLogger().handlers


def test_a_form_or_level_that_is_none_is_refused() -> None:
    """Both faults are listed at once."""
    with pytest.raises(ConfigError) as refused:
        configure_logs("xml", "LOUD")  # type: ignore[arg-type]

    assert [fault.split(":")[0] for fault in refused.value.faults] == ["log form", "log level"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_leaves_ends_nothing(stream: str) -> None:
    """A member whose log pipe is closed goes on to its end, and that end is a good one."""
    program = textwrap.dedent(f"""
        import logging, os, sys
        from streams.monitor.logs import configure_logs
        configure_logs("json", stream=sys.{stream})
        sys.stdin.readline()
        for number in range(100):
            logging.getLogger("shop").info("charged %d", number)
        os.write(int(sys.argv[1]), b"done")
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program, "1" if stream == "stderr" else "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        log, told = (process.stdout, process.stderr) if stream == "stdout" else (process.stderr, process.stdout)
        log.close()
        process.stdin.write(b"go\n")
        process.stdin.close()
        answer = told.read()

    assert answer == b"done"
    assert process.returncode == 0


def test_a_full_disk_ends_nothing() -> None:
    """A line that can't be written is lost; the next one is tried."""
    try:
        full = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115  # a device, closed below
    except OSError as error:
        pytest.skip(f"no device that is always full: {error}")
    configure_logs("json", stream=full)
    structlog.get_logger("shop").info("charged")
    logging.getLogger("shop").info("charged")

    with pytest.raises(OSError, match="No space left"):
        full.close()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_disk_that_stays_full_ends_nothing_otherwise(stream: str) -> None:
    """A process whose every line was refused ends as one whose lines were written."""
    program = f"""
import logging, sys
from streams.monitor.logs import configure_logs
configure_logs("json", stream=sys.{stream})
for number in range(1_000):
    logging.getLogger("shop").info("charged %d", number)
"""
    try:
        full = open("/dev/full", "wb")  # noqa: PTH123, SIM115  # a device, closed below
    except OSError as error:
        pytest.skip(f"no device that is always full: {error}")
    with full:
        outputs: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        ended = subprocess.run([sys.executable, "-c", program], check=False, env=buffered, **outputs)

    assert (ended.stdout or b"", ended.stderr or b"") == (b"", b"")
    assert ended.returncode == 0
