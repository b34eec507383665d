"""The dashboard as a web server: its addresses, the stream of events, its beginning and its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from streams.config import Settings
from streams.errors import BrokerError, StreamsError, UsageError
from streams.kafka.admin import Admin
from streams.monitor.dashboard import burials, directing, records, scaling, views
from streams.monitor.dashboard.access import SESSION_S, Access, Token
from streams.monitor.dashboard.alarms import Alarms, Notice
from streams.monitor.dashboard.board import Board, ForbiddenError, NotFoundError, board_of, first, form_of
from streams.monitor.dashboard.courier import Courier
from streams.monitor.dashboard.guard import COOKIE, LOOPBACK, Guard, visitor_of
from streams.monitor.dashboard.jobs import Jobs
from streams.monitor.dashboard.masking import Mask
from streams.monitor.dashboard.pace import Pace
from streams.monitor.dashboard.pages import render, static_file
from streams.monitor.dashboard.picture import Picture
from streams.monitor.dashboard.reading import Reading
from streams.monitor.dashboard.targets import Target
from streams.monitor.dashboard.thresholds import Threshold
from streams.monitor.dashboard.watch import Watch
from streams.monitor.scaler import Scaler

OPEN_PAGES: Final = 64
"""Pages that listen at the same time; a further one is not told of looks, and shows what it has."""
AT_ONCE: Final = 200
"""Connections; what comes beyond is refused."""
_BEAT_S: Final = 15.0
_WRONG_TOKEN_S: Final = 0.5
_LOG: Final = logging.getLogger(__name__)


@dataclass
class Choices:
    """What the command line says."""

    settings: Settings
    host: str = "127.0.0.1"
    port: int = 8080
    tokens: Sequence[Token] = ()
    mask: Collection[str] = ()
    allowed_hosts: Collection[str] = ()
    schemas: Path | None = None
    thresholds: Sequence[Threshold] = ()
    targets: Sequence[Target] = ()
    """Where notices of thresholds go."""
    pace: Pace = field(default_factory=Pace)

    @property
    def is_loopback(self) -> bool:
        """Only this machine reaches it."""
        return self.host in LOOPBACK


class Events:
    """Tells pages that listen of each look.  The watch's thread rings; the rest belongs to the event loop."""

    def __init__(self, watch: Watch) -> None:
        """Hear of the looks of *watch*."""
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bells: set[asyncio.Event] = set()
        self._is_over = False
        watch.listen(self._ring)

    def begin(self) -> None:
        """Take the running loop for one's own."""
        self._loop = asyncio.get_running_loop()

    def end(self) -> None:
        """Tell nobody any more, and let all go; any thread may call it."""
        self._is_over = True
        self._ring(self._watch.picture)

    def is_full(self) -> bool:
        """Say whether nobody else may listen."""
        return len(self._bells) >= OPEN_PAGES

    async def stream(self) -> AsyncIterator[str]:
        """Give one line of an event stream for each look, and a sign of life now and then."""
        bell = asyncio.Event()
        self._bells.add(bell)
        self._watch.opened()
        try:
            yield "retry: 3000\n\n"
            while not self._is_over:
                try:
                    await asyncio.wait_for(bell.wait(), _BEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                bell.clear()
                yield f"event: look\ndata: {self._watch.picture.number}\n\n"
        finally:
            self._bells.discard(bell)
            self._watch.closed()

    def _ring(self, _: Picture) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring_all)

    def _ring_all(self) -> None:
        for bell in self._bells:
            bell.set()


def make_app(choices: Choices) -> Starlette:
    """Make the application; its watch begins and ends with it."""
    settings, mask = choices.settings, Mask(choices.mask)
    watch = Watch(Admin(settings), mask, pace=choices.pace)
    access = Access(choices.tokens, is_loopback=choices.is_loopback)
    events = Events(watch)
    couriers = [Courier(target) for target in choices.targets]

    def tell(notice: Notice) -> None:
        for courier in couriers:
            courier.take(notice)

    alarms = Alarms(choices.thresholds, tell, cluster=settings.bootstrap)
    watch.listen(alarms.hear)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        events.begin()
        for courier in couriers:
            courier.start()
        watch.start()
        threading.Thread(target=app.state.board.reading.connect, name="streams-connect", daemon=True).start()
        try:
            yield
        finally:
            events.end()
            await asyncio.to_thread(watch.stop)
            await asyncio.to_thread(app.state.board.scaler.stop)
            await asyncio.gather(*(asyncio.to_thread(courier.stop) for courier in couriers))

    hosts = {*LOOPBACK, *choices.allowed_hosts} if choices.is_loopback or choices.allowed_hosts else set[str]()
    app = Starlette(
        routes=_ROUTES,
        lifespan=lifespan,
        middleware=[Middleware(Guard, access=access, hosts=hosts)],
        exception_handlers={StreamsError: _told, HTTPException: _nothing},
    )
    app.state.board = Board(
        settings=settings,
        watch=watch,
        access=access,
        mask=mask,
        jobs=Jobs(settings, watch.hurry),
        reading=Reading(settings),
        cluster=settings.bootstrap,
        alarms=alarms,
        couriers=couriers,
        schemas=choices.schemas,
        scaler=Scaler(settings),
    )
    app.state.events = events
    return app


class Dashboard:
    """The server, listening from the moment it is made.

    Always true: once `run` has returned, the port is free and the watch has ended.
    """

    def __init__(self, choices: Choices) -> None:
        """Listen, and answer nobody yet.

        Raises:
            UsageError: It can't listen there.
        """
        self.app = make_app(choices)
        config = uvicorn.Config(
            self.app,
            host=choices.host,
            port=choices.port,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=AT_ONCE,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=3,
            lifespan="on",
        )
        self._listener = _listener(choices.host, choices.port)
        self._server = _Server(config, self.app.state.events)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until told to stop, by a signal where this is the main thread."""
        _LOG.info("dashboard served", extra={"url": self.url})
        try:
            self._server.run([self._listener])
        finally:
            self._listener.close()

    def stop(self) -> None:
        """Have `run` return; any thread may call it."""
        self._server.let_go()


def _listener(host: str, port: int) -> socket.socket:
    # The protocol is named so that connections inherit it: only then asyncio sends each part of an answer at once.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"can't listen on {host}:{port} ({error.strerror or error}); nothing was started; choose with --port"
        ) from error
    return listener


class _Server(uvicorn.Server):
    """Lets the pages that listen go as soon as it is to stop."""

    def __init__(self, config: uvicorn.Config, events: Events) -> None:
        super().__init__(config)
        self._events = events

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order, at a second signal at once; not by the signal itself, which would be no end that went well."""
        self.force_exit = self.should_exit
        self.let_go()

    def let_go(self) -> None:
        """Stop, and say so to streams that would never end."""
        self._events.end()
        self.should_exit = True


async def _listen(request: Request) -> Response:
    events: Events = request.app.state.events
    if events.is_full():
        return PlainTextResponse(f"{OPEN_PAGES} pages listen already\n", status_code=503)
    return StreamingResponse(
        events.stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _login(request: Request) -> Response:
    board = board_of(request)
    if request.method != "POST":
        return render(request, "login.html", fault="") if board.access.has_tokens else RedirectResponse("/", 303)
    token = board.access.find(first(await form_of(request), "token").strip())
    if token is None:
        await asyncio.sleep(_WRONG_TOKEN_S)
        _LOG.warning("a token was shown that is none", extra={"client": request.client.host if request.client else ""})
        return render(request, "login.html", status=401, fault="This token is none of those that are known here.")
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        board.access.begin(token),
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


async def _logout(request: Request) -> Response:
    visitor, access = visitor_of(request), board_of(request).access
    form = await form_of(request)
    if visitor is not None and access.is_own_form(visitor, first(form, "form_key")):
        access.end(visitor.session)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


async def _told(request: Request, error: Exception) -> Response:
    """Show what went wrong, in its own words."""
    status = 400
    if isinstance(error, ForbiddenError):
        status = 403
    elif isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, BrokerError):
        status = 502
    return render(request, "message.html", status=status, text=str(error))


async def _nothing(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return render(request, "message.html", status=status, text="There is no such page.")


_GROUP: Final = "/groups/{group}"
_PLACE: Final = "{topic}/{partition:int}/{offset:int}"
_ROUTES: Final = [
    Route("/", views.groups),
    Route(_GROUP, views.group),
    Route(f"{_GROUP}/keys", views.keys),
    Route(f"{_GROUP}/key", records.key),
    Route(f"{_GROUP}/records/{_PLACE}", records.record),
    Route(f"{_GROUP}/letters", burials.letters),
    Route(f"{_GROUP}/letters/act", burials.confirm, methods=["GET"]),
    Route(f"{_GROUP}/letters/act", burials.act, methods=["POST"]),
    Route(f"{_GROUP}/letters/export", burials.export),
    Route(f"{_GROUP}/letters/{_PLACE}", burials.letter),
    Route(f"{_GROUP}/direct", directing.confirm, methods=["GET"]),
    Route(f"{_GROUP}/direct", directing.act, methods=["POST"]),
    Route(f"{_GROUP}/replay", views.replay),
    Route("/letters", burials.letters),
    Route("/jobs", burials.jobs),
    Route("/jobs/{job}", burials.job),
    Route("/jobs/{job}/stop", burials.stop, methods=["POST"]),
    Route("/replays", views.replays),
    Route("/topics", views.topics),
    Route("/schemas", views.schemas),
    Route("/alerts", views.alerts),
    Route("/audit", views.audit),
    Route("/search", views.search),
    Route("/events", _listen),
    Route("/login", _login, methods=["GET", "POST"]),
    Route("/logout", _logout, methods=["POST"]),
    Route("/healthz", views.health),
    Route("/scale/{group}", scaling.scale),
    Route("/metrics", scaling.metrics),
    Route("/static/{name}", static_file),
]
