"""What an app may declare, what contradicts itself, and how an app is found by name."""

# ruff: noqa: ARG001 - what a handler takes is its declaration, whether or not it looks at it
from __future__ import annotations

import functools
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import pytest

from streams.app import App, load
from streams.codec import Codec
from streams.engine.breaker import Dependency
from streams.engine.context import Context
from streams.engine.guard import Guard
from streams.engine.policy import DEFAULT_POLICY
from streams.engine.route import Route
from streams.errors import AppError, ConfigError, StreamsError, UsageError
from streams.record import Record
from streams.retry import NO_RETRY, RetryPolicy
from tests.engine.stage import message

FIVE = RetryPolicy(("1m", "2m", "3m", "4m", "5m"))
"""More lengths of waits than there may be retry topics."""

FOREIGN = Dependency(name="payments", errors=(ConnectionError,))
"""One that no app has declared."""


class Order(msgspec.Struct):
    id: int


@dataclass
class Payment:
    id: int


class Refund(TypedDict):
    id: int


def declare(handler: Callable[..., Any], topic: str = "orders", **options: Any) -> Route:
    """The route that an app makes of *handler*."""
    app = App("billing")
    app.on(topic, **options)(handler)
    return app.routes[topic]


def fault(handler: Callable[..., Any], topic: str = "orders", **options: Any) -> str:
    """What an app says against *handler*."""
    with pytest.raises(AppError) as caught:
        declare(handler, topic, **options)
    return str(caught.value)


def plain(order: dict[str, Any]) -> None:
    """A handler like most."""


async def waiting(order: dict[str, Any]) -> None:
    """An async one."""


def many(orders: list[dict[str, Any]]) -> None:
    """One for batches."""


# -- sound declarations -------------------------------------------------------------------------------


def test_a_handler_is_a_route() -> None:
    """A declaration gives the function back, and what was said stands in the route."""
    app = App("billing")
    decorated = app.on("orders", key="id", retry=NO_RETRY, timeout="30s", concurrency=4)(plain)
    chosen = app.routes["orders"]

    assert decorated is plain
    assert (chosen.topic, chosen.name, chosen.key_field, chosen.retry) == ("orders", "plain", "id", NO_RETRY)
    assert (chosen.run, chosen.concurrency, chosen.timeout_s, chosen.policy) == ("threads", 4, 30.0, DEFAULT_POLICY)
    assert (chosen.wants_context, chosen.wants_tombstones, chosen.batch) == (False, False, None)


def test_what_is_not_said_has_a_default() -> None:
    """Threads for functions, the loop for coroutines; the timeout is the app's."""
    app = App("billing", handler_timeout_s=7.0)
    app.on("a")(plain)
    app.on("b")(waiting)
    app.on("c", run="inline")(plain)
    shown = {topic: (one.run, one.concurrency, one.timeout_s) for topic, one in app.routes.items()}

    assert shown == {"a": ("threads", 16, 7.0), "b": ("async", 1_000, 7.0), "c": ("inline", 1, 7.0)}


@pytest.mark.parametrize(
    ("options", "tiers"),
    [
        ({"policy": "park"}, (60.0, 600.0)),
        ({"policy": "park", "dead_letters": "follow"}, (60.0, 600.0)),
        ({"policy": "unordered", "retry": NO_RETRY}, ()),
        ({"policy": "block"}, ()),
        ({"policy": "block", "retry": FIVE}, ()),
    ],
    ids=str,
)
def test_a_route_knows_its_tiers(options: dict[str, Any], tiers: tuple[float, ...]) -> None:
    """Under ``block`` there are none, however long its waits; it may have any number of them."""
    chosen = declare(plain, **options)

    assert chosen.tiers == tiers
    assert chosen.dead_letters == options.get("dead_letters", "continue")


def test_routes_stand_in_their_order() -> None:
    """Several topics of a group each have their handler, as declared."""
    app = App("billing")
    for topic in ("b", "a", "c"):
        app.on(topic)(plain)

    assert list(app.routes) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (bytes, b'{"id": 1}', b'{"id": 1}'),
        (str, b"text", "text"),
        (dict, b'{"id": 1}', {"id": 1}),
        (dict[str, int], b'{"id": 1}', {"id": 1}),
        (list[int], b"[1]", [1]),
        (Any, b"7", 7),
        (Order, b'{"id": 1}', Order(1)),
        (Payment, b'{"id": 1}', Payment(1)),
        (Refund, b'{"id": 1}', {"id": 1}),
        (Order | None, b'{"id": 1}', Order(1)),
    ],
    ids=str,
)
def test_the_first_parameter_says_what_is_read(annotation: Any, value: bytes, expected: object) -> None:
    """The value becomes what the handler is annotated with, one by one and many in one go; in a batch, each of them."""

    def one(order: Any) -> None: ...

    def several(orders: Any) -> None: ...

    one.__annotations__["order"] = annotation
    several.__annotations__["orders"] = list[annotation]

    assert declare(one).decode(message(0, value=value)) == expected
    assert declare(several, batch=10).decode(message(0, value=value)) == expected
    assert list(declare(one).values([message(0, value=value)] * 3)) == [expected] * 3


def test_a_handler_may_take_the_record_itself() -> None:
    """Whoever wants key, headers and time takes `Record`."""

    def handle(record: Record) -> None: ...

    found = declare(handle).decode(message(7, b"key", b"raw"))

    assert isinstance(found, Record)
    assert (found.offset, found.key, found.value) == (7, b"key", b"raw")


def test_a_handler_without_annotation_gets_what_json_holds() -> None:
    """Nothing has to be annotated."""

    def handle(order): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202

    assert declare(handle).decode(message(0, value=b'{"id": 1}')) == {"id": 1}


@pytest.mark.parametrize("annotated", [True, False])
def test_a_second_parameter_is_the_context(*, annotated: bool) -> None:
    """A handler with two parameters gets its context."""

    def handle(order: dict[str, Any], ctx: Context) -> None: ...

    if not annotated:
        del handle.__annotations__["ctx"]

    assert declare(handle).wants_context


def test_a_context_with_a_default_is_wanted_too() -> None:
    """A default makes a handler easy to call in tests; in a run the context is there."""

    def handle(order: dict[str, Any], ctx: Context | None = None) -> None: ...

    assert declare(handle).wants_context


def test_what_has_a_default_is_not_asked_for() -> None:
    """Further parameters with defaults are the handler's own business."""

    def handle(order: dict[str, Any], *, rate: float = 0.2, **more: object) -> None: ...

    assert not declare(handle).wants_context


class Charger:
    """A handler with a state of its own."""

    def charge(self, order: Order) -> None: ...

    def __call__(self, order: Order, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("handler", "name", "wants_context"),
    [
        (Charger().charge, "charge", False),
        (Charger(), "Charger", True),
        (functools.partial(Charger.charge, Charger()), "charge", False),
        (lambda _: None, "<lambda>", False),
    ],
    ids=["method", "object", "partial", "lambda"],
)
def test_whatever_can_be_called_can_handle(handler: Callable[..., Any], name: str, *, wants_context: bool) -> None:
    """Methods, objects and partial functions are handlers as well, with a name people know."""
    chosen = declare(handler)

    assert (chosen.name, chosen.wants_context) == (name, wants_context)


# -- contradictions ---------------------------------------------------------------------------------------


def test_a_topic_has_one_handler() -> None:
    """A second one for the same topic is named beside the first."""
    app = App("billing")
    app.on("orders")(plain)

    with pytest.raises(AppError, match=r"'orders' has two handlers in group 'billing', plain and waiting"):
        app.on("orders")(waiting)
    assert app.routes["orders"].name == "plain"


@pytest.mark.parametrize(
    ("handler", "options", "says"),
    [
        (waiting, {"run": "threads"}, "it is async"),
        (waiting, {"run": "inline"}, "it is async"),
        (plain, {"run": "async"}, "needs an async def"),
        (plain, {"run": "processes"}, "is none of"),
        (plain, {"policy": "parked"}, "policy='parked' is none of park, block, unordered"),
        (plain, {"policy": None}, "policy=None is none of park, block, unordered"),
        (plain, {"dead_letters": "drop"}, "dead_letters='drop' is none of continue, hold, follow"),
        (plain, {"dead_letters": None}, "dead_letters=None is none of"),
        (plain, {"policy": "block", "dead_letters": "hold"}, "dead_letters='hold' needs policy='park'"),
        (plain, {"policy": "unordered", "dead_letters": "follow"}, "has no order to keep"),
        (plain, {"retry": "1s"}, "retry"),
        (plain, {"policy": "park", "retry": FIVE}, "5 lengths of waits"),
        (plain, {"policy": "unordered", "retry": FIVE}, "5 lengths of waits"),
        (plain, {"concurrency": 0}, "concurrency=0"),
        (plain, {"concurrency": 10_001}, "concurrency=10001"),
        (plain, {"concurrency": "many"}, "concurrency='many'"),
        (plain, {"run": "inline", "concurrency": 2}, "one handler at a time"),
        (many, {"batch": 0}, "batch=0"),
        (many, {"batch": 10_001}, "batch=10001"),
        (many, {"batch": "all"}, "batch='all'"),
        (plain, {"batch": 10}, "annotated list[T]"),
        (plain, {"timeout": "0s"}, "timeout"),
        (plain, {"timeout": "soon"}, "timeout"),
        (plain, {"timeout": "2d"}, "timeout"),
        (plain, {"topic": ""}, "topic"),
        (plain, {"topic": "my orders"}, "topic"),
        (plain, {"topic": "o" * 250}, "topic"),
        (plain, {"key": 7}, "key"),
        (plain, {"needs": "payments"}, "needs='payments' is no list"),
        (plain, {"needs": FOREIGN}, "needs=Dependency("),
        (plain, {"needs": [FOREIGN]}, "needs names 'payments', which this app has not declared"),
        (plain, {"needs": ["payments"]}, "needs names 'payments', which this app has not declared"),
        (plain, {"guard": 0.5}, "guard=0.5 is no Guard"),
    ],
    ids=lambda one: str(getattr(one, "__name__", one)),
)
def test_options_that_contradict_themselves(handler: Callable[..., Any], options: dict[str, Any], says: str) -> None:
    """What can't be meant is refused at the declaration, in words that name handler and topic."""
    told = fault(handler, **options)

    assert says in told
    assert handler.__name__ in told


def test_what_a_handler_needs_stands_in_its_route() -> None:
    """Dependencies have a name, may be shared, and keep the order in which a handler names them."""
    app = App("billing")
    payments = app.dependency("payments", errors=(ConnectionError,), failures=7, within="1m")
    mail = app.dependency("mail", errors=(TimeoutError,))
    app.on("orders", needs=[mail, payments], guard=Guard(in_a_row=7))(plain)
    app.on("refunds", needs=(payments,), guard=None)(plain)
    app.on("audit")(plain)

    assert {topic: one.needs for topic, one in app.routes.items()} == {
        "orders": (mail, payments),
        "refunds": (payments,),
        "audit": (),
    }
    assert [one.guard for one in app.routes.values()] == [Guard(in_a_row=7), None, Guard()]
    assert (payments.name, payments.failures, payments.within_s, payments.probes) == ("payments", 7, 60.0, 3)


def test_a_dependency_is_declared_once() -> None:
    """Two of one name would be two opinions on whether it is down."""
    app = App("billing")
    app.dependency("payments", errors=(ConnectionError,))

    with pytest.raises(AppError, match="two dependencies named 'payments'"):
        app.dependency("payments", errors=(TimeoutError,))


def test_a_dependency_is_named_once() -> None:
    """A handler that names one twice meant two."""
    app = App("billing")
    payments = app.dependency("payments", errors=(ConnectionError,))

    with pytest.raises(AppError, match="names a dependency twice"):
        app.on("orders", needs=[payments, payments])(plain)


def test_several_contradictions_are_told_together() -> None:
    """Whoever corrects a declaration sees all that is wrong with it."""
    told = fault(
        waiting, run="threads", concurrency=0, policy="parked", timeout="soon", dead_letters="drop", retry=FIVE
    )

    assert len(told.splitlines()) == 6


def none() -> None:
    """Takes nothing."""


def three(order: dict[str, Any], ctx: Context, more: int) -> None:
    """Takes too much."""


def strange(order: dict[str, Any], more: int) -> None:
    """Takes something else beside the value."""


def named(order: dict[str, Any], *, rate: float) -> None:
    """Wants a value that nobody gives."""


def rest(*orders: dict[str, Any]) -> None:
    """Takes whatever comes."""


def generating(order: dict[str, Any]) -> Iterator[int]:
    """Yields."""
    yield 1


async def generating_async(order: dict[str, Any]) -> AsyncIterator[int]:
    """Yields, too."""
    yield 1


def batch_with_context(orders: list[bytes], ctx: Context) -> None:
    """Takes a batch and a context."""


def unreadable(order: int | Callable[..., int]) -> None:
    """Takes what no bytes become."""


def unknown(order: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Takes what is not imported."""


@pytest.mark.parametrize(
    ("handler", "options", "says"),
    [
        (none, {}, "takes 0 parameters"),
        (rest, {}, "takes 0 parameters"),
        (three, {}, "takes 3 parameters"),
        (strange, {}, "second parameter is the Context"),
        (named, {}, "rate"),
        (generating, {}, "it yields"),
        (generating_async, {}, "it yields"),
        (batch_with_context, {"batch": 10}, "no Context"),
        (unknown, {}, "name 'Missing' is not defined"),
    ],
    ids=lambda one: str(getattr(one, "__name__", one)),
)
def test_handlers_that_can_not_be_called(handler: Callable[..., Any], options: dict[str, Any], says: str) -> None:
    """A function that could never handle a record is refused at once, not record by record."""
    told = fault(handler, **options)

    assert says in told
    assert handler.__name__ in told


@pytest.mark.parametrize("annotation", ["list[int", "json.Missing", "int | 'x'", "1 +"])
def test_annotations_that_can_not_be_read(annotation: str) -> None:
    """Whatever is wrong with an annotation is told as the handler's fault, with no traceback."""

    def charge(order: Any) -> None: ...

    charge.__annotations__["order"] = annotation

    assert "charge" in fault(charge)


def test_a_type_that_no_record_becomes_is_told() -> None:
    """An annotation that no bytes can be turned into is a usage error too."""
    with pytest.raises(UsageError, match="a handler can't take"):
        declare(unreadable)


class Upper:
    """A codec of the user's."""

    content_type = "text/plain"

    def decode(self, data: bytes) -> str:
        return data.decode().upper()

    def encode(self, value: str) -> bytes:
        return value.encode()


def test_a_codec_reads_instead_of_the_annotation() -> None:
    """Users bring formats of their own."""
    codec: Codec[str] = Upper()

    def handle(order: str) -> None: ...

    assert declare(handle, codec=codec).decode(message(0, value=b"abc")) == "ABC"


@pytest.mark.parametrize("options", [{"codec": Upper()}, {"subject": "orders.placed"}], ids=lambda one: next(iter(one)))
def test_a_record_handler_reads_by_itself(options: dict[str, Any]) -> None:
    """Neither codec nor schema has a say where the handler takes the record."""

    def handle(record: Record) -> None: ...

    with pytest.raises(AppError, match="Record"):
        declare(handle, **options)


def test_a_subject_is_checked_before_the_handler(tmp_path: Path) -> None:
    """A value that breaks its schema is a dead letter with the reason."""
    folder = tmp_path / "order"
    folder.mkdir()
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
    (folder / "v1.json").write_text(json.dumps(schema))
    (folder / "example.json").write_text(json.dumps({"id": 1}))
    app = App("billing", schemas=tmp_path)
    app.on("orders", subject="order")(plain)
    chosen = app.routes["orders"]
    unreadable = chosen.unreadable(message(0, value=b'{"id": "x"}'))

    assert chosen.unreadable(message(0, value=b'{"id": 1}')) is None
    assert isinstance(unreadable, StreamsError)
    assert "order" in str(unreadable)


def test_a_subject_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """The declaration fails, not the first record."""
    with pytest.raises(UsageError, match="nowhere"):
        App("billing", schemas=tmp_path).on("orders", subject="nowhere")(plain)


def test_an_app_has_one_lifespan() -> None:
    """What handlers share is opened in one place."""
    app = App("billing")

    @app.lifespan
    async def resources(state: Any) -> None: ...

    assert app.resources is resources
    with pytest.raises(AppError, match="two lifespans"):
        app.lifespan(resources)


def test_settings_of_an_app_are_those_of_a_member() -> None:
    """Keyword arguments are settings; a name that is none is told, all at once."""
    app = App("billing", batch_records=100)

    assert (app.group, app.settings.group, app.settings.batch_records) == ("billing", "billing", 100)
    with pytest.raises(ConfigError) as caught:
        App("billing", batch_record=100, speed="high")
    assert caught.value.faults == ("batch_record: there is no such setting", "speed: there is no such setting")


# -- found by name ------------------------------------------------------------------------------------------

APPS = """
from streams import App

app = App("billing")
empty = App("billing")
other = "no app"

@app.on("orders")
def charge(order: dict) -> None: ...
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a user works; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    """A module of the user's."""
    path = folder.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("module", ["users_app", "users.shop.app"])
def test_an_app_is_found_in_the_current_folder(module: str, here: Path) -> None:
    """``module:name``, from where one stands."""
    write(here, module, APPS)
    found = load(f"{module}:app")

    assert isinstance(found, App)
    assert list(found.routes) == ["orders"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("users_app", "not of the form module:app"),
        ("users_app:", "not of the form module:app"),
        (":app", "not of the form module:app"),
        ("", "not of the form module:app"),
        ("nowhere:app", "there is no module 'nowhere'"),
        ("nowhere.deep:app", "there is no module 'nowhere'"),
        ("users_app.deep:app", "there is no module 'users_app.deep'"),
        ("users_app.py:app", "there is no module 'users_app.py'"),
        ("./users_app:app", "users_app"),
        (".users_app:app", "failed"),
        ("users_app:missing", "no App named 'missing'; it has app, empty"),
        ("users_app:other", "no App named 'other'"),
        ("users_app:empty", "has no handlers"),
        ("syntax_error:app", "SyntaxError"),
        ("name_error:app", "NameError"),
        ("needs_more:app", "there is no module 'not_installed'"),
        ("exits:app", "SystemExit"),
        ("two_handlers:app", "has two handlers"),
    ],
)
def test_an_app_that_can_not_be_had_is_told(path: str, says: str, here: Path) -> None:
    """Whatever is wrong, the user hears it in words that name the path."""
    write(here, "users_app", APPS)
    write(here, "syntax_error", "def (:")
    write(here, "name_error", "undefined")
    write(here, "needs_more", "import not_installed")
    write(here, "exits", "import sys; sys.exit(3)")
    write(here, "two_handlers", f"{APPS}\n@app.on('orders')\ndef again(order: dict) -> None: ...\n")

    with pytest.raises(UsageError) as caught:
        load(path)
    assert says in str(caught.value)
