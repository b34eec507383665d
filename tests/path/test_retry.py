"""A record that fails runs again, not sooner and not more often than its policy says."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import timedelta

from streams import App, Context, Record, Retry, RetryPolicy
from streams.engine.chain import unpack, unpack_error
from streams.outcome import Outcome
from tests.brokers import Topics
from tests.path.members import Bench, headers_of, numbered


class BusyError(Exception):
    """The dependency asks to wait."""


class BrokenError(Exception):
    """No attempt can mend it."""


class Runs:
    """When each record started and ended."""

    def __init__(self) -> None:
        self.starts: dict[int, list[float]] = defaultdict(list)
        self.ends: dict[int, list[float]] = defaultdict(list)
        self.attempts: dict[int, list[int]] = defaultdict(list)

    def waits(self, offset: int) -> list[float]:
        """The seconds between the end of a run and the start of the next one."""
        return [start - end for end, start in zip(self.ends[offset], self.starts[offset][1:], strict=False)]


def failing(app: App, topic: str, policy: RetryPolicy, outcome: Outcome | Exception) -> Runs:
    """Declare a handler that ends every run of record 0 in *outcome*."""
    runs = Runs()

    @app.on(topic, retry=policy)
    def handle(record: Record, ctx: Context) -> Outcome | None:
        runs.starts[record.offset].append(time.monotonic())
        runs.attempts[record.offset].append(ctx.attempt)
        runs.ends[record.offset].append(time.monotonic())
        if record.offset:
            return None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return runs


def test_attempts_wait_at_least_their_delay(bench: Bench, topic: Topics, app: App) -> None:
    """The second, third and fourth run start no sooner than the delays say; the handler is told which one it is."""
    orders = topic()
    policy = RetryPolicy(delays=("50ms", "150ms", "300ms"), jitter=0.2)
    runs = failing(app, orders, policy, BusyError("wait"))
    bench.write(orders, numbered(2))
    bench.run(app).settled()

    assert runs.attempts[0] == [1, 2, 3, 4]
    assert [wait >= least for wait, least in zip(runs.waits(0), (0.05, 0.15, 0.3), strict=True)] == [True] * 3
    assert runs.attempts[1] == [1], "the key goes on after the dead letter"
    assert runs.starts[1][0] >= runs.ends[0][-1]


def test_last_attempt_is_followed_by_a_dead_letter(bench: Bench, topic: Topics, app: App) -> None:
    """It tells how many attempts there were, when each one failed, in what, and which rule ended them."""
    orders = topic()
    failing(app, orders, RetryPolicy(delays=("10ms",), max_attempts=3, jitter=0), BusyError("wait"))
    bench.write(orders, numbered(1))
    bench.run(app).settled()
    (letter,) = bench.dead(orders, app.group)
    header, error = unpack(headers_of(letter)), unpack_error(headers_of(letter))

    assert header.attempts == 3
    assert [attempt.error for attempt in header.history] == ["BusyError"] * 3
    assert sorted(attempt.time_ms for attempt in header.history) == [attempt.time_ms for attempt in header.history]
    assert error is not None
    assert error.reason == "attempt 3 of 3 failed"
    assert error.message == "wait"


def test_error_that_no_attempt_can_mend_is_not_tried_again(bench: Bench, topic: Topics, app: App) -> None:
    """Its class says so, in `dead_letter_on`."""
    orders = topic()
    runs = failing(app, orders, RetryPolicy(dead_letter_on=(BrokenError,)), BrokenError("no such item"))
    bench.write(orders, numbered(1))
    bench.run(app).settled()

    assert runs.attempts[0] == [1]
    assert len(bench.dead(orders, app.group)) == 1


def test_class_of_an_error_may_have_a_policy_of_its_own(bench: Bench, topic: Topics, app: App) -> None:
    """An override decides how often, and how long apart."""
    orders = topic()
    own = RetryPolicy(delays=("20ms", "20ms"), jitter=0)
    runs = failing(app, orders, RetryPolicy(delays=(), max_attempts=1, overrides={BusyError: own}), BusyError("wait"))
    bench.write(orders, numbered(1))
    bench.run(app).settled()

    assert runs.attempts[0] == [1, 2, 3]


def test_handler_may_ask_for_a_longer_wait(bench: Bench, topic: Topics, app: App) -> None:
    """`Retry(after=...)` replaces the delay of the policy."""
    orders = topic()
    asked = Retry(BusyError("limit"), after=timedelta(seconds=0.4))
    runs = failing(app, orders, RetryPolicy(delays=("10ms",), jitter=0), asked)
    bench.write(orders, numbered(1))
    bench.run(app).settled()

    assert runs.attempts[0] == [1, 2]
    assert runs.waits(0)[0] >= 0.4


def test_no_attempt_starts_past_the_deadline(bench: Bench, topic: Topics, app: App) -> None:
    """A record whose next attempt would come too late is given up at once."""
    orders = topic()
    policy = RetryPolicy(delays=("50ms", "10m"), deadline="1s", jitter=0)
    runs = failing(app, orders, policy, BusyError("wait"))
    bench.write(orders, numbered(1))
    bench.run(app).settled()

    assert runs.attempts[0] == [1, 2]
    assert len(bench.dead(orders, app.group)) == 1


def test_other_keys_go_on_while_one_waits(bench: Bench, topic: Topics, app: App) -> None:
    """Only the key of the record that failed is held."""
    orders, ended = topic(), []

    @app.on(orders, retry=RetryPolicy(delays=("1500ms",), jitter=0))
    def handle(record: Record, ctx: Context) -> None:
        if record.offset == 0 and ctx.attempt == 1:
            raise BusyError("wait")
        ended.append(record.offset)

    bench.write(orders, numbered(40, [b"a", b"b", b"c", b"d"]))
    bench.run(app).settled()

    assert ended[30:] == list(range(0, 40, 4))
    assert sorted(ended) == list(range(40))
