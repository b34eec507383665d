"""A route whose runs are spans: it stands in for the one that the app declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from streams.engine.partition import Item
from streams.engine.route import Ended, Route
from streams.kafka.message import Message
from streams.outcome import Outcome
from streams.tracing.run import Run, Tracer


@dataclass(frozen=True, kw_only=True)
class TracedRoute(Route):
    """Does what its route does, each call of the handler in a span.

    It is never bare, so that executors call nothing past it: a chunk that runs
    whole makes a span for each of its records.
    """

    tracer: Tracer

    @cached_property
    def is_bare(self) -> bool:
        """Executors may not call the handler themselves."""
        return False

    def invoke(self, item: Item) -> Ended:
        """Run a plain handler on one record."""
        if self.batch:
            return super().invoke(item)
        with self._run(item) as run:
            return run.ended(super().invoke(item))

    async def invoke_async(self, item: Item) -> Ended:
        """Run an async handler on one record."""
        if self.batch:
            return await super().invoke_async(item)
        with self._run(item) as run:
            return run.ended(await super().invoke_async(item))

    def call_batch(self, messages: Sequence[Message]) -> list[Outcome | None]:
        """Run a plain batch handler on *messages*."""
        with Run(self.tracer, self.topic, messages) as run:
            return run.ended_all(super().call_batch(messages))

    async def call_batch_async(self, messages: Sequence[Message]) -> list[Outcome | None]:
        """Run an async batch handler on *messages*."""
        with Run(self.tracer, self.topic, messages) as run:
            return run.ended_all(await super().call_batch_async(messages))

    def _run(self, item: Item) -> Run:
        return Run(self.tracer, self.topic, (item[0],), item[4].attempts_of(item) + 1)


def traced(route: Route, tracer: Tracer) -> TracedRoute:
    """Give what stands in for *route*."""
    declared: dict[str, Any] = {spec.name: getattr(route, spec.name) for spec in fields(route)}
    return TracedRoute(**declared, tracer=tracer)
