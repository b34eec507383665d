"""One handler on one topic: what it takes, how it runs, what its failures mean.

A `Route` is made once, at the start.  Everything that can be decided then is:
how bytes become the handler's argument, whether it wants a context, what an
exception or a strange return value stands for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias, cast

from streams.engine.breaker import Dependency
from streams.engine.chain import text_of
from streams.engine.context import Context, Sends
from streams.engine.guard import DEFAULT_GUARD, Guard
from streams.engine.partition import Item, Run
from streams.engine.policy import DEFAULT_POLICY, DeadLetterPolicy, OrderPolicy
from streams.errors import DecodeError, ResultError, StreamsError
from streams.kafka.message import VALUE, Message
from streams.outcome import Ack, DeadLetter, Outcome, Retry, Skip, Stop
from streams.retry import RetryPolicy

Handler: TypeAlias = Callable[..., Any]
RunMode: TypeAlias = Literal["inline", "threads", "async"]
Ended: TypeAlias = "Outcome | Sends | None"
"""What a handler run ended in; None is the common `Ack`."""

NULL: Final = "the value is null"
_AS_THEY_ARE: Final = cast("Callable[[bytes | None], bytes]", bytes.__bytes__)
"""Gives the very bytes, and raises `TypeError` on None."""
TOMBSTONE: Final = Skip("tombstone: the value is null and the handler did not ask for tombstones")


@dataclass(frozen=True, kw_only=True)
class Route:
    """How records of one topic are handled."""

    topic: str
    handler: Handler
    name: str
    """The handler's name, for people."""
    decode: Callable[[Message], Any]
    """From a delivered message to the handler's first argument; raises on bytes it can't read."""
    decode_all: Callable[[Iterable[Message]], Iterator[Any]] | None = None
    """Does for many messages, one by one as they are asked for, what `decode` does for each; None: `decode` has to."""
    explain: Callable[[Exception, Message], StreamsError]
    """Turns what `decode` raised into words."""
    wants_context: bool = False
    wants_tombstones: bool = False
    run: RunMode = "threads"
    concurrency: int = 16
    batch: int | None = None
    """Records a call gets at most; None: one, not in a list."""
    policy: OrderPolicy = DEFAULT_POLICY
    dead_letters: DeadLetterPolicy = "continue"
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_s: float = 120.0
    needs: tuple[Dependency, ...] = ()
    """What its handler calls; while one of them is down nothing of the route starts."""
    guard: Guard | None = DEFAULT_GUARD
    """When its dead letters are too many to be written; None: never."""
    key_field: str | None = None
    """Field of the value that producers take the Kafka key from."""
    subject: str | None = None
    context: Callable[[Item], Context] = field(default=Context, repr=False)
    """Makes the context of a run; the app puts its own state in."""

    @cached_property
    def tiers(self) -> tuple[float, ...]:
        """Delays of its retry topics, in seconds, ascending; policy ``block`` has none."""
        return () if self.policy == "block" else self.retry.tiers

    @cached_property
    def is_bare(self) -> bool:
        """The handler takes one value and nothing else: executors may call it themselves."""
        return not (self.wants_context or self.batch)

    def values(self, messages: Iterable[Message]) -> Iterator[Any]:
        """Decode each of *messages* when it is asked for; raises where `decode` does, and has then taken that one."""
        return map(self.decode, messages) if self.decode_all is None else self.decode_all(messages)

    def invoke(self, item: Item) -> Ended:
        """Run a plain handler on one record."""
        if self.batch:
            return self.invoke_batch((item,))[0]
        if not self.wants_context:
            result = self.handler(self.decode(item[0]))
            return None if result is None else self.outcome(result)
        context = self.context(item)
        try:
            result = self.handler(self.decode(item[0]), context)
        except Stop as stop:  # taken here, as what was sent before it is part of the outcome
            result = stop.outcome
        return context.ended(self.outcome(result))

    async def invoke_async(self, item: Item) -> Ended:
        """Run an async handler on one record."""
        if self.batch:
            return (await self.invoke_batch_async((item,)))[0]
        if not self.wants_context:
            return self.outcome(await cast("Awaitable[Any]", self.handler(self.decode(item[0]))))
        context = self.context(item)
        try:
            result = await self.handler(self.decode(item[0]), context)
        except Stop as stop:
            result = stop.outcome
        return context.ended(self.outcome(result))

    def outcome(self, result: object) -> Outcome | None:
        """Read what a handler gave back."""
        if result is None or isinstance(result, Ack):
            return None
        fault = _fault(result)
        if fault is None:
            return cast("Outcome", result)
        return DeadLetter(ResultError(f"handler {self.name} returned {fault}"))

    def failure(self, error: BaseException, message: Message, *, is_read: bool = False) -> Outcome | None:
        """Say what an exception stands for that came out of a run on *message*; *is_read*: not out of its decoder.

        Whoever caught it keeps the answer in no variable: the error holds that
        frame, and the two would hold each other until the collector comes.
        """
        if isinstance(error, Stop):
            return self.outcome(error.outcome)
        if VALUE(message) is None and not self.wants_tombstones:
            return TOMBSTONE
        unreadable = None if is_read else self.unreadable(message)
        if unreadable is not None:
            return DeadLetter(unreadable)
        return Retry(error if isinstance(error, Exception) else HandlerExitError(error))

    def unreadable(self, message: Message) -> StreamsError | None:
        """Say why *message* can't become the handler's argument; None where it can."""
        try:
            self.decode(message)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the record's outcome
            return self._in_words(error, message)
        return None

    def _in_words(self, error: BaseException, message: Message) -> StreamsError:
        """Explain what `decode` raised; where the user's codec fails even at that, name the class."""
        try:
            if isinstance(error, Exception):
                return self.explain(error, message)
        except Exception:  # noqa: BLE001  # told below, as well as it can be
            return DecodeError(f"the codec raised {type(error).__name__}, whose text can't be had")
        return DecodeError(f"the codec raised {type(error).__name__}: {text_of(error)}")

    # -- batches ----------------------------------------------------------------------------

    def invoke_batch(self, run: Run) -> list[Outcome | None]:
        """Run a plain batch handler on *run*; one outcome a record."""
        return self.call_batch([item[0] for item in run])

    def call_batch(self, messages: Sequence[Message]) -> list[Outcome | None]:
        """Run a plain batch handler on *messages*; one outcome a record."""
        return self.batch_outcomes(self.handler(list(self.values(messages))), len(messages))

    async def invoke_batch_async(self, run: Run) -> list[Outcome | None]:
        """Run an async batch handler on *run*; one outcome a record."""
        return await self.call_batch_async([item[0] for item in run])

    async def call_batch_async(self, messages: Sequence[Message]) -> list[Outcome | None]:
        """Run an async batch handler on *messages*; one outcome a record."""
        return self.batch_outcomes(await self.handler(list(self.values(messages))), len(messages))

    def batch_outcomes(self, result: object, count: int) -> list[Outcome | None]:
        """Read what a batch handler gave back: None, or one outcome a record."""
        if result is None:
            return [None] * count
        if isinstance(result, list | tuple) and len(result) == count:
            return [self.outcome(one) for one in result]
        wrong = (
            f"batch handler {self.name} got {count} records and returned {_shape(result)};"
            f" return None, or one outcome a record"
        )
        return [DeadLetter(ResultError(wrong))] * count


class HandlerExitError(StreamsError):
    """A handler tried to end the process or its task; the run counts as failed.

    Attributes:
        cause: What it raised.
    """

    def __init__(self, cause: BaseException) -> None:
        """Wrap *cause*, which is no `Exception`."""
        self.cause = cause
        super().__init__(f"handler raised {type(cause).__name__}: {text_of(cause)}")


def bytes_of(message: Message) -> bytes:
    """Give the value as it stands; the decoder of handlers that take `bytes`."""
    value = VALUE(message)
    if value is None:
        raise DecodeError(NULL)
    return value


def all_bytes_of(messages: Iterable[Message]) -> Iterator[bytes]:
    """Give the values as they stand, as `bytes_of` does, without a call of Python for each."""
    return map(_AS_THEY_ARE, map(VALUE, messages))


def _fault(result: object) -> str | None:
    """Say what is wrong with what a handler gave back; None where it is an outcome."""
    if isinstance(result, Skip):
        return None
    if not isinstance(result, Retry | DeadLetter):
        return f"{_shape(result)}; return None, or one of Ack, Skip, Retry, DeadLetter"
    cause: object = result.cause
    after: object = result.after if isinstance(result, Retry) else None
    if not isinstance(cause, Exception):
        return f"a {type(result).__name__} whose cause is {_shape(cause)}; give it an exception"
    if not isinstance(after, timedelta | None):
        return f"a Retry whose after is {_shape(after)}; give it a timedelta"
    return None


def _shape(result: object) -> str:
    if isinstance(result, type):
        return "a type"
    return f"a list of {len(result)}" if isinstance(result, list | tuple) else f"a {type(result).__name__}"
