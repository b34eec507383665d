"""What a handler's function takes, and what contradicts itself in its declaration; looked at once, at the start."""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.codec import Codec
from streams.engine.breaker import Dependency
from streams.engine.context import Context
from streams.engine.guard import Guard
from streams.engine.policy import DeadLetterPolicy, OrderPolicy
from streams.engine.route import RunMode
from streams.errors import AppError, ConfigError
from streams.retry import Duration, RetryPolicy, seconds

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MOST: Final = 10_000
_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function is called with a record."""

    name: str
    """What people know it by."""
    annotations: tuple[Any, ...]
    """Of the value and, where it wants one, of the context."""
    is_async: bool

    @property
    def wants_context(self) -> bool:
        """It takes a context beside the value."""
        return len(self.annotations) > 1

    def place(self, topic: str) -> str:
        """Name the handler and its topic, as errors do."""
        return f"handler {self.name} of topic {topic!r}"

    def value(self, batch: int | None) -> Any:
        """Give what one record's value becomes; of a batch, what stands in its list."""
        annotation = self.annotations[0]
        if batch is None or annotation is inspect.Parameter.empty:
            return annotation
        return typing.get_args(annotation)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a declaration says beside its function, as it was said; `App.on` tells what each option means."""

    topic: str
    key: str | None
    retry: RetryPolicy
    policy: OrderPolicy
    dead_letters: DeadLetterPolicy
    run: RunMode | None
    concurrency: int | None
    batch: int | None
    codec: Codec[Any] | None
    subject: str | None
    timeout: Duration | None
    tombstones: bool
    needs: Sequence[Dependency]
    guard: Guard | None

    def mode(self, signature: Signature) -> RunMode:
        """Give what runs the function."""
        return self.run or ("async" if signature.is_async else "threads")


def name_of(handler: Callable[..., Any]) -> str:
    """Give the name that people know *handler* by: a function's own, or the class of an object."""
    function = handler.func if isinstance(handler, functools.partial) else handler
    return getattr(function, "__name__", type(function).__name__)


def signature_of(handler: Callable[..., Any], topic: str) -> Signature:
    """Read what *handler* takes.

    Raises:
        AppError: It could never be called with a record of *topic*.
    """
    place = f"handler {name_of(handler)} of topic {topic!r}"
    function = _function(handler)
    try:
        hints = typing.get_type_hints(function)
        parameters = list(inspect.signature(handler).parameters.values())
    except NameError as error:
        raise AppError(f"{place}: {error}; import what its annotations name, at run time too") from None
    except Exception as error:
        raise AppError(f"{place}: its annotations can't be read: {type(error).__name__}: {error}") from error
    annotations = tuple(hints.get(one.name, one.annotation) for one in _asked_for(parameters, hints))
    faults = list(_shape_faults(handler, function, parameters, annotations))
    if faults:
        raise AppError("\n".join(f"{place}: {fault}" for fault in faults))
    return Signature(name_of(handler), annotations, inspect.iscoroutinefunction(function))


def _function(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function that runs when *handler* is called."""
    if isinstance(handler, functools.partial):
        return _function(handler.func)
    if inspect.isroutine(handler) or isinstance(handler, type):
        return handler
    return type(handler).__call__


def _asked_for(parameters: list[inspect.Parameter], hints: dict[str, Any]) -> list[inspect.Parameter]:
    """Give the parameters that a call fills: those without a default, and a context, which may have one."""
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return [
        one
        for at, one in enumerate(positional)
        if one.default is one.empty or (at == 1 and _without_none(hints.get(one.name)) is Context)
    ]


def _without_none(annotation: Any) -> Any:
    others = [one for one in typing.get_args(annotation) if one is not type(None)]
    return others[0] if len(others) == 1 else annotation


def _shape_faults(
    handler: object, function: object, parameters: list[inspect.Parameter], annotations: tuple[Any, ...]
) -> Iterator[str]:
    if isinstance(handler, type):
        yield "it is a class; give a function, or an object of that class that can be called"
    if not 1 <= len(annotations) <= 2:  # noqa: PLR2004  # said in the text
        yield f"it must take a value and, if it likes, a Context; it takes {len(annotations)} parameters"
    elif len(annotations) > 1 and _without_none(annotations[1]) not in (Context, inspect.Parameter.empty):
        yield f"its second parameter is the Context, and is annotated {annotations[1]!r}"
    by_name = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if by_name:
        yield f"nobody gives it {', '.join(by_name)}: a parameter by name needs a default"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        yield "it yields; a handler returns None or an outcome"


def check(signature: Signature, options: Options, dependencies: Mapping[str, Dependency]) -> None:
    """See that a declaration can be meant, in an app that has *dependencies*.

    Raises:
        AppError: It contradicts itself or the function; with every contradiction, one a line.
    """
    faults = [
        *_name_faults(options.topic, options.key),
        *_retry_faults(options.policy, options.retry),
        *_policy_faults(options.policy, options.dead_letters),
        *_mode_faults(signature, options.mode(signature), options.concurrency),
        *_batch_faults(signature, options.batch),
        *_timeout_faults(options.timeout),
        *_need_faults(options.needs, dependencies),
        *_guard_faults(options.guard),
    ]
    if faults:
        raise AppError("\n".join(f"{signature.place(options.topic)}: {fault}" for fault in faults))


def _name_faults(topic: object, key: object) -> Iterator[str]:
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        yield "a topic's name has 1 to 249 letters, digits, dots, dashes or underscores"
    if not isinstance(key, str | None):
        yield f"key={key!r} is no name of a field"


def _retry_faults(policy: object, retry: object) -> Iterator[str]:
    if not isinstance(retry, RetryPolicy):
        yield f"retry={retry!r} is no RetryPolicy"
    elif policy != "block":
        yield from retry.tier_faults()


def _policy_faults(policy: object, dead_letters: object) -> Iterator[str]:
    if policy not in typing.get_args(OrderPolicy):
        yield f"policy={policy!r} is none of {', '.join(typing.get_args(OrderPolicy))}"
    if dead_letters not in typing.get_args(DeadLetterPolicy):
        yield f"dead_letters={dead_letters!r} is none of {', '.join(typing.get_args(DeadLetterPolicy))}"
    elif dead_letters != "continue" and policy in ("block", "unordered"):
        why = "has no order to keep" if policy == "unordered" else "has no place where a key could wait for an operator"
        yield f"dead_letters={dead_letters!r} needs policy='park'; policy={policy!r} {why}"


def _mode_faults(signature: Signature, mode: object, concurrency: int | None) -> Iterator[str]:
    if mode not in typing.get_args(RunMode):
        yield f"run={mode!r} is none of {', '.join(typing.get_args(RunMode))}"
    elif signature.is_async and mode != "async":
        yield f"it is async, so it runs on the event loop; drop run={mode!r}, or make it a plain def"
    elif not signature.is_async and mode == "async":
        yield "run='async' needs an async def"
    if not _is_count(concurrency):
        yield f"concurrency={concurrency!r} must be between 1 and {_MOST}"
    elif mode == "inline" and concurrency not in (None, 1):
        yield "run='inline' runs one handler at a time; drop concurrency, or take run='threads'"


def _batch_faults(signature: Signature, batch: int | None) -> Iterator[str]:
    if not _is_count(batch):
        yield f"batch={batch!r} must be between 1 and {_MOST}"
    if batch is None:
        return
    if signature.wants_context:
        yield "a batch handler takes the list of values alone, no Context"
    annotation = signature.annotations[0]
    if annotation is not inspect.Parameter.empty and typing.get_origin(annotation) is not list:
        yield f"a batch handler's parameter is annotated list[T], not {annotation!r}"


def _timeout_faults(timeout: Duration | None) -> Iterator[str]:
    if timeout is None:
        return
    try:
        value = seconds(timeout)
    except ConfigError as error:
        yield f"timeout: {error}"
        return
    if not _SHORTEST_S <= value <= _LONGEST_S:
        yield f"timeout={timeout!r} must be between 10 ms and a day"


def _need_faults(needs: object, dependencies: Mapping[str, Dependency]) -> Iterator[str]:
    if not isinstance(needs, Sequence) or isinstance(needs, str | bytes):
        yield f"needs={needs!r} is no list of dependencies, such as [payments] after payments = app.dependency(...)"
        return
    for one in needs:
        if not isinstance(one, Dependency) or dependencies.get(one.name) is not one:
            yield f"needs names {_called(one)}, which this app has not declared; take what app.dependency(...) gave"
    if len({_called(one) for one in needs}) < len(needs):
        yield "needs names a dependency twice"


def _called(dependency: object) -> str:
    return repr(dependency.name if isinstance(dependency, Dependency) else dependency)


def _guard_faults(guard: object) -> Iterator[str]:
    if not isinstance(guard, Guard | None):
        yield f"guard={guard!r} is no Guard; None goes without one"


def _is_count(number: object) -> bool:
    return number is None or (isinstance(number, int) and 1 <= number <= _MOST)
