"""What stands in front of every page: who asks, from where, and what a browser may do with the answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.monitor.dashboard.access import Access

COOKIE: Final = "streams_session"
MOST_BYTES: Final = 256 * 1024
"""Of a request's body."""
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_OPEN: Final = ("/login", "/static/", "/healthz")
_SAFE: Final = frozenset({"GET", "HEAD"})
_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Passes requests on with their visitor in ``scope["visitor"]``, and refuses the others.

    Always true: no page but the login is shown to whoever should have shown a
    token and did not; nothing is changed by a request that another site made.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: Collection[str]) -> None:
        """Guard *app*; of *hosts* one must be named in each request, where there are any."""
        self._app = app
        self._access = access
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refusal(scope) or self._let_in(scope)
        await (answer or self._app)(scope, receive, _hardened(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._hosts and _host_of(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse(
                "This name is none of the dashboard's own. Name it at its start: streams monitor --allow-host NAME\n",
                status_code=421,
            )
        if scope["method"] not in _SAFE and not _is_own_site(headers):
            return PlainTextResponse("Another site sent this; nothing was done.\n", status_code=403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MOST_BYTES:
            return PlainTextResponse(f"More than {MOST_BYTES:,} bytes; nothing was done.\n", status_code=413)
        return None

    def _let_in(self, scope: Scope) -> Response | None:
        """Find out who asks; give the way to the login where nobody knows."""
        headers = Headers(scope=scope)
        visitor = self._access.visitor(
            headers.get("authorization", ""),
            HTTPConnection(scope).cookies.get(COOKIE, ""),
            is_forwarded=any(name in headers for name in ("forwarded", "x-forwarded-for", "x-forwarded-host")),
        )
        scope["visitor"] = visitor
        path = scope["path"]
        if visitor is not None or path.startswith(_OPEN):
            return None
        wants_page = scope["method"] in _SAFE and "text/html" in headers.get("accept", "")
        if wants_page:
            return RedirectResponse("/login", status_code=303)
        return PlainTextResponse(
            "Show a token: Authorization: Bearer ...\n", status_code=401, headers={"WWW-Authenticate": "Bearer"}
        )


def _hardened(send: Send) -> Send:
    """Add to each answer what a browser may do with it."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if "cache-control" not in headers:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return sender


def _is_own_site(headers: Headers) -> bool:
    """Say whether a browser says that the request comes from this very site; what is no browser says nothing."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in {"same-origin", "none"}:
        return False
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _host_of(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def visitor_of(request: Any) -> Any:
    """Give who sent *request*."""
    return request.scope["visitor"]
