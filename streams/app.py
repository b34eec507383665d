"""The face of the package: an app is a group, and handlers on its topics, in declaration order."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from streams.codec import Codec, RecordCodec, codec_for, record_codec
from streams.config import Settings
from streams.contracts.codec import contract_codec
from streams.contracts.registry import Registry
from streams.engine.breaker import Dependency
from streams.engine.declaration import Options, Signature, check, name_of, signature_of
from streams.engine.guard import DEFAULT_GUARD, Guard
from streams.engine.policy import DEFAULT_POLICY, DeadLetterPolicy, OrderPolicy
from streams.engine.route import NULL, Route, RunMode, all_bytes_of, bytes_of
from streams.errors import AppError, ConfigError, DecodeError, StreamsError, UsageError
from streams.kafka.message import VALUE, Message
from streams.record import Record
from streams.retry import Duration, RetryPolicy, seconds

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

SCHEMAS = "schemas"
"""Folder of the contracts, from the working directory, unless the app names another."""

_CONCURRENCY: Final[Mapping[RunMode, int]] = {"inline": 1, "threads": 16, "async": 1_000}


class App:
    """A consumer group and its handlers.

    >>> app = App("billing")
    >>> @app.on("orders", key="order_id")
    ... def charge(order: dict) -> None:
    ...     ...
    >>> app.routes["orders"].name
    'charge'
    """

    def __init__(self, group: str, *, schemas: str | Path = SCHEMAS, **settings: Any) -> None:
        """Name the group; *settings* are fields of `Settings`, which environment and command line may override.

        Raises:
            ConfigError: A setting has no such name.
        """
        unknown = sorted(set(settings) - set(Settings.__dataclass_fields__) | set(settings) & {"group"})
        if unknown:
            raise ConfigError([f"{name}: there is no such setting" for name in unknown])
        self.group = group
        self.settings = Settings(group=group, **settings)
        """Not checked yet: the rest comes from the environment and the command line."""
        self.routes: dict[str, Route] = {}
        """Topic to handler."""
        self.dependencies: dict[str, Dependency] = {}
        """What handlers call, by name; declared by `dependency`."""
        self.resources: Callable[[Any], Any] | None = None
        """Opens what handlers share, once a process; set by `lifespan`."""
        self._schemas = Path(schemas)

    def on(  # noqa: PLR0913  # each names one thing
        self,
        topic: str,
        *,
        key: str | None = None,
        retry: RetryPolicy | None = None,
        policy: OrderPolicy = DEFAULT_POLICY,
        dead_letters: DeadLetterPolicy = "continue",
        run: RunMode | None = None,
        concurrency: int | None = None,
        batch: int | None = None,
        codec: Codec[Any] | None = None,
        subject: str | None = None,
        timeout: Duration | None = None,
        tombstones: bool = False,
        needs: Sequence[Dependency] = (),
        guard: Guard | None = DEFAULT_GUARD,
    ) -> Callable[[_Handler], _Handler]:
        """Handle the records of *topic* with the decorated function.

        Args:
            topic: The source topic; one handler each.
            key: Field of the value that `Context.send` and ``streams produce`` take the Kafka key from.
            retry: When a failure runs again; default `RetryPolicy()`.
            policy: What a failing record means for its key. ``park``: it waits in a retry topic where its wait is
                long, the key's later records wait behind it, others go on. ``block``: all of them wait in memory.
                ``unordered``: it waits in a retry topic and later records overtake it. Records without a Kafka key
                have nobody to wait for and block nobody under any policy; an empty key is a key.
            dead_letters: What a dead letter means for its key, under ``park``. ``continue``: later records run.
                ``hold``: they wait until an operator retries or forgets it. ``follow``: they become dead letters
                behind it. A dead letter without a key holds nobody, and nobody follows it.
            run: ``threads`` (default for ``def``), ``inline`` (on the poll thread: short work that never waits),
                ``async`` (always for ``async def``).
            concurrency: Handlers under way at once; default 16 threads, 1,000 on the event loop.
            batch: The handler takes a list of up to so many values and returns None or one outcome each.
            codec: Reads the value; default: chosen by the first parameter's annotation.
            subject: Contract that values must meet; one that does not is a dead letter at once.
            timeout: How long one run may take; default `Settings.handler_timeout_s`.
            tombstones: Null values reach the handler as None; else they are skipped.
            needs: What the handler calls, as `dependency` gave it: while one is down the topic stands still, and its
                records keep their attempts.
            guard: When dead letters are too many to be the records' own fault: then the topic stands still, and none
                is written. Default: 50 in a row, or more than half of the last 200. None: never.

        Raises:
            AppError: The topic has a handler already, or the options contradict each other or the function.
        """
        options = Options(
            topic=topic,
            key=key,
            retry=RetryPolicy() if retry is None else retry,
            policy=policy,
            dead_letters=dead_letters,
            run=run,
            concurrency=concurrency,
            batch=batch,
            codec=codec,
            subject=subject,
            timeout=timeout,
            tombstones=tombstones,
            needs=needs,
            guard=guard,
        )

        def declare(handler: _Handler) -> _Handler:
            self._declare(handler, options)
            return handler

        return declare

    def dependency(  # noqa: PLR0913  # each names one thing
        self,
        name: str,
        *,
        errors: tuple[type[Exception], ...],
        when: Callable[[Any], bool] | None = None,
        failures: int = Dependency.failures,
        share: float = Dependency.share,
        within: Duration = Dependency.within,
        probe_after: Duration = Dependency.probe_after,
        probes: int = Dependency.probes,
    ) -> Dependency:
        """Name something that handlers call and that can be down; handlers say ``needs=[...]``.

        >>> app = App("billing")
        >>> payments = app.dependency("payments", errors=(ConnectionError, TimeoutError))
        >>> @app.on("orders", needs=[payments])
        ... def charge(order: dict) -> None:
        ...     ...

        Once enough runs fail by its *errors*, every topic whose handler needs it stands still: nothing starts,
        nothing of it is dead-lettered for that, no record loses an attempt. A few records try now and then, and all
        goes on once they end well. What each option means stands at `Dependency`.

        Raises:
            AppError: The app has one of that name.
            ConfigError: An option can't be meant.
        """
        if name in self.dependencies:
            raise AppError(f"app {self.group!r} has two dependencies named {name!r}; declare one, and use it for both")
        declared = self.dependencies[name] = Dependency(
            name=name,
            errors=errors,
            when=when,
            failures=failures,
            share=share,
            within=within,
            probe_after=probe_after,
            probes=probes,
        )
        return declared

    def lifespan(self, resources: _Handler) -> _Handler:
        """Open what handlers share: an async function or generator that takes a state and fills it, once a process.

        What stands behind its ``yield`` runs at the end.  Handlers find the state as ``ctx.state``.

        Raises:
            AppError: There is one already.
        """
        if self.resources is not None:
            raise AppError(f"app {self.group!r} has two lifespans; open everything in one")
        self.resources = resources
        return resources

    def _declare(self, handler: Callable[..., Any], options: Options) -> None:
        """Make the route of *handler*."""
        topic = options.topic
        if topic in self.routes:
            raise AppError(
                f"topic {topic!r} has two handlers in group {self.group!r}, {self.routes[topic].name} and"
                f" {name_of(handler)}; give the second one a group of its own"
            )
        signature = signature_of(handler, topic)
        check(signature, options, self.dependencies)
        mode = options.mode(signature)
        reader, explain = self._reader(signature, options)
        self.routes[topic] = Route(
            topic=topic,
            handler=handler,
            name=signature.name,
            decode=reader.decode,
            decode_all=reader.decode_all,
            explain=explain,
            wants_context=signature.wants_context,
            wants_tombstones=options.tombstones,
            run=mode,
            concurrency=options.concurrency or _CONCURRENCY[mode],
            batch=options.batch,
            policy=options.policy,
            dead_letters=options.dead_letters,
            retry=options.retry,
            timeout_s=self.settings.handler_timeout_s if options.timeout is None else seconds(options.timeout),
            key_field=options.key,
            subject=options.subject,
            needs=tuple(options.needs),
            guard=options.guard,
        )

    def _reader(
        self, signature: Signature, options: Options
    ) -> tuple[_Reader, Callable[[Exception, Message], StreamsError]]:
        """Give how a message becomes the handler's argument, and how a failure to do so is put into words."""
        annotation, codec, subject = signature.value(options.batch), options.codec, options.subject
        if annotation is Record:
            if codec is not None or subject is not None:
                extra = "codec" if subject is None else f"subject {subject!r}"
                raise AppError(
                    f"{signature.place(options.topic)}: it takes Record and reads the value itself; drop its {extra}"
                )
            return _Reader(Record if options.tombstones else _whole_record), lambda error, _: DecodeError(str(error))
        try:
            chosen: RecordCodec[Any] = codec_for(annotation) if codec is None else record_codec(codec)
            if subject is not None:
                chosen = contract_codec(Registry(self._schemas).subject(subject), chosen)
        except UsageError as error:
            raise AppError(f"{signature.place(options.topic)}: {error}") from error
        return _reader(chosen, tombstones=options.tombstones), lambda error, message: chosen.explain(
            error, VALUE(message) or b""
        )


class _Reader(NamedTuple):
    """How messages become the handler's argument: one by one, and many in one go where there is a faster way."""

    decode: Callable[[Message], Any]
    decode_all: Callable[[Iterable[Message]], Iterator[Any]] | None = None


def _reader(codec: RecordCodec[Any], *, tombstones: bool) -> _Reader:
    raw = codec.raw_decode
    if raw is None:
        return _Reader(VALUE) if tombstones else _Reader(bytes_of, all_bytes_of)
    parse = raw if codec.is_builtin else _never_stopping(raw)
    if tombstones:
        return _Reader(lambda message: None if (value := VALUE(message)) is None else parse(value))

    def read(message: Message) -> Any:
        value = VALUE(message)
        if value is None:
            raise DecodeError(NULL)
        return parse(value)

    return _Reader(read, lambda messages: map(parse, all_bytes_of(messages)))


def _never_stopping(raw: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Give *raw* such that it raises no `StopIteration`: whoever decodes many would take that for the end of them."""

    def parse(data: bytes) -> Any:
        try:
            return raw(data)
        except StopIteration as error:
            raise RuntimeError("StopIteration came out of it") from error

    return parse


def _whole_record(message: Message) -> Record:
    bytes_of(message)
    return Record(message)


def load(path: str) -> App:
    """Give the app that *path*, ``module:name``, stands for; the current folder is looked in too.

    Raises:
        UsageError: There is no such module or name, it is no app, or it can't be imported.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise UsageError(f"{path!r} is not of the form module:app, such as examples.orders:app")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        what = f"there is no module {error.name!r}"
        hint = f"run from the folder that holds it, or install it; looked for {module_name!r}"
        raise UsageError(f"{path}: {what}; {hint}") from error
    except StreamsError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    app = getattr(module, name, None)
    if not isinstance(app, App):
        found = [key for key, value in vars(module).items() if isinstance(value, App)]
        hint = f"; it has {', '.join(found)}" if found else "; make one with app = App('group')"
        raise UsageError(f"{path}: {module_name} has no App named {name!r}{hint}")
    if not app.routes:
        raise UsageError(f"{path}: the app has no handlers; declare one with @{name}.on('topic')")
    return app
