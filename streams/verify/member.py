"""A member of the user's app whose handlers write down when they start and end: ``python -m streams.verify.member``.

The app is what it is: each route's handler and decoder are wrapped, the rest is
a member like any other.  A record of `streams.verify.load` says in a header of
its own how long its run takes at least, and how often it fails first, so that
there is work in flight to break and something in retry topics.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from streams.app import App, load
from streams.errors import StreamsError
from streams.kafka.clientlog import CLIENT_LOGGER
from streams.monitor.logs import configure_logs
from streams.outcome import Ack, DeadLetter, Retry, Stop
from streams.record import Message, Record
from streams.retry import RetryPolicy
from streams.service import run
from streams.verify.history import Place
from streams.verify.journal import JournalWriter, key_name
from streams.verify.mark import Mark, mark_of
from streams.verify.plan import NAME_VARIABLE, MemberPlan, client_id, wait_ms
from streams.verify.trim import keep_trimming

VARIABLE: Final = "STREAMS_VERIFY"
"""What a member is told, as JSON."""

_INLINE_SHARE: Final = 20
"""Where one run goes on at a time, each takes a fraction of what it would elsewhere."""


_POLL_INTERVAL_S: Final = 45.0
"""As short as sessions are: so long a group waits for a member to give up what it was told to.

The client forgets to where the answer came later than a heartbeat's interval, and never asks again.
"""
_BESIDE_DRAIN_S: Final = 10.0

_RAISED_EVERY: Final = 8
"""Of so many successes one is raised: `Stop(Ack())` is the same as to return."""


class InjectedError(StreamsError):
    """A failure that the load asked for."""


class Task(NamedTuple):
    """One run."""

    place: Place
    key: str
    attempt: int
    mark: Mark


class Watch:
    """Notes the runs of one route's handler; called by whichever threads run it.

    Always true: each START has one END or FAIL after it, unless the process
    dies in between.
    """

    def __init__(self, route: Any, retry: RetryPolicy, folder: Path) -> None:
        """Wrap the handler of *route*, which promises *retry*; write into *folder*."""
        self._retry = retry
        self._journal = JournalWriter(folder)
        self._handler: Callable[..., Any] = route.handler
        self._slow = 1 / _INLINE_SHARE if route.run == "inline" else 1.0
        self._failed: Counter[Place] = Counter()

    def wrapped(self, route: Any) -> Any:
        """Give *route* with its handler watched."""
        decode: Callable[[Message], Any] = route.decode
        is_async = inspect.iscoroutinefunction(self._handler)
        if route.batch:
            chosen: Any = self.run_batch_async if is_async else self.run_batch
        else:
            chosen = self.run_async if is_async else self.run
        handler = functools.partial(chosen)
        return replace(route, handler=handler, decode=lambda message: (message, decode(message)), decode_all=None)

    def run(self, pair: tuple[Message, Any], *context: Any) -> Any:
        """Run the handler on one record."""
        task = self._task(pair[0], context)
        with self._noted([task]) as results:
            time.sleep(task.mark.work_s * self._slow)
            self._fail(task)
            results.append(self._handler(pair[1], *context))
        return self._said(task, results[0])

    async def run_async(self, pair: tuple[Message, Any], *context: Any) -> Any:
        """As `run`, on the event loop."""
        task = self._task(pair[0], context)
        with self._noted([task]) as results:
            await asyncio.sleep(task.mark.work_s)
            self._fail(task)
            results.append(await self._handler(pair[1], *context))
        return self._said(task, results[0])

    def run_batch(self, pairs: Sequence[tuple[Message, Any]]) -> Any:
        """Run a batch handler; nothing is made to fail."""
        tasks = [self._task(message, ()) for message, _ in pairs]
        with self._noted(tasks) as results:
            time.sleep(max(task.mark.work_s for task in tasks) * self._slow)
            answer = self._handler([value for _, value in pairs])
            results.extend([None] * len(tasks) if answer is None else answer)
        return answer

    async def run_batch_async(self, pairs: Sequence[tuple[Message, Any]]) -> Any:
        """As `run_batch`, on the event loop."""
        tasks = [self._task(message, ()) for message, _ in pairs]
        with self._noted(tasks) as results:
            await asyncio.sleep(max(task.mark.work_s for task in tasks))
            answer = await self._handler([value for _, value in pairs])
            results.extend([None] * len(tasks) if answer is None else answer)
        return answer

    def _said(self, task: Task, result: Any) -> Any:
        """Give what the handler gave back; now and then raise a success, as a handler may from deep inside."""
        if result is None and task.place.offset % _RAISED_EVERY == 0:
            raise Stop(Ack())
        return result

    def _task(self, message: Message, context: Sequence[Any]) -> Task:
        record = Record(message)
        attempt = context[0].attempt if context else 0
        return Task(Place(record.partition, record.offset), key_name(record.key), attempt, mark_of(record.headers))

    @contextmanager
    def _noted(self, tasks: Sequence[Task]) -> Iterator[list[Any]]:
        """Note start and end of *tasks*; the block gives their results.

        In a batch the records of one key are the handler's to take in order:
        the later ones are noted as they come after the first.
        """
        firsts = list({task.key if task.key != "-" else task.place: task for task in reversed(tasks)}.values())[::-1]
        for task in firsts:
            self._note("START", task)
        results: list[Any] = []
        try:
            yield results
        except BaseException as error:
            for task in firsts:
                self._note(self._step(task, error.outcome if isinstance(error, Stop) else error), task)
            raise
        for task, result in zip(tasks, results, strict=False):
            if task not in firsts:
                self._note("START", task)
            self._note(self._step(task, result), task)

    def _note(self, step: str, task: Task) -> None:
        if step.startswith("FAIL") and not task.attempt:
            self._failed[task.place] += 1
        self._journal.note(step, task.place, task.attempt, task.key)

    def _step(self, task: Task, result: object) -> str:
        """Say how *task* ended, in *result* or error, and what it is to wait before the next attempt."""
        if isinstance(result, Retry):
            return f"FAIL:{wait_ms(self._retry, result.cause, task.attempt, result.after)}"
        if isinstance(result, DeadLetter):
            return "FAIL"
        return f"FAIL:{wait_ms(self._retry, result, task.attempt)}" if isinstance(result, BaseException) else "END"

    def _fail(self, task: Task) -> None:
        """Fail as often as the record asks for; where the attempt is not known, as often in this process."""
        if (task.attempt or self._failed[task.place] + 1) <= task.mark.fails:
            raise InjectedError(f"failure {task.attempt} of {task.mark.fails} that the load asked for")


def watch(app: App, plan: MemberPlan) -> None:
    """Have the handlers of *app* watched, on the topics that *plan* names."""
    routes = {}
    for topic, route in app.routes.items():
        name, retry = plan.prefix + topic, plan.retry_kept(route.retry)
        kept = replace(route, topic=name, retry=retry, dead_letters=plan.dead_letters(route.dead_letters))
        routes[name] = Watch(route, plan.retry(route.retry), Path(plan.folder) / name).wrapped(kept)
    app.routes = routes


def main(path: str) -> int:
    """Run the app as a member until it is told to stop; give the exit code."""
    configure_logs("text", "INFO")
    app = load(path)
    watch(app, MemberPlan(**json.loads(os.environ[VARIABLE])))
    settings = app.settings.from_environment()
    if "debug" in settings.kafka:  # STREAMS_KAFKA_DEBUG=cgrp: what the client does goes into the member's log
        logging.getLogger(CLIENT_LOGGER).setLevel(logging.DEBUG)
    patience_s = max(_POLL_INTERVAL_S, settings.drain_s + _BESIDE_DRAIN_S)
    patience = {"max.poll.interval.ms": str(int(patience_s * 1000))}
    kafka = {**patience, **settings.kafka, "client.id": client_id(os.getpid())}
    name = os.environ.get(NAME_VARIABLE) or None
    settings = replace(settings, metrics_port=None, instance_id=name, kafka=kafka)  # members are many
    keep_trimming()
    summary = run(app, settings.checked())
    return int(not (summary.report.drained and summary.report.committed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
