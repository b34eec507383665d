"""Where notices go: a web address that takes JSON, or a command that reads it.

What may be secret of a target, a password, a query, a path, a command's
arguments, is in no log and on no page: `label` names it without.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from typing import IO, Any, Final, NamedTuple, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from streams.errors import ConfigError

TIMEOUT_S: Final = 10.0
"""A target that has not taken a notice within so long has not taken it."""
SIGNATURE: Final = "Streams-Signature"
"""Header with ``sha256=`` and the HMAC of the body, in hexadecimal digits, where there is a secret."""
SECRET: Final = "STREAMS_NOTIFY_SECRET"  # noqa: S105  # its name
_TOKENS: Final = "STREAMS_MONITOR_TOKENS"
_COMMAND: Final = "exec:"
_AGAIN: Final = frozenset({408, 425, 429})
"""Refusals that may be none the next time; others below 500 stay."""
_TEXT: Final = 200


class Fault(NamedTuple):
    """Why a notice was not taken."""

    text: str
    is_final: bool = False
    """Sending it again would come to the same."""


class Target(Protocol):
    """Takes notices; one thread at a time calls it."""

    @property
    def label(self) -> str:
        """Name it without what may be secret."""

    def deliver(self, body: bytes) -> Fault | None:
        """Hand *body* over, within about `TIMEOUT_S`; give why it was not taken, None where it was."""


class _NoRedirect(HTTPRedirectHandler):
    """Follows none: a notice goes to where it was meant to go, or nowhere."""

    def redirect_request(  # noqa: PLR0917  # the library's
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Say no."""


class WebTarget:
    """An address to which JSON is posted."""

    def __init__(self, parts: SplitResult, secret: bytes = b"") -> None:
        """Post to *parts*, signed where there is a *secret*."""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
        self.label = f"{parts.scheme}://{place}/" + ("…" if parts.path.strip("/") or parts.query else "")
        self._url = urlunsplit((parts.scheme, place, parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": "application/json", "User-Agent": "streams-monitor"}
        if parts.username is not None:
            person = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(person).decode()}"
        self._secret = secret
        self._opener = build_opener(_NoRedirect)

    def deliver(self, body: bytes) -> Fault | None:
        """Post it."""
        headers = dict(self._headers)
        if self._secret:
            headers[SIGNATURE] = f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}"
        request = Request(self._url, data=body, headers=headers, method="POST")  # noqa: S310  # http or https, as read
        try:
            with self._opener.open(request, timeout=TIMEOUT_S):
                return None
        except HTTPError as error:
            with error:
                is_final = error.code < 500 and error.code not in _AGAIN  # noqa: PLR2004  # HTTP's
                return Fault(f"it answers {error.code}", is_final)
        except URLError as error:
            return Fault(_why(error.reason))
        except (OSError, HTTPException) as error:
            return Fault(_why(error))


class CommandTarget:
    """A program that reads JSON from its standard input, and ends with 0 where it took it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Run *arguments*, without a shell."""
        self.label = f"{_COMMAND}{os.path.basename(arguments[0])}"  # noqa: PTH119  # a name as it is written
        self._arguments = tuple(arguments)

    def deliver(self, body: bytes) -> Fault | None:
        """Run it once; what it prints is dropped, what it complains of stands where the dashboard's own words do."""
        environment = {name: value for name, value in os.environ.items() if name not in {SECRET, _TOKENS}}
        try:
            process = subprocess.Popen(  # noqa: S603  # what the operator named at the start
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return Fault(f"it can't be run: {error.strerror}")
        try:
            process.communicate(body, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(process)
            return Fault(f"it did not end within {TIMEOUT_S:g} s")
        return None if process.returncode == 0 else Fault(f"it ended with {process.returncode}")


def read_targets(texts: Sequence[str], secret: str = "") -> list[Target]:
    """Read what the command line says.

    Raises:
        ConfigError: Some are none; all faults are listed, without what may be secret in them.
    """
    found: list[Target] = []
    faults = []
    for number, text in enumerate(dict.fromkeys(text.strip() for text in texts), 1):
        try:
            found.append(_command(text) if text.startswith(_COMMAND) else _address(text, secret))
        except ValueError as error:
            faults.append(f"--notify, number {number}: {error}")
    if faults:
        raise ConfigError(faults)
    return found


def _address(text: str, secret: str) -> WebTarget:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("an address has neither spaces nor letters beyond ASCII; write them as %20 and the like")
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # its words may hold the address
        parts, is_one = SplitResult("", "", "", "", ""), False
    if not is_one:
        raise ValueError("is neither http://HOST/.. or https://HOST/.., nor exec:COMMAND")
    return WebTarget(parts, secret.encode())


def _command(text: str) -> CommandTarget:
    try:
        arguments = shlex.split(text.removeprefix(_COMMAND))
    except ValueError as error:
        raise ValueError(f"{_COMMAND} can't be cut into words: {str(error).lower()}") from None
    if not arguments:
        raise ValueError(f"{_COMMAND} names no command")
    if shutil.which(arguments[0]) is None:
        raise ValueError(f"{_COMMAND} there is no program {arguments[0]!r} that can be run")
    return CommandTarget(arguments)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it, and what it began."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _why(error: object) -> str:
    """Say what went wrong; only what the system says, as other words may hold the address."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    return (str(error) if isinstance(error, OSError) else type(error).__name__)[:_TEXT]
