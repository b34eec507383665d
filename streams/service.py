"""Runs an app as a member of its group: settings, topics, resources, metrics, the loop, and the way back."""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from streams.app import App
from streams.config import Settings
from streams.engine.broken import chain_class, state_class
from streams.engine.context import Context
from streams.engine.ending import RunReport, Until
from streams.engine.executors.eventloop import EventLoop
from streams.engine.member import Member, stopped_by_signals
from streams.engine.plan import plan_of
from streams.engine.route import Route
from streams.engine.shadow import Shadow, ShadowContext, shadow_topic
from streams.engine.topics import (
    Chain,
    ChainTopic,
    all_faults,
    chain_names,
    chain_of,
    chain_topics,
    make_command,
    missing,
    name_faults,
)
from streams.errors import BrokerError, ConfigError, StreamsError, TopicError
from streams.kafka import faults
from streams.kafka.admin import START_WITHIN_S, Admin
from streams.kafka.offsets import committed
from streams.kafka.producer import EngineProducer
from streams.kafka.protocol import resolve_protocol
from streams.kafka.session import session_of
from streams.kafka.topics import await_topics, create_topics, find_topics, list_topics, news_within_s, require_topics
from streams.monitor.health import Health
from streams.monitor.measure import MetricsObserver
from streams.monitor.report import make_status_topic
from streams.monitor.server import start_server
from streams.monitor.states import LogObserver
from streams.monitor.status import StatusObserver
from streams.monitor.tally import Tally, Totals
from streams.observer import Observer, Observers
from streams.supervisor import PARENT_VARIABLE
from streams.tracing import require

if TYPE_CHECKING:
    from streams.tracing.start import Tracing

_log = logging.getLogger(__name__)

_OPEN_WITHIN_S: Final = 60.0
_COLLECT_EVERY: Final = 20_000
"""New objects between two looks at the youngest; Python's own 700 are not even two batches of records."""
_CLOSE_WITHIN_S: Final = 20.0
_SHADOW: Final = (
    "group: {group!r} is a shadow group, and its members are run by 'streams replay shadow' alone. Go on with it there,"
    " or give this one another name"
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    group: str
    protocol: str
    report: RunReport
    totals: Totals


def run(
    app: App,
    settings: Settings,
    until: Until | None = None,
    *,
    observer: Observer | None = None,
    shadow: Shadow | None = None,
) -> Summary:
    """Run *app* in this thread until *until*, a signal, or for ever; with *shadow* as a member of a shadow group.

    Raises:
        ConfigError: Settings are wrong; all faults are listed.
        BrokerError: No broker answers, a topic is missing or wrong, or the client can't go on.
    """
    settings = settings.checked()
    tally, health = Tally(), Health()
    metrics = MetricsObserver(settings.group)
    log, tracing = LogObserver(settings.group), _tracing(settings, metrics)
    with contextlib.ExitStack() as stack:
        stack.callback(log.close)
        if settings.metrics_port is not None:
            stack.enter_context(
                start_server(metrics.registry, health, host=settings.metrics_host, port=settings.metrics_port)
            )
        protocol, why = resolve_protocol(settings)
        routes = _routes(app, shadow)
        chains = prepare_topics(settings, routes, is_shadow=shadow is not None)
        more = [one for one in (observer, tracing and tracing.observer, _status(settings, stack, metrics)) if one]
        _log.info("group %s: protocol %s, as %s", settings.group, protocol, why)
        event_loop, state = stack.enter_context(_resources(app))
        member = Member(
            settings,
            {topic: _with_context(app, route, state, tracing, shadow) for topic, route in routes.items()},
            protocol,
            session_of(settings, protocol),
            plans={
                topic: replace(
                    plan_of(topic, settings.group, chains[topic], route.policy, route.dead_letters),
                    chain_class=chain_class(os.environ),
                )
                for topic, route in routes.items()
            },
            event_loop=event_loop,
            observer=Observers(metrics, log, tally, health, *more),
            beat=health.beat,
            state_class=state_class(os.environ),
            reader=tracing.reader if tracing else None,
            producer=tracing.producer if tracing else None,
            shadow=shadow,
        )
        stack.enter_context(stopped_by_signals(member))
        stack.enter_context(_few_collections())
        _stop_with_parent(member, health)
        report = member.run(until)
    return Summary(settings.group, protocol, report, tally.totals)


def _status(settings: Settings, stack: contextlib.ExitStack, metrics: MetricsObserver) -> Observer | None:
    """Give what reports to the group's status topic; None where it is not to, or nobody lets it have that topic."""
    if not settings.status_every_s:
        return None
    try:
        with Admin(settings, timeout_s=START_WITHIN_S) as admin:
            make_status_topic(admin, settings.group)
    except BrokerError as error:
        _log.warning("no status is reported: 'streams why' can't tell what this member has in hand (%s)", error)
        return None
    status = StatusObserver(
        settings.group,
        lambda: EngineProducer(settings),
        every_s=settings.status_every_s,
        load=lambda: metrics.load,
    )
    stack.callback(status.close)
    return status


def _routes(app: App, shadow: Shadow | None) -> Mapping[str, Route]:
    """Give what is to run: all routes, or those that a shadow group takes part of."""
    if shadow is None:
        return app.routes
    return {topic: route for topic, route in app.routes.items() if topic in shadow.topics}


def prepare_topics(settings: Settings, routes: Mapping[str, Route], *, is_shadow: bool = False) -> dict[str, Chain]:
    """See that the source of each route exists and its chain is as the route wants it; make what is missing of it.

    Gives the chain of each source.

    Raises:
        ConfigError: The group is a shadow, and is not run as one: its records would be sent where the live one's go.
        TopicError: A source is missing, or a topic of the chain differs or can't be made; names every difference and
            its remedy.
    """
    with Admin(settings, timeout_s=START_WITHIN_S) as admin:
        sources = require_topics(admin, routes, with_config=True)
        existing = _existing(admin, settings.group, sources)
        if shadow_topic(settings.group) in existing and not is_shadow:
            raise ConfigError([_SHADOW.format(group=settings.group)])
        wanted = {
            name: chain_topics(
                source,
                settings.group,
                routes[name].policy,
                routes[name].tiers,
                existing=existing,
                retention_s=settings.chain_retention_s,
            )
            for name, source in sources.items()
        }
        everything = [topic for chain in wanted.values() for topic in chain]
        names = [topic.name for topic in everything]
        _require(names, name_faults(everything))
        _make(admin, missing(find_topics(admin, names), everything))
        _require(names, all_faults(await_topics(admin, names), everything))
    return {name: chain_of(source, settings.group, wanted[name]) for name, source in sources.items()}


def _existing(admin: Admin, group: str, sources: Iterable[str]) -> set[str]:
    """Name the topics that are there: those that a broker lists, and those that *group* was at.

    The list may come from a broker that has not heard of all of them.  A tier
    of an earlier policy stands nowhere else but in the group's own commits,
    and each of them names the whole chain.
    """
    listed = set(list_topics(admin))
    been_at = {place.topic for place in committed(admin, group)}
    unlisted = chain_names(been_at.union(sources), group).keys() - listed
    return listed.union(await_topics(admin, unlisted, with_config=False, within_s=news_within_s(admin)))


def _require(names: Sequence[str], found: Sequence[str]) -> None:
    if found:
        raise TopicError(names[0], "\n".join(found))


def _make(admin: Admin, absent: Sequence[ChainTopic]) -> None:
    """Make what is missing of the chains; where this user may not, say who could and how.

    Raises:
        TopicError: The cluster lets nobody, or not this user, make them.
    """
    try:
        create_topics(admin, [topic.as_new() for topic in absent], may_exist=True)
    except BrokerError as error:
        if not faults.is_refusal_to_make(error):
            raise
        there = await_topics(admin, [topic.name for topic in absent], with_config=False, within_s=news_within_s(admin))
        absent = missing(there, absent)
        if absent:  # else the broker that was asked before had not heard of them
            raise TopicError(absent[0].name, _plea(error, absent)) from error


def _plea(error: BrokerError, absent: Sequence[ChainTopic]) -> str:
    """Say what is missing and who could make it."""
    commands = dict.fromkeys(f"  {make_command(topic)} --print" for topic in absent)
    return (
        f"{error}\nThe group needs {len(absent)} topic(s) that are not there:"
        f" {', '.join(topic.name for topic in absent)}. Have them made by somebody who may; this prints the"
        f" commands:\n" + "\n".join(commands)
    )


def _with_context(
    app: App, route: Route, state: object, tracing: Tracing | None, shadow: Shadow | None = None
) -> Route:
    keys = {topic: other.key_field for topic, other in app.routes.items() if other.key_field}
    begin = Context if shadow is None else partial(ShadowContext, output=shadow.output)
    ready = replace(route, context=partial(begin, keys=keys, state=state))
    return tracing.route(ready) if tracing else ready


def _tracing(settings: Settings, metrics: MetricsObserver) -> Tracing | None:
    """Give what makes spans, where that is wanted.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if settings.tracing == "off":
        return None
    require()
    from streams.tracing.start import Tracing  # noqa: PLC0415  # who does not trace neither has nor loads it

    return Tracing(settings, metrics.exemplify)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Spare the collector what lives as long as the process, and let it look less often at records under way.

    Records under way are many and live long enough to be looked at in vain:
    with Python's defaults that takes a tenth of the engine's time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(before[0], _COLLECT_EVERY) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextlib.contextmanager
def _resources(app: App) -> Iterator[tuple[EventLoop | None, object]]:
    """Start the event loop where one is needed, and open what the app's handlers share."""
    state = SimpleNamespace()
    if app.resources is None and not any(route.run == "async" for route in app.routes.values()):
        yield None, state
        return
    event_loop = EventLoop()
    opened: Any = None
    try:
        with _in_words(f"the lifespan of app {app.group!r} did not open"):
            opened = None if app.resources is None else app.resources(state)
            if inspect.isasyncgen(opened):
                _await(event_loop.call(_first(opened)), _OPEN_WITHIN_S)
            elif inspect.isawaitable(opened):
                _await(event_loop.call(_awaited(opened)), _OPEN_WITHIN_S)
        yield event_loop, state
    finally:
        try:
            if inspect.isasyncgen(opened):
                with _in_words(f"the lifespan of app {app.group!r} did not close"):
                    _await(event_loop.call(_last(opened)), _CLOSE_WITHIN_S)
        finally:
            event_loop.close()


@contextlib.contextmanager
def _in_words(what: str) -> Iterator[None]:
    """Tell an error of the user's code as one, without our own frames round it."""
    try:
        yield
    except Exception as error:
        raise StreamsError(f"{what}: {type(error).__name__}: {error}") from error


def _await(future: Future[Any], within_s: float) -> None:
    if not wait([future], within_s).done:
        raise TimeoutError(f"it was still going on after {within_s:g} s")
    future.result()


async def _awaited(opening: Any) -> None:
    await opening


async def _first(generator: Any) -> None:
    await anext(generator)


async def _last(generator: Any) -> None:
    with contextlib.suppress(StopAsyncIteration):
        await anext(generator)


def _stop_with_parent(member: Member, health: Health) -> None:
    """Under a supervisor: stop once it is gone, so that no member is left that nobody looks after."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    beat = health.beat

    def look() -> None:
        beat()
        if os.getppid() != int(parent):
            member.stop("its supervisor is gone")

    member.beat = look
