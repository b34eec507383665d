"""How log lines look: those of the engine, of handlers, and of the libraries they use.

All of them go through the standard library's root logger and one renderer, so
``structlog.get_logger("shop").info("charged", order_id=7)`` and
``logging.getLogger("shop").info("charged %d", 7)`` give lines of one kind.  A
line written in a handler carries its record: topic, partition, offset,
correlation id and trace id.  They are looked up when a line is written, so a
handler that writes none pays nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streams.engine.slot import current_message
from streams.envelope import Envelope
from streams.errors import ConfigError

LogForm = Literal["text", "json"]

_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_FIRST: Final = (
    "time",
    "level",
    "logger",
    "event",
    "topic",
    "partition",
    "offset",
    "correlation_id",
    "trace_id",
)
_PLACE: Final = frozenset({"topic", "partition", "offset"})
_SECRET: Final = re.compile(
    r"passw(or)?d|secret|token|authorization|credential|cookie|api[-_.]?key|private[-_.]?key", re.IGNORECASE
)
_DEPTH: Final = 4


def configure_logs(form: LogForm = "text", level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send all log lines of this process to *stream*, in one form; a second call replaces the first.

    Handlers of the root logger that others added stay as they are.

    Args:
        form: ``text`` for people, ``json`` for machines: one object a line.
        level: Lines below it are dropped, where a logger has no level of its own.
        stream: Where lines go; None: standard error.

    Raises:
        ConfigError: *form* or *level* is none that there is.
    """
    faults = []
    if form not in ("text", "json"):
        faults.append(f"log form: {form!r} is neither text nor json")
    if level.upper() not in _LEVELS:
        faults.append(f"log level: {level!r} is none of {', '.join(_LEVELS)}")
    if faults:
        raise ConfigError(faults)
    handler = _LineHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form, colors=handler.stream.isatty() and "NO_COLOR" not in os.environ))
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _LineHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_gather(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _gather() -> list[Processor]:
    """Give the steps that collect what a line says, in the thread that wrote it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        add_record,
    ]


def _formatter(form: LogForm, *, colors: bool) -> logging.Formatter:
    """Give the steps that turn it into text."""
    render: list[Processor] = (
        [structlog.processors.format_exc_info, json_line]
        if form == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=colors,
                sort_keys=False,
                timestamp_key="time",
                exception_formatter=structlog.dev.plain_traceback,  # others print local variables: payloads, secrets
            ),
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), forget_other_formatters, *_gather()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, in_order, redacted, *render],
    )


def add_record(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add what names the record that the current code works on, unless the line names a place itself."""
    message = current_message()
    if message is None:
        return event
    envelope = Envelope.from_headers(message.headers())
    found: dict[str, object] = {"correlation_id": envelope.correlation, "trace_id": envelope.trace_id}
    if not _PLACE & event.keys():
        found |= {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    for name, value in found.items():
        if value is not None:
            event.setdefault(name, value)
    return event


def forget_other_formatters(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop what another handler's formatter left on the line; neither name can be a user's."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put the fields that every line may have first, always in one order."""
    return {name: event[name] for name in _FIRST if name in event} | dict(event)


def redacted(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask the values of fields whose names say that they are secret, in mappings and lists too."""
    return {name: _masked(name, value, _DEPTH) for name, value in event.items()}


def _masked(name: object, value: Any, depth: int) -> Any:
    if isinstance(name, str) and _SECRET.search(name):
        return "***"
    if depth and isinstance(value, Mapping):
        return {key: _masked(key, inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_masked(None, inner, depth - 1) for inner in value]
    return value


def json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Give one line of JSON, whatever the values are; what JSON does not have is written as text."""
    try:
        return json.dumps(event, default=repr, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, NaN, a ring
        return json.dumps({str(name): _plain(value) for name, value in event.items()})


def _plain(value: Any) -> Any:
    fits = isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value))
    return value if fits else repr(value)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines as long as somebody reads them.

    A line that can't be written (closed pipe, full disk) is lost, and the
    member goes on: its work is worth more than its words.
    """

    _is_doubtful = False
    """A line was refused: what is still buffered is looked at when the process ends."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # the standard library's name
        """Go on without the line; a fault in the line itself is shown as always."""
        error = sys.exception()
        if isinstance(error, BrokenPipeError):
            silence(self.stream)
        elif isinstance(error, OSError):  # a disk may have room again
            self._doubt()
        elif not self.stream.closed:
            super().handleError(record)

    def _doubt(self) -> None:
        if not self._is_doubtful:
            self._is_doubtful = True
            atexit.register(self._part)

    def _part(self) -> None:
        """Write what is left, or have it go nowhere, as the interpreter would fail on it."""
        if self.stream.closed:
            return
        try:
            self.stream.flush()
        except OSError:
            silence(self.stream)


def silence(stream: TextIO) -> None:
    """Send what still comes to *stream* nowhere, what it has buffered too: the interpreter's end would fail on it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(io.UnsupportedOperation):  # a stream of no file fails on nothing later
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
