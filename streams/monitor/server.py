"""The pages of a member: ``/metrics``, ``/livez`` and ``/readyz`` over HTTP.

A thread of its own answers, so a page comes whatever the poll thread does.
Every request is bounded in bytes, in time and in number; what is over a bound
is closed, and the member goes on.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import BoundedSemaphore, Thread
from types import TracebackType
from typing import Any, Final, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.errors import UsageError
from streams.monitor.health import Health, Verdict

_REQUEST_BYTES: Final = 8 * 1024
_REQUEST_S: Final = 5.0
_AT_ONCE: Final = 16
_LOG = logging.getLogger(__name__)


class Server:
    """Serves the pages from its own threads until stopped.

    Always true: after `stop` the port is free.
    """

    def __init__(self, listener: _Listener) -> None:
        """Serve what comes to *listener*; `start_server` makes one."""
        self._listener = listener
        self.host, self.port = listener.server_name, listener.server_port
        self._thread = Thread(target=listener.serve_forever, args=(0.2,), name="streams-pages", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the pages are, without a slash at the end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def stop(self) -> None:
        """Serve no more; a second call does nothing."""
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()


def start_server(
    registry: CollectorRegistry,
    health: Health,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Server:
    """Serve the pages of one member.

    Args:
        registry: What ``/metrics`` shows.
        health: What ``/livez`` and ``/readyz`` tell.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        UsageError: It can't listen there.
    """
    try:
        server = Server(_Listener(host, port, registry, health))
    except OSError as error:
        raise UsageError(
            f"metrics_port: can't listen on {host}:{port} ({error.strerror or error}); nothing was started; "
            "name another port with STREAMS_METRICS_PORT, or 0 for a free one",
        ) from error
    _LOG.info("pages served: /metrics /livez /readyz", extra={"url": server.url})
    return server


class _Listener(ThreadingHTTPServer):
    """Accepts a bounded number of requests at once, each in a thread that ends with the process."""

    daemon_threads = True
    request_queue_size = 64  # the default of 5 makes a sixth scraper or probe wait a second
    allow_reuse_port = False

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        self.health = health
        self._room = BoundedSemaphore(_AT_ONCE)
        super().__init__((host, port), _Page)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a new thread; close the connection if too many are being answered."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one request and make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a request that could not be answered: a client that left or was too slow, or a collector's fault."""
        if isinstance(sys.exception(), OSError):
            _LOG.debug("page not served", exc_info=True)
        else:
            _LOG.exception("page failed; the member goes on")


class _Page(BaseHTTPRequestHandler):
    """Answers one request on one connection."""

    server: _Listener
    server_version = "streams"
    sys_version = ""
    timeout = _REQUEST_S

    def setup(self) -> None:
        """Read the whole head of the request within its bounds."""
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO(_read_head(self.connection))
        self.connection.settimeout(_REQUEST_S)

    def do_GET(self) -> None:
        """Answer with a page."""
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, content_type, encode(self.server.registry))
            case "/livez":
                self._tell(self.server.health.live())
            case "/readyz":
                self._tell(self.server.health.ready())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"pages: /metrics /livez /readyz\n")

    do_HEAD = do_GET  # noqa: N815  # the standard library's name

    def _tell(self, verdict: Verdict) -> None:
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", json.dumps(verdict._asdict()).encode() + b"\n")

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the standard library's name
        """Keep requests out of the log unless it is read for faults."""
        _LOG.debug(format, *args)


def _read_head(connection: socket.socket) -> bytes:
    """Read up to the empty line that ends a request's head; what follows it is not looked at.

    Raises:
        OSError: It is too long or too slow.
    """
    head, end_s = b"", time.monotonic() + _REQUEST_S
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"a request's head took longer than {_REQUEST_S:g} s")
        if len(head) > _REQUEST_BYTES:
            raise OSError(f"a request's head has more than {_REQUEST_BYTES} bytes")
        connection.settimeout(left_s)
        part = connection.recv(_REQUEST_BYTES)
        if not part:
            break
        head += part
    return head
