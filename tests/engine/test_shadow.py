"""A member of a shadow group: what it takes of a partition, where that ends, and where it sends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

from streams.engine.context import Context, Sends
from streams.engine.ledger import Chunk
from streams.engine.pace import Pace
from streams.engine.partition import PartitionState, finish
from streams.engine.shadow import Shadow, ShadowContext, ShadowState
from streams.errors import UsageError
from streams.kafka.message import Message
from streams.outcome import Retry, Skip
from streams.testing.clock import ManualClock
from tests.engine.stage import ORDERS, OTHER, message, messages, state


def shadowed(
    end: int = 10, takes: Callable[[Message], bool] | None = None, pace: Pace | None = None, committed: int = 0
) -> PartitionState:
    """A partition of a shadow that ends at *end*."""
    shadow = Shadow(ends={ORDERS: end}, output=lambda topic: f"trial.{topic}", takes=takes)
    made = partial(ShadowState, shadow=shadow, pace=pace)
    return state(committed=committed, cls=cast("type[PartitionState]", made))


def read(one: PartitionState, *offsets: int) -> list[int | None]:
    """Have *one* read records at *offsets*; give those that are to run."""
    chunk = one.admit(messages(*((offset, b"a") for offset in offsets)))
    return [] if chunk is None else [record.offset() for record in chunk.messages]


def settle(one: PartitionState, chunk: Chunk | None) -> None:
    """All of *chunk* ends well."""
    assert chunk is not None
    runs = list(one.enlane(chunk))
    while runs:
        runs = list(finish(runs))


def test_nothing_at_the_end_or_behind_it_is_taken() -> None:
    """A batch may straddle it; the ledger goes to the end and no further, whatever is read."""
    one = shadowed(end=4)

    assert read(one, 2, 3, 4, 5) == [2, 3]
    assert read(one, 6, 7) == []
    one.reach(100)
    assert (one.ledger.position, one.ledger.committable, one.outstanding) == (4, 2, 2)


def test_a_hole_at_the_end_is_not_waited_for() -> None:
    """The last offsets below it may be markers of transactions, with records behind them or none."""
    behind, none = shadowed(end=5), shadowed(end=5)
    settle(behind, behind.admit(messages((0, b"a"), (1, b"a"), (9, b"a"))))
    settle(none, none.admit(messages((0, b"a"), (1, b"a"))))
    none.reach(5)

    assert [one.ledger.committable for one in (behind, none)] == [5, 5]


def test_what_is_not_wanted_settles_unrun_and_is_counted() -> None:
    """Nothing of it is in flight, and the commit moves past it."""
    one = shadowed(takes=lambda record: record.key() == b"b")
    chunk = one.admit(messages((0, b"a"), (1, b"b"), (2, b"a"), (3, b"b"), (4, b"a")))
    assert chunk is not None
    assert [record.offset() for record in chunk.messages] == [1, 3]
    assert (one.admitted, one.outstanding, one.outstanding_bytes) == (2, 2, chunk.size_bytes)
    settle(one, chunk)

    assert (one.ledger.committable, one.outstanding, one.outstanding_bytes) == (5, 0, 0)
    assert cast("ShadowState", one).shadow.left_out == 3


def test_a_partition_that_is_not_named_is_not_taken() -> None:
    """One that was added to the topic since: it has ended before it begins."""
    shadow = Shadow(ends={ORDERS: 10}, output=str)
    one = state(OTHER, cls=cast("type[PartitionState]", partial(ShadowState, shadow=shadow)))

    assert one.admit(messages((0, b"a"), partition=OTHER)) is None
    assert shadow.reason(one) == "end"


def test_reading_stops_at_the_end() -> None:
    """While there is something to read there is no reason to."""
    one = shadowed(end=2)
    shadow = cast("ShadowState", one).shadow
    before = shadow.reason(one)
    read(one, 0, 1)

    assert (before, shadow.reason(one)) == (None, "end")
    assert shadow.topics == {"orders"}


def context(kind: type[Context], one: PartitionState, **more: Any) -> Context:
    """The context of a run in *one*."""
    chunk = one.admit([message(0)])
    assert chunk is not None
    return kind(one.enlane(chunk)[0][0], **more)


def test_a_handler_is_told_of_a_replay() -> None:
    """In a shadow group always, and never in any other."""
    inside = context(ShadowContext, shadowed(), output=str)
    outside = context(Context, state())

    assert (inside.is_replay, outside.is_replay) == (True, False)


def test_what_is_sent_goes_beside() -> None:
    """Key, value, headers and the event's type stay; a topic's key field is found by the name that was sent to."""
    plain, ctx = (
        context(kind, one, keys={"invoices": "id"}, **more)
        for kind, one, more in (
            (Context, state(), {}),
            (ShadowContext, shadowed(), {"output": lambda topic: f"trial.{topic}"}),
        )
    )
    for each in (plain, ctx):
        each.send("invoices", {"id": "i-1"}, headers=[("tenant", b"seven")])
    was, ended = plain.ended(None), ctx.ended(Skip("so"))
    assert isinstance(was, Sends)
    assert isinstance(ended, Sends)
    (before,), (after,) = was.records, ended.records

    assert (after.topic, after.key, after.value) == ("trial.invoices", b"i-1", before.value)
    assert dict(after.headers)["ce_type"] == dict(before.headers)["ce_type"] == b"invoices"
    assert ended.outcome == Skip("so")


def test_a_run_that_sends_nothing_asks_for_no_topic() -> None:
    """Nor does one that failed."""

    def refuse(topic: str) -> str:
        raise UsageError(topic)

    failed = Retry(ValueError("bad"))
    quiet, loud = (context(ShadowContext, shadowed(), output=refuse) for _ in range(2))
    loud.send("invoices", b"x")

    assert quiet.ended(None) is None
    assert loud.ended(failed) is failed
    with pytest.raises(UsageError, match="invoices"):
        loud.ended(None)


def test_a_pace_grows_with_time_and_is_spent_by_what_runs() -> None:
    """One record at first, never more than a second's worth, and nothing for what is left out."""
    clock = ManualClock()
    pace = Pace(20, clock)
    one = shadowed(takes=lambda record: bool((record.offset() or 0) % 2), pace=pace)
    first = pace.room()
    clock.advance(0.5)
    later = pace.room()
    read(one, *range(10))
    spent = pace.room()
    clock.advance(60)

    assert (first, later, spent, pace.room()) == (1, 11, 6, 20)
