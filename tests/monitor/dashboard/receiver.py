"""A web server of one address that takes notices, or refuses them, as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streams.dev.ports import HOST


class Receiver:
    """Answers with *codes*, one after the other, then 200; 0 answers nothing until it is stopped."""

    def __init__(self, *codes: int) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.codes: list[int] = list(codes)
        self.over = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.paths.append(self.path)
                receiver.headers.append(dict(self.headers))
                receiver.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                code = receiver.codes.pop(0) if receiver.codes else 200
                if not code:
                    receiver.over.wait(60)
                    return
                self.send_response(code)
                if 300 <= code < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.place = f"{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def documents(self) -> Sequence[dict[str, Any]]:
        """What it was sent."""
        return [json.loads(body) for body in self.bodies]

    def stop(self) -> None:
        """End it."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
